"""The syntax tree of every statement, and where statements begin and end."""

from fractions import Fraction

import pytest

from odenet.diagnostics import Report, Source, Span, SpecError
from odenet.language import parse, parse_setting, tree
from odenet.language.statements import MOST_NESTED
from tests.language.spec_texts import parse_text, syntax_errors

SPAN = Span(Source("", ""), 0, 0)  # for every node, since trees are compared without spans


# Short names for the nodes of the syntax tree.
def name(spelling):
    return tree.Name(spelling, spelling, span=SPAN)


def number(text):
    return tree.Number(Fraction(text), text, span=SPAN)


def term(*factors):
    """A chain of factors; one that follows an operator is given as (operator, factor)."""
    pairs = tuple(f if isinstance(f, tuple) else ("", f) for f in factors)
    return tree.Term(pairs, span=SPAN)


def group(*values, **named):
    """A pair of brackets with positional and named arguments."""
    arguments = [tree.Argument(None, v, span=SPAN) for v in values]
    arguments += [tree.Argument(name(k), v, span=SPAN) for k, v in named.items()]
    return tree.Group(tuple(arguments), span=SPAN)


def power(base, exponent):
    return tree.Power(base, exponent, span=SPAN)


def sum_of(*terms):
    """A sum of pairs (1 or -1, term)."""
    return tree.Sum(terms, span=SPAN)


def formula(text):
    """The syntax tree of a formula."""
    (statement,) = parse_text(f"let a = {text}").statements
    return statement.value


Y, Z, K, h = name("Y"), name("Z"), name("K"), name("h")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2", number("2")),
        (".5", number("0.5")),
        ("2e-4", number("0.0002")),
        ("2.", number("2")),
        ("K Y", term(K, Y)),
        ("K Y Z", term(K, Y, Z)),
        ("2h", term(number("2"), h)),
        ("K(Y)", term(K, group(Y))),
        ("K (Y)", term(K, group(Y))),
        ("Y * Z", term(Y, ("*", Z))),
        ("Y·Z", term(Y, ("*", Z))),
        ("h/2 Y", term(h, ("/", number("2")), Y)),
        ("-Y", sum_of((-1, Y))),
        ("+Y", Y),
        ("−Y", sum_of((-1, Y))),
        ("Y - Z + K", sum_of((1, Y), (-1, Z), (1, K))),
        ("-K Y - Z", sum_of((-1, term(K, Y)), (-1, Z))),
        ("K^T Y", term(power(K, name("T")), Y)),
        ("Kᵀ Y", term(power(K, name("T")), Y)),
        ("h^2 Y", term(power(h, number("2")), Y)),
        ("2^(1/3)", power(number("2"), group(term(number("1"), ("/", number("3")))))),
        ("(K - Z)^T Y", term(power(group(sum_of((1, K), (-1, Z))), name("T")), Y)),
        ("Y'", tree.Derivative(Y, 1, span=SPAN)),
        ("Y[n+1]", tree.Indexed(Y, name("n"), 1, span=SPAN)),
        ("Y[ n - 2 ]", tree.Indexed(Y, name("n"), -2, span=SPAN)),
        ("Y[-1]", tree.Indexed(Y, None, -1, span=SPAN)),
        ("f(Y, Z)", term(name("f"), group(Y, Z))),
        ("f()", term(name("f"), group())),
        ("f(h = 2)", term(name("f"), group(h=number("2")))),
    ],
)
def test_a_formula_becomes_its_tree(text, expected):
    assert formula(text) == expected


def test_multiplication_binds_tighter_than_addition_and_powers_tighter_than_both():
    assert formula("Y + h K^2 Z") == sum_of((1, Y), (1, term(h, power(K, number("2")), Z)))


def pipeline(*layers):
    return tree.Pipeline(layers, span=SPAN)


STATEMENTS = [
    ("odenet 1", tree.Version(number("1"), span=SPAN)),
    ('"A net."', tree.Description("A net.", span=SPAN)),
    ('use "lib/mine.ode"', tree.Use("lib/mine.ode", span=SPAN)),
    ("state Y, Z", tree.State((Y, Z), span=SPAN)),
    ("param K : h", tree.Param(shared=False, names=(K,), type=h, span=SPAN)),
    ("shared param K, Z : h", tree.Param(shared=True, names=(K, Z), type=h, span=SPAN)),
    ("map K = h", tree.Map(shared=False, name=K, layers=pipeline(h), span=SPAN)),
    ("shared map K = h -> Y", tree.Map(shared=True, name=K, layers=pipeline(h, Y), span=SPAN)),
    ("let K = h", tree.Let(K, h, span=SPAN)),
    ("Y' = Z", tree.Equation(Y, 1, Z, span=SPAN)),
    ("Y'' = Z", tree.Equation(Y, 2, Z, span=SPAN)),
    ("Y(0) = Z", tree.Initial(Y, 0, number("0"), Z, span=SPAN)),
    ("Y'(0) = Z", tree.Initial(Y, 1, number("0"), Z, span=SPAN)),
    ("output Y", tree.Output(Y, span=SPAN)),
    ("discretise K", tree.Discretise(K, starts=(), exact=False, span=SPAN)),
    ("discretize K exact", tree.Discretise(K, starts=(), exact=True, span=SPAN)),
    (
        "discretise K start Y[-1] = 0 start Z[0] = Y",
        tree.Discretise(
            K,
            (
                tree.Start(tree.Indexed(Y, None, -1, span=SPAN), number("0"), span=SPAN),
                tree.Start(tree.Indexed(Z, None, 0, span=SPAN), Y, span=SPAN),
            ),
            exact=False,
            span=SPAN,
        ),
    ),
    ("require K", tree.Require(K, span=SPAN)),
    ("require exact", tree.Require(name("exact"), span=SPAN)),
    ("require K(2)", tree.Require(term(K, group(number("2"))), span=SPAN)),
    ("net = Y -> Z", tree.Net(pipeline(Y, Z), span=SPAN)),
    ("train { }", tree.Train((), span=SPAN)),
    (
        'train {\n h = 2\n K = [Y, "a", [Z]]\n}',
        tree.Train(
            (
                tree.Setting(h, number("2"), span=SPAN),
                tree.Setting(
                    K,
                    tree.ListValue(
                        (Y, tree.Text("a", span=SPAN), tree.ListValue((Z,), span=SPAN)), span=SPAN
                    ),
                    span=SPAN,
                ),
            ),
            span=SPAN,
        ),
    ),
    (
        "scheme K(h = 2, Z) {\nfor Y' = f(Y)\nZ = Y[n]\n}",
        tree.Scheme(
            K,
            tree.Group(
                (tree.Argument(h, number("2"), span=SPAN), tree.Argument(None, Z, span=SPAN)),
                span=SPAN,
            ),
            (
                tree.For(
                    (
                        tree.Pattern(
                            Y,
                            1,
                            (tree.RightHandSide(name("f"), group(Y), span=SPAN),),
                            span=SPAN,
                        ),
                    ),
                    span=SPAN,
                ),
                tree.Update(Z, tree.Indexed(Y, name("n"), 0, span=SPAN), span=SPAN),
            ),
            span=SPAN,
        ),
    ),
]


