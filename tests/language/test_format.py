"""The formatter: its layout, and that it changes neither meaning nor comments."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odenet.diagnostics import Source, SpecError
from odenet.language import tree
from odenet.language.format import format_source
from odenet.language.lexer import tokens
from tests.language.spec_texts import CONSTRUCTS, ROOT, SPECS, VALID_TEXTS, parse_text

UNFORMATTED = """

# header


state Y,Z
shared   param K1,K2:conv( 3 )   # kernels
param b1, b2 :bias


let σ=relu
Y'=K1ᵀ σ( K1 Z+b1 )   # first
Z' = - K2^T σ(K2 Y + b2)-(K1 - K1^T -γ I)  Z/ 2
Y ( 0 )=split(u)
let γ = 1 /(2-2^ (1/3))
discretise verlet( h=0.1 )   exact
net=input(1,8,8)->conv(3,32)  # stem
->flow( n+1 )->pool(2)
# a comment between

-> residual( bn ->relu
-> conv(3,
  64))
->flow( n )->mean->dense( 10 )
let n=4
train{ data=digits
augment=[pad_crop(1),
 flip]
   # inside
batch=64}
train { epochs = 3 }
scheme mine (γ=.5,δ)
{   # why
for Y' = F (Z),Z'=G( Y )
  start Y[ - 1 ]=0
k=Y [n]+h/2 F(Z[ n ])
Y[ n + 1 ]=k
Z[n+1]= -Z[n - 1]+(1 - γ)*2h G(Y[n+1])
}
"""
FORMATTED = """\
odenet 1
# header

state Y, Z
shared param K1, K2 : conv(3)    # kernels
param b1, b2 : bias

let σ = relu
Y' =  K1ᵀ σ(K1 Z + b1)  # first
Z' = -K2^T σ(K2 Y + b2) - (K1 - K1^T - γ I) Z / 2
Y(0) = split(u)
let γ = 1 / (2 - 2^(1/3))
discretise verlet(h = 0.1) exact
net = input(1, 8, 8) -> conv(3, 32)  # stem
      -> flow(n + 1) -> pool(2)
      # a comment between
      -> residual(bn -> relu
                  -> conv(3,
                          64))
      -> flow(n) -> mean -> dense(10)
let n = 4
train {
    data    = digits
    augment = [pad_crop(1),
               flip]
    # inside
    batch   = 64
}
train { epochs = 3 }
scheme mine(γ = .5, δ) {
    # why
    for Y' = F(Z), Z' = G(Y)
    start Y[-1] = 0
    k      = Y[n] + h/2 F(Z[n])
    Y[n+1] = k
    Z[n+1] = -Z[n-1] + (1 - γ) * 2h G(Y[n+1])
}
"""


def format_text(text):
    return format_source(Source("test.ode", text))


def statements(text):
    """The syntax trees of the statements of a text, without the version that formatting adds."""
    return [s for s in parse_text(text).statements if not isinstance(s, tree.Version)]


def comments(text):
    return [comment.rstrip() for comment in re.findall(r"#[^\n]*", text)]


def test_the_layout_is_as_in_the_language_reference():
    assert format_text(UNFORMATTED) == FORMATTED


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_the_specs_that_ship_are_formatted(path):
    text = path.read_text(encoding="utf-8")
    assert format_text(text) == text


def test_the_sample_of_the_reference_only_gains_its_version():
    sample = (ROOT / "tests/model/good/sample.ode").read_text(encoding="utf-8")
    assert format_text(sample) == f"odenet 1\n{sample}"


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment", "odenet 1"])
def test_a_text_without_statements_gets_a_version_and_keeps_its_comments(text):
    assert parse_text(format_text(text)).statements_of(tree.Version)
    assert comments(format_text(text)) == comments(text)


def test_spaces_before_brackets_and_around_a_slash_are_the_author_s():
    line = "odenet 1\nlet a = h (b + 2c) + σ(x) + 2 d/3 e + 1 / f\n"
    assert format_text(line) == line


def test_a_comment_at_the_end_of_a_line_keeps_its_column_unless_it_is_too_close():
    assert format_text("odenet 1\nlet a=1        # far\nlet b = 2# near\n") == (
        "odenet 1\nlet a = 1      # far\nlet b = 2  # near\n"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("state x\nmap   f = relu", "state x\nmap   f = relu"),
        ("state x\nmap f = relu", "state x\nmap f = relu"),
        ("state x\nmap    f = relu", "state  x\nmap    f = relu"),
        ("state       x\nmap         f = relu", "state  x\nmap    f = relu"),
        ("let a = 1\nlet   b = 1", "let a = 1\nlet b = 1"),
        ("scheme s {\nk = 1\nY[n+1] = 2\n}", "scheme s {\n    k = 1\n    Y[n+1] = 2\n}"),
        ("scheme s {\nk=1\nY[n+1] = 2\n}", "scheme s {\n    k      = 1\n    Y[n+1] = 2\n}"),
    ],
)
def test_single_spaces_and_aligned_columns_are_kept_and_others_are_aligned(text, expected):
    assert format_text(f"odenet 1\n{text}\n") == f"odenet 1\n{expected}\n"


def test_windows_line_ends_become_plain_ones():
    assert (
        format_text("let b = 2\r\n# c\r\nlet a = 1\r\n") == "odenet 1\nlet b = 2\n# c\nlet a = 1\n"
    )


def test_a_text_with_errors_is_not_formatted():
    with pytest.raises(SpecError):
        format_text("state Y\nY' = (K Y\n")


@st.composite
def respaced_texts(draw):
    """A valid text with other spaces, empty lines and comments between its tokens."""
    text = draw(st.sampled_from(VALID_TEXTS))
    space = st.sampled_from(["", "", " ", "  ", "\t"])
    line_end = st.sampled_from(["", "  ", " # note", "# a (comment", "\n\n", "\n   # {\n"])
    pieces, position, depth = [], 0, 0
    for token in tokens(Source("test.ode", text)):
        gap = text[position : token.start_pos]
        position = token.end_pos
        depth += (token in ("(", "[")) - (token in (")", "]"))
        pieces.append(gap + draw(space) if "#" not in gap else gap)
        pieces.append(draw(line_end) + str(token) if token.type == "_END" else str(token))
        if depth and token == "," and draw(st.booleans()):
            pieces.append("\n")
    return "".join(pieces)


@settings(max_examples=60)
@given(respaced_texts())
def test_formatting_keeps_meaning_and_comments_and_is_idempotent(text):
    formatted = format_text(text)
    assert statements(formatted) == statements(text)
    assert comments(formatted) == comments(text)
    assert format_text(formatted) == formatted
    assert "\t" not in re.sub(r"#[^\n]*", "", formatted)


@pytest.mark.parametrize("path", CONSTRUCTS, ids=lambda path: path.stem)
def test_formatting_keeps_the_meaning_of_every_construct(path):
    text = path.read_text(encoding="utf-8")
    formatted = format_text(text)
    assert statements(formatted) == statements(text)
    assert format_text(formatted) == formatted


def test_tabs_in_comments_are_left_where_they_are():
    text = "state Y       # a\tb\tc\nparam K : conv(3, # d\te\n    out = c)\nY' = K Y\n"
    formatted = format_source(Source("x.ode", text))
    assert format_source(Source("x.ode", formatted)) == formatted
    assert "# a\tb\tc" in formatted and "# d\te" in formatted
