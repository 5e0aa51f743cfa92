"""Assigns each state of the equations to an unknown in the `for` line of the scheme."""

from collections.abc import Iterable, Mapping

from odenet.diagnostics import Diagnostic, Span
from odenet.model.elaboration.library import library_names, library_scheme
from odenet.model.expressions.expr import Input, Node, State, Sum, with_primes
from odenet.model.typed.dialects import OdeDialect
from odenet.model.typed.notation import Notation
from odenet.model.typed.program import Dynamics
from odenet.model.typed.right_hand_sides import decay_factor, right_hand_side, summands
from odenet.model.typed.scheme import Pattern, Scheme


def fit(
    scheme: Scheme, dynamics: Dynamics, span: Span
) -> dict[str, tuple[State, ...]] | Diagnostic:
    """Assign the states to the unknowns of a scheme, so that each right-hand side fits its pattern.

    In `for Y' = F(Z), Z' = G(Y)` the right-hand side of a state assigned to Y may only read states
    assigned to Z. The first such assignment in the order of declaration is taken.

    Returns:
        Unknown of the scheme -> its states, or the error if there is no assignment.
    """
    order = max(pattern.order for pattern in scheme.patterns)
    first_order = [name for name, equation_order in dynamics.states.items() if equation_order == 1]
    if order == 2 and first_order:
        name = first_order[0]
        message = f"{scheme.name} needs second-order equations {for_line(scheme)}"
        label = f"this is {name}', of first order"
        return Diagnostic("scheme-misfit", message, dynamics.rates[name].span, label=label)
    system = dynamics.system(order)
    assignment = _assign(list(system), {}, scheme, system)
    if assignment is None:
        return _misfit(scheme, system, span)
    return {name: tuple(s for s in system if assignment[s] == name) for name in scheme.equations}


def schemes_for(dynamics: Dynamics, span: Span) -> list[Scheme]:
    """The schemes of the library that fit the equations."""
    schemes = map(library_scheme, library_names())
    return [s for s in schemes if not isinstance(fit(s, dynamics, span), Diagnostic)]


def states_read(rate: Node) -> dict[State, Node]:
    """The states that a right-hand side reads, each with the node where it first occurs."""
    result: dict[State, Node] = {}
    for node in rate.walk():
        if isinstance(node, State):
            result.setdefault(node, node)
    return result


def reads_input(rate: Node) -> bool:
    """Whether a right-hand side reads `u`."""
    return any(isinstance(node, Input) for node in rate.walk())


def _assign(
    states: list[State],
    assignment: dict[State, str],
    scheme: Scheme,
    system: Mapping[State, Node],
) -> dict[State, str] | None:
    """The first assignment that fits and extends the given one, found by backtracking."""
    if len(assignment) == len(states):
        return assignment if len(set(assignment.values())) == len(scheme.equations) else None
    state = states[len(assignment)]
    for unknown in scheme.equations:
        trial = assignment | {state: unknown}
        if not _violations(trial, scheme, system):
            result = _assign(states, trial, scheme, system)
            if result is not None:
                return result
    return None


def _violations(
    assignment: Mapping[State, str], scheme: Scheme, system: Mapping[State, Node]
) -> list[tuple[State, Node, Pattern]]:
    """Where equations do not fit an assignment: (state, the node that does not fit, pattern)."""
    result: list[tuple[State, Node, Pattern]] = []
    for state, unknown in assignment.items():
        for pattern in scheme.equations[unknown]:
            rate = system[state]
            if pattern.summand and summands(rate, pattern.summand[1]) is None:
                result.append((state, rate, pattern))
                break  # it fits no other pattern of this unknown either: all are of the sum
            if pattern.decay and not _decays_alike(state, assignment, pattern, system):
                result.append((state, rate, pattern))
            for other, node in states_read(right_hand_side(rate, state, pattern)).items():
                is_forbidden = other in assignment and assignment[other] not in pattern.reads
                if is_forbidden or other not in system:
                    result.append((state, node, pattern))
    return result


