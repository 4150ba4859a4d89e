"""Boxes and lassos: what lies inside, and what a gesture does to the selection. Free of Qt."""

from __future__ import annotations

import numpy as np

from app.selection import SelectMode


def inside_polygon(x: np.ndarray, y: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Which points lie inside a closed polygon, (M, 2), by the even-odd rule.

    Crossing test of a ray to the right (Shimrat 1962), vectorised over the points; points whose
    coordinates are not finite lie outside.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    result = np.zeros(x.shape, dtype=bool)
    polygon = np.asarray(polygon, dtype=np.float64)
    if len(polygon) < 3:
        return result
    low, high = polygon.min(axis=0), polygon.max(axis=0)
    near = np.flatnonzero((x >= low[0]) & (x <= high[0]) & (y >= low[1]) & (y <= high[1]))
    px, py = x[near], y[near]
    odd = np.zeros(px.shape, dtype=bool)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        crosses = (y0 > py) != (y1 > py)
        odd ^= crosses & (px < (x1 - x0) * (py - y0) / (y1 - y0) + x0)
    result[near] = odd
    return result


def rectangle(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    """The four corners of a box, (4, 2)."""
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], dtype=np.float64)


def mode_of(*, shift: bool, ctrl: bool, alt: bool) -> SelectMode:
    """Shift adds, Ctrl toggles, Alt subtracts, no key replaces."""
    if ctrl:
        return "toggle"
    if alt:
        return "subtract"
    return "add" if shift else "replace"
