"""The search for weights and inputs whose Jacobian contradicts a statement about the spectrum."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Literal

import numpy as np
from numpy import ndarray

from odenet.analyse.certificate import Certificate
from odenet.analyse.counterexample import Witness
from odenet.analyse.decide import TRIALS
from odenet.analyse.jacobian import CannotEvaluate, jacobian
from odenet.analyse.sampling import Point, Size, draw, sizes, tensors
from odenet.model.typed.frozen_time import freeze_time
from odenet.model.typed.program import Model

Against = Literal["stable", "imaginary", "real"]

SHORT = 100  # nodes of the equations; longer ones get fewer starts, so as to take as long
MOST_DRAWN = 1_000_000  # numbers in a point
MOST_READ = 1000  # entries of a field that an operator reads
CLEAR = 0.05  # a find this far off, relative to ‖J‖, is reported as it is
CLIMB = 40  # steps of hill climbing from a start that is not clear
FOUND = 1e-3  # the least relative distance that counts as a find
NOISE = 1e-3  # a Jacobian this small convinces nobody: weights are of size 1
ROUNDING = 1e6 * np.finfo(float).eps  # an eigenvalue is known up to its condition times this


@dataclass(frozen=True)
class Look:
    """An eigenvalue, and how far it is for certain from where it should be, relative to ‖J‖."""

    excess: float
    eigenvalue: complex


_EXCESS: dict[Against, Callable[[ndarray], ndarray]] = {
    "stable": np.real,
    "imaginary": lambda values: np.abs(np.real(values)),
    "real": lambda values: np.maximum(np.abs(np.imag(values)), np.real(values)),
}


def search_witness(
    model: Model, trials: int = TRIALS, seed: int = 0, against: Against = "stable"
) -> Witness | None:
    """A Jacobian with an eigenvalue where a verdict would not have it.

    Random weights, states and inputs at small sizes, each start improved by hill climbing.

    Args:
        model: the typed program.
        trials: how many starts.
        seed: of all random numbers; trial i depends on (seed, i) alone.
        against: the verdict to contradict.

    Returns:
        The first clear find, or None. The same arguments give the same witness.

    Raises:
        CannotEvaluate: the formulas have a piece without a numerical model.
    """
    model = freeze_time(model)
    available = sizes(model)
    for trial in range(trials):
        size = available[trial % len(available)]
        found = _climb(model, size, np.random.default_rng([seed, trial]), against)
        if found is not None:
            return _witness(model, *found, size, seed, trial)
    return None


def searched(
    certificate: Certificate, model: Model, trials: int, seed: int, against: Against = "stable"
) -> Certificate:
    """A certificate after a search for a counterexample: refuted by it, or as open as before."""
    size = sum(1 for rate in model.dynamics.rates.values() for _ in rate.walk())
    trials = trials * SHORT // max(SHORT, size)
    if not trials:
        return replace(certificate, unsearched="the equations are too long")
    try:
        _require_small(model)
        witness = search_witness(model, trials, seed, against)
    except CannotEvaluate as error:
        return replace(certificate, unsearched=str(error))
    if witness is None:
        return replace(certificate, trials=trials)
    return replace(certificate, verdict="refuted", witness=witness, trials=witness.trial + 1)


def _require_small(model: Model) -> None:
    """Raise CannotEvaluate where even the smallest weights are more than a search can draw."""
    size = sizes(model)[0]
    drawn = tensors(model, size).values()
    read = max((size.count(p.width_in) for p in model.parameters.values()), default=1)
    if sum(prod(t.shape) for t in drawn) > MOST_DRAWN or read * size.cells > MOST_READ:
        raise CannotEvaluate("its weights are too many to draw")


def _climb(
    model: Model, size: Size, rng: np.random.Generator, against: Against
) -> tuple[Point, complex] | None:
    """A find from one random start."""
    point = draw(model, size, rng)
    best = worst_eigenvalue(jacobian(model, point, size), against)
    step = 0.3
    for _ in range(CLIMB):
        if best.excess > CLEAR:
            break
        trial = point.moved(rng, step)
        look = worst_eigenvalue(jacobian(model, trial, size), against)
        if look.excess > best.excess:
            point, best = trial, look
            step *= 1.5
        else:
            step *= 0.9
    return (point, best.eigenvalue) if best.excess > FOUND else None


def worst_eigenvalue(matrix: ndarray, against: Against) -> Look:
    """The worst eigenvalue that rounding cannot explain."""
    if not np.isfinite(matrix).all():
        return Look(0.0, 0j)
    norm = np.linalg.norm(matrix, 2)
    if norm < NOISE:
        return Look(0.0, 0j)
    values, right = np.linalg.eig(matrix)
    excess = _EXCESS[against](values)
    worst = int(np.argmax(excess))
    if excess[worst] <= FOUND * norm:
        return Look(max(excess[worst] / norm, -1.0), complex(values[worst]))
    uncertainty = ROUNDING * norm * _condition(matrix, values, right, worst)
    return Look((excess[worst] - uncertainty) / norm, complex(values[worst]))


def _condition(matrix: ndarray, values: ndarray, right: ndarray, index: int) -> float:
    """The condition of a simple eigenvalue: 1 / |yᴴ x| for unit left and right eigenvectors."""
    others, left = np.linalg.eig(matrix.conj().T)
    y = left[:, np.argmin(np.abs(others - values[index].conjugate()))]
    overlap = abs(np.vdot(y, right[:, index]))
    return 1 / overlap if overlap > 0 else np.inf


def _witness(
    model: Model, point: Point, eigenvalue: complex, size: Size, seed: int, trial: int
) -> Witness:
    names = [s.written for s in model.dynamics.system(1)]
    values = point.state.reshape(len(names), size.channels, *size.space)
    return Witness(
        eigenvalue=eigenvalue,
        seed=seed,
        trial=trial,
        channels=size.channels,
        space=size.space,
        weights=point.weights,
        state=dict(zip(names, values, strict=True)),
        input=point.input.reshape(-1, *size.space),
    )
