"""Large clouds as pictures: every point is stamped into an array. NumPy only, no Qt."""

from __future__ import annotations

import numpy as np


def splat(
    x: np.ndarray, y: np.ndarray, colours: np.ndarray, shape: tuple[int, int], diameter: float
) -> np.ndarray:
    """Opaque discs at pixels (x, y): uint8 (height, width, 4), transparent elsewhere.

    `colours` is uint8 (N, 3) or (N, 4). Where discs overlap, the later point is on top, so the
    cloud has the same order as one drawn disc by disc. What lies outside is cut off.
    """
    height, width = shape
    if height <= 0 or width <= 0 or len(x) == 0:
        return np.zeros((max(height, 0), max(width, 0), 4), dtype=np.uint8)
    reach = int(np.ceil(diameter / 2))
    inside = np.isfinite(x) & np.isfinite(y)
    inside &= (x > -reach - 1) & (x < width + reach) & (y > -reach - 1) & (y < height + reach)
    margin = 2 * reach + 1  # so that no disc reaches over the edge of the scratch image
    stride = width + 2 * margin
    column = np.rint(x[inside]).astype(np.int64) + margin
    row = np.rint(y[inside]).astype(np.int64) + margin
    down, right = _disc(diameter / 2)
    targets = (row * stride + column)[:, None] + (down * stride + right)
    owner = np.zeros((height + 2 * margin) * stride, dtype=np.int32)
    # Assigning in the order of the points: where targets repeat, the last one stays.
    owner[targets.ravel()] = np.repeat(np.arange(1, len(row) + 1, dtype=np.int32), len(down))
    owner = owner.reshape(-1, stride)[margin:, margin:][:height, :width]
    paint = np.zeros((len(row) + 1, 4), dtype=np.uint8)
    paint[1:, 3] = 255
    paint[1:, : colours.shape[1]] = colours[inside]
    return paint[owner]


def _disc(radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Row and column offsets of the pixels of a disc."""
    reach = int(np.ceil(radius))
    down, right = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    keep = down * down + right * right <= max(radius * radius, 0.25)
    return down[keep], right[keep]
