"""Schemes as papers print them (`published/*.ode`), with the properties that the literature states.

Schemes of order 0 solve another equation, mostly one with a multiple of the right-hand side. The
order is None for schemes without a step size and those whose order is not derived.
"""

from dataclasses import dataclass
from pathlib import Path

from odenet.derive import inverse_lines
from odenet.diagnostics import Report, Source
from odenet.language import parse
from odenet.model.elaboration.spec_scope import SpecScope
from odenet.model.reading.scheme_table import SchemeTable
from odenet.model.typed.scheme import Scheme

FOLDER = Path(__file__).parent / "published"
TEXTS = "\n".join(path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.ode")))
NEVER = 0.0  # unstable for every h on that axis
NOT_STATED = None


@dataclass(frozen=True)
class Published:
    """The published properties of a scheme.

    Args:
        order: the order of accuracy; see above for 0 and None.
        reversible: whether a step has an explicit inverse.
        symmetric: whether a step with -h undoes it.
        imaginary: the largest stable hω.
        real: the largest stable hμ for λ = -μ.
    """

    order: int | None
    reversible: bool = False
    symmetric: bool = False
    imaginary: float | None = NOT_STATED
    real: float | None = NOT_STATED


REVERSIBLE = SYMMETRIC = True

PUBLISHED = {
    # compositions, all reversible
    "candy_rozmus": Published(4, REVERSIBLE, SYMMETRIC, imaginary=1.5734),
    "pefrl": Published(4, REVERSIBLE, SYMMETRIC, imaginary=2.98945),
    "mclachlan2": Published(2, REVERSIBLE, SYMMETRIC, imaginary=2.55315),
    "position_verlet": Published(2, REVERSIBLE, SYMMETRIC, imaginary=2),
    "symplectic_euler": Published(1, REVERSIBLE, imaginary=2),
    "symplectic_euler_full": Published(1),
    "newmark": Published(2, imaginary=2),
    "triple_jump": Published(4, REVERSIBLE, SYMMETRIC, imaginary=1.5734),
    "suzuki4": Published(4, REVERSIBLE, SYMMETRIC),
    "strang_verlet": Published(2, REVERSIBLE, SYMMETRIC, imaginary=2),
    "reformer": Published(None, REVERSIBLE),
    "scaled_coupling": Published(0, REVERSIBLE),
    "staggered": Published(2, REVERSIBLE, SYMMETRIC),
    # multistep
    "adams_bashforth3": Published(3, imaginary=12 * 11**0.5 / 55, real=6 / 11),
    "adams_bashforth4": Published(4, imaginary=0.43, real=0.3),
    "nystrom3": Published(3, imaginary=NEVER, real=NEVER),
    "robert_asselin": Published(1, imaginary=(0.9 / 1.1) ** 0.5, real=0.2 / 1.1),
    "leapfrog_trapezoid": Published(2, imaginary=2**0.5),
    "extrapolated_bdf2": Published(2, real=4 / 3),
    "sspms43": Published(3, real=8 / 9),
    "milne": Published(4, REVERSIBLE, SYMMETRIC, imaginary=3**0.5 / 4),
    "midpoint_in_aux": Published(2, REVERSIBLE, SYMMETRIC, imaginary=1, real=NEVER),
    # one-step
    "gragg": Published(2, real=3.0874),
    "three_eighths": Published(4, imaginary=2 * 2**0.5, real=2.78529),
    "ssprk3": Published(3, imaginary=3**0.5, real=2.51275),
    "ralston2": Published(2, imaginary=NEVER, real=2),
    "runge2": Published(2, imaginary=NEVER, real=2),
    "rkc3": Published(1, real=18),
    "rkl3": Published(1, real=12),
    "ees25": Published(2, imaginary=NEVER),
    # couplings of one-step schemes
    "coupled_midpoint": Published(2, REVERSIBLE),
    "coupled_bosh3": Published(3, REVERSIBLE),
    "coupled_dopri5": Published(5, REVERSIBLE),
    # networks and optimisation
    "heavy_ball_of_polyak": Published(0, REVERSIBLE, real=3),
    "averaged_velocity": Published(1, REVERSIBLE),
    "nesterov": Published(0, real=3 / 2),
    "nesterov_1983": Published(None),
    "vanishing_friction": Published(None, REVERSIBLE),
    "rescaled": Published(0, REVERSIBLE),
    "lm_resnet": Published(0, REVERSIBLE),
    "bdia": Published(1, REVERSIBLE),
    "dr2net": Published(0, REVERSIBLE),
    "revcol": Published(0, REVERSIBLE),
    "damped_alf": Published(1, REVERSIBLE),
    # exponential
    "etd1": Published(1),
    "etd2": Published(2),
    "etd2rk": Published(2),
    "etd4rk": Published(4),
    "lawson_euler": Published(1),
    "lawson4": Published(4),
    "lawson_midpoint": Published(2, REVERSIBLE, SYMMETRIC),
    "rex_euler": Published(None, REVERSIBLE),
    # splittings
    "lie_splitting": Published(1),
    "heun_of_both": Published(1),
    "strang_splitting": Published(2),
    "lagged_diffusion": Published(1),
    "bashforth_and_euler": Published(1),
    "additive_rk2": Published(2),
    "split_midpoint": Published(2, REVERSIBLE, SYMMETRIC),
}


def _schemes() -> dict[str, Scheme]:
    report = Report()
    file = parse(Source("published", TEXTS), report)
    table = SchemeTable([file], SpecScope(report), inverse_lines)
    report.raise_if_errors()
    return table.defined_schemes()


LITERATURE = _schemes()  # by name, the schemes that PUBLISHED is about
