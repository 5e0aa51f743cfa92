"""Whatever the author's names are, the program is the same."""

import re
from dataclasses import fields, is_dataclass, replace
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from odenet.compiler import loads
from odenet.diagnostics import Source, Span
from odenet.language import canonical, tree
from odenet.language.lexer import tokens
from odenet.model.elaboration.builtin_names import CORE_NAMES
from odenet.model.tables.declared_parameters import DeclaredParameter
from tests.language.texts import GOOD, SPECS

TEXTS = {
    path.stem: path.read_text(encoding="utf-8")
    for path in (*SPECS, *GOOD)
    if path.stem not in ("strange_names", "user_schemes", "constants_by_step")
}
WORDS = [
    "h", "self", "torch", "lambda", "x", "F", "dt", "T", "n", "count", "index", "step", "steps",
    "State", "Tensor", "conv", "flow", "bias", "verlet", "sgd", "None", "forward", "class", "Y",
    "K1", "σ", "γ", "ω2", "Φ", "train_", "data", "nn", "F1",
]  # fmt: skip


def names_of(file):
    """The names that a file declares, as they are written."""
    for statement in file.statements:
        match statement:
            case tree.State(names) | tree.Param(_, names, _):
                yield from (name.spelling for name in names)
            case tree.Map(_, name, _) | tree.Let(name, _):
                yield name.spelling


def renamed(text, names):
    """A text with other names, wherever they stand for what the author declared.

    The name of an argument (`h = …` in brackets), of a layer or a scheme is the language's.
    """
    found, at, kinds = [], 0, []
    stream = [token for token in tokens(Source("test.ode", text)) if token.type != "_END"]
    for i, token in enumerate(stream):
        found.append(text[at : token.start_pos])
        at = token.end_pos
        after = stream[i + 1].type if i + 1 < len(stream) else ""
        inside_call = kinds[-1:] in (["LPAR"], ["LBRACE"])
        key = inside_call and after == "EQUAL"
        start_line = "start" in text[text.rfind("\n", 0, token.start_pos) : token.start_pos]
        free = token.type == "NAME" and not key and not start_line
        found.append(names.get(canonical(token), str(token)) if free else str(token))
        if token.type in ("LPAR", "LSQB", "LBRACE"):
            kinds.append(token.type)
        elif token.type in ("RPAR", "RSQB", "RBRACE"):
            kinds.pop()
    return "".join([*found, text[at:]])


def shape_of(value, names):
    """A program as plain values, its names replaced by the order in which they come."""
    match value:
        case str() if value in names:
            return f"name {names.index(value)}"
        case tuple() | list():
            return [shape_of(item, names) for item in value]
        case dict():
            return [(shape_of(k, names), shape_of(v, names)) for k, v in value.items()]
        case Source() | Span():
            return None
        case Fraction() | float() | int() | str() | None:
            return value
    if is_dataclass(value):
        return [type(value).__name__] + [
            shape_of(getattr(value, f.name), names) for f in fields(value) if f.compare
        ]
    return value


def program_of(text):
    program = loads(text)
    file, model = program.tree, program.model
    names = [canonical(name) for name in names_of(file)]
    groups = list(model.discretisation.groups.values())
    named = (model.constants, model.dynamics, groups)
    # The options of parameters and layers, and the recipe, name nothing of the author's.
    plain = (*model.parameters.values(), *(m.layers for m in model.maps.values()), model.net,
             model.recipe, model.discretisation.constants)  # fmt: skip
    declared = [list(model.parameters), list(model.maps), *named]
    without_names = [replace(p, name="") if isinstance(p, DeclaredParameter) else p for p in plain]
    return shape_of(declared, names), shape_of(without_names, [])


@settings(max_examples=60)
@given(st.data())
def test_renaming_leaves_the_program_as_it_is(data):
    stem = data.draw(st.sampled_from(sorted(TEXTS)))
    text = TEXTS[stem]
    file = loads(text).tree
    old = [canonical(name) for name in names_of(file)]
    taken = {word for word in re.findall(r"\w+", text)} | set(old) | set(CORE_NAMES)
    pool = [word for word in WORDS if canonical(word) not in taken and word not in taken]
    new = data.draw(st.permutations(pool))[: len(old)]
    names = dict(zip(old, new, strict=False))
    assert program_of(renamed(text, names)) == program_of(text), names


def test_a_program_that_differs_is_told_apart():
    one = "state Y\nparam K, L : conv(3)\nY' = K L Y\ndiscretise euler(h = 0.1)"
    assert program_of(one) != program_of(one.replace("K L Y", "L K Y"))
    assert program_of(one) == program_of(one.replace("K", "Q"))
