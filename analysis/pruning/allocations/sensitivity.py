"""By sensitivity: measured curves of damage over sparsity say which layer gives how much."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field
from torch import Tensor

from analysis.models import Model
from analysis.pruning.context import PruningContext
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.counting import apportion, bounded, exact_count
from analysis.pruning.damage import SPARSITIES, loss_damage, output_damage
from analysis.pruning.inputs import never_called
from analysis.pruning.part import Need, part
from analysis.pruning.parts import Allocation, LayerUnits, remove_counts


@part
class BySensitivity(Allocation):
    """Measure what each layer's pruning alone does at ten sparsities, and share accordingly.

    "least damage": the counts that minimise the sum of all layers' damage under the budget, on
    the lower convex hulls of the curves (where the steepest-first greedy choice is the optimum).

    "luc", the map of Edge-LLM (Yu et al., layer-wise unified compression): a layer's damage,
    averaged over the sparsities and scaled to 0...1 over the layers, is ŝ; its sparsity goes in
    proportion to 1 - ŝ. The total is then made exact.

    Up to 99 % of a layer is spent before any layer has to give more. Curves are those of the
    criterion's scores, so the share of a layer depends on them.
    """

    name: ClassVar[str] = "sensitivity"
    title: ClassVar[str] = "By sensitivity, measured"
    paper: ClassVar[str] = "Yu et al. 2024, arXiv:2406.15758"
    needs: ClassVar[frozenset[Need]] = frozenset({"calibration"})

    measure: Literal["output error", "loss increase"] = Field(
        default="output error",
        title="Damage",
        description="Relative squared error of the layer's own output (one pass), or growth of "
        "the loss of the whole network (ten passes a layer; needs labels).",
    )
    share: Literal["least damage", "luc"] = Field(
        default="least damage",
        title="Shared by",
        description="Least sum of damages, or in proportion to one minus the scaled damage.",
    )

    def inapplicable(self, model: Model) -> str:
        return never_called(model) if self.measure == "output error" else ""

    def cost(self, job: JobSize) -> Cost:
        points = len(SPARSITIES)
        if self.measure == "output error":
            extra = float(points * job.images * job.macs_per_image)
            return Cost(forward=job.images, macs=extra, memory=5 * job.parameters)
        passes = points * len(job.layers) + 1
        return Cost(forward=float(passes * job.images), memory=5 * job.parameters)

    def remove(
        self, context: PruningContext, units: Sequence[LayerUnits], sparsity: float
    ) -> list[Tensor]:
        damage = output_damage if self.measure == "output error" else loss_damage
        curves = damage(context, units)
        sizes = [unit.size for unit in units]
        budget = exact_count(sparsity, sum(sizes))
        most = [exact_count(SPARSITIES[-1], size) for size in sizes]
        inside = min(budget, sum(most))
        if self.share == "luc":
            counts = luc_counts(curves, sizes, most, inside)
        else:
            counts = least_damage_counts(curves, sizes, inside)
        return remove_counts(units, bounded(counts, [0] * len(sizes), sizes, budget))


def least_damage_counts(curves: np.ndarray, sizes: Sequence[int], budget: int) -> list[int]:
    """Counts that add up to the budget with the least Σ damage, on the curves' convex hulls.

    Parameters
    ----------
    curves: float64, layers × sparsities: damage at each of `SPARSITIES`; at 0 it is 0.
    sizes: units of each layer.
    budget: at most Σ round(highest sparsity × size).
    """
    pieces = []
    for index, (curve, size) in enumerate(zip(curves, sizes, strict=True)):
        counts = np.array([0, *(exact_count(s, size) for s in SPARSITIES)])
        damage = np.maximum.accumulate(np.array([0.0, *curve]))
        corners = convex_hull(counts, damage)
        for left, right in pairwise(corners):
            width = int(counts[right] - counts[left])
            slope = float(damage[right] - damage[left]) / width
            pieces.append((slope, index, width))
    found = [0] * len(sizes)
    for _, index, width in sorted(pieces):  # on a hull, a layer's own pieces are in order already
        taken = min(width, budget - sum(found))
        found[index] += taken
    return found


def convex_hull(x: np.ndarray, y: np.ndarray) -> list[int]:
    """Indices of the lower convex hull of points with x not falling; equal x: the first one."""
    hull: list[int] = []
    for i in range(len(x)):
        if hull and x[i] == x[hull[-1]]:
            continue
        while len(hull) > 1:
            a, b = hull[-2:]
            if (y[b] - y[a]) * (x[i] - x[a]) < (y[i] - y[a]) * (x[b] - x[a]):
                break
            hull.pop()
        hull.append(i)
    return hull


def luc_counts(
    curves: np.ndarray, sizes: Sequence[int], most: Sequence[int], budget: int
) -> list[int]:
    """Sparsity ∝ 1 - ŝ, ŝ the mean damage scaled to 0...1 over layers; clipped, total exact.

    Where the published formula clips a layer (here to `most`), the others take over the rest by
    the same proportion, and the layer with ŝ = 1, which would stay dense, only when they are full.
    """
    mean = curves.mean(axis=1)
    low, high = float(mean.min()), float(mean.max())
    share = np.ones(len(mean)) if high == low else 1 - (mean - low) / (high - low)
    wanted = np.asarray(sizes, dtype=np.float64) * share
    fixed = np.zeros(len(mean), dtype=bool)
    limits = np.asarray(most, dtype=np.float64)
    shares = np.zeros(len(mean))
    while (free := float(wanted[~fixed].sum())) > 0:
        shares = np.where(fixed, limits, wanted * (budget - limits[fixed].sum()) / free)
        over = shares > limits
        if not over.any():
            break
        fixed |= over
    shares = np.minimum(shares, limits)
    counts = apportion([float(share) for share in shares], round(float(shares.sum())))
    return bounded(counts, [0] * len(most), most, budget)
