"""The regression behind SWAP and CHITA: weights that keep what gradients predict.

    Q(w) = n/2 ⟨Π, C⟩ + n/2 λ ‖w - w̄‖²,   C_ij = (x_i - y_j)²,   x = G w,   y = G w̄

For a fixed plan Π with margins 1/n this is a ridge regression of the targets t = n Π y, up to a
constant: ½ ‖G w - t‖² + n/2 λ ‖w - w̄‖². There are far fewer rows than weights, so it is solved
in its dual, of the size of the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from analysis.pruning.transport import squared_cost

_COLUMNS = 1 << 18
"""Weights whose gradients are copied at a time."""


@dataclass(frozen=True, eq=False)
class Regression:
    """G, w̄ and λ.

    Attributes
    ----------
    gradients: (n, N), one row a sample; float32 or float64.
    dense: (N,), the weights w̄ before pruning.
    ridge: λ > 0, in the unit of a squared gradient.
    """

    gradients: Tensor
    dense: Tensor
    ridge: float

    @property
    def rows(self) -> int:
        return self.gradients.shape[0]

    @cached_property
    def outputs(self) -> Tensor:
        """y = G w̄, (n,)."""
        return self.predictions(self.dense)

    @cached_property
    def steepness(self) -> float:
        """Largest eigenvalue of GᵀG + n λ I: one over it is a step that never overshoots."""
        everything = torch.ones_like(self.dense, dtype=torch.bool)
        return float(torch.linalg.eigvalsh(self._products(everything))[-1]) + self._pull

    def predictions(self, weights: Tensor) -> Tensor:
        """x = G w, (n,)."""
        return self.gradients @ weights

    @cached_property
    def identity(self) -> Tensor:
        """Π = I / n, (n, n): every prediction held to its own target. float64."""
        like = self.outputs
        return torch.eye(self.rows, dtype=torch.float64, device=like.device) / self.rows

    def targets(self, plan: Tensor) -> Tensor:
        """t = n Π y, (n,), float64: what a fixed plan asks the predictions to be."""
        return self.rows * (plan @ self.outputs.double())

    def objective(self, weights: Tensor, plan: Tensor) -> float:
        """Q(w) for a plan, as it is defined."""
        cost = squared_cost(self.predictions(weights), self.outputs)
        moved = float((weights - self.dense).double().square().sum())
        return self.rows / 2 * (float((plan * cost).sum()) + self.ridge * moved)

    def slope(self, weights: Tensor, plan: Tensor) -> Tensor:
        """∂Q/∂w = Gᵀ (x - n Π y) + n λ (w - w̄), (N,)."""
        residual = self.predictions(weights) - self.targets(plan).to(weights)
        fitted: Tensor = residual @ self.gradients
        return fitted + self._pull * (weights - self.dense)

    def solve(self, keep: Tensor, plan: Tensor) -> Tensor:
        """The weights of least Q that are zero outside `keep`, (N,).

        w_S = w̄_S + G_Sᵀ a with (G_S G_Sᵀ + n λ I) a = t - G_S w̄_S.
        """
        start = self.dense * keep
        missing = self.targets(plan) - self.predictions(start).double()
        system = self._products(keep)
        system.diagonal().add_(self._pull)
        dual = torch.linalg.solve(system, missing)
        change: Tensor = dual.to(start) @ self.gradients
        return start + change * keep

    @property
    def _pull(self) -> float:
        return self.rows * self.ridge

    def _products(self, keep: Tensor) -> Tensor:
        """G_S G_Sᵀ, (n, n), float64."""
        total = torch.zeros(self.rows, self.rows, dtype=torch.float64, device=keep.device)
        for start in range(0, len(keep), _COLUMNS):
            some = slice(start, start + _COLUMNS)
            part = self.gradients[:, some] * keep[some]
            total += (part @ part.T).double()
        return total
