"""The first two principal components, with a sign that does not depend on the solver."""

from __future__ import annotations

import numpy as np


def principal_plane(points: np.ndarray) -> np.ndarray:
    """Coordinates of points (N,D) on their first two principal axes: float64 N,2.

    Each axis points so that its loading of largest magnitude is positive (the first one at ties).
    Directions without variance (constant features, D = 1, N = 1) have coordinate 0.
    """
    x = points.astype(np.float64)
    x = x - x.mean(axis=0)
    axes = _axes(x)
    scores = x @ axes
    if scores.shape[1] < 2:
        scores = np.pad(scores, ((0, 0), (0, 2 - scores.shape[1])))
    return np.asarray(scores)


def _axes(x: np.ndarray) -> np.ndarray:
    """Orthonormal principal axes D,min(2, D), zero where there is no variance."""
    from scipy.linalg import eigh

    count, width = x.shape
    if width <= count:
        values, vectors = eigh(x.T @ x, subset_by_index=[max(width - 2, 0), width - 1])
        values, axes = values[::-1], vectors[:, ::-1]
    else:
        values, left = eigh(x @ x.T, subset_by_index=[max(count - 2, 0), count - 1])
        values, axes = values[::-1], x.T @ left[:, ::-1]
        axes = axes / np.maximum(np.linalg.norm(axes, axis=0), np.finfo(float).tiny)
    flat = values <= 1e-12 * max(float(np.sum(x * x)), np.finfo(float).tiny)
    axes = np.where(flat[None, :], 0.0, axes)
    strongest = np.abs(axes).argmax(axis=0)
    return np.asarray(axes * np.where(axes[strongest, np.arange(axes.shape[1])] < 0, -1.0, 1.0))
