"""Bounds from the learned operators of a flow: norms, stability, smoothness in time."""

from typing import Any

import torch
from torch import Tensor

from odenet.runtime.learned.constants import as_numbers, step_values
from odenet.runtime.learned.knots import Knotted
from odenet.runtime.learned.operator_norms import BatchedNorms, Directions, operator_norm
from odenet.runtime.passes.equations import Equations


class OperatorBounds(Equations):
    """The part of a flow that computes bounds from its operator norms.

    Attributes:
        steps: number of steps N.
    """

    _norms: BatchedNorms | None = None  # those of all steps, while `stability` computes them

    def __init__(self) -> None:
        super().__init__()
        self._directions: Directions = {}

    def smoothness(self) -> Tensor:
        """Σ_j h ||(K_{j+1} - K_j) / h||^2 over the operators (Chang et al. 2018, AAAI, Eq. 22).

        It approximates ∫ ||K'||² dt; for operators with knots it is that integral. As a penalty it
        makes K smooth in time: the smaller, the smoother.
        """
        roughnesses = (self._roughness(getattr(self, name)) for name in self.operators)
        return sum(roughnesses, start=torch.zeros(()))

    def _roughness(self, K: Tensor | Knotted) -> Tensor:
        h = self._step_size()
        if isinstance(K, Knotted):
            return K.roughness(h)
        if "h" not in self.varying:
            return K.diff(dim=0).square().sum() / h
        squares = K.diff(dim=0).square().flatten(1).sum(1)  # empty if all steps share K
        sizes = torch.stack(list(map(torch.as_tensor, step_values(h, self.steps))))[: len(squares)]
        return (squares / sizes.to(squares)).sum()

    def stability(self, iterations: int | None = None) -> Tensor:
        """For each step h ω / limit, from operator norms; below 1 the discrete flow is stable.

        Args:
            iterations: their number for each norm, from a fixed start; None continues from the
                last call until the norms have converged.

        Raises:
            ValueError: if no limit is known for this scheme on these dynamics.
        """
        if self.stability_limit is None:
            raise ValueError(f"no stability limit of h ω was derived for {type(self).__name__}")
        flow = self.shallow_copy()
        flow._norms = BatchedNorms(self._directions, iterations)
        for step in range(self.steps):
            flow.frequency_bound(step)
        flow._norms.compute()
        bounds = [torch.as_tensor(flow.frequency_bound(step)) for step in range(self.steps)]
        h = self._step_size()
        if "h" in self.varying:
            h = torch.as_tensor(as_numbers(h, self.steps)).to(bounds[0])
        return h * torch.stack(bounds) / self.stability_limit

    def norm(self, name: str, K: Tensor, step: int, **options: int) -> Tensor:
        """The norm of a step's operator, for ``frequency_bound`` of generated classes.

        Args:
            name: the name of the operator, by which its last direction is kept as the next start.
            K: its kernel or matrix in the step.
            step: the step.
            options: the options of `operator_norm`.
        """
        if self._norms is not None:
            return self._norms.read(name, K, step, options)
        norm, direction = operator_norm(K, self._directions.get((name, step)), **options)
        self._directions[name, step] = direction
        return norm

    def _step_size(self) -> Any:
        return getattr(self, "h", 1.0)
