"""Messages for syntax errors: what the author probably meant by a token that is out of place.

Each rule below is a function that recognises one common mistake and returns the message for it, or
None. The first rule that returns one is used, and `_fallback` if none does.
"""

from collections.abc import Callable
from dataclasses import dataclass

from lark import Token

from odenet.diagnostics import Code
from odenet.language.messages import NO_INVERSE, quoted, terminal_name
from odenet.language.statement_forms import FORMS, STATEMENT_HELP, help_for_synonym, help_for_word
from odenet.language.statements import BLOCK_WORDS, STATEMENT_WORDS

_OPERATORS = {"PLUS", "MINUS", "TIMES", "OVER", "CIRCUMFLEX", "EQUAL", "COMMA", "_ARROW", "COLON"}
_OPERAND_STARTS = {"NAME", "NUMBER", "LPAR"}
_ENDS = {"_END", "RPAR", "RSQB", "RBRACE", "$END"}

Finding = tuple[Token, str, str]  # the token to underline, the message, the help


@dataclass(frozen=True)
class Mistake:
    """A token that is out of place.

    Args:
        statement: the tokens of its statement.
        index: which of them it is.
        accepts: the terminals that the grammar allows there.
        is_setting: whether the text is a `key = value` of the command line, not a statement.
    """

    statement: list[Token]
    index: int
    accepts: set[str]
    is_setting: bool = False

    @property
    def token(self) -> Token:
        """The token that is out of place."""
        return self.statement[self.index]

    @property
    def prior(self) -> Token:
        """The last token that is in place."""
        return self.statement[self.index - 1]

    @property
    def first(self) -> Token:
        """The first token of its statement."""
        return self.statement[0]

    def types(self, start: int, count: int) -> list[str]:
        """The types of `count` tokens of the statement, from index `start` on."""
        return [token.type for token in self.statement[start : start + count]]


def explain(mistake: Mistake) -> tuple[Code, Finding]:
    """The code of a mistake, with the token to underline, the message and the help."""
    for code, rule in _RULES:
        finding = rule(mistake)
        if finding is not None:
            return code, finding
    return "syntax", _fallback(mistake)


def explain_bad_token(mistake: Mistake) -> tuple[Code, Finding] | None:
    """What `explain` returns, for a `BadToken`; None if the token has a better message itself."""
    finding = _wrong_claim(mistake)
    return None if finding is None else ("syntax", finding)


def _bad_setting(m: Mistake) -> Finding | None:
    if not m.is_setting or m.index > 1:
        return None
    return m.token, "a setting is a name, `=` and a value", "write, for example, h=0.05"


def _wrong_first_token(m: Mistake) -> Finding | None:
    if m.index > 0:
        return None
    if m.token.type == "PRIME":
        help_ = 'a text is written in double quotes: "…"'
    elif m.types(0, 2) in (["OVER", "OVER"], ["OVER", "TIMES"]):
        help_ = "a comment begins with `#`"
    elif m.token.type in BLOCK_WORDS:
        help_ = f"`{m.token}` belongs inside `scheme NAME {{ … }}`"
    elif m.token.type in _OPERATORS:
        help_ = "a formula goes on in the next line only inside brackets"
    else:
        help_ = STATEMENT_HELP
    return m.token, f"no statement begins with {quoted(m.token)}", help_


def _assignment(m: Mistake) -> Finding | None:
    """A line `NAME = …` outside of a block."""
    if m.types(0, 2) != ["NAME", "EQUAL"] or m.index != 1:
        return None
    name = m.first
    help_ = help_for_synonym(name) or (
        f"write `let {name} = …` to name a value, `{name}' = …` for an equation;\n"
        f"a key of the recipe belongs inside `train {{ … }}`"
    )
    return name, f"`{name} = …` is not a statement", help_


def _rate_at_a_time(m: Mistake) -> Finding | None:
    """An equation that names its time, `Y'(t) = …`."""
    types = m.types(0, m.index)
    if types not in (["NAME", "PRIME", "LPAR"], ["NAME", "LPAR"]) or m.token.type != "NAME":
        return None
    if m.types(m.index + 1, 2) != ["RPAR", "EQUAL"]:
        return None
    help_ = f"write `{m.first}' = …`; an initial value is `{m.first}(0) = …`"
    return m.token, "an equation holds at every time, and does not name it", help_