def _decays_alike(
    state: State, assignment: Mapping[State, str], pattern: Pattern, system: Mapping[State, Node]
) -> bool:
    """Whether an equation has the decay term of the pattern, with the factor of its group."""
    factor = decay_factor(system[state], state, pattern)
    group = [other for other in assignment if assignment[other] == pattern.unknown]
    return factor is not None and all(decay_factor(system[s], s, pattern) == factor for s in group)


def _misfit(scheme: Scheme, system: Mapping[State, Node], span: Span) -> Diagnostic:
    """The error for equations that do not fit; it shows the first state that may not be read."""
    states = list(system)
    unknowns = list(scheme.equations)
    if len(states) < len(unknowns):
        message = f"{scheme.name} needs {len(unknowns)} groups of states, but there is 1 state"
        return Diagnostic("scheme-misfit", message, span, label=f"takes {for_line(scheme)}")
    # the states in order to the unknowns in order, those that are left to the last one
    assignment = {s: unknowns[min(i, len(unknowns) - 1)] for i, s in enumerate(states)}
    violations = _violations(assignment, scheme, system)
    if violations and _is_not_a_sum(violations[0], system):
        state, _, pattern = violations[0]
        return _not_a_sum(scheme, system[state], state, pattern)
    if not violations or len(states) > len(unknowns) or scheme.decays:
        line = for_line(scheme)
        message = f"{scheme.name} takes {line}, and these equations cannot be grouped so"
        return Diagnostic("scheme-misfit", message, span)
    state, node, pattern = violations[0]
    allowed = [s for s in states if assignment[s] in pattern.reads]
    forbidden = next(iter(states_read(node)))
    substitutes = [s for s in allowed if s != forbidden and s.order == forbidden.order]
    needs = f"{scheme.name} needs {with_primes(state.text, pattern.order)} to read only "
    message = f"{needs}{' and '.join(s.text for s in allowed)}, but it reads {forbidden.text}"
    help_ = f"swap {forbidden.text} for {substitutes[0].text}" if substitutes else ""
    label = f"{forbidden.text} is read here"
    return Diagnostic("scheme-misfit", message, node.span, help_, label=label)


def _is_not_a_sum(violation: tuple[State, Node, Pattern], system: Mapping[State, Node]) -> bool:
    """Whether an equation does not fit because it is not a sum."""
    state, _, pattern = violation
    return pattern.summand is not None and summands(system[state], pattern.summand[1]) is None


def _not_a_sum(scheme: Scheme, rate: Node, state: State, pattern: Pattern) -> Diagnostic:
    """The error for an equation that is not a sum of the number of terms that the scheme needs."""
    assert pattern.summand is not None
    count = len(rate.terms) if isinstance(rate, Sum) else 1
    terms = "not a sum" if count == 1 else f"a sum of {count} terms"
    names = [scheme.spellings[p.function] for p in scheme.equations[pattern.unknown]]
    actual = f"{with_primes(state.text, pattern.order)} is {terms}"
    parts = " + ".join(["( … )"] * pattern.summand[1])
    help_ = f"write {parts}, in this order for {' and '.join(names)}"
    message = f"{scheme.name} takes {for_line(scheme)}, and {actual}"
    return Diagnostic("scheme-misfit", message, rate.span, help_)


def canonical_for_line(scheme: Scheme) -> str:
    """The `for` line of a scheme with the letters Y, Z and F, G: equal if only names differ."""
    names = _letters(scheme.equations, "YZ", "Y")
    names |= _letters((p.function for p in scheme.patterns), "FG", "F")
    names |= dict.fromkeys(scheme.decays, "γ")
    return Notation(OdeDialect(names)).for_line(scheme)


def _letters(names: Iterable[str], letters: str, numbered: str) -> dict[str, str]:
    """A letter for each name; if there are more names than letters, `numbered` with numbers."""
    listed = list(names)
    enough = len(listed) <= len(letters)
    return {n: letters[i] if enough else f"{numbered}{i + 1}" for i, n in enumerate(listed)}


def for_line(scheme: Scheme) -> str:
    """The `for` line of a scheme."""
    return Notation(OdeDialect(scheme.spellings)).for_line(scheme)
