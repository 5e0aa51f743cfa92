"""Flows beyond the papers': dropout, norms, shared weights, an input at every step, groups,
and a scheme without an inverse.

What their members mean is documented in the base classes of `Flow`: `Equations` and `Stepwise`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn, relu, tanh

from odenet.runtime import (
    Flow,
    Shear,
    Term,
    adjoint_conv,
    conv,
    conv_kernel,
    dense,
    dense_matrix,
    layers,
    norm_layers,
    scalar,
    soft_threshold,
    split,
)
from tests.runtime.handwritten.papers import HamiltonianFlow, MomentumFlow, PairState


class DropoutFlow(MomentumFlow):
    """A momentum network with dropout."""

    stochastic = True

    def block(self, c):
        return nn.Sequential(
            nn.Conv2d(c, c, 3, padding=1), nn.Tanh(), nn.Dropout(0.3), nn.Conv2d(c, c, 1)
        )


class SharedMomentumFlow(MomentumFlow):
    """A momentum network with one map for all steps."""

    shared = ("f",)

    def __init__(self, channels, steps, *, gamma=0.9, space=2):
        super().__init__(channels, steps, gamma=gamma, space=space)
        self.f = layers(1, lambda: self.block(channels))

    def block(self, c):
        return nn.Sequential(nn.Conv2d(c, c, 3, padding=1), nn.Tanh())

    def advance(self, state, step=0):
        return super().advance(state, 0)

    def retreat(self, state, step=0):
        return super().retreat(state, 0)


class NormFlow(HamiltonianFlow):
    """A Hamiltonian flow with learned norms and a learned scalar in the rate of Y.

    The norms take the place of b1, which it inherits and does not read.
    """

    def __init__(self, channels, steps, *, h=0.1, space=2, kind="batch"):
        super().__init__(channels, steps, h=h, space=space)
        c = self.width(2)
        self.N1 = norm_layers(steps, kind, c, space, groups=2, positive=True)
        self.g = scalar(steps)

    def rate_Y(self, Z, K1, N1, g):
        return g * adjoint_conv(relu(N1(conv(Z, K1))), K1)

    def advance(self, state, step=0):
        Y, Z = state
        Y = Y + self.h * self.rate_Y(Z, self.K1[step], self.N1[step], self.g[step])
        Z = Z + self.h * self.rate_Z(Y, self.K2[step], self.b2[step])
        return PairState(Y, Z)

    def retreat(self, state, step=0):
        Y, Z = state
        Z = Z - self.h * self.rate_Z(Y, self.K2[step], self.b2[step])
        Y = Y - self.h * self.rate_Y(Z, self.K1[step], self.N1[step], self.g[step])
        return PairState(Y, Z)

    def shears(self):
        return (
            Shear("Y", 1.0, terms=(Term(self.h, self.rate_Y, ("Z",), ("K1", "N1", "g")),)),
            Shear("Z", 1.0, terms=(Term(self.h, self.rate_Z, ("Y",), ("K2", "b2")),)),
        )


class ListaState(NamedTuple):
    x: Tensor
    v: Tensor
    u: Tensor


class ListaFlow(Flow):
    """x' = shrink(W1 x + W2 u, λ) - x with the input u at every step; momentum, without spatial axes."""

    slots = ("x", "v", "u")
    states = ("x",)

    def __init__(self, channels, steps, *, gamma=0.9, space=0):
        super().__init__(channels, steps, space)
        c = self.width(1)
        self.gamma = gamma
        self.W1 = dense_matrix(steps, c, c, init="orthogonal")
        self.W2 = dense_matrix(steps, c, c, init=("normal", 0.3))
        self.lam = scalar(steps, init=("constant", 0.1))

    def rate_x(self, x, u, W1, W2, lam):
        return soft_threshold(dense(x, W1) + dense(u, W2), lam) - x

    def initial(self, u):
        return ListaState(torch.zeros_like(u), torch.zeros_like(u), u)

    def advance(self, state, step=0):
        x, v, u = state
        rate = self.rate_x(x, u, self.W1[step], self.W2[step], self.lam[step])
        v = self.gamma * v + (1 - self.gamma) * rate
        x = x + v
        return ListaState(x, v, u)

    def retreat(self, state, step=0):
        x, v, u = state
        x = x - v
        rate = self.rate_x(x, u, self.W1[step], self.W2[step], self.lam[step])
        v = (v - (1 - self.gamma) * rate) / self.gamma
        return ListaState(x, v, u)

    def readout(self, state):
        return state.x

    def field(self, state, step=0):
        x, _, u = state
        return (self.rate_x(x, u, self.W1[step], self.W2[step], self.lam[step]),)

    def shears(self):
        term = Term(1 - self.gamma, self.rate_x, ("x", "u"), ("W1", "W2", "lam"))
        return (
            Shear("v", self.gamma, terms=(term,)),
            Shear("x", 1.0, adds=((1.0, "v"),)),
        )