def _unknown_statement(m: Mistake) -> Finding | None:
    """A statement that begins with a name and is neither an equation nor an initial value."""
    if m.first.type != "NAME":
        return None
    second = m.statement[1]
    if m.index == 1 and second.type == "LSQB":
        message = f"an index counts steps, so `{m.first}[…] = …` belongs inside a scheme"
        return m.first, message, "write `scheme NAME { … }` around it"
    if m.types(0, 4) == ["NAME", "OVER", "NAME", "EQUAL"]:
        state = m.first[1:] or "Y"
        help_ = f"write `{state}' = …`"
        return _merged(m.first, m.statement[2]), "a derivative is written with `'`", help_
    if m.index == 2 and second.type == "LPAR":
        message = f"only an initial value, `{m.first}(0) = …`, begins like this"
        return m.token, message, "name a formula with `let`, layers with `map`"
    if m.index == 1:
        return m.first, f"no statement begins with `{m.first}`", help_for_word(m.first)
    return None


def _function_in_let(m: Mistake) -> Finding | None:
    if m.types(0, 3) != ["LET", "NAME", "LPAR"] or m.index != 2:
        return None
    help_ = f"write `let {m.prior} = …` for a formula, `map {m.prior} = …` for layers"
    return m.token, "`let` names a value, not a function", help_


def _higher_derivative(m: Mistake) -> Finding | None:
    if m.token.type != "PRIME" or m.prior.type != "PRIME":
        return None
    return m.token, "equations are of first or second order", "introduce a state for the derivative"


_EQUATION = "an equation says how fast a state changes"
_FOREIGN_SIGNS = {
    "**": "a power is written `^`",
    "//": "a comment begins with `#`",
    ":=": "write `=`",
    "==": "write `=`",
    "=>": "layers are joined by `->`",
    **dict.fromkeys(("+=", "*=", "/="), f"write `Y' = …`: {_EQUATION}"),
    "-=": f"write `Y' = -…`: {_EQUATION}",
    "^{": "write `^T` for the transpose, `^2` or `^(1/2)` for a power",
}


def _foreign_sign(m: Mistake) -> Finding | None:
    """A sign of other languages, such as `**`, which is two tokens here."""
    following = m.statement[m.index + 1] if m.index + 1 < len(m.statement) else m.token
    for first, last in ((m.prior, m.token), (m.token, following)):
        written = f"{first}{last}"
        adjacent = first.end_pos == last.start_pos or written in ("**", "//")
        if written in _FOREIGN_SIGNS and first is not last and adjacent:
            message = f"`{written}` has no meaning here"
            return _merged(first, last), message, _FOREIGN_SIGNS[written]
    return None


def _merged(first: Token, last: Token) -> Token:
    """A token that covers two tokens and what is between, to underline both."""
    return Token("BAD", f"{first}{last}", start_pos=first.start_pos, end_pos=last.end_pos)


def _keyword_as_name(m: Mistake) -> Finding | None:
    if m.token.type == "NAME" or not m.token.isalpha():
        return None
    if m.token.type in STATEMENT_WORDS | BLOCK_WORDS and "_END" in m.accepts:
        message = f"`{m.token}` begins a statement, which needs a line of its own"
        return m.token, message, ""
    if "NAME" not in m.accepts:
        return None
    message = f"`{m.token}` is a word of the language and cannot be a name"
    return m.token, message, "choose another name"


def _wrong_claim(m: Mistake) -> Finding | None:
    """A claim as in `require a, b`, `require order = 2` or `require order >= 2`."""
    if m.first.type != "REQUIRE" or m.index < 2:
        return None
    if m.token.type == "COMMA":
        return m.token, "a line has one claim", f"write `require {m.statement[1]}`, and so on"
    if m.statement[1] != "order":
        return None
    if m.token[0] in "<≤":
        help_ = "`order(2)` claims at least 2; no claim is of at most a number"
        return m.token, "a claim is not a comparison", help_
    if m.token.type == "EQUAL" or m.token[0] in ">≥":
        number = next((f"{t}" for t in m.statement[2:] if t.type == "NUMBER"), "2")
        if m.types(m.index, 2) == ["BAD", "NUMBER"] and m.token == ">" and number.isdigit():
            number = f"{int(number) + 1}"
        help_ = f"write `require order({number})`, which claims at least {number}"
        return m.token, "a number is given to a claim in brackets", help_
    return None


