"""Which unknown of a scheme's pattern each state of the dynamics belongs to."""

from collections.abc import Mapping

from odenet.diagnostics import Diagnostic, Span
from odenet.model.expressions.expr import Input, Node, State, derivative
from odenet.model.typed.decay import decay, rest
from odenet.model.typed.dialects import Language
from odenet.model.typed.notation import Notation
from odenet.model.typed.program import Dynamics
from odenet.model.typed.scheme import Pattern, Scheme


def fit(
    scheme: Scheme, dynamics: Dynamics, span: Span
) -> dict[str, tuple[State, ...]] | Diagnostic:
    """Match the dynamics with a scheme's pattern.

    Every state is assigned to one of the pattern's unknowns so that each right-hand side reads only
    what the pattern lets it read. The first assignment in the order of declaration is taken.

    Returns:
        Pattern unknown -> its states, or what is wrong.
    """
    orders = {pattern.order for pattern in scheme.patterns}
    order = max(orders)
    if order == 2 and any(own == 1 for own in dynamics.states.values()):
        name = next(name for name, own in dynamics.states.items() if own == 1)
        rate = dynamics.rates[name]
        return Diagnostic(
            f"{scheme.name} needs second-order equations {takes(scheme)}",
            rate.span, f"this is {name}', of first order",
        )  # fmt: skip
    system = dynamics.system(order)
    found = _assign(list(system), {}, scheme.patterns, system)
    if found is None:
        return _misfit(scheme, system, span)
    return {p.variable: tuple(s for s in system if found[s] == p.variable) for p in scheme.patterns}


def reads(rate: Node) -> dict[State, Node]:
    """The states a right-hand side reads, each with the place where it first occurs."""
    found: dict[State, Node] = {}
    for node in rate.walk():
        if isinstance(node, State):
            found.setdefault(node, node)
    return found


def reads_input(rate: Node) -> bool:
    """Whether a right-hand side reads `u`."""
    return any(isinstance(node, Input) for node in rate.walk())


def _assign(
    states: list[State],
    chosen: dict[State, str],
    patterns: tuple[Pattern, ...],
    system: Mapping[State, Node],
) -> dict[State, str] | None:
    """The first assignment that fits, by trying the unknowns in order."""
    if len(chosen) == len(states):
        return chosen if len(set(chosen.values())) == len(patterns) else None
    state = states[len(chosen)]
    for pattern in patterns:
        trial = chosen | {state: pattern.variable}
        if not _violations(trial, patterns, system):
            found = _assign(states, trial, patterns, system)
            if found is not None:
                return found
    return None


def _violations(
    chosen: Mapping[State, str], patterns: tuple[Pattern, ...], system: Mapping[State, Node]
) -> list[tuple[State, Node, Pattern]]:
    """States read that the pattern does not let be read: (reader, place, pattern)."""
    by_variable = {pattern.variable: pattern for pattern in patterns}
    found: list[tuple[State, Node, Pattern]] = []
    for state, variable in chosen.items():
        pattern = by_variable[variable]
        if pattern.decay and not _decays_alike(state, chosen, pattern, system):
            found.append((state, system[state], pattern))
        for other, place in reads(rest(system[state], state, pattern)).items():
            if other in chosen and chosen[other] not in pattern.reads:
                found.append((state, place, pattern))
            elif other not in system:
                found.append((state, place, pattern))
    return found


def _decays_alike(
    state: State, chosen: Mapping[State, str], pattern: Pattern, system: Mapping[State, Node]
) -> bool:
    """Whether an equation has the pattern's decay, the same as the others in its group."""
    own = decay(system[state], state, pattern)
    group = [other for other in chosen if chosen[other] == pattern.variable]
    return own is not None and all(
        decay(system[other], other, pattern) == own for other in group
    )  # fmt: skip


def _misfit(scheme: Scheme, system: Mapping[State, Node], span: Span) -> Diagnostic:
    """The dynamics do not fit: the first thing that is read and should not be."""
    states = list(system)
    variables = [pattern.variable for pattern in scheme.patterns]
    if len(states) < len(variables):
        return Diagnostic(
            f"{scheme.name} needs {len(variables)} groups of states, but there is 1 state",
            span, f"takes {takes(scheme)}",
        )  # fmt: skip
    chosen = {s: variables[min(i, len(variables) - 1)] for i, s in enumerate(states)}
    violations = _violations(chosen, scheme.patterns, system)
    if not violations or len(states) > len(variables) or scheme.decays:
        return Diagnostic(
            f"{scheme.name} takes {takes(scheme)}, and these equations cannot be grouped so",
            span,
        )  # fmt: skip
    state, place, pattern = violations[0]
    allowed = [s for s in states if chosen[s] in pattern.reads]
    wrong = next(iter(reads(place)))
    swap = [s for s in allowed if s != wrong and s.order == wrong.order]
    return Diagnostic(
        f"{scheme.name} needs {derivative(state.written, pattern.order)} to read only "
        f"{' and '.join(s.written for s in allowed)}, but it reads {wrong.written}",
        place.span, f"{wrong.written} is read here",
        f"swap {wrong.written} for {swap[0].written}" if swap else "",
    )  # fmt: skip


def shape(scheme: Scheme) -> str:
    """The `for` line of a scheme in the letters Y, Z and F, G, so that equal ones are equal."""
    names = {p.variable: f"Y{i + 1}" for i, p in enumerate(scheme.patterns)}
    names |= {p.function: f"F{i + 1}" for i, p in enumerate(scheme.patterns)}
    if len(scheme.patterns) <= 2:
        letters = zip(scheme.patterns, "YZ", "FG", strict=False)
        names = {k: v for p, y, f in letters for k, v in ((p.variable, y), (p.function, f))}
    names |= dict.fromkeys(scheme.decays, "γ")
    return Notation(Language(names)).for_line(scheme)


def takes(scheme: Scheme) -> str:
    """The `for` line of a scheme."""
    return Notation(Language(scheme.spellings)).for_line(scheme)
