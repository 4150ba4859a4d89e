"""Knapsack: the budget is computation, not a number of units."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from analysis.errors import ArgumentError
from analysis.pruning import knapsack
from analysis.pruning.context import PruningContext
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.latency import WARM_UP, layer_timings
from analysis.pruning.macs import layer_macs
from analysis.pruning.part import part
from analysis.pruning.parts import Allocation, LayerUnits

NANOSECOND = 1e-9
STEPS = 10_000
"""Parts of the capacity that times are rounded up to, for the exact solution."""
REPEATS = 10
"""How often each layer is timed."""


@part
class Knapsack(Allocation):
    """Keep the units of the highest total score whose cost fits into what is left.

    Aflalo et al., Knapsack Pruning with Inner Distillation. Value = score of the unit, cost = the
    multiply-accumulates that it takes (or its part of the measured time of its layer), capacity =
    (1 - sparsity) × the cost of all units that take part. So "sparsity" is the share of
    computation saved, and how many units go follows from it. The capacity is never exceeded.

    A unit costs what its own layer spends on it, and what structures that couple layers add up
    for it; inputs that the next layer saves with it are not counted twice.

    The exact solution fills a table of units × capacity (costs divided by their greatest common
    divisor), so it is for filters and channels. Times are rounded up to 1/10000 of the capacity.
    """

    name: ClassVar[str] = "knapsack"
    title: ClassVar[str] = "Knapsack, budget of computation"
    paper: ClassVar[str] = "Aflalo et al. 2020, arXiv:2002.08258"
    exact: ClassVar[bool] = False

    resource: Literal["macs", "latency"] = Field(
        default="macs",
        title="Resource",
        description="What is saved: multiply-accumulates, or time as measured on this machine "
        "(then another run may choose otherwise).",
    )
    solution: Literal["greedy", "exact"] = Field(
        default="greedy",
        title="Solution",
        description="By value per cost, as published, or the best one by dynamic programming.",
    )
    min_keep: int = Field(
        default=1,
        ge=0,
        title="Kept in each layer at least",
        description="The best units of every layer stay whatever they cost, so that none dies.",
        json_schema_extra={"unit": "units"},
    )

    def cost(self, job: JobSize) -> Cost:
        if self.resource == "macs":
            return Cost()
        return Cost(forward=float(job.batch_size * (1 + WARM_UP + REPEATS)))

    def remove(
        self, context: PruningContext, units: Sequence[LayerUnits], sparsity: float
    ) -> list[Tensor]:
        prices = self._prices(context, units)
        values = [unit.scores.detach().double().cpu().reshape(-1).numpy() for unit in units]
        costs = np.repeat(prices, [unit.size for unit in units])
        scores = np.concatenate(values)
        there = ~np.isneginf(scores)
        if scores[there].size and scores[there].min() < 0:
            raise ArgumentError(
                "the knapsack adds scores up, and some are negative here: choose a criterion "
                "whose scores are not (magnitude, SNIP, Taylor)"
            )
        # By fractions: 0.1 of 1000 is 100, where 1000 × (1 - 0.9) is a little less.
        capacity = float(Fraction(float(costs.sum())) * (1 - Fraction(repr(sparsity))))
        kept = np.concatenate([_best(value, self.min_keep) for value in values])
        left = capacity - float(costs[kept].sum())
        if left < -1e-9 * capacity:
            raise ArgumentError(
                f"min_keep={self.min_keep} alone takes {costs[kept].sum() / costs.sum():.1%} of "
                f"the computation, more than the {1 - sparsity:.1%} that may stay: lower it or "
                "the sparsity"
            )
        open_ = np.flatnonzero(there & ~kept)
        chosen = self._solve(scores[open_], costs[open_], max(left, 0.0))
        kept[open_[chosen]] = True
        return _split(~kept, units)

    def _prices(self, context: PruningContext, units: Sequence[LayerUnits]) -> np.ndarray:
        """Cost of one unit of each layer: MACs for one image, or whole nanoseconds for a batch."""
        architecture, classes = context.model.architecture, context.model.num_classes
        if self.resource == "macs":
            macs = layer_macs(architecture, classes)
            found = [unit.macs or macs[unit.layer.name] / unit.size for unit in units]
            return np.array(found, dtype=np.float64)
        like = next(context.module.parameters())
        shape = (context.compute.batch_size, *architecture.input_shape)
        generator = torch.Generator().manual_seed(context.seed)
        images = torch.randn(shape, generator=generator).to(like)
        names = [unit.layer.name for unit in units]
        times = layer_timings(context.module, names, images, REPEATS)
        return np.array(
            [
                np.ceil(times[u.layer.name].median / u.size / NANOSECOND)
                if u.layer.name in times
                else 0.0
                for u in units
            ]
        )

    def _solve(self, values: np.ndarray, costs: np.ndarray, capacity: float) -> np.ndarray:
        if self.solution == "greedy":
            return knapsack.greedy(values, costs, capacity)
        if capacity == 0:
            return np.asarray(costs == 0)
        if np.array_equal(costs, np.rint(costs)) and self.resource == "macs":
            return knapsack.exact(values, [int(cost) for cost in costs], int(capacity))
        # Rounded up, so that what was rounded cannot exceed the capacity.
        steps = np.ceil(costs * (STEPS / capacity))
        return knapsack.exact(values, [int(step) for step in steps], STEPS)


def _best(scores: np.ndarray, count: int) -> np.ndarray:
    """The `count` highest of the scores that are still there, the last ones at ties."""
    kept = np.zeros(scores.size, dtype=bool)
    order = np.argsort(scores, kind="stable")[::-1][:count]
    kept[order[~np.isneginf(scores[order])]] = True
    return kept


def _split(removed: np.ndarray, units: Sequence[LayerUnits]) -> list[Tensor]:
    """One decision over all units, back in the shapes of their scores."""
    whole = torch.from_numpy(removed)
    parts = torch.split(whole, [unit.size for unit in units])
    return [
        found.reshape(unit.scores.shape).to(unit.scores.device)
        for found, unit in zip(parts, units, strict=True)
    ]