def _colon_after_keyword(m: Mistake) -> Finding | None:
    """A colon after the first word, as in `discretise: verlet` or `state: Y`."""
    if m.index != 1 or m.token.type != "COLON" or m.first.type not in FORMS:
        return None
    return m.token, f"there is no `:` after `{m.first}`", _form(m, "write it as in ")


def _constants_without_brackets(m: Mistake) -> Finding | None:
    if m.first.type not in ("DISCRETISE", "DISCRETIZE") or m.token.type != "EQUAL":
        return None
    help_ = f"write `discretise {m.statement[1]}({m.prior} = …)`"
    return m.prior, "the constants of a scheme are written in brackets", help_


def _type_after_equals(m: Mistake) -> Finding | None:
    declares = "PARAM" in m.types(0, 2)
    if not declares or m.token.type != "EQUAL" or "COLON" not in m.accepts:
        return None
    return m.token, "the type of a parameter comes after `:`", f"write `{FORMS['PARAM']}`"


def _misplaced_comma(m: Mistake) -> Finding | None:
    if m.token.type != "COMMA" or "COMMA" in m.accepts:
        return None
    following = m.types(m.index + 1, 1)
    if m.prior.type == "NUMBER" and following == ["NUMBER"] and f"{m.prior}".isdigit():
        number = f"{m.prior}.{m.statement[m.index + 1]}"
        return m.token, "a number is written with a point", f"write `{number}`"
    if following == ["_END"]:
        return m.token, "a statement ends without a comma", "remove it"
    return None


def _quoted_name(m: Mistake) -> Finding | None:
    if m.token.type != "STRING" or "NAME" not in m.accepts:
        return None
    return m.token, "a text cannot be used here", f"write it without quotes: {m.token[1:-1]}"


def _missing_operand(m: Mistake) -> Finding | None:
    """A value missing before, after or between operators."""
    if not m.accepts >= _OPERAND_STARTS:
        return None
    if m.token.type in _OPERATORS:
        if m.prior.type in _OPERATORS:
            if (m.prior.type, m.token.type) == ("CIRCUMFLEX", "MINUS"):
                help_ = f"`^(-1)` for a number; {NO_INVERSE}"
                return m.token, "a power below 0 is written in brackets", help_
            is_sign = m.token.type in ("PLUS", "MINUS")
            help_ = "a second sign goes in brackets, as in `2 * (-a)`" if is_sign else ""
            between = f"a value is missing between {quoted(m.prior)} and {quoted(m.token)}"
            return m.token, between, help_
        return m.token, f"a value is missing before {quoted(m.token)}", ""
    if m.prior.type in _OPERATORS or (m.token.type in _ENDS and "_END" not in m.accepts):
        return m.prior, f"a value is missing after {quoted(m.prior)}", _form(m, "write it as in ")
    return None


def _fallback(m: Mistake) -> Finding:
    wanted = sorted({terminal_name(t) for t in m.accepts if t not in _ENDS})
    words = " or ".join(wanted or map(terminal_name, m.accepts))
    if m.token.type in _ENDS and 0 < len(wanted) < 4:
        return m.prior, f"{words} is missing after {quoted(m.prior)}", _form(m, "write it as in ")
    if len(wanted) < 4:
        help_ = f"expected {words}" + _form(m, ", as in ")
    else:
        help_ = _form(m, "it is written as in ")
    return m.token, f"{quoted(m.token)} cannot follow {quoted(m.prior)} here", help_


def _form(m: Mistake, intro: str) -> str:
    """How the statement is written, by example, unless the mistake is far from its beginning."""
    if m.first.type not in FORMS or m.index > 4 or "LBRACE" in m.types(0, m.index):
        return ""
    return f"{intro}`{FORMS[m.first.type]}`"


_RULES: tuple[tuple[Code, Callable[[Mistake], Finding | None]], ...] = (
    ("bad-setting", _bad_setting),
    ("unknown-statement", _wrong_first_token),
    ("syntax", _wrong_claim),
    ("unknown-character", _foreign_sign),
    ("unknown-statement", _assignment),
    ("syntax", _rate_at_a_time),
    ("unknown-statement", _unknown_statement),
    ("syntax", _function_in_let),
    ("misplaced-derivative", _higher_derivative),
    ("reserved-word", _keyword_as_name),
    ("syntax", _colon_after_keyword),
    ("syntax", _constants_without_brackets),
    ("syntax", _type_after_equals),
    ("syntax", _misplaced_comma),
    ("syntax", _quoted_name),
    ("missing-value", _missing_operand),
)
