"""The flows of the papers: Hamiltonian, midpoint, leapfrog (second order) and momentum networks.

What their members mean is documented in the base classes of `Flow`: `Equations` and `Stepwise`.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn, relu, tanh

from odenet.runtime import (
    Flow,
    Shear,
    Term,
    adjoint_conv,
    adjoint_kernel,
    bias,
    conv,
    conv_kernel,
    eye_kernel,
    layers,
    split,
)


class PairState(NamedTuple):
    Y: Tensor
    Z: Tensor


class TwoStepState(NamedTuple):
    Y_prev: Tensor
    Y: Tensor


class ParticleState(NamedTuple):
    x: Tensor
    v: Tensor


class HamiltonianFlow(Flow):
    """Y' = K1^T σ(K1 Z + b1), Z' = -K2^T σ(K2 Y + b2); verlet."""

    slots = ("Y", "Z")
    states = ("Y", "Z")
    operators = ("K1", "K2")
    stability_limit = 2.0

    def __init__(self, channels, steps, *, h=0.1, space=2):
        super().__init__(channels, steps, space)
        c = self.width(2)
        self.h = h
        self.K1 = conv_kernel(steps, c, c, kernel=3, space=space)
        self.b1 = bias(steps, c, space=space)
        self.K2 = conv_kernel(steps, c, c, kernel=3, space=space)
        self.b2 = bias(steps, c, space=space)

    def rate_Y(self, Z, K1, b1):
        return adjoint_conv(relu(conv(Z, K1) + b1), K1)

    def rate_Z(self, Y, K2, b2):
        return -adjoint_conv(relu(conv(Y, K2) + b2), K2)

    def initial(self, u):
        Y, Z = split(u, 2)
        return PairState(Y, Z)

    def advance(self, state, step=0):
        Y, Z = state
        Y = Y + self.h * self.rate_Y(Z, self.K1[step], self.b1[step])
        Z = Z + self.h * self.rate_Z(Y, self.K2[step], self.b2[step])
        return PairState(Y, Z)

    def retreat(self, state, step=0):
        Y, Z = state
        Z = Z - self.h * self.rate_Z(Y, self.K2[step], self.b2[step])
        Y = Y - self.h * self.rate_Y(Z, self.K1[step], self.b1[step])
        return PairState(Y, Z)

    def readout(self, state):
        Y, Z = state
        return torch.cat((Y, Z), dim=1)

    def field(self, state, step=0):
        Y, Z = state
        return (
            self.rate_Y(Z, self.K1[step], self.b1[step]),
            self.rate_Z(Y, self.K2[step], self.b2[step]),
        )

    def frequency_bound(self, step=0):
        # `norm` iterates from the direction that it found before for this name and step
        return self.norm("K1", self.K1[step], step) * self.norm("K2", self.K2[step], step)

    def shears(self):
        return (
            Shear("Y", 1.0, terms=(Term(self.h, self.rate_Y, ("Z",), ("K1", "b1")),)),
            Shear("Z", 1.0, terms=(Term(self.h, self.rate_Z, ("Y",), ("K2", "b2")),)),
        )


class MidpointFlow(Flow):
    """Y' = σ((K - K^T - γ I) Y + b); midpoint, with a K for each step."""

    slots = ("Y_prev", "Y")
    states = ("Y",)
    operators = ("K",)
    relabel: ClassVar = {"Y_prev": "Y", "Y": "Y_prev"}  # `shears` turns Y_prev into the next Y

    def __init__(self, channels, steps, *, h=0.1, gamma=0.0, space=2):
        super().__init__(channels, steps, space)
        c = self.width(1)
        self.h = h
        self.gamma = gamma
        self.K = conv_kernel(steps, c, c, kernel=3, space=space)
        self.b = bias(steps, c, space=space)

    def rate_Y(self, Y, K, b):
        return tanh(conv(Y, K - adjoint_kernel(K) - self.gamma * eye_kernel(K)) + b)

    def initial(self, u):
        return TwoStepState(torch.zeros_like(u), u)

    def advance(self, state, step=0):
        Y_prev, Y = state
        Y_next = Y_prev + 2 * self.h * self.rate_Y(Y, self.K[step], self.b[step])
        return TwoStepState(Y, Y_next)

    def retreat(self, state, step=0):
        Y, Y_next = state
        Y_prev = Y_next - 2 * self.h * self.rate_Y(Y, self.K[step], self.b[step])
        return TwoStepState(Y_prev, Y)

    def readout(self, state):
        return state.Y

    def field(self, state, step=0):
        return (self.rate_Y(state.Y, self.K[step], self.b[step]),)

    def shears(self):
        term = Term(2 * self.h, self.rate_Y, ("Y",), ("K", "b"))
        return (Shear("Y_prev", 1.0, terms=(term,)),)


