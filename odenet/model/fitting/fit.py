"""Which unknown of a scheme's pattern each state of the dynamics belongs to."""

from collections.abc import Iterable, Mapping

from odenet.diagnostics import Diagnostic, Span
from odenet.model.elaboration.library import library, library_scheme
from odenet.model.expressions.expr import Input, Node, State, Sum, derivative
from odenet.model.typed.decay import decay, right_hand_side, summands
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
        message = f"{scheme.name} needs second-order equations {takes(scheme)}"
        label = f"this is {name}', of first order"
        return Diagnostic("scheme-misfit", message, dynamics.rates[name].span, label=label)
    system = dynamics.system(order)
    found = _assign(list(system), {}, scheme, system)
    if found is None:
        return _misfit(scheme, system, span)
    return {name: tuple(s for s in system if found[s] == name) for name in scheme.equations}


def takers(dynamics: Dynamics, span: Span) -> list[Scheme]:
    """The schemes of the library that take some equations."""
    schemes = map(library_scheme, library())
    return [s for s in schemes if not isinstance(fit(s, dynamics, span), Diagnostic)]


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
    scheme: Scheme,
    system: Mapping[State, Node],
) -> dict[State, str] | None:
    """The first assignment that fits, by trying the unknowns in order."""
    if len(chosen) == len(states):
        return chosen if len(set(chosen.values())) == len(scheme.equations) else None
    state = states[len(chosen)]
    for variable in scheme.equations:
        trial = chosen | {state: variable}
        if not _violations(trial, scheme, system):
            found = _assign(states, trial, scheme, system)
            if found is not None:
                return found
    return None


def _violations(
    chosen: Mapping[State, str], scheme: Scheme, system: Mapping[State, Node]
) -> list[tuple[State, Node, Pattern]]:
    """States read that the pattern does not let be read: (reader, place, pattern)."""
    found: list[tuple[State, Node, Pattern]] = []
    for state, variable in chosen.items():
        for pattern in scheme.equations[variable]:
            rate = system[state]
            if pattern.part and summands(rate, pattern.part[1]) is None:
                found.append((state, rate, pattern))
                break
            if pattern.decay and not _decays_alike(state, chosen, pattern, system):
                found.append((state, rate, pattern))
            for other, place in reads(right_hand_side(rate, state, pattern)).items():
                unread = other in chosen and chosen[other] not in pattern.reads
                if unread or other not in system:
                    found.append((state, place, pattern))
    return found


def _decays_alike(
    state: State, chosen: Mapping[State, str], pattern: Pattern, system: Mapping[State, Node]
) -> bool:
    """Whether an equation has the pattern's decay, the same as the others in its group."""
    own = decay(system[state], state, pattern)
    group = [other for other in chosen if chosen[other] == pattern.variable]
    return own is not None and all(decay(system[s], s, pattern) == own for s in group)


def _misfit(scheme: Scheme, system: Mapping[State, Node], span: Span) -> Diagnostic:
    """The dynamics do not fit: the first thing that is read and should not be."""
    states = list(system)
    variables = list(scheme.equations)
    if len(states) < len(variables):
        message = f"{scheme.name} needs {len(variables)} groups of states, but there is 1 state"
        return Diagnostic("scheme-misfit", message, span, label=f"takes {takes(scheme)}")
    chosen = {s: variables[min(i, len(variables) - 1)] for i, s in enumerate(states)}
    violations = _violations(chosen, scheme, system)
    if violations and _is_undivided(violations[0], system):
        state, _, pattern = violations[0]
        return _undivided(scheme, system[state], state, pattern)
    if not violations or len(states) > len(variables) or scheme.decays:
        message = f"{scheme.name} takes {takes(scheme)}, and these equations cannot be grouped so"
        return Diagnostic("scheme-misfit", message, span)
    state, place, pattern = violations[0]
    allowed = [s for s in states if chosen[s] in pattern.reads]
    wrong = next(iter(reads(place)))
    swap = [s for s in allowed if s != wrong and s.order == wrong.order]
    needs = f"{scheme.name} needs {derivative(state.written, pattern.order)} to read only "
    message = f"{needs}{' and '.join(s.written for s in allowed)}, but it reads {wrong.written}"
    help_ = f"swap {wrong.written} for {swap[0].written}" if swap else ""
    label = f"{wrong.written} is read here"
    return Diagnostic("scheme-misfit", message, place.span, help_, label=label)


def _is_undivided(violation: tuple[State, Node, Pattern], system: Mapping[State, Node]) -> bool:
    """Whether an equation does not fit for not being a sum."""
    state, _, pattern = violation
    return pattern.part is not None and summands(system[state], pattern.part[1]) is None


def _undivided(scheme: Scheme, rate: Node, state: State, pattern: Pattern) -> Diagnostic:
    """An equation is not a sum of as many terms as the scheme takes."""
    assert pattern.part is not None
    given = len(rate.terms) if isinstance(rate, Sum) else 1
    terms = "not a sum" if given == 1 else f"a sum of {given} terms"
    names = [scheme.spellings[p.function] for p in scheme.equations[pattern.variable]]
    given_ = f"{derivative(state.written, pattern.order)} is {terms}"
    parts = " + ".join(["( … )"] * pattern.part[1])
    help_ = f"write {parts}, in this order for {' and '.join(names)}"
    message = f"{scheme.name} takes {takes(scheme)}, and {given_}"
    return Diagnostic("scheme-misfit", message, rate.span, help_)


def shape(scheme: Scheme) -> str:
    """The `for` line of a scheme in the letters Y, Z and F, G, so that equal ones are equal."""
    names = _letters(scheme.equations, "YZ", "Y")
    names |= _letters((p.function for p in scheme.patterns), "FG", "F")
    names |= dict.fromkeys(scheme.decays, "γ")
    return Notation(Language(names)).for_line(scheme)


def _letters(names: Iterable[str], few: str, many: str) -> dict[str, str]:
    """A letter for each name; where there are more names than letters, one with numbers."""
    listed = list(names)
    short = len(listed) <= len(few)
    return {n: few[i] if short else f"{many}{i + 1}" for i, n in enumerate(listed)}


def takes(scheme: Scheme) -> str:
    """The `for` line of a scheme."""
    return Notation(Language(scheme.spellings)).for_line(scheme)
