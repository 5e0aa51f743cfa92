"""Renaming what the author declared does not change the program."""

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
from odenet.model.elaboration.scheme_scope import RESERVED
from odenet.model.tables.declared_parameters import DeclaredParameter
from tests.language.spec_texts import CONSTRUCTS, SPECS

# `rename` goes by tokens alone: it would rename a scheme's own Y as well, or the T of K^T where a
# parameter is called T.
NOT_RENAMED = ("strange_names", "user_schemes", "constants_by_step")
SPEC_TEXTS = {
    path.stem: path.read_text(encoding="utf-8")
    for path in (*SPECS, *CONSTRUCTS)
    if path.stem not in NOT_RENAMED
}
NEW_NAMES = [
    "h", "self", "torch", "lambda", "x", "F", "dt", "T", "n", "count", "index", "step", "steps",
    "State", "Tensor", "conv", "flow", "bias", "verlet", "sgd", "None", "forward", "class", "Y",
    "K1", "σ", "γ", "ω2", "Φ", "train_", "data", "nn", "F1",
]  # fmt: skip


def declared_names(file):
    """The names that a file declares, in their spelling."""
    for statement in file.statements:
        match statement:
            case tree.State(names) | tree.Param(_, names, _):
                yield from (name.spelling for name in names)
            case tree.Map(_, name, _) | tree.Let(name, _):
                yield name.spelling


def rename(text, names):
    """The text with the author's declared names replaced.

    Names of arguments (`h = …` in brackets), keys, layers and schemes stay as they are.
    """
    pieces, position, open_brackets = [], 0, []
    stream = [token for token in tokens(Source("test.ode", text)) if token.type != "_END"]
    for i, token in enumerate(stream):
        pieces.append(text[position : token.start_pos])
        position = token.end_pos
        next_type = stream[i + 1].type if i + 1 < len(stream) else ""
        may_have_keys = open_brackets[-1:] in (["LPAR"], ["LBRACE"])  # calls, `train` and schemes
        is_key = may_have_keys and next_type == "EQUAL"
        in_start_line = "start" in text[text.rfind("\n", 0, token.start_pos) : token.start_pos]
        is_renamed = token.type == "NAME" and not is_key and not in_start_line
        pieces.append(names.get(canonical(token), str(token)) if is_renamed else str(token))
        if token.type in ("LPAR", "LSQB", "LBRACE"):
            open_brackets.append(token.type)
        elif token.type in ("RPAR", "RSQB", "RBRACE"):
            open_brackets.pop()
    return "".join([*pieces, text[position:]])


def number_names(value, names):
    """A program as plain values, with names replaced by their order of declaration."""
    match value:
        case str() if value in names:
            return f"name {names.index(value)}"
        case tuple() | list():
            return [number_names(item, names) for item in value]
        case dict():
            return [(number_names(k, names), number_names(v, names)) for k, v in value.items()]
        case Source() | Span():
            return None
        case Fraction() | float() | int() | str() | None:
            return value
    if is_dataclass(value):
        return [type(value).__name__] + [
            number_names(getattr(value, f.name), names) for f in fields(value) if f.compare
        ]
    return value


def load_with_numbered_names(text):
    """What is compared of a program, in two parts.

    Returns:
        The parts that contain names of the author, which are numbered; and the parts that do not.
    """
    program = loads(text)
    file, model = program.tree, program.model
    names = [canonical(name) for name in declared_names(file)]
    groups = list(model.discretisation.groups.values())
    named = (model.constants, model.dynamics, groups)
    # The options of parameters and layers and the recipe contain no names that the author chose.
    plain = (*model.parameters.values(), *(m.layers for m in model.maps.values()), model.net,
             model.recipe, model.discretisation.constants)  # fmt: skip
    declared = [list(model.parameters), list(model.maps), *named]
    unnamed = [replace(p, name="") if isinstance(p, DeclaredParameter) else p for p in plain]
    return number_names(declared, names), number_names(unnamed, [])


@settings(max_examples=60)
@given(st.data())
def test_renaming_leaves_the_program_as_it_is(data):
    stem = data.draw(st.sampled_from(sorted(SPEC_TEXTS)))
    text = SPEC_TEXTS[stem]
    file = loads(text).tree
    old = [canonical(name) for name in declared_names(file)]
    taken = {word for word in re.findall(r"\w+", text)} | set(old) | set(CORE_NAMES)
    if "\nscheme " in text:  # a scheme's lines may read the file's maps
        taken |= set(RESERVED)
    pool = [word for word in NEW_NAMES if canonical(word) not in taken and word not in taken]
    new = data.draw(st.permutations(pool))[: len(old)]
    names = dict(zip(old, new, strict=False))
    assert load_with_numbered_names(rename(text, names)) == load_with_numbered_names(text), names


def test_the_comparison_tells_different_programs_apart():
    text = "state Y\nparam K, L : conv(3)\nY' = K L Y\ndiscretise euler(h = 0.1)"
    program = load_with_numbered_names(text)
    assert program != load_with_numbered_names(text.replace("K L Y", "L K Y"))
    assert program == load_with_numbered_names(text.replace("K", "Q"))
