"""The schemes of the library that one could discretise given equations with."""

from dataclasses import dataclass

from odenet.analyse.advice import _facts, _limit, _needed
from odenet.analyse.certificate import Certificate
from odenet.diagnostics import Diagnostic
from odenet.model.fit import fit
from odenet.model.program import Model
from odenet.model.scheme import Scheme
from odenet.model.schemes import library, library_scheme

LONGEST = 7  # lines of a scheme that is looked at: longer ones are slow to derive
STEP = "h = 0.1"


@dataclass(frozen=True)
class FittingScheme:
    """A scheme of the library that takes some equations.

    Args:
        name: of the scheme.
        reversible: whether its steps have an inverse.
        limits: the step sizes that are stable on the proved spectrum, such as `hω < 2`; empty
            where nothing is proved.
        line: what to write for it, such as `discretise verlet(h = 0.1)`.
    """

    name: str
    reversible: bool
    limits: str
    line: str

    @property
    def facts(self) -> str:
        """What speaks for it, in words."""
        word = "reversible" if self.reversible else "not reversible"
        return f"{word}, stable for {self.limits}" if self.limits else word


def fitting_schemes(model: Model, certificate: Certificate) -> list[FittingScheme]:
    """The schemes that take these equations and are stable for short steps on a proved spectrum.

    Reversible ones come first, then those that allow longer steps. Where nothing is proved about
    the spectrum, all that take the equations.
    """
    found: list[tuple[bool, float, FittingScheme]] = []
    for name in library():
        scheme = library_scheme(name)
        taken = fit(scheme, model.dynamics, scheme.span)
        if isinstance(taken, Diagnostic) or len(scheme.updates) > LONGEST:
            continue
        reversible, stability = _facts(name)
        axes = []
        if certificate.proved and not certificate.vanishing:
            if isinstance(stability, str):
                continue
            axes = _needed(stability, certificate)
        if all(axis.limit for axis in axes):
            limits = " and ".join(_limit(axis) for axis in axes)
            shortest = min((axis.limit for axis in axes), default=0.0)
            fits = FittingScheme(name, reversible, limits, _line(scheme))
            found.append((not reversible, -shortest, fits))
    return [fits for *_, fits in sorted(found, key=lambda item: (*item[:2], item[2].name))]


def _line(scheme: Scheme) -> str:
    """The line that uses a scheme, its constants at their defaults."""
    spelled = scheme.spellings
    constants = [STEP] if scheme.uses_step_size else []
    constants += [
        f"{spelled.get(name, name)} = {getattr(default, 'text', '…')}"
        for name, default in scheme.constants
    ]
    return f"discretise {scheme.name}({', '.join(constants)})"
