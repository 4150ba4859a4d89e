"""How much of each sample's neighbourhood survives from one feature space to another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.geometry.neighbours import knn_overlap
from analysis.records import record
from analysis.request import Report, Request, Step, silent


@record
@dataclass(frozen=True, eq=False)
class Overlap:
    """Share of each sample's `k` nearest neighbours that both spaces agree on: (N,) in 0..1."""

    values: np.ndarray
    k: int


@dataclass(frozen=True, eq=False)
class NeighbourOverlap(Request[Overlap]):
    """Compare the neighbourhoods of the same samples in two feature spaces, (N, D) and (N, E)."""

    before: np.ndarray
    after: np.ndarray
    k: int = 10

    @property
    def title(self) -> str:
        return f"Neighbours kept by {len(self.before):,} images"

    def __call__(self, report: Report = silent) -> Overlap:
        report(Step(0, 1, self.title))
        k = min(self.k, len(self.before) - 1)
        values = knn_overlap(self.before, self.after, k)
        report(Step(1, 1, self.title))
        return Overlap(values, k)
