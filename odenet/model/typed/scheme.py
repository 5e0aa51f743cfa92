"""A numerical scheme: what a `scheme` block says after its names are resolved."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from odenet.diagnostics import Span
from odenet.model.expressions.expr import Constant, ElementwiseExp, MapCall, Node, Slot, Stage

STEP_NUMBER = "n"  # the number of a step, 0 for the first, as a constant of the scheme

# Schemes that torchdiffeq has with adaptive step sizes -> its name for them.
TORCHDIFFEQ_METHODS = {"heun": "adaptive_heun", "bosh3": "bosh3", "dopri5": "dopri5"}


@dataclass(frozen=True)
class Pattern:
    """One right-hand side in the `for` line of a scheme, which says what equations it solves.

    In `for Y' = F(Z)` there is one for F; in `for Y' = F(Y) + G(Y)` one for F and one for G.

    Args:
        unknown: the unknown on the left; one or more states of a file take its place.
        order: the order of the time derivative, 1 or 2.
        function: the name of the right-hand side in the scheme.
        reads: the unknowns that it may depend on, its arguments.
        decay: the constant γ of a decay term `- γ Y` or `- γ Y'`, which is not part of `F`.
        summand: the index of `F` in a sum of right-hand sides, and the number of summands; None if
            it is the whole right-hand side.
    """

    unknown: str
    order: int
    function: str
    reads: tuple[str, ...]
    decay: str | None = None
    summand: tuple[int, int] | None = None


@dataclass(frozen=True)
class Update:
    """One line of a scheme: the formula for a stage or a slot, an unknown at a step, `Y[n+1]`."""

    target: Slot | Stage
    value: Node
    span: Span | None = field(compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """A numerical scheme: formulas for the next state.

    Args:
        name: canonical name.
        constants: names with default values (None if required), in order, without the step size
            `h` and the final time `T`. Last are those that no file gives: decays, read off the
            equations, and the step number.
        lets: local names for numbers, in order, with their formulas.
        patterns: the right-hand sides of the equations it solves; summands of one are adjacent.
        aux: auxiliary unknowns, which the equations do not have.
        starts: values of unknowns before the first step, such as `Y[-1]` -> Zero().
        updates: its lines in order; every unknown's `[n+1]` is set exactly once.
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
        """The decays of the `for` line: constants whose values are read off the equations."""
        return tuple(dict.fromkeys(p.decay for p in self.patterns if p.decay is not None))

    @property
    def uses_step_number(self) -> bool:
        """Whether its formulas depend on the step number `n`."""
        return STEP_NUMBER in dict(self.constants)

    @property
    def implied_constants(self) -> tuple[str, ...]:
        """The constants that no file gives: decays and the step number."""
        return (*self.decays, STEP_NUMBER) if self.uses_step_number else self.decays

    @property
    def equations(self) -> dict[str, tuple[Pattern, ...]]:
        """The unknowns of the `for` line, each with the summands of its right-hand side."""
        names = dict.fromkeys(p.unknown for p in self.patterns)
        return {name: tuple(p for p in self.patterns if p.unknown == name) for name in names}

    @property
    def is_splitting(self) -> bool:
        """Whether it is a splitting scheme, with several right-hand sides in an equation."""
        return any(p.summand is not None for p in self.patterns)

    @property
    def unknowns(self) -> tuple[str, ...]:
        """The unknowns of the `for` line, then the auxiliary ones."""
        return tuple(self.equations) + self.aux

    def nodes(self) -> Iterator[Node]:
        """All nodes of the formulas of its lines."""
        for update in self.updates:
            yield from update.value.walk()

    def stored_offsets(self, unknown: str) -> tuple[int, ...]:
        """The offsets of the values of an unknown that a step reads, oldest first, as (-1, 0)."""
        slots = [node for node in self.nodes() if isinstance(node, Slot)]
        read = [slot.offset for slot in slots if slot.name == unknown]
        return tuple(range(min([0, *read]), 1))

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The values that a step reads, by unknown, oldest first: the state between steps."""
        return tuple(Slot(u, k) for u in self.unknowns for k in self.stored_offsets(u))

    @property
    def exp_or_map(self) -> Node | None:
        """The first `exp(…)` or map of the file in one of its lines, if there is one.

        A step with one does not approximate the equations: order, stability and the like do not
        apply to it.
        """
        return next((n for n in self.nodes() if isinstance(n, ElementwiseExp | MapCall)), None)

    @property
    def maps(self) -> tuple[str, ...]:
        """The names of the file's maps that its lines apply."""
        calls = [node for node in self.nodes() if isinstance(node, MapCall)]
        return tuple(dict.fromkeys(call.function.name for call in calls))

    @property
    def uses_step_size(self) -> bool:
        """Whether `h` occurs in the scheme; without it a scheme has no order of accuracy."""
        values = [u.value for u in self.updates] + [value for _, value in self.lets]
        return any(n == Constant("h") for value in values for n in value.walk())
