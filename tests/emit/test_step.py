"""The generated step: `advance` is what the scheme's lines say, and `retreat` undoes it.

The expected values come from the lines of a random scheme, evaluated in torch by code that shares
nothing with the compiler.
"""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import odenet

H = 0.125


@dataclass(frozen=True)
class Line:
    """One line of a scheme: target = Σ factor value + factor h F(value).

    Args:
        target: the value on the left, such as "Y[n+1]".
        terms: (factor, value) of each summand.
        rate: (factor, argument) of h F(argument), or None.
    """

    target: str
    terms: tuple[tuple[int, str], ...]
    rate: tuple[int, str] | None

    def text(self):
        parts = [f"{factor} {value}" for factor, value in self.terms]
        parts += [f"{self.rate[0]} h F({self.rate[1]})"] if self.rate else []
        return f"{self.target} = {' + '.join(parts)}".replace("+ -", "- ")


def scheme_text(lines, aux, history):
    """The text of a scheme `drawn`; for the arguments see `schemes`."""
    starts = [f"start {name}[0] = {k + 2} Y[0] + h F(Y[0])" for k, name in enumerate(aux)]
    starts += ["start Y[-1] = 2 Y[0]"] if history else []
    block = [
        "for Y' = F(Y)", *([f"aux {', '.join(aux)}"] if aux else []),
        *starts, *(line.text() for line in lines),
    ]  # fmt: skip
    return "scheme drawn {\n  " + "\n  ".join(block) + "\n}\n"


SPEC = """state A, B
param K : dense
A' = tanh(K B)
B' = tanh(K A + B)
discretise drawn(h = 0.125)
"""


def step_by_lines(lines, state, K):
    """One step by the lines: adds the value of each target to the values of a state, by name."""

    def F(v):
        a, b = v
        return torch.tanh(b @ K.T), torch.tanh(a @ K.T + b)

    values = dict(state)
    for line in lines:
        rate = F(values[line.rate[1]]) if line.rate else (0, 0)
        values[line.target] = tuple(
            sum(factor * values[name][i] for factor, name in line.terms)
            + (line.rate[0] * H * rate[i] if line.rate else 0)
            for i in (0, 1)
        )
    return values


@st.composite
def schemes(draw):
    """A step that permutes the stored values and adds to them.

    Returns:
        Its lines, its auxiliary unknowns, and whether Y[n-1] is stored, too.
    """
    aux = ["W", "X", "V"][: draw(st.integers(0, 2))]
    names = ["Y", *aux]
    history = draw(st.booleans()) or not aux
    known = [f"{name}[n]" for name in names] + (["Y[n-1]"] if history else [])
    old = list(known)
    if history:
        old.remove("Y[n]")  # it becomes Y[n-1], and needs no line
    lines = []
    sources = draw(st.permutations(old))  # the old values that the new ones are made of
    order = draw(st.permutations(names))  # the order of the lines that give new values
    coefficient = st.sampled_from([-2, -1, 1, 2])
    if draw(st.booleans()):
        value, argument = draw(st.sampled_from(known)), draw(st.sampled_from(known))
        lines.append(Line("S", ((1, value),), (draw(coefficient), argument)))  # a stage
        known.append("S")
    for name, source in zip(order, sources, strict=True):
        rest = [value for value in known if value != source]
        terms = [(draw(st.sampled_from([-1, 1, 2])), source)]
        if rest and draw(st.booleans()):
            terms.append((draw(coefficient), draw(st.sampled_from(rest))))
        rate = None
        if name == order[-1] or draw(st.booleans()):
            rate = (draw(coefficient), draw(st.sampled_from(rest)))
        lines.append(Line(f"{name}[n+1]", tuple(terms), rate))
        known.append(f"{name}[n+1]")
    return lines, aux, history


def value_of_slot(slot):
    """The scheme's value and the index of the state in a slot: `W_A_prev` gives ("W[n-1]", 0)."""
    base, previous = slot.removesuffix("_prev"), slot.endswith("_prev")
    component = {"A": 0, "B": 1}[base[-1]]
    return f"{base[:-2] or 'Y'}[n{'-1' if previous else ''}]", component


