"""The fuzzy neighbour graph of UMAP, from exact neighbours.

McInnes, Healy, Melville, "UMAP", https://arxiv.org/abs/1802.03426, sections 3.1 and 4; every step
follows umap-learn 0.5.12 with its defaults (local_connectivity 1, union of fuzzy sets), and a test
compares the graphs. It is written out here, vectorised, because importing umap-learn takes 2 to
15 s and stalls the window, and because nothing in it can be cancelled (see `umap_layout`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

TOLERANCE = 1e-5
MIN_SCALE = 1e-3
ITERATIONS = 64


def fuzzy_graph(indices: np.ndarray, distances: np.ndarray) -> Any:
    """Symmetric membership strengths in (0, 1]: scipy.sparse COO matrix N,N, float32.

    Parameters
    ----------
    indices: int N,k, the neighbours of each point, the point itself not among them.
    distances: N,k, ascending in each row.
    """
    from scipy.sparse import coo_matrix

    nearest = distances.astype(np.float32).astype(np.float64)
    scales, offsets = smooth_distances(nearest)
    beyond = np.maximum(nearest - offsets[:, None], 0.0)
    strengths = np.exp(-beyond / np.where(scales > 0, scales, 1.0)[:, None])
    strengths = np.where(scales[:, None] > 0, strengths, 1.0).astype(np.float32)
    count, k = indices.shape
    rows = np.repeat(np.arange(count, dtype=np.int32), k)
    directed = coo_matrix(
        (strengths.ravel(), (rows, indices.ravel().astype(np.int32))), shape=(count, count)
    ).tocsr()
    both = directed + directed.T - directed.multiply(directed.T)
    both.eliminate_zeros()
    return both.tocoo()


def smooth_distances(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scale and offset of each point's kernel exp(-(d - offset) / scale): float64 N and N.

    The offset is the nearest distance above 0; the scale makes the strengths of a row sum to
    log2(k + 1), found by bisection and kept above a thousandth of the mean distance.
    """
    count, k = distances.shape
    target = np.log2(k + 1)
    positive = np.where(distances > 0, distances, np.inf).min(axis=1)
    offsets = np.where(np.isfinite(positive), positive, 0.0)
    beyond = np.maximum(distances - offsets[:, None], 0.0)
    low, high, middle = np.zeros(count), np.full(count, np.inf), np.ones(count)
    open_ = np.ones(count, bool)
    for _ in range(ITERATIONS):
        sums = np.exp(-beyond / middle[:, None]).sum(axis=1)
        open_ &= np.abs(sums - target) >= TOLERANCE
        if not open_.any():
            break
        above = sums > target
        high = np.where(open_ & above, middle, high)
        low = np.where(open_ & ~above, middle, low)
        # doubling stops at 2^40: beyond, exp(-d / scale) no longer changes
        doubled = np.minimum(2 * middle, 2.0**40)
        halved = (low + np.where(np.isfinite(high), high, 0.0)) / 2
        middle = np.where(open_, np.where(np.isfinite(high), halved, doubled), middle)
    # umap-learn's means count each point as its own neighbour at distance 0
    own_mean = distances.sum(axis=1) / (k + 1)
    all_mean = distances.sum() / (count * (k + 1))
    floor = MIN_SCALE * np.where(offsets > 0, own_mean, all_mean)
    return np.maximum(middle, floor), offsets
