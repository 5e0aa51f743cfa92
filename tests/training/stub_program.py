"""A stub for a compiled program: a small hand-written network with all that training must handle.

Its flow draws random numbers, has no inverse, and has shared parameters, batch norms and dropout.
"""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from odenet import compiler
from odenet.analyse import Certificate, ClaimResult
from odenet.diagnostics import Diagnostic
from odenet.language.tree import File
from odenet.model.tables.recipe import Recipe
from odenet.model.typed.program import Model
from odenet.runtime import bias, conv, conv_kernel, layers
from odenet.runtime.flow import Flow


class State(NamedTuple):
    """Position and velocity of the flow."""

    x: Tensor
    v: Tensor


class MomentumFlow(Flow):
    """Momentum steps of x' = f(x) + tanh(K x + b) + G x.

    Each step has its own K and b, and a module f; G is shared by all steps.
    """

    slots = ("x", "v")
    states = ("x",)
    operators = ("K", "G")
    shared = ("G",)
    reversible = False
    obstacle = "the stub has no inverse"
    stochastic = True

    def __init__(self, channels, steps, h=0.5):
        super().__init__(channels, steps)
        self.h = h
        self.K = conv_kernel(steps, channels, channels, kernel=3)
        self.b = bias(steps, channels)
        self.G = conv_kernel(1, channels, channels, kernel=1)
        self.f = layers(
            steps,
            lambda: nn.Sequential(
                nn.BatchNorm2d(channels), nn.Conv2d(channels, channels, 1), nn.Dropout(0.1)
            ),
        )

    def initial(self, u):
        return State(u, torch.zeros_like(u))

    def advance(self, state, step=0):
        x, v = state
        slope = self.f[step](x) + torch.tanh(conv(x, self.K[step]) + self.b[step])
        v = 0.5 * v + self.h * (slope + conv(x, self.G[0]))
        return State(x + self.h * v, v)

    def readout(self, state):
        return state.x


class Network(nn.Module):
    """A convolution, the flow, a batch norm and a linear classifier, for pictures of 8 x 8."""

    def __init__(self, classes, width=4, steps=2):
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1, stride=2)
        self.flow1 = MomentumFlow(width, steps)
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Linear(width * 16, classes)

    def forward(self, x):
        return self.head(torch.relu(self.norm(self.flow1(self.stem(x)))).flatten(1))


OPEN_CERTIFICATE = Certificate(verdict="open", reason="it was not looked at")


@dataclass(frozen=True)
class Program:
    """What training reads of an `odenet.compiler.Program`, with the stub for its network."""

    recipe: Recipe
    tree: File
    text: str
    model: Model
    name: str = "stub"
    classes: int | None = 10
    input_shape: tuple[int, ...] = (1, 8, 8)
    vocabulary: int | None = None
    certificate: Certificate = OPEN_CERTIFICATE
    claims: tuple[ClaimResult, ...] = ()
    warnings: tuple[Diagnostic, ...] = ()
    discretised: bool = True

    @property
    def derivation(self):
        return SimpleNamespace(reversible=False)

    def require_network(self):
        pass

    def network(self, classes=None):
        return Network(classes or 10)

    def source(self):
        return "# the generated module\n"

    def certificate_json(self):
        return "{}\n"


SPEC = """odenet 1
state x
param K : conv(3)

x' = tanh(K x)

discretise euler(h = 0.5)

net = input(1, 8, 8) -> conv(3, 4) -> flow(2) -> mean -> dense(10)

train {
    data     = digits
    batch    = 64
    epochs   = 3
    fraction = 0.25
}
"""


def load(path, set=None):
    """Compile a spec as `odenet.load` does, and put the stub in the place of its network."""
    program = compiler.load(path, set)
    return Program(program.recipe, program.tree, program.text, program.model)
