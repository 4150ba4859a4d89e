"""0/1 knapsack: which units to keep when each has a value and a cost and the costs are bounded.

values 60, 100, 120   costs 10, 20, 30   capacity 50
greedy, by value/cost:  60 + 100        = 160   (the third does not fit any more)
exact:                      100 + 120   = 220
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from analysis.errors import ArgumentError

MOST_CELLS = 200_000_000
"""Units × capacity of the exact table: one byte each."""


def greedy(values: np.ndarray, costs: np.ndarray, capacity: float) -> np.ndarray:
    """Take units by value per cost, highest first, skipping those that no longer fit.

    Ties go by position; the capacity is never exceeded. The default of Aflalo et al., Knapsack
    Pruning with Inner Distillation.

    Parameters
    ----------
    values, costs: float64, N, not negative.
    capacity: what the costs of the units kept may add up to.

    Returns
    -------
    bool, N; True = kept.
    """
    values, costs = _checked(values, costs)
    free = costs == 0
    with np.errstate(divide="ignore", invalid="ignore"):
        density = np.where(free, np.inf, values / costs)
    order = np.argsort(-density, kind="stable")
    kept = np.zeros(len(values), dtype=bool)
    left = float(capacity)
    while order.size:
        # What costs more than is left now costs more than is left later: gone for good.
        order = order[costs[order] <= left]
        spent = np.cumsum(costs[order])
        fitting = int(np.searchsorted(spent, left, side="right"))
        if fitting == 0:
            break
        kept[order[:fitting]] = True
        left -= float(spent[fitting - 1])
        order = order[fitting:]
    return kept


def exact(values: np.ndarray, costs: Sequence[int], capacity: int) -> np.ndarray:
    """The most valuable choice, by dynamic programming after dividing costs by their gcd.

    Parameters
    ----------
    values: float64, N, not negative.
    costs: whole numbers, not negative.
    capacity: whole number, not negative.

    Returns
    -------
    bool, N; True = kept. Among equal values, later units are kept rather than earlier ones.

    Raises
    ------
    ArgumentError: the table would have more than `MOST_CELLS` cells.
    """
    values, _ = _checked(values, np.asarray(costs, dtype=np.float64))
    unit = math.gcd(*map(int, costs)) or 1
    sizes = [int(cost) // unit for cost in costs]
    room = min(int(capacity) // unit, sum(sizes))
    cells = len(sizes) * (room + 1)
    if cells > MOST_CELLS:
        raise ArgumentError(
            f"the exact knapsack would need a table of {len(sizes):,} units × {room + 1:,} costs, "
            f"{cells / MOST_CELLS:.0f} times what is allowed: choose the greedy solution or "
            "larger units (filters, not weights)"
        )
    best = np.zeros(room + 1)
    taken = np.zeros((len(sizes), room + 1), dtype=bool)
    for i, size in enumerate(sizes):
        if size > room:
            continue
        with_it = best[: room + 1 - size] + values[i]
        taken[i, size:] = with_it >= best[size:]
        best[size:] = np.maximum(with_it, best[size:])
    kept = np.zeros(len(sizes), dtype=bool)
    for i in reversed(range(len(sizes))):
        if taken[i, room]:
            kept[i] = True
            room -= sizes[i]
    return kept


def _checked(values: np.ndarray, costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, costs = np.asarray(values, np.float64), np.asarray(costs, np.float64)
    if values.shape != costs.shape or values.ndim != 1:
        raise ValueError(f"{values.shape} values do not fit {costs.shape} costs")
    if values.size and (values.min() < 0 or costs.min() < 0):
        raise ArgumentError("the knapsack adds values and costs up: none may be negative")
    return values, costs
