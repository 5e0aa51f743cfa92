"""A discretisation, typed: what a `scheme` block says after its names are resolved."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from odenet.diagnostics import Span
from odenet.model.expressions.expr import Constant, MapCall, Node, Slot, Stage, Stretch

COUNT = "n"  # the number of a step, 0 for the first, as a constant of the scheme

# Schemes whose step torchdiffeq can also choose to a tolerance, and its name for each.
ADAPTIVE = {"heun": "adaptive_heun", "bosh3": "bosh3", "dopri5": "dopri5"}


@dataclass(frozen=True)
class Pattern:
    """One right-hand side of the dynamics a scheme takes: `Y' = F(Z)`, or `F(Y)` of a sum.

    Args:
        variable: the pattern's unknown, which one or more states fill.
        order: of the time derivative, 1 or 2.
        function: the name the right-hand side has in the scheme.
        reads: the unknowns the right-hand side may read, in the order of its arguments.
        decay: the constant γ of a decay, `- γ Y` or `- γ Y'`, that is not part of `F`.
        part: the index of `F` among the summands of `Y' = F(Y) + G(Y)`, and how many there are;
            None where it is the whole right-hand side.
    """

    variable: str
    order: int
    function: str
    reads: tuple[str, ...]
    decay: str | None = None
    part: tuple[int, int] | None = None


@dataclass(frozen=True)
class Update:
    """One line of a scheme: a slot `Y[n+1]` or a stage, and its value."""

    target: Slot | Stage
    value: Node
    span: Span | None = field(compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """A rule for the next state.

    Args:
        name: canonical name.
        constants: names and default values (None: must be given), in order, without `h` and `T`;
            those that no file gives last: decays, which the equations give, and the step's number.
        lets: local names for numbers, in order; their values read constants and earlier lets.
        patterns: the dynamics it takes, one per right-hand side; the summands of an equation
            follow one another.
        aux: further unknowns that only the discretisation has.
        starts: values before the first step, e.g. `Y[-1]` -> Zero().
        updates: the lines, top to bottom; every unknown's `[n+1]` is set exactly once.
        spellings: canonical name -> how the author wrote it.
        text: the block as it is written in its file, for documentation.
    """

    name: str
    constants: tuple[tuple[str, Node | None], ...]
    lets: tuple[tuple[str, Node], ...]
    patterns: tuple[Pattern, ...]
    aux: tuple[str, ...]
    starts: tuple[tuple[Slot, Node], ...]
    updates: tuple[Update, ...]
    spellings: dict[str, str] = field(compare=False, repr=False)
    span: Span = field(compare=False, repr=False)
    text: str = field(default="", compare=False, repr=False)

    @property
    def decays(self) -> tuple[str, ...]:
        """The constants that are read off the equations: the decays of the `for` line."""
        return tuple(dict.fromkeys(p.decay for p in self.patterns if p.decay is not None))

    @property
    def counts(self) -> bool:
        """Whether its numbers depend on that of the step, `n`."""
        return COUNT in dict(self.constants)

    @property
    def implied(self) -> tuple[str, ...]:
        """The constants that no file gives."""
        return (*self.decays, COUNT) if self.counts else self.decays

    @property
    def equations(self) -> dict[str, tuple[Pattern, ...]]:
        """The pattern's unknowns, each with the right-hand sides that add up to its derivative."""
        names = dict.fromkeys(p.variable for p in self.patterns)
        return {name: tuple(p for p in self.patterns if p.variable == name) for name in names}

    @property
    def splits(self) -> bool:
        """Whether it takes a right-hand side apart into summands."""
        return any(p.part is not None for p in self.patterns)

    @property
    def unknowns(self) -> tuple[str, ...]:
        """The patterns' unknowns, then the auxiliary ones."""
        return tuple(self.equations) + self.aux

    def nodes(self) -> Iterator[Node]:
        """Every piece of the formulas that its lines compute."""
        for update in self.updates:
            yield from update.value.walk()

    def history(self, unknown: str) -> tuple[int, ...]:
        """The offsets of an unknown's stored values, oldest first: (0,) or (-1, 0) and so on."""
        slots = [node for node in self.nodes() if isinstance(node, Slot)]
        read = [slot.offset for slot in slots if slot.name == unknown]
        return tuple(range(min([0, *read]), 1))

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The stored values between two steps, unknown by unknown, oldest first."""
        return tuple(Slot(u, k) for u in self.unknowns for k in self.history(u))

    @property
    def own(self) -> Node | None:
        """The first `exp(…)` or map of the file in a line: with one the step is not the equations'.

        What is said of a step as a way to solve them is not said then.
        """
        return next((n for n in self.nodes() if isinstance(n, Stretch | MapCall)), None)

    @property
    def maps(self) -> tuple[str, ...]:
        """The maps of the file that its lines read."""
        calls = [node for node in self.nodes() if isinstance(node, MapCall)]
        return tuple(dict.fromkeys(call.function.name for call in calls))

    @property
    def uses_step_size(self) -> bool:
        """Whether `h` is in the scheme; one without has no order of accuracy."""
        values = [u.value for u in self.updates] + [value for _, value in self.lets]
        return any(n == Constant("h") for value in values for n in value.walk())