def check_step(lines, aux, history):
    """Check `advance` and `retreat` on a random state; returns whether the step has an inverse."""
    program = odenet.loads(scheme_text(lines, aux, history) + SPEC)
    flow = program.flow(channels=4, steps=2).double().eval()
    generator = torch.Generator().manual_seed(1)
    slots = [value_of_slot(slot) for slot in flow.slots]
    tensors = [torch.randn(3, 2, generator=generator, dtype=torch.float64) for _ in slots]
    random_values = dict(zip(slots, tensors, strict=True))
    state = {name: (random_values[name, 0], random_values[name, 1]) for name, _ in slots}
    with torch.no_grad():
        state_class = type(flow.initial(torch.zeros(1, 4).double()))
        after = flow.advance(state_class(*tensors), 0)
        expected = step_by_lines(lines, state, dict(flow.named_parameters())["K"][0])
        for (name, component), value in zip(slots, after, strict=True):
            new = "Y[n]" if name == "Y[n-1]" else name.replace("[n]", "[n+1]")
            torch.testing.assert_close(value, expected[new][component], rtol=1e-12, atol=1e-12)
        if not flow.reversible:
            return False
        restored = flow.retreat(after, 0)
    scale = max(1.0, *(float(value.abs().max()) for value in tensors_of(expected)))
    for value, initial in zip(restored, tensors, strict=True):
        torch.testing.assert_close(value, initial, rtol=0, atol=1e-11 * scale)
    return True


def tensors_of(values):
    """All tensors of a dictionary of pairs."""
    return [tensor for pair in values.values() for tensor in pair]


@settings(max_examples=50, deadline=None)
@given(schemes())
def test_the_generated_retreat_undoes_the_generated_advance(drawn):
    check_step(*drawn)


def line(target, *terms, rate=None):
    """A `Line` with these summands."""
    return Line(target, terms, rate)


SWAPS = {
    "leapfrog in two registers": [
        line("Y[n+1]", (1, "W[n]"), rate=(2, "Y[n]")), line("W[n+1]", (1, "Y[n]")),
    ],
    "the copy first": [
        line("W[n+1]", (1, "Y[n]")), line("Y[n+1]", (1, "W[n]"), rate=(2, "Y[n]")),
    ],
    "both by shears": [
        line("W[n+1]", (1, "Y[n]"), rate=(1, "W[n]")),
        line("Y[n+1]", (1, "W[n]"), rate=(1, "W[n+1]")),
    ],
    "three in a circle": [
        line("Y[n+1]", (1, "W[n]"), rate=(1, "Y[n]")), line("W[n+1]", (1, "X[n]")),
        line("X[n+1]", (1, "Y[n]")),
    ],
    "three in a circle, all changed": [
        line("Y[n+1]", (1, "W[n]"), rate=(1, "Y[n]")),
        line("W[n+1]", (1, "X[n]"), rate=(-1, "Y[n]")),
        line("X[n+1]", (1, "Y[n]"), rate=(2, "W[n+1]")),
    ],
    "through a stage": [
        line("S", (1, "W[n]"), rate=(1, "Y[n]")), line("W[n+1]", (1, "Y[n]")),
        line("Y[n+1]", (1, "S")),
    ],
    "extrapolation": [
        line("W[n+1]", (1, "Y[n]")), line("Y[n+1]", (2, "W[n]"), (-1, "Y[n]"), rate=(1, "Y[n]")),
    ],
    "by way of a value that another register holds in the end": [
        line("W[n+1]", (-1, "Y[n]"), (-2, "X[n]")), line("X[n+1]", (-1, "X[n]"), (-2, "Y[n]")),
        line("Y[n+1]", (2, "W[n]"), (-1, "W[n+1]"), rate=(-2, "Y[n]")),
    ],
    "with history": [
        line("W[n+1]", (1, "Y[n-1]"), rate=(1, "Y[n]")), line("Y[n+1]", (1, "W[n]")),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", SWAPS)
def test_a_step_that_swaps_its_registers_is_undone(name):
    lines = SWAPS[name]
    aux = [n for n in ("W", "X") if any(n in line.target for line in lines)]
    assert check_step(lines, aux, name == "with history")


@pytest.mark.parametrize(
    "lines",
    [
        "Y[n+1] = Y[n] + h F(Y[n]) + W[n]\n  W[n+1] = 1/2 W[n]",
        "Y[n+1] = Y[n] + h F(W[n])\n  W[n+1] = 1/2 W[n]",
        "Y[n+1] = Y[n] + h F(Y[n])\n  W[n+1] = 1/2 W[n]",
    ],
    ids=["added to a state", "read by a right-hand side", "by its start alone"],
)
def test_an_unknown_whose_line_reads_only_itself_has_a_slot_for_each_state(lines):
    block = f"scheme drawn {{\n  for Y' = F(Y)\n  aux W\n  start W[0] = Y[0]\n  {lines}\n}}\n"
    flow = odenet.loads(block + SPEC).flow(channels=4, steps=2).double().eval()
    state = flow.initial(torch.randn(3, 4, dtype=torch.float64))
    assert flow.slots == ("A", "B", "W_A", "W_B")
    assert torch.equal(flow.advance(state, 0)[2], state[0] / 2)
    assert torch.equal(flow.advance(state, 0)[3], state[1] / 2)
