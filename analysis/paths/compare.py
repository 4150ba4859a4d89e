"""What pruning did to neuron paths: two results, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from analysis.errors import ArgumentError
from analysis.paths.result import PathResult, top_units
from analysis.records import record

NodeState = Literal["shared", "dense-only alive", "dense-only removed", "new"]


class PathNode(NamedTuple):
    """A unit among the top ones of a layer, in dense coordinates.

    state: "shared" = in both tops; "dense-only alive" = left the top; "dense-only removed" =
    left it and is silent in the pruned model; "new" = only in the pruned model's top.
    """

    unit: int
    state: NodeState
    dense: float
    pruned: float


@record
@dataclass(frozen=True, eq=False)
class PathComparison:
    """Agreement of two results over the layers that both have (L).

    Attributes
    ----------
    layers: names of the compared layers.
    top: how many units a layer `jaccard` looks at.
    agreement: float64 L, share of the samples whose paths take the same unit.
    jaccard: float64 L, Jaccard index of the top units by mean score.
    spearman: float64 L, rank correlation of the mean scores of the units that are not silent in
        the pruned model; NaN where it is undefined.
    mass_lost: float64 L, share of the dense model's summed |mean score| on units that speak in
        the dense model and are silent in the pruned one; NaN where the sum is 0.
    survival: float64 S, share of the layers where the sample's dense unit is not silent in the
        pruned model.
    divergence: int64 S, first layer where the sample's paths differ; L where they never do.
    class_divergence: the same for the two class paths.
    """

    layers: tuple[str, ...]
    top: int
    agreement: np.ndarray
    jaccard: np.ndarray
    spearman: np.ndarray
    mass_lost: np.ndarray
    survival: np.ndarray
    divergence: np.ndarray
    class_divergence: int


def compare_paths(dense: PathResult, pruned: PathResult, top: int = 10) -> PathComparison:
    """Compare two results of the same images, as far as both were searched.

    ArgumentError when images, layers or widths differ, or when top is below 1.
    """
    depth = _common(dense, pruned, top)
    layers = range(depth)
    a, b = dense.units[:, :depth], pruned.units[:, :depth]
    gone = [pruned.silent[i] & ~dense.silent[i] for i in layers]
    kept = np.stack([~pruned.silent[i][a[:, i]] for i in layers], axis=1)
    return PathComparison(
        layers=dense.layers[:depth],
        top=top,
        agreement=(a == b).mean(axis=0),
        jaccard=np.array([_jaccard(dense.scores[i], pruned.scores[i], top) for i in layers]),
        spearman=np.array(
            [_spearman(dense.scores[i], pruned.scores[i], ~pruned.silent[i]) for i in layers]
        ),
        mass_lost=np.array([_share(np.abs(dense.scores[i]), gone[i]) for i in layers]),
        survival=kept.mean(axis=1),
        divergence=_first_difference(a, b),
        class_divergence=int(
            _first_difference(dense.class_path[None, :depth], pruned.class_path[None, :depth])[0]
        ),
    )


def node_states(
    dense: PathResult, pruned: PathResult, top: int = 10
) -> tuple[tuple[PathNode, ...], ...]:
    """Per layer the top units of both models: the dense ones by rank, then the new ones.

    Errors as `compare_paths`.
    """
    return tuple(_nodes(dense, pruned, i, top) for i in range(_common(dense, pruned, top)))


def _nodes(dense: PathResult, pruned: PathResult, layer: int, top: int) -> tuple[PathNode, ...]:
    before, after = dense.scores[layer], pruned.scores[layer]
    ours, theirs = top_units(before, top).tolist(), top_units(after, top).tolist()

    def node(unit: int) -> PathNode:
        state: NodeState = "new"
        if unit in ours and unit in theirs:
            state = "shared"
        elif unit in ours:
            state = "dense-only removed" if pruned.silent[layer][unit] else "dense-only alive"
        return PathNode(unit, state, float(before[unit]), float(after[unit]))

    return tuple(node(unit) for unit in [*ours, *(u for u in theirs if u not in ours)])


def _common(dense: PathResult, pruned: PathResult, top: int) -> int:
    """Number of layers that both results have, from the first one on, over the same images."""
    if top < 1:
        raise ArgumentError(f"top must be at least 1, not {top}.")
    depth = min(len(dense.layers), len(pruned.layers))
    widths = [(len(a), len(b)) for a, b in zip(dense.scores, pruned.scores, strict=False)]
    if depth == 0 or dense.layers[:depth] != pruned.layers[:depth]:
        raise ArgumentError("The two models have no path layers in common.")
    if any(a != b for a, b in widths):
        raise ArgumentError("The two models' path layers have different numbers of units.")
    if dense.score != pruned.score:
        raise ArgumentError("The two results rank units by different scores.")
    if not np.array_equal(dense.indices, pruned.indices):
        raise ArgumentError("The two results are of different images.")
    return depth


def _jaccard(a: np.ndarray, b: np.ndarray, top: int) -> float:
    ours, theirs = set(top_units(a, top).tolist()), set(top_units(b, top).tolist())
    return len(ours & theirs) / len(ours | theirs)


def _spearman(a: np.ndarray, b: np.ndarray, among: np.ndarray) -> float:
    from scipy.stats import rankdata

    if among.sum() < 2:
        return float("nan")
    x, y = rankdata(a[among]), rankdata(b[among])
    x, y = x - x.mean(), y - y.mean()
    length = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / length if length > 0 else float("nan")


def _share(mass: np.ndarray, of: np.ndarray) -> float:
    total = float(mass.sum())
    return float(mass[of].sum()) / total if total > 0 else float("nan")


def _first_difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    differs = a != b
    first = np.where(differs.any(axis=1), differs.argmax(axis=1), a.shape[1])
    return np.asarray(first, dtype=np.int64)