class GroupsState(NamedTuple):
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor


class GroupsFlow(Flow):
    """Two unknowns per group: (A, B)' = F(C, D), (C, D)' = G(A, B).

    The step is not that of a shipped scheme: A changes twice, the first time by two terms.
    """

    slots = ("A", "B", "C", "D")
    states = ("A", "B", "C", "D")
    operators = ("K", "L")

    def __init__(self, channels, steps, *, h=0.1, space=2):
        super().__init__(channels, steps, space)
        c = self.width(4)
        self.h = h
        self.K = conv_kernel(steps, c, c, kernel=2, space=space)
        self.L = conv_kernel(steps, c, c, kernel=3, space=space)

    def rate_A(self, C, K):
        return adjoint_conv(tanh(conv(C, K)), K)

    def rate_B(self, D, L):
        return torch.sin(conv(D, L))

    def rate_C(self, A, B, K):
        return -tanh(conv(A * B, K))

    def rate_D(self, B, L):
        return -adjoint_conv(tanh(B), L)

    def initial(self, u):
        return GroupsState(*split(u, 4))

    def advance(self, state, step=0):
        A, B, C, D = state
        K, L, h = self.K[step], self.L[step], self.h
        A = A + 0.5 * h * self.rate_A(C, K) + h * self.rate_B(D, L)
        B = B + h * self.rate_B(D, L)
        C = C + h * self.rate_C(A, B, K)
        D = D + h * self.rate_D(B, L)
        A = A + 0.5 * h * self.rate_A(C, K)
        return GroupsState(A, B, C, D)

    def retreat(self, state, step=0):
        A, B, C, D = state
        K, L, h = self.K[step], self.L[step], self.h
        A = A - 0.5 * h * self.rate_A(C, K)
        D = D - h * self.rate_D(B, L)
        C = C - h * self.rate_C(A, B, K)
        B = B - h * self.rate_B(D, L)
        A = A - 0.5 * h * self.rate_A(C, K) - h * self.rate_B(D, L)
        return GroupsState(A, B, C, D)

    def readout(self, state):
        return torch.cat(state, dim=1)

    def field(self, state, step=0):
        A, B, C, D = state
        K, L = self.K[step], self.L[step]
        return (
            self.rate_A(C, K) + self.rate_B(D, L),
            self.rate_B(D, L),
            self.rate_C(A, B, K),
            self.rate_D(B, L),
        )

    def shears(self):
        h = self.h
        half = Term(0.5 * h, self.rate_A, ("C",), ("K",))
        return (
            Shear("A", 1.0, terms=(half, Term(h, self.rate_B, ("D",), ("L",)))),
            Shear("B", 1.0, terms=(Term(h, self.rate_B, ("D",), ("L",)),)),
            Shear("C", 1.0, terms=(Term(h, self.rate_C, ("A", "B"), ("K",)),)),
            Shear("D", 1.0, terms=(Term(h, self.rate_D, ("B",), ("L",)),)),
            Shear("A", 1.0, terms=(half,)),
        )


class EulerFlow(Flow):
    """Y' = f(Y); euler, which has no explicit inverse."""

    slots = ("Y",)
    states = ("Y",)
    operators = ("K",)
    reversible = False
    obstacle = "Y[n] appears inside F(Y[n])"

    def __init__(self, channels, steps, *, h=0.1, space=2):
        super().__init__(channels, steps, space)
        self.h = h
        self.K = conv_kernel(steps, channels, channels, kernel=3, space=space)

    def rate_Y(self, Y, K):
        return -adjoint_conv(relu(conv(Y, K)), K)

    def initial(self, u):
        return (u,)

    def advance(self, state, step=0):
        (Y,) = state
        return (Y + self.h * self.rate_Y(Y, self.K[step]),)

    def readout(self, state):
        return state[0]

    def field(self, state, step=0):
        return (self.rate_Y(state[0], self.K[step]),)
