"""The registers that hold a state, under any sequence of changes, against rational arithmetic."""

from fractions import Fraction

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from odenet.runtime.passes.shear import Registers

SLOTS = ("a", "b", "c")
slots = st.sampled_from(SLOTS)
factors = st.sampled_from([-1.0, 1.0, 2.0, -0.5, 4.0])  # exact in binary
OPERATIONS = st.one_of(
    st.tuples(st.just("increase"), slots, st.integers(-3, 3), factors),
    st.tuples(st.just("mix"), slots, factors, slots).filter(lambda o: o[1] != o[3]),
    st.tuples(st.sampled_from(["multiply", "divide"]), slots, factors),
    st.tuples(st.just("rename"), st.permutations(SLOTS)),
    st.tuples(st.just("write"), slots, st.integers(-3, 3)),
)


@settings(max_examples=100, deadline=None)
@given(operations=st.lists(OPERATIONS, max_size=12))
def test_any_changes_agree_with_fractions_and_leave_tensors_from_outside_alone(operations):
    start = tuple(torch.tensor([float(k)], dtype=torch.float64) for k in (3, 5, 7))
    outside = [(tensor, tensor.clone()) for tensor in start]
    registers = Registers(SLOTS, start)
    expected = dict(zip(SLOTS, map(Fraction, (3, 5, 7)), strict=True))
    for name, *arguments in operations:
        match name, arguments:
            case "increase", [target, amount, factor]:
                tensor = torch.tensor([float(amount)], dtype=torch.float64)
                outside.append((tensor, tensor.clone()))
                registers.increase(target, tensor, factor)
                expected[target] += Fraction(factor) * amount
            case "mix", [target, factor, other]:
                registers.mix(target, factor, other)
                expected[target] += Fraction(factor) * expected[other]
            case "multiply", [target, factor]:
                registers.multiply(target, factor)
                expected[target] *= Fraction(factor)
            case "divide", [target, factor]:
                registers.divide(target, factor)
                expected[target] /= Fraction(factor)
            case "rename", [order]:
                names = dict(zip(SLOTS, order, strict=True))
                registers.rename(names)
                expected = {names[name]: value for name, value in expected.items()}
            case "write", [target, value]:
                tensor = torch.tensor([float(value)], dtype=torch.float64)
                outside.append((tensor, tensor.clone()))
                registers.write(target, tensor)
                expected[target] = Fraction(value)
    assert {s: Fraction(registers.read(s).item()) for s in SLOTS} == expected
    assert registers.slots == SLOTS
    assert all(tensor.equal(before) for tensor, before in outside)


def test_a_sum_has_the_dtype_that_torch_gives_it_also_if_the_register_owns_its_tensor():
    dtypes = torch.float16, torch.bfloat16, torch.float32, torch.float64
    for first in dtypes:
        for second in dtypes:
            registers = Registers(("a",), (torch.ones(2, dtype=first),))
            registers.multiply("a", 2.0)  # now the register owns its tensor, and may overwrite it
            registers.increase("a", torch.ones(2, dtype=second), 0.5)
            total = registers.read("a")
            assert total.dtype == torch.promote_types(first, second)
            assert total.tolist() == [2.5, 2.5]


def test_a_register_that_owns_its_tensor_is_changed_in_place_unless_the_dtype_grows():
    registers = Registers(("a",), (torch.ones(2),))
    registers.multiply("a", 2.0)
    register = registers.read("a")
    registers.increase("a", torch.ones(2, dtype=torch.float16), 1.0)
    registers.divide("a", 3.0)
    assert registers.read("a") is register
    assert register.tolist() == [1.0, 1.0]
