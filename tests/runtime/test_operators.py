"""Linear operators and their adjoints, against inner products, autograd and torch's own."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from odenet.runtime import (
    adjoint_conv,
    adjoint_dense,
    adjoint_kernel,
    conv,
    dense,
    diag,
    eye_kernel,
    odd_kernel,
    soft_threshold,
    split,
)
from odenet.testing import assert_adjoint

with_60_examples = settings(max_examples=60, deadline=None)


class ConvolutionCase(NamedTuple):
    """A kernel K, an input x of its convolution, and a y of the shape of its output."""

    x: Tensor
    y: Tensor
    K: Tensor
    groups: int
    dilation: int


@st.composite
def convolutions(draw, square: bool = False) -> ConvolutionCase:
    axes = draw(st.integers(1, 3))
    groups = draw(st.integers(1, 3))
    c_in = groups * draw(st.integers(1, 2))
    c_out = c_in if square else groups * draw(st.integers(1, 2))
    kernel = [draw(st.integers(1, 5)) for _ in range(axes)]
    size = [draw(st.integers(1, 6)) for _ in range(axes)]
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    K = normal(c_out, c_in // groups, *kernel)
    dilation = draw(st.integers(1, 3))
    return ConvolutionCase(normal(2, c_in, *size), normal(2, c_out, *size), K, groups, dilation)


@with_60_examples
@given(convolutions())
def test_the_adjoint_convolution_is_the_adjoint_in_inner_products(case):
    options = {"groups": case.groups, "dilation": case.dilation}
    assert_adjoint(
        lambda x: conv(x, case.K, **options),
        lambda y: adjoint_conv(y, case.K, **options),
        case.x,
        case.y,
    )


@with_60_examples
@given(convolutions())
def test_the_adjoint_convolution_is_the_gradient_of_the_convolution(case):
    x = case.x.requires_grad_()
    y = conv(x, case.K, groups=case.groups, dilation=case.dilation)
    (expected,) = torch.autograd.grad(y, x, case.y)
    actual = adjoint_conv(case.y, case.K, groups=case.groups, dilation=case.dilation)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@with_60_examples
@given(convolutions())
def test_a_convolution_with_the_adjoint_kernel_is_the_adjoint_convolution(case):
    kernel = adjoint_kernel(case.K, groups=case.groups)
    actual = conv(case.y, kernel, groups=case.groups, dilation=case.dilation)
    expected = adjoint_conv(case.y, case.K, groups=case.groups, dilation=case.dilation)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@with_60_examples
@given(convolutions(square=True))
def test_a_sum_of_operators_is_one_convolution_with_the_sum_of_kernels(case):
    options = {"groups": case.groups, "dilation": case.dilation}
    K = case.K
    kernel = odd_kernel(K) - adjoint_kernel(K, groups=case.groups)
    kernel = kernel - 0.3 * eye_kernel(K, groups=case.groups)
    actual = conv(case.x, kernel, **options)
    expected = conv(case.x, K, **options) - adjoint_conv(case.x, K, **options) - 0.3 * case.x
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_a_convolution_agrees_with_torch_same_padding(k):
    x, K = torch.randn(2, 3, 7, 6, dtype=torch.float64), torch.randn(4, 3, k, k + 1).double()
    # torch's own padding="same" warns for even kernels; the pads are the documented ones.
    expected = F.conv2d(F.pad(x, (k // 2, (k + 1) // 2, (k - 1) // 2, k // 2)), K)
    torch.testing.assert_close(conv(x, K), expected)


@pytest.mark.parametrize("space", [(), (5,), (3, 4), (2, 3, 2)])
def test_the_dense_operator_acts_on_the_channels_alone_and_has_its_exact_adjoint(space):
    W = torch.randn(5, 3, dtype=torch.float64)
    x, y = torch.randn(2, 3, *space).double(), torch.randn(2, 5, *space).double()
    expected = torch.einsum("oi,bi...->bo...", W, x)
    torch.testing.assert_close(dense(x, W), expected, rtol=1e-12, atol=1e-12)
    assert_adjoint(lambda x: dense(x, W), lambda y: adjoint_dense(y, W), x, y)
    torch.testing.assert_close(dense(y, adjoint_kernel(W)), adjoint_dense(y, W))


def test_eye_kernel_is_the_identity():
    x = torch.randn(2, 4, 3, 3)
    assert torch.equal(eye_kernel(torch.randn(4, 4)), torch.eye(4))
    assert torch.equal(conv(x, eye_kernel(torch.randn(4, 4, 2, 3))), x)


def test_diag_is_its_own_adjoint():
    x, d = torch.randn(2, 4, 3, 3).double(), torch.randn(4, 1, 1)
    assert_adjoint(lambda x: diag(x, d), lambda y: diag(y, d), x, x + 1)


def test_the_identity_refuses_an_operator_that_changes_the_channels():
    with pytest.raises(ValueError, match=r"keeps the number of channels, but .* 3 to 4"):
        eye_kernel(torch.randn(4, 3, 3, 3))


@given(st.floats(0, 3), st.booleans())
def test_soft_threshold_shrinks_towards_zero(lam, as_tensor):
    x = torch.linspace(-4, 4, 33, dtype=torch.float64)
    bound = torch.tensor(lam, dtype=torch.float64) if as_tensor else lam
    expected = x.sign() * (x.abs() - lam).clamp(min=0)
    torch.testing.assert_close(soft_threshold(x, bound), expected, rtol=1e-14, atol=1e-14)


def test_split_gives_equal_parts_in_order_and_says_when_it_cannot():
    u = torch.arange(6.0).view(1, 6)
    assert [part.tolist() for part in split(u, 3)] == [[[0, 1]], [[2, 3]], [[4, 5]]]
    with pytest.raises(ValueError, match="6 channels do not split into 4 equal parts"):
        split(u, 4)
