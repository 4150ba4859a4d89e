"""Optimal transport between two small sets of numbers of equal weight.

A plan Π (n, n) says how much of x_i goes to y_j; its rows and columns add up to 1/n each. Cost is
(x_i - y_j)². `exact_plan` minimises ⟨Π, C⟩: on a line that is sorted to sorted. `sinkhorn`
minimises ⟨Π, C⟩ - ε H(Π), which spreads each x over several y; for ε → ∞ over all of them alike.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

MARGINALS = 1e-9
"""How far a row may be from 1/n, relative to it, when the iteration ends."""
_CHECK = 10
"""Iterations between two looks at the margins."""


def transport_plan(x: Tensor, y: Tensor, epsilon: float) -> Tensor:
    """The plan between x and y, (n,) each: exact for epsilon 0, else entropic. float64.

    Raises ValueError when the sizes differ, or epsilon is negative.
    """
    if x.ndim != 1 or x.shape != y.shape or not len(x):
        shapes = f"{tuple(x.shape)} and {tuple(y.shape)}"
        raise ValueError(f"a plan joins equally many numbers, not {shapes}")
    if epsilon < 0:
        raise ValueError(f"epsilon is a weight of the entropy, at least 0, not {epsilon:g}")
    return exact_plan(x, y) if epsilon == 0 else sinkhorn(squared_cost(x, y), epsilon)


def squared_cost(x: Tensor, y: Tensor) -> Tensor:
    """(x_i - y_j)², float64."""
    return (x.double().unsqueeze(1) - y.double()).square()


def exact_plan(x: Tensor, y: Tensor) -> Tensor:
    """Sorted to sorted: optimal for every convex cost of x - y (Villani 2003, section 2.2).

    Ties go by position, so that x = y gives the identity over n.
    """
    plan = torch.zeros(len(x), len(y), dtype=torch.float64, device=x.device)
    rows, columns = (values.sort(stable=True).indices for values in (x, y))
    plan[rows, columns] = 1 / len(x)
    return plan


def sinkhorn(cost: Tensor, epsilon: float, most: int = 1000) -> Tensor:
    """Plan of least ⟨Π, C⟩ - ε H(Π), uniform margins, by Sinkhorn's iteration on logarithms.

    Cuturi 2013 (arXiv:1306.0895), stabilised as in Peyré and Cuturi, Computational Optimal
    Transport (section 4.4). It ends when the margins are right to `MARGINALS`, or after `most`
    iterations; what they lack then is made good, so that they are uniform in any case.

    Parameters
    ----------
    cost: (n, n). epsilon: > 0, in the unit of the cost.
    """
    size = len(cost)
    scaled = -cost.double() / epsilon
    share = -math.log(size)
    columns = torch.zeros(size, dtype=torch.float64, device=cost.device)
    for iteration in range(most):
        rows = share - torch.logsumexp(scaled + columns, dim=1)
        columns = share - torch.logsumexp(scaled + rows.unsqueeze(1), dim=0)
        if iteration % _CHECK == 0:
            margins = torch.logsumexp(scaled + columns, dim=1) + rows
            if float((margins - share).abs().max()) <= MARGINALS:
                break
    return _rounded((scaled + rows.unsqueeze(1) + columns).exp())


def _rounded(plan: Tensor) -> Tensor:
    """The nearest plan with uniform margins, by Altschuler et al. 2017 (arXiv:1705.09634, alg. 2).

    Rows and columns that have too much are scaled down; what is missing is added as a product.
    """
    share = 1 / len(plan)
    plan = plan * (share / plan.sum(dim=1, keepdim=True)).clamp(max=1)
    plan = plan * (share / plan.sum(dim=0, keepdim=True)).clamp(max=1)
    rows, columns = ((share - plan.sum(dim=dim)).clamp(min=0) for dim in (1, 0))
    missing = rows.sum()
    return plan if float(missing) == 0 else plan + torch.outer(rows, columns) / missing
