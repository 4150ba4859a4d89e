"""Exact nearest neighbours, and what an embedding or a pruning does to them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analysis.errors import ArgumentError
from analysis.request import Report, Step, silent

ROWS = 500
"""Rows of the distance matrix held at a time."""

TRUST_LIMIT = 2000
"""Points beyond which trustworthiness (quadratic in memory) looks at a random subset."""


def exact_knn(
    points: np.ndarray, k: int, report: Report = silent
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest other points of each point, nearest first.

    Euclidean; the point itself is left out, also among its duplicates; ties go to the lower
    index. Returns int64 indices N,k and float64 distances N,k. ArgumentError unless 1 <= k < N.
    """
    if not 1 <= k < len(points):
        raise ArgumentError(f"{k} neighbours need more than {k} points, not {len(points)}.")
    x = points.astype(np.float64).reshape(len(points), -1)
    indices = np.empty((len(x), k), np.int64)
    squares = np.empty((len(x), k))
    for rows, squared in _squared_distances(x):
        indices[rows], squares[rows] = _smallest(x, rows, squared, k)
        done = rows.stop
        report(Step(done, len(x), f"Neighbours of {done} of {len(x)} points"))
    return indices, np.sqrt(squares)


def _squared_distances(x: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks of the squared distance matrix, infinite on the diagonal."""
    x = x - x.mean(axis=0)  # short vectors, so that the expansion loses few digits
    norms = np.einsum("nd,nd->n", x, x)
    for start in range(0, len(x), ROWS):
        rows = slice(start, min(start + ROWS, len(x)))
        squared = norms[rows, None] + norms[None, :] - 2 * (x[rows] @ x.T)
        own = np.arange(rows.start, rows.stop)
        squared[own - start, own] = np.inf
        yield rows, squared


def _smallest(
    x: np.ndarray, rows: slice, squared: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Indices and squared distances of the k nearest in a block of rows, ties by index.

    The expanded squares are only good to rounding, so candidates within that of the k-th are
    measured again by subtraction before they are ordered.
    """
    block = np.arange(rows.start, rows.stop)
    nearest = np.argpartition(squared, k - 1, axis=1)[:, :k]
    limit = np.take_along_axis(squared, nearest, axis=1).max(axis=1)
    limit += 1e-12 * (limit + squared.max(where=np.isfinite(squared), initial=0.0))
    ambiguous = np.flatnonzero((squared <= limit[:, None]).sum(axis=1) > k)
    nearest.sort(axis=1)
    difference = x[block, None, :] - x[nearest]
    exact = np.einsum("nkd,nkd->nk", difference, difference)
    order = np.argsort(exact, axis=1, kind="stable")
    nearest = np.take_along_axis(nearest, order, axis=1)
    exact = np.take_along_axis(exact, order, axis=1)
    for row in ambiguous:
        candidates = np.flatnonzero(squared[row] <= limit[row])
        again = ((x[candidates] - x[block[row]]) ** 2).sum(axis=1)
        first = np.argsort(again, kind="stable")[:k]
        nearest[row], exact[row] = candidates[first], again[first]
    return nearest, exact


def knn_overlap(a: np.ndarray, b: np.ndarray, k: int) -> np.ndarray:
    """Share of each point's k nearest neighbours in `a` that are also among those in `b`.

    `a` N,D and `b` N,E hold the same N samples (widths may differ). Returns float64 N in 0..1,
    NaN for k = 0; the mean is the usual kNN overlap. ArgumentError when the row counts differ or
    k is not below N.
    """
    if len(a) != len(b):
        raise ArgumentError(f"The same samples are needed in both: {len(a)} and {len(b)} rows.")
    if k == 0:
        return np.full(len(a), np.nan)
    near_a, near_b = exact_knn(a, k)[0], exact_knn(b, k)[0]
    common = (near_a[:, :, None] == near_b[:, None, :]).sum(axis=(1, 2))
    return np.asarray(common / k)


def knn_jaccard(a: np.ndarray, b: np.ndarray, k: int) -> np.ndarray:
    """Jaccard index of each point's neighbour sets, |and| / |or|: float64 N; see `knn_overlap`.

    Boggust et al., "Embedding Comparator", IUI 2022.
    """
    overlap = knn_overlap(a, b, k)
    return np.asarray(overlap / (2 - overlap))


def trust(points: np.ndarray, coordinates: np.ndarray, k: int, seed: int) -> tuple[float, int]:
    """Trustworthiness of an embedding and the number of points that it was measured on.

    Venna and Kaski, ICANN 2001, as in scikit-learn; `TRUST_LIMIT` random points when there are
    more; k is lowered to below half of the points, and the value is NaN for fewer than three.
    """
    if len(points) > TRUST_LIMIT:
        chosen = np.random.default_rng(seed).choice(len(points), TRUST_LIMIT, replace=False)
        points, coordinates = points[np.sort(chosen)], coordinates[np.sort(chosen)]
    n = len(points)
    k = min(k, (n - 1) // 2)
    if k < 1:
        return float("nan"), n
    from sklearn.manifold import trustworthiness

    return float(trustworthiness(points, coordinates, n_neighbors=k)), n
