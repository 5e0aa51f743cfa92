"""What an editor shows of the word under the mouse."""

from collections.abc import Callable, Iterator, Mapping

from odenet.diagnostics import Span
from odenet.editor.document import Document
from odenet.language import canonical, tree
from odenet.language.token_patterns import keywords
from odenet.model.tables.activations import ACTIVATIONS
from odenet.model.tables.claims import CLAIMS
from odenet.model.tables.layers import LAYERS
from odenet.model.tables.parameters import PARAMETERS
from odenet.model.tables.recipe import recipe_keys
from odenet.model.tables.reference import MEANINGS, signature
from odenet.model.tables.structural_layers import ALL_LAYERS
from odenet.model.typed.program import Layer


def hover(document: Document, line: int, column: int) -> tuple[str, Span] | None:
    """Markdown on the word at a place, and the word; None where nothing is known of it.

    Args:
        document: finished or not.
        line: counted from 0.
        column: counted from 0, in characters.
    """
    word = document.word(line, column)
    if word is None:
        return None
    key = word.text in recipe_keys() and in_train(document, word.start)
    parts = [] if key else list(_own(document, word))
    parts = [*(parts or _known(document, word)), *_shape(document, word)]
    return ("\n\n".join(parts), word) if parts else None


def _own(document: Document, word: Span) -> Iterator[str]:
    """The kind and the definition of a name that the file declares, and the value of a number."""
    if word.text in keywords():
        return
    found = document.definition(word)
    if found is None:
        return
    yield f"**{word.text}**: {found.kind}"
    yield f"```ode\n{found.statement.text}\n```"
    program = document.program
    if program is not None:
        name = canonical(word.text)
        if name in program.model.constants:
            yield f"= {program.model.constants[name]}"
        if name in program.model.parameters:
            yield program.model.parameters[name].kind.meaning


def _known(document: Document, word: Span) -> Iterator[str]:
    """What the language or its tables say of a name."""
    name = word.text
    if name in keywords():
        example = _examples().get(name)
        yield f"**{name}**" + (f": {example}" if example else "")
    elif name in recipe_keys() and in_train(document, word.start):
        key = recipe_keys()[name]
        yield f"**{name}** {key.meaning}: {key.kind.words()}"
    else:
        line = word.source.line(word.line).split("#")[0]
        typed = ":" in line and "param" in line.split()[:2]
        for rows in (_parameter, *_ROWS) if typed else _ROWS:
            if text := rows(name):
                yield text
                return


def _layer(name: str) -> str:
    if name not in ALL_LAYERS.forms or name in ACTIVATIONS:
        return ""
    meaning = LAYERS[name].meaning if name in LAYERS else MEANINGS[name]
    return f"`{signature(name, ALL_LAYERS.forms[name])}`: {meaning}"


def _activation(name: str) -> str:
    row = ACTIVATIONS.get(name)
    if row is None:
        return ""
    slope = f"slope at least {row.least_slope.text}, of size at most {row.slope.text}"
    return f"`{signature(name, row.arguments)}`: activation; {slope}"


def _parameter(name: str) -> str:
    row = PARAMETERS.get(name)
    return f"`{signature(name, row.arguments)}`: type of `param`; {row.meaning}" if row else ""


def _claim(name: str) -> str:
    return f"`{CLAIMS[name].usage}`: claim; {CLAIMS[name].meaning}" if name in CLAIMS else ""


_ROWS: tuple[Callable[[str], str], ...] = (_activation, _claim, _layer, _parameter)


def _shape(document: Document, word: Span) -> Iterator[str]:
    """The shapes that a layer of the net is given and gives, where the word is its name."""
    program = document.program
    if program is None:
        return
    for layer in _layers(program.model.net):
        span = layer.span
        if span is not None and span.source == word.source and span.start == word.start:
            yield f"{layer.shape_in} → {layer.shape_out}"
            return


def _layers(layers: tuple[Layer, ...]) -> Iterator[Layer]:
    for layer in layers:
        yield layer
        yield from _layers(layer.inner)


def in_train(document: Document, offset: int) -> bool:
    """Whether a place is inside `train { … }`, which may not be closed yet."""
    before = document.source.text[:offset]
    opened = before.rfind("{")
    head = before[:opened].split() if opened >= 0 else []
    return bool(head) and head[-1] == "train" and "}" not in before[opened:]


def _examples() -> Mapping[str, str]:
    """How the statement of each keyword is written, from the tree's own documentation."""
    found = [getattr(tree, name) for name in tree.__all__]
    kinds = [kind for kind in found if isinstance(kind, type)]
    documented = {kind.__name__.lower(): str(kind.__doc__) for kind in kinds if kind.__doc__}
    return {name: text.rstrip(".") for name, text in documented.items() if text.startswith("`")}
