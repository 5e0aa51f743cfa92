"""Checks that a file does not use the velocity `Y'` with a scheme that does not compute it."""

from collections.abc import Iterable, Iterator

from odenet.diagnostics import Diagnostic, Span
from odenet.language import tree
from odenet.model.elaboration.scheme_reader import scheme_cost
from odenet.model.expressions.expr import State
from odenet.model.fitting.fit import schemes_for
from odenet.model.typed.program import Dynamics
from odenet.model.typed.scheme import Scheme

MOST_NAMED = 3  # schemes in a message


def unsupported_velocity(
    scheme: Scheme, dynamics: Dynamics, initial: Iterable[tree.Initial]
) -> Diagnostic | None:
    """The error about the first initial value or output with a velocity, if the scheme has none.

    A scheme for `Y'' = F(Y)` computes Y from its past values and auxiliary unknowns. It does not
    use `Y'(0)`, in place of which it has `start` lines, and does not compute `Y'` for the output.

    Args:
        scheme: the scheme, with the start lines of the `discretise` line.
        dynamics: the equations.
        initial: the initial values as they are written.
    """
    if max(pattern.order for pattern in scheme.patterns) == 1:
        return None
    for velocity, verb, span in _velocities_named(dynamics, initial):
        names = _first_order_schemes(dynamics, span)
        remedies = [f"take {', '.join(names)}, where {velocity} is a state"] if names else []
        if verb == "reads":
            quoted, reason = f"{velocity}(0)", "its `start` lines say how it begins"
            starts = [f"{scheme.spellings[s.name]}[{s.offset}]" for s, _ in scheme.starts]
            begin = " and give " + " and ".join(f"`start {s} = …`" for s in starts)
            remedies.append(f"remove this{begin if starts else ''}")
        else:
            quoted, reason = velocity, "its states are the unknowns of second order"
            remedies.append("write the output without it")
        message = f"{scheme.name} never {verb} `{quoted}`: {reason}"
        return Diagnostic("unread-velocity", message, span, "; or ".join(remedies))
    return None


def _velocities_named(
    dynamics: Dynamics, initial: Iterable[tree.Initial]
) -> Iterator[tuple[str, str, Span]]:
    """Each velocity outside the equations, what a scheme would do with it, and its place."""
    for line in initial:
        if line.order == 1:
            yield f"{line.name.spelling}'", "reads", line.span
    for node in dynamics.output.walk():
        if isinstance(node, State) and node.order == 1:
            span = node.span or dynamics.output.span
            assert span is not None
            yield span.text, "computes", span


def _first_order_schemes(dynamics: Dynamics, span: Span) -> list[str]:
    """Names of schemes of the library that compute a state and its derivative as a pair.

    Those for pairs `Y' = …, Z' = …` come first, since those for any system may be unstable for
    oscillations, as explicit Euler is; then the cheapest.
    """
    schemes = [
        scheme
        for scheme in schemes_for(dynamics, span)
        if scheme.uses_step_size and all(pattern.order == 1 for pattern in scheme.patterns)
    ]
    schemes.sort(key=lambda scheme: (-len(scheme.equations), scheme_cost(scheme)))
    return [scheme.name for scheme in schemes[:MOST_NAMED]]