class LeapfrogFlow(Flow):
    """Y'' = -K^T σ(K Y + b), K shared by all steps; leapfrog."""

    slots = ("Y_prev", "Y")
    states = ("Y",)
    operators = ("K",)
    shared = ("K", "b")
    relabel: ClassVar = {"Y_prev": "Y", "Y": "Y_prev"}  # `shears` turns Y_prev into the next Y

    def __init__(self, channels, steps, *, h=0.1, space=2):
        super().__init__(channels, steps, space)
        c = self.width(1)
        self.h = h
        self.K = conv_kernel(1, c, c, kernel=3, space=space)
        self.b = bias(1, c, space=space)

    def rate_Y(self, Y, K, b):
        return -adjoint_conv(tanh(conv(Y, K) + b), K)

    def initial(self, u):
        return TwoStepState(torch.zeros_like(u), u)

    def advance(self, state, step=0):
        Y_prev, Y = state
        Y_next = 2 * Y - Y_prev + self.h**2 * self.rate_Y(Y, self.K[0], self.b[0])
        return TwoStepState(Y, Y_next)

    def retreat(self, state, step=0):
        Y, Y_next = state
        Y_prev = 2 * Y - Y_next + self.h**2 * self.rate_Y(Y, self.K[0], self.b[0])
        return TwoStepState(Y_prev, Y)

    def readout(self, state):
        return state.Y

    def field(self, state, step=0):
        return (self.rate_Y(state.Y, self.K[0], self.b[0]),)

    def shears(self):
        term = Term(self.h**2, self.rate_Y, ("Y",), ("K", "b"))
        return (Shear("Y_prev", -1.0, adds=((2.0, "Y"),), terms=(term,)),)


class MomentumFlow(Flow):
    """x' = f(x) for any map f; momentum, v ← γ v + (1 - γ) f(x) and x ← x + v."""

    slots = ("x", "v")
    states = ("x",)

    def __init__(self, channels, steps, *, gamma=0.9, space=2):
        super().__init__(channels, steps, space)
        c = self.width(1)
        self.gamma = gamma
        self.f = layers(steps, lambda: self.block(c))

    def block(self, c):
        return nn.Sequential(
            nn.Conv2d(c, c, 3, padding=1, bias=False),
            nn.BatchNorm2d(c),
            nn.ReLU(),
            nn.Conv2d(c, c, 3, padding=1, bias=False),
            nn.BatchNorm2d(c),
        )

    def rate_x(self, x, f):
        return f(x)

    def initial(self, u):
        return ParticleState(u, torch.zeros_like(u))

    def advance(self, state, step=0):
        x, v = state
        v = self.gamma * v + (1 - self.gamma) * self.rate_x(x, self.f[step])
        x = x + v
        return ParticleState(x, v)

    def retreat(self, state, step=0):
        x, v = state
        x = x - v
        v = (v - (1 - self.gamma) * self.rate_x(x, self.f[step])) / self.gamma
        return ParticleState(x, v)

    def readout(self, state):
        return state.x

    def field(self, state, step=0):
        return (self.rate_x(state.x, self.f[step]),)

    def shears(self):
        term = Term(1 - self.gamma, self.rate_x, ("x",), ("f",))
        return (
            Shear("v", self.gamma, terms=(term,)),
            Shear("x", 1.0, adds=((1.0, "v"),)),
        )
