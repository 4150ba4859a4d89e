"""The layout stage of UMAP, an epoch at a time: visible, cancellable, without the GIL.

The update rule is that of umap-learn 0.5.12 (`layouts.optimize_layout_euclidean`: cross-entropy
by edge sampling, 5 negative samples, learning rate falling linearly from 1 to 0), and a test
compares the coordinates. umap-learn itself shows no coordinates before the end, holds the GIL,
compiles anew in each process, and can only be stopped by raising inside its tqdm bar, which
leaves tqdm's global lock taken.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

CURVE = (1.576943460405378, 0.8950608781227859)
"""a and b of 1 / (1 + a d^(2b)), umap-learn's fit for min_dist 0.1 and spread 1."""

NEGATIVES = 5.0
EXTENT = 10.0
NOISE = 1e-4


def start_coordinates(plane: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Initial positions from PCA: float32 N,2, largest magnitude 10, a trace of noise.

    The noise separates duplicates, which would otherwise never part.
    """
    reach = float(np.abs(plane).max(initial=0.0))
    scaled = plane * (EXTENT / reach if reach > 0 else 0.0)
    return (scaled + generator.normal(scale=NOISE, size=plane.shape)).astype(np.float32)


class Layout:
    """Coordinates that improve with every `step`.

    Parameters
    ----------
    graph: symmetric scipy.sparse COO matrix of membership strengths.
    start: float32 N,2 initial coordinates.
    epochs: how many steps there will be; the learning rate falls to 0 over them.
    generator: seeds the negative samples, one stream a point.
    """

    def __init__(
        self, graph: Any, start: np.ndarray, epochs: int, generator: np.random.Generator
    ) -> None:
        self.coordinates = np.ascontiguousarray(start, dtype=np.float32).copy()
        self.epochs = epochs
        self.done = 0
        # An edge that is due less than once in all epochs is never sampled.
        keep = graph.data >= graph.data.max(initial=0.0) / float(epochs if epochs > 10 else 500)
        self._head = graph.row[keep].astype(np.int32)
        self._tail = graph.col[keep].astype(np.int32)
        strengths = graph.data[keep].astype(np.float64)
        self._period = strengths.max(initial=1.0) / strengths
        self._next = self._period.copy()
        self._next_negative = self._period / NEGATIVES
        limit = np.iinfo(np.int32).max
        self.streams = generator.integers(-limit, limit, (len(start), 3), dtype=np.int64)

    def step(self) -> None:
        """One epoch over the edges that are due, in place."""
        compiled_epoch()(
            self.coordinates,
            self._head,
            self._tail,
            self._period,
            self._next,
            self._next_negative,
            self.streams,
            CURVE[0],
            CURVE[1],
            1.0 - max(self.done - 1, 0) / self.epochs,
            self.done,
        )
        self.done += 1


@cache
def compiled_epoch() -> Callable[..., None]:
    """`_epoch` as machine code; cached on disk where numba finds a writable place."""
    import numba

    try:
        return numba.njit(_epoch, nogil=True, cache=True)  # type: ignore[no-any-return]
    except RuntimeError:  # "no locator available": no writable place for the cache
        return numba.njit(_epoch, nogil=True)  # type: ignore[no-any-return]


def _epoch(
    points: np.ndarray,
    head: np.ndarray,
    tail: np.ndarray,
    period: np.ndarray,
    due: np.ndarray,
    due_negative: np.ndarray,
    streams: np.ndarray,
    a: float,
    b: float,
    rate: float,
    epoch: int,
) -> None:
    count = points.shape[0]
    for i in range(head.shape[0]):
        if due[i] > epoch:
            continue
        j, k = head[i], tail[i]
        dx, dy = points[j, 0] - points[k, 0], points[j, 1] - points[k, 1]
        squared = dx * dx + dy * dy
        pull = 0.0
        if squared > 0.0:
            pull = -2.0 * a * b * squared ** (b - 1.0) / (a * squared**b + 1.0)
        move_x = rate * min(4.0, max(-4.0, pull * dx))
        move_y = rate * min(4.0, max(-4.0, pull * dy))
        points[j, 0] += move_x
        points[j, 1] += move_y
        points[k, 0] -= move_x
        points[k, 1] -= move_y
        due[i] += period[i]
        gap = period[i] / NEGATIVES
        samples = int((epoch - due_negative[i]) / gap)
        for _ in range(samples):
            # Tausworthe generator, 32 bits of state a word, as in umap-learn
            s = streams[j]
            s[0] = (((s[0] & 4294967294) << 12) & 0xFFFFFFFF) ^ (
                (((s[0] << 13) & 0xFFFFFFFF) ^ s[0]) >> 19
            )
            s[1] = (((s[1] & 4294967288) << 4) & 0xFFFFFFFF) ^ (
                (((s[1] << 2) & 0xFFFFFFFF) ^ s[1]) >> 25
            )
            s[2] = (((s[2] & 4294967280) << 17) & 0xFFFFFFFF) ^ (
                (((s[2] << 3) & 0xFFFFFFFF) ^ s[2]) >> 11
            )
            other = np.int32(s[0] ^ s[1] ^ s[2]) % count
            dx, dy = points[j, 0] - points[other, 0], points[j, 1] - points[other, 1]
            squared = dx * dx + dy * dy
            if squared > 0.0:
                push = 2.0 * b / ((0.001 + squared) * (a * squared**b + 1.0))
                points[j, 0] += rate * min(4.0, max(-4.0, push * dx))
                points[j, 1] += rate * min(4.0, max(-4.0, push * dy))
        due_negative[i] += samples * gap
