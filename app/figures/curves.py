"""Smooth lines that stay honest: monotone between their vertices, never overshooting."""

from __future__ import annotations

import numpy as np


def smooth(x: np.ndarray, y: np.ndarray, per_segment: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Monotone cubic (Fritsch-Carlson, 1980) through the vertices; NaN breaks the curve.

    A run whose x does not increase is returned as it is.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    parts_x: list[np.ndarray] = []
    parts_y: list[np.ndarray] = []
    for run in runs(np.isfinite(x) & np.isfinite(y)):
        curve_x, curve_y = _smooth_run(x[run], y[run], per_segment)
        parts_x += [curve_x, np.array([np.nan])]
        parts_y += [curve_y, np.array([np.nan])]
    if not parts_x:
        return np.empty(0), np.empty(0)
    return np.concatenate(parts_x[:-1]), np.concatenate(parts_y[:-1])


def runs(keep: np.ndarray) -> list[slice]:
    """Slices of consecutive True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], keep, [False]]).astype(np.int8)))
    return [slice(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _smooth_run(x: np.ndarray, y: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    if len(x) < 3 or not (np.diff(x) > 0).all():
        return x, y
    from scipy.interpolate import PchipInterpolator

    share = np.linspace(0, 1, steps, endpoint=False)
    fine = (x[:-1, None] + np.diff(x)[:, None] * share).ravel()
    fine = np.append(fine, x[-1])
    return fine, PchipInterpolator(x, y)(fine)
