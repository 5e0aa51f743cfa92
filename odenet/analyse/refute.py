"""Searches for weights and inputs whose Jacobian refutes a claim about the spectrum."""

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
from odenet.analyse.sampling import Point, StateSize, draw_point, parameter_tensors, state_sizes
from odenet.model.typed.frozen_time import freeze_time
from odenet.model.typed.program import Model

SpectrumClaim = Literal["stable", "imaginary", "real"]

FULL_SEARCH_NODES = 100  # nodes of all formulas; with more there are fewer starts, for equal time
MAX_RANDOM_NUMBERS = 1_000_000  # in all weights together
MAX_OPERATOR_INPUT = 1000  # entries of a feature map that an operator is applied to
CLEAR_EXCESS = 0.05  # relative to ‖J‖: a larger one ends the hill climbing
MAX_CLIMB_STEPS = 40  # of hill climbing from one random start
LEAST_EXCESS = 1e-3  # relative to ‖J‖: the least that counts as a counterexample
LEAST_NORM = 1e-3  # of a Jacobian: below it, with weights of size 1, it counts as zero
ROUNDING = 1e6 * np.finfo(float).eps  # error of an eigenvalue / (its condition number · ‖J‖)


@dataclass(frozen=True)
class EigenvalueExcess:
    """An eigenvalue, and how far it is outside the set where the claim says that all lie.

    Args:
        excess: the distance relative to ‖J‖; at most 0 inside. Above LEAST_EXCESS a bound of its
            rounding error is subtracted.
            0 for a J that is not finite, or so small that it counts as zero (LEAST_NORM).
        eigenvalue: the eigenvalue.
    """

    excess: float
    eigenvalue: complex


# claim -> the distance of each eigenvalue from the claimed set; it may be negative inside
_DISTANCE: dict[SpectrumClaim, Callable[[ndarray], ndarray]] = {
    "stable": np.real,
    "imaginary": lambda values: np.abs(np.real(values)),
    # real and at most 0
    "real": lambda values: np.maximum(np.abs(np.imag(values)), np.real(values)),
}


def search_witness(
    model: Model, trials: int = TRIALS, seed: int = 0, against: SpectrumClaim = "stable"
) -> Witness | None:
    """Weights, a state and an input at which an eigenvalue of the Jacobian refutes a claim.

    They are found by hill climbing from random ones of small sizes.

    Args:
        model: the typed program.
        trials: number of random starts.
        seed: for all random numbers; trial i depends on (seed, i) only.
        against: the claim to refute.

    Returns:
        The first counterexample, or None. It depends on the arguments only.

    Raises:
        CannotEvaluate: the formulas contain an operation that is not implemented on numpy arrays.
    """
    model = freeze_time(model)
    available = state_sizes(model)
    for trial in range(trials):
        size = available[trial % len(available)]
        contradiction = _hill_climb(model, size, np.random.default_rng([seed, trial]), against)
        if contradiction is not None:
            return _witness(model, *contradiction, size, seed, trial)
    return None


def search_counterexample(
    certificate: Certificate,
    model: Model,
    trials: int,
    seed: int,
    against: SpectrumClaim = "stable",
) -> Certificate:
    """The certificate after a search for a counterexample: "refuted" if one was found.

    The arguments are those of `search_witness`; long equations get fewer trials.
    """
    node_count = sum(1 for rate in model.dynamics.rates.values() for _ in rate.walk())
    trials = trials * FULL_SEARCH_NODES // max(FULL_SEARCH_NODES, node_count)
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
    """Raise CannotEvaluate if even the smallest weights are too large for the search."""
    size = state_sizes(model)[0]
    numbers = sum(prod(t.shape) for t in parameter_tensors(model, size).values())
    widths = (size.channels_of(p.width_in) for p in model.parameters.values())
    operator_input = max(widths, default=1) * size.grid_points
    if numbers > MAX_RANDOM_NUMBERS or operator_input > MAX_OPERATOR_INPUT:
        raise CannotEvaluate("its weights are too many to draw")


def _hill_climb(
    model: Model, size: StateSize, rng: np.random.Generator, against: SpectrumClaim
) -> tuple[Point, complex] | None:
    """A point and an eigenvalue there that refutes the claim, from one random start; or None."""
    point = draw_point(model, size, rng)
    best = worst_eigenvalue(jacobian(model, point, size), against)
    step = 0.3  # longer after each success, shorter after each failure
    for _ in range(MAX_CLIMB_STEPS):
        if best.excess > CLEAR_EXCESS:
            break
        neighbour = point.perturbed(rng, step)
        candidate = worst_eigenvalue(jacobian(model, neighbour, size), against)
        if candidate.excess > best.excess:
            point, best = neighbour, candidate
            step *= 1.5
        else:
            step *= 0.9
    return (point, best.eigenvalue) if best.excess > LEAST_EXCESS else None


def worst_eigenvalue(matrix: ndarray, against: SpectrumClaim) -> EigenvalueExcess:
    """The eigenvalue of a matrix that is farthest outside the set of the claim `against`."""
    if not np.isfinite(matrix).all():
        return EigenvalueExcess(0.0, 0j)
    norm = np.linalg.norm(matrix, 2)
    if norm < LEAST_NORM:
        return EigenvalueExcess(0.0, 0j)
    values, right_vectors = np.linalg.eig(matrix)
    distances = _DISTANCE[against](values)
    worst = int(np.argmax(distances))
    if distances[worst] <= LEAST_EXCESS * norm:
        return EigenvalueExcess(max(distances[worst] / norm, -1.0), complex(values[worst]))
    uncertainty = ROUNDING * norm * _eigenvalue_condition(matrix, values, right_vectors, worst)
    return EigenvalueExcess((distances[worst] - uncertainty) / norm, complex(values[worst]))


def _eigenvalue_condition(matrix: ndarray, values: ndarray, vectors: ndarray, index: int) -> float:
    """The condition number of a simple eigenvalue: 1 / |yᴴ x| for unit eigenvectors y and x."""
    left_values, left_vectors = np.linalg.eig(matrix.conj().T)
    y = left_vectors[:, np.argmin(np.abs(left_values - values[index].conjugate()))]
    overlap = abs(np.vdot(y, vectors[:, index]))
    return 1 / overlap if overlap > 0 else np.inf


def _witness(
    model: Model, point: Point, eigenvalue: complex, size: StateSize, seed: int, trial: int
) -> Witness:
    names = [s.text for s in model.dynamics.system(order=1)]
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
