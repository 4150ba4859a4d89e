"""Gains of column swaps in numba, kept up to date: a swap changes those of the groups it touches.

The notation is that of kernels/permutation.py. All sums run over the rows in their order, so that
they do not depend on tiles or threads, nor on which of two columns is named first.
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from kernels.cpu.jit import parallel, serial

_TILE = 128
"""Columns that one task compares all others with."""
_ROWS = 64
"""Rows of a tile that stay in the cache while all columns are compared with them."""


class Gains:
    """`kernels.permutation.Gains`.

    Parameters
    ----------
    columns: (rows, columns) float64, C-contiguous, a multiple of m columns.
    """

    def __init__(self, columns: np.ndarray, n: int, m: int) -> None:
        count = columns.shape[1]
        self._given, self._columns, self._pattern = columns, columns.copy(), (n, m)
        self._order = np.arange(count)
        self._nth = np.empty_like(columns)  # b
        self._rest = np.empty(count)  # A, summed over the rows
        self._sums = np.empty(count // m)  # S, summed over the rows
        self._pairs = np.zeros((count, count))  # M[j, k] + M[k, j]
        self._refresh(np.arange(count // m))

    def move(self, order: np.ndarray) -> None:
        moved = np.flatnonzero(order != self._order)
        self._columns[:, moved] = self._given[:, order[moved]]
        self._order = order.copy()
        self._refresh(np.unique(moved // self._pattern[1]))

    def kept(self) -> float:
        return math.fsum(self._sums)

    def partners(self) -> tuple[np.ndarray, np.ndarray]:
        gain = np.empty(len(self._rest))
        partner = np.empty(len(self._rest), np.int64)
        _partners(self._pairs, self._rest, self._sums, gain, partner)
        return gain, partner

    def _refresh(self, groups: np.ndarray) -> None:
        n, m = self._pattern
        if 2 * len(groups) > len(
            self._sums
        ):  # half of everything, as pairs are symmetric, is less
            groups = np.arange(len(self._sums))
        _leave(self._columns, groups, n, m, self._nth, self._rest, self._sums)
        touched = (groups[:, None] * m + np.arange(m)).reshape(-1)
        _compare(self._columns, self._nth, touched, self._pairs)
        _mirror(touched, self._pairs)


@parallel
def _leave(
    columns: np.ndarray,
    groups: np.ndarray,
    n: int,
    m: int,
    nth: np.ndarray,
    rest: np.ndarray,
    sums: np.ndarray,
) -> None:
    """What the rest of a group keeps when one of its columns leaves it."""
    for i in prange(len(groups)):
        first = groups[i] * m
        ordered = np.empty(m)
        rest[first : first + m] = 0.0
        sums[groups[i]] = 0.0
        for r in range(len(columns)):
            _descending(columns[r, first : first + m], ordered)
            top = 0.0
            for j in range(n - 1):
                top += ordered[j]
            sums[groups[i]] += top + ordered[n - 1]
            for j in range(m):
                inside = columns[r, first + j] >= ordered[n - 1]
                nth[r, first + j] = ordered[n] if inside else ordered[n - 1]
                lost = columns[r, first + j] - ordered[n - 1] if inside else 0.0
                rest[first + j] += top - lost


@serial
def _descending(values: np.ndarray, ordered: np.ndarray) -> None:
    """Sorted by insertion, the largest first."""
    for i in range(len(values)):
        place = i
        while place > 0 and ordered[place - 1] < values[i]:
            ordered[place] = ordered[place - 1]
            place -= 1
        ordered[place] = values[i]


@parallel
def _compare(columns: np.ndarray, nth: np.ndarray, touched: np.ndarray, pairs: np.ndarray) -> None:
    """The rows of `pairs` that belong to touched columns; of two touched ones, the first's."""
    rows, count = columns.shape
    everything = len(touched) == count
    for tile in prange((count + _TILE - 1) // _TILE):
        start, stop = tile * _TILE, min((tile + 1) * _TILE, count)
        pairs_here = pairs[:, start:stop]
        for j in touched:
            pairs_here[j] = 0.0
        for top in range(0, rows, _ROWS):
            bottom = min(top + _ROWS, rows)
            for j in touched:
                if everything and j >= stop:
                    break
                for r in range(top, bottom):
                    _add(
                        columns[r, start:stop],
                        nth[r, start:stop],
                        columns[r, j],
                        nth[r, j],
                        pairs_here[j],
                    )


@serial
def _add(
    column: np.ndarray, nth: np.ndarray, own_column: float, own_nth: float, sums: np.ndarray
) -> None:
    for k in range(len(sums)):
        there = nth[k] if nth[k] > own_column else own_column
        here = own_nth if own_nth > column[k] else column[k]
        sums[k] += there + here


@parallel
def _mirror(touched: np.ndarray, pairs: np.ndarray) -> None:
    everything = len(touched) == len(pairs)
    for i in prange(len(touched)):
        j = touched[i]
        for k in range(j if everything else 0, len(pairs)):
            pairs[k, j] = pairs[j, k]


@parallel
def _partners(
    pairs: np.ndarray, rest: np.ndarray, sums: np.ndarray, gain: np.ndarray, partner: np.ndarray
) -> None:
    """For every column the best one of another group; the first among equals."""
    m = len(rest) // len(sums)
    for j in prange(len(rest)):
        own = rest[j] - sums[j // m]
        best, where = -np.inf, 0
        for group in range(len(sums)):
            if group != j // m:
                for k in range(group * m, (group + 1) * m):
                    value = pairs[j, k] + (own + (rest[k] - sums[group]))
                    if value > best:
                        best, where = value, k
        gain[j], partner[j] = best, where
