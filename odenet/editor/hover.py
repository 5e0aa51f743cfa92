"""The text that an editor shows about the word under the mouse."""

from collections.abc import Iterator, Mapping

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
    """A Markdown text about the word at a position, and the word; None if there is no text.

    Args:
        document: the file, which may be incomplete.
        line: counted from 0.
        column: counted from 0, in characters.
    """
    word = document.word(line, column)
    if word is None:
        return None
    is_recipe_key = word.text in recipe_keys() and is_in_recipe(document, word.start)
    parts = [] if is_recipe_key else list(_describe_declared(document, word))
    parts = [*(parts or _describe_builtin(document, word)), *_describe_shapes(document, word)]
    return ("\n\n".join(parts), word) if parts else None


def _describe_declared(document: Document, word: Span) -> Iterator[str]:
    """The kind and the definition of a declared name, and its value if it is a number."""
    if word.text in keywords():
        return
    definition = document.definition(word)
    if definition is None:
        return
    yield f"**{word.text}**: {definition.kind}"
    yield f"```ode\n{definition.statement.text}\n```"
    program = document.program
    if program is not None:
        name = canonical(word.text)
        if name in program.model.constants:
            yield f"= {program.model.constants[name]}"
        if name in program.model.parameters:
            yield program.model.parameters[name].kind.meaning


def _describe_builtin(document: Document, word: Span) -> Iterator[str]:
    """The description of a name of the language: keyword, recipe key, layer, activation, ….

    Args:
        document: the file that it is in.
        word: the name.
    """
    name = word.text
    if name in keywords():
        example = _keyword_examples().get(name)
        yield f"**{name}**" + (f": {example}" if example else "")
    elif name in recipe_keys() and is_in_recipe(document, word.start):
        key = recipe_keys()[name]
        yield f"**{name}** {key.meaning}: {key.kind.description()}"
    else:
        line = word.source.line(word.line).split("#")[0]
        is_parameter_type = ":" in line and "param" in line.split()[:2]
        for describe in (_describe_parameter, *_DESCRIBERS) if is_parameter_type else _DESCRIBERS:
            if text := describe(name):
                yield text
                return


def _describe_layer(name: str) -> str:
    if name not in ALL_LAYERS.forms or name in ACTIVATIONS:
        return ""
    meaning = LAYERS[name].meaning if name in LAYERS else MEANINGS[name]
    return f"`{signature(name, ALL_LAYERS.forms[name])}`: {meaning}"


def _describe_activation(name: str) -> str:
    row = ACTIVATIONS.get(name)
    if row is None:
        return ""
    slope = f"slope at least {row.least_slope.text}, of size at most {row.slope.text}"
    return f"`{signature(name, row.arguments)}`: activation; {slope}"


def _describe_parameter(name: str) -> str:
    row = PARAMETERS.get(name)
    return f"`{signature(name, row.arguments)}`: type of `param`; {row.meaning}" if row else ""


def _describe_claim(name: str) -> str:
    return f"`{CLAIMS[name].usage}`: claim; {CLAIMS[name].meaning}" if name in CLAIMS else ""


_DESCRIBERS = (_describe_activation, _describe_claim, _describe_layer, _describe_parameter)


def _describe_shapes(document: Document, word: Span) -> Iterator[str]:
    """The shapes before and after a layer of the net, if the word is the name of one."""
    program = document.program
    if program is None:
        return
    for layer in _nested_layers(program.model.net):
        span = layer.span
        if span is not None and span.source == word.source and span.start == word.start:
            yield f"{layer.shape_in} → {layer.shape_out}"
            return


def _nested_layers(layers: tuple[Layer, ...]) -> Iterator[Layer]:
    """The layers of a net, and those inside them."""
    for layer in layers:
        yield layer
        yield from _nested_layers(layer.inner)


def is_in_recipe(document: Document, offset: int) -> bool:
    """Whether an offset is inside `train { … }`, which may not be closed yet."""
    text_before = document.source.text[:offset]
    brace = text_before.rfind("{")
    words_before = text_before[:brace].split() if brace >= 0 else []
    return bool(words_before) and words_before[-1] == "train" and "}" not in text_before[brace:]


def _keyword_examples() -> Mapping[str, str]:
    """An example of each keyword's statement, from the docstrings of the syntax tree's classes."""
    exported = [getattr(tree, name) for name in tree.__all__]
    classes = [cls for cls in exported if isinstance(cls, type)]
    docstrings = {cls.__name__.lower(): str(cls.__doc__) for cls in classes if cls.__doc__}
    return {name: text.rstrip(".") for name, text in docstrings.items() if text.startswith("`")}