@pytest.mark.parametrize(("text", "expected"), STATEMENTS, ids=[text for text, _ in STATEMENTS])
def test_a_statement_becomes_its_node(text, expected):
    assert parse_text(text).statements == (expected,)


def test_a_scheme_may_have_auxiliary_unknowns():
    (scheme,) = parse_text("scheme K {\naux Y, Z\nstart Y[0] = 0\n}").statements
    start = tree.Start(tree.Indexed(Y, None, 0, span=SPAN), number("0"), span=SPAN)
    assert scheme.rules == (tree.Aux((Y, Z), span=SPAN), start)


def test_the_span_of_a_node_covers_its_text():
    text = "state Y\nY' = K^T σ(K Y + b)  # why\n"
    _, equation = parse_text(text).statements
    assert equation.span.text == "Y' = K^T σ(K Y + b)"
    assert equation.value.span.text == "K^T σ(K Y + b)"
    assert [f.span.text for _, f in equation.value.factors] == ["K^T", "σ", "(K Y + b)"]


@pytest.mark.parametrize(
    "text",
    [
        "let a = f(\n  Y,\n\n  # why\n  Z\n)",
        "let a = f(Y, # one\n Z)",
        "let a = f(\r\nY,\r\nZ)\r\n",
        "\n\n   let a = f(Y, Z)\t\n",
        "let\ta\t=\tf(Y,Z)",
    ],
)
def test_a_statement_continues_on_the_next_line_inside_brackets(text):
    assert parse_text(text) == parse_text("let a = f(Y, Z)")


@pytest.mark.parametrize("text", ["net = Y\n  -> Z", "net = Y  # one\n\n# two\n\n-> Z\n"])
def test_a_statement_continues_on_the_next_line_before_an_arrow(text):
    assert parse_text(text) == parse_text("net = Y -> Z")


@pytest.mark.parametrize(
    "text",
    ["train {\nh = 2\n}", "train\n{\nh = 2 }", "train { h = 2 }", "train {\n\n# x\nh = 2\n\n}"],
)
def test_a_block_may_be_broken_anywhere_around_its_lines(text):
    assert parse_text(text) == parse_text("train {\n    h = 2\n}\n")


def test_a_hash_sign_in_a_quoted_text_begins_no_comment():
    (statement,) = parse_text('"Channels # 3 and {" # a comment').statements
    assert statement.text == "Channels # 3 and {"


def test_an_error_in_a_line_of_a_block_hides_none_in_the_next():
    text = "train {\n a = = 2\n b = 3\n c : 4\n}\nlet = 2\n"
    assert syntax_errors(text) == [
        "a value is missing between `=` and `=`",
        "`:` cannot follow `c` here",
        "`=` cannot follow `let` here",
    ]


def test_a_statement_with_an_error_keeps_the_names_that_it_declares_or_mentions():
    report = Report()
    file = parse(Source("test.ode", "param K, σ : conv(3 5\nY' = K (\n"), report)
    parameter, equation = file.statements
    assert (parameter.kind, parameter.declares) == ("param", ("K", "sigma"))
    assert (equation.kind, equation.mentions) == ("name", ("Y", "K"))


@pytest.mark.parametrize(
    ("text", "value"),  # None: the value is not compared
    [("h=0.05", number("0.05")), ("h = [1, 2]", None), ('data="a b"', tree.Text("a b", span=SPAN))],
)
def test_a_setting_is_a_key_and_a_value(text, value):
    setting = parse_setting(Source("--set", text), Report())
    assert setting is not None
    assert value is None or setting.value == value


@pytest.mark.parametrize(
    "text", ["h", "h=", "h=1 = 2", "=1", "h=1)", "h=(1", "1=2", "h=1\nk=2", "", "h=$"]
)
def test_a_text_that_is_not_a_setting_is_reported(text):
    report = Report()
    parse_setting(Source("--set", text), report)
    assert report.error_count


def test_brackets_may_be_nested_deeply_but_not_without_limit():
    deep = "(" * MOST_NESTED + "Y" + ")" * MOST_NESTED
    assert formula(deep)
    with pytest.raises(SpecError):
        parse_text(f"let a = ({deep})")
