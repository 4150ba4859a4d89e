"""What a search for neuron paths found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.records import record


@record
@dataclass(frozen=True, eq=False)
class PathResult:
    """Influential units of every path layer, and one path a sample.

    In a partial result `layers` (and all that is per layer) end at the layers searched so far,
    and `jig`, `jas` and `delta` are empty.

    Attributes
    ----------
    layers: names of the path layers, in forward order.
    units: int64 S,L, the unit of each sample's path in each layer.
    class_path: int64 L, the most frequent unit of each layer (the lowest one at ties).
    frequency: float64 L, the share of the samples whose path takes it.
    scores: per layer float64 U, mean over the samples of every unit's score as a candidate.
    silent: per layer bool U, whether a unit says nothing: constant (for a ReLU: dead) over the
        samples and 64 more images spread over the data, positions included. A unit that pruning
        cut off from its inputs is silent.
    jig: float64 S, joint integrated gradients of the whole path, in units of F.
    jas: float64 S, joint attribution score of the whole path, as published.
    delta: float64 S, completeness gap |jig - (F(intact) - F(path at 0))|: how far the sum over
        the steps is from the integral.
    indices: int64 S into the data.
    target_classes: int64 S, the class whose F is attributed.
    score: what `scores` are and what the greedy search maximised, "jig" or "jas".
    """

    layers: tuple[str, ...]
    units: np.ndarray
    class_path: np.ndarray
    frequency: np.ndarray
    scores: tuple[np.ndarray, ...]
    silent: tuple[np.ndarray, ...]
    jig: np.ndarray
    jas: np.ndarray
    delta: np.ndarray
    indices: np.ndarray
    target_classes: np.ndarray
    score: str

    @property
    def n(self) -> int:
        return len(self.indices)

    def top_units(self, layer: int, count: int = 10) -> np.ndarray:
        """int64: the units of the `layer`-th column by descending score, lower index at ties."""
        return top_units(self.scores[layer], count)


def top_units(scores: np.ndarray, count: int) -> np.ndarray:
    """Indices of the `count` largest scores, descending, lower index first at ties."""
    return np.argsort(-scores, kind="stable")[:count]


def most_frequent(units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per column of S,L the most frequent unit (the lowest at ties) and its share: L and L."""
    found, share = [], []
    for column in units.T:
        counts = np.bincount(column)
        found.append(int(counts.argmax()))
        share.append(counts.max() / len(column))
    return np.array(found, np.int64), np.array(share, np.float64)
