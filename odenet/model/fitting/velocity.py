"""What a file says of `Y'` where the scheme steps `Y'' = F(Y)` with `Y` as its state."""

from collections.abc import Iterable, Iterator

from odenet.diagnostics import Diagnostic, Span
from odenet.language import tree
from odenet.model.elaboration.schemes import cost
from odenet.model.expressions.expr import State
from odenet.model.fitting.fit import takers
from odenet.model.typed.program import Dynamics
from odenet.model.typed.scheme import Scheme

MOST_NAMED = 3  # schemes in a message


def unread_velocity(
    scheme: Scheme, dynamics: Dynamics, initial: Iterable[tree.Initial]
) -> Diagnostic | None:
    """The first place that gives or wants a velocity, where the scheme has none.

    A scheme for `Y'' = F(Y)` has the past of Y and its own auxiliary unknowns. It never reads
    `Y'(0)`, which is in effect what its `start` lines say, and cannot hand on `Y'`.

    Args:
        scheme: with the start lines of its use.
        dynamics: the equations, which it fits.
        initial: the initial values as they are written.
    """
    if max(pattern.order for pattern in scheme.patterns) == 1:
        return None
    for speed, verb, place in _mentions(dynamics, initial):
        names = _first_order(dynamics, place)
        ways = [f"take {', '.join(names)}, where {speed} is a state"] if names else []
        if verb == "reads":
            shown, why = f"{speed}(0)", "its `start` lines say how it begins"
            starts = [f"{scheme.spellings[s.name]}[{s.offset}]" for s, _ in scheme.starts]
            begin = " and give " + " and ".join(f"`start {s} = …`" for s in starts)
            ways.append(f"remove this{begin if starts else ''}")
        else:
            shown, why = speed, "its states are the unknowns of second order"
            ways.append("write the output without it")
        message = f"{scheme.name} never {verb} `{shown}`: {why}"
        return Diagnostic("unread-velocity", message, place, "; or ".join(ways))
    return None


def _mentions(
    dynamics: Dynamics, initial: Iterable[tree.Initial]
) -> Iterator[tuple[str, str, Span]]:
    """Each velocity that the file names outside its equations, what for, and where."""
    for line in initial:
        if line.order == 1:
            yield f"{line.name.spelling}'", "reads", line.span
    for node in dynamics.output.walk():
        if isinstance(node, State) and node.order == 1:
            place = node.span or dynamics.output.span
            assert place is not None
            yield place.text, "computes", place


def _first_order(dynamics: Dynamics, place: Span) -> list[str]:
    """Schemes of the library that step a state and its derivative as a pair.

    Those that are made for pairs come first, as those for any system may be unstable on a
    vibration (explicit Euler is), then the cheapest.
    """
    found = [
        scheme
        for scheme in takers(dynamics, place)
        if scheme.uses_step_size and all(pattern.order == 1 for pattern in scheme.patterns)
    ]
    found.sort(key=lambda scheme: (-len(scheme.equations), cost(scheme)))
    return [scheme.name for scheme in found[:MOST_NAMED]]
