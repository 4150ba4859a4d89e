"""Smooth lines that stay honest: monotone between their vertices, never overshooting."""

from __future__ import annotations

import numpy as np


def smooth(x: np.ndarray, y: np.ndarray, per_segment: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Monotone cubic (PCHIP: Fritsch & Carlson, 1980) through the vertices; NaN breaks the curve.

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
    width, slope = np.diff(x), _slopes(x, y)
    t = np.linspace(0, 1, steps, endpoint=False)
    rise, run = np.diff(y)[:, None], width[:, None]
    # Cubic Hermite on each segment, as an offset from its first vertex.
    curve = (
        y[:-1, None]
        + rise * (3 * t**2 - 2 * t**3)
        + run * slope[:-1, None] * (t**3 - 2 * t**2 + t)
        + run * slope[1:, None] * (t**3 - t**2)
    )
    fine = x[:-1, None] + run * t
    return np.append(fine.ravel(), x[-1]), np.append(curve.ravel(), y[-1])


def _slopes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Slopes at the vertices: weighted harmonic means (Fritsch-Butland, 1984), 0 at extrema."""
    width, secant = np.diff(x), np.diff(y) / np.diff(x)
    before, after = secant[:-1], secant[1:]
    rising = before * after > 0
    w1, w2 = 2 * width[1:] + width[:-1], width[1:] + 2 * width[:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        inner = (w1 + w2) / (w1 / before + w2 / after)
    inner = np.where(rising, inner, 0.0)
    first = _end(width[0], width[1], secant[0], secant[1])
    last = _end(width[-1], width[-2], secant[-1], secant[-2])
    return np.concatenate([[first], inner, [last]])


def _end(h0: float, h1: float, d0: float, d1: float) -> float:
    """Three-point slope at an end, limited so that the curve stays monotone."""
    slope = ((2 * h0 + h1) * d0 - h0 * d1) / (h0 + h1)
    if np.sign(slope) != np.sign(d0):
        return 0.0
    if np.sign(d0) != np.sign(d1) and abs(slope) > 3 * abs(d0):
        return 3 * d0
    return slope
