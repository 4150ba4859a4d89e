"""Statistics of masked weights in numba: a chunk is decoded once and looked at in the cache."""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import prange
from torch import Tensor

from kernels.cpu.bitmask import spread
from kernels.cpu.decoded import decoded, table
from kernels.cpu.jit import parallel, serial
from kernels.cpu.sortable import numbers

_CHUNK = 1 << 12
"""Weights that are summed together: part of the result's last digit, so never changed lightly."""
_TASKS = 64
"""Runs of chunks, each with a histogram of its own."""

_Found = tuple[int, tuple[float, float, float], tuple[float, float], Tensor]


def weight_statistics(flat: Tensor, edges: np.ndarray, packed: Tensor | None) -> _Found:
    """Zeros; sum, L1, sum of squares; least and largest that is not 0; counts."""
    chunks = (flat.numel() + _CHUNK - 1) // _CHUNK
    zeros = np.zeros(chunks, np.int64)
    sums = np.zeros((chunks, 3))
    extremes = np.full((chunks, 2), (math.inf, -math.inf))
    counts = np.zeros((_TASKS, 4, len(edges)), np.int64)  # the last bin: what is in none
    bits = np.empty(0, np.uint8) if packed is None else packed.numpy()
    _all(numbers(flat), table(flat.dtype), bits, edges, zeros, sums, extremes, counts)
    total, l1, squares = _in_order(sums)
    least, largest = extremes[:, 0].min(initial=math.inf), extremes[:, 1].max(initial=-math.inf)
    found = torch.from_numpy(counts.sum(axis=(0, 1))[:-1])
    return int(zeros.sum()), (total, l1, squares), (float(least), float(largest)), found


@parallel
def _all(
    values: np.ndarray,
    table: np.ndarray,
    bits: np.ndarray,
    edges: np.ndarray,
    zeros: np.ndarray,
    sums: np.ndarray,
    extremes: np.ndarray,
    counts: np.ndarray,
) -> None:
    chunks = len(zeros)
    each = (chunks + _TASKS - 1) // _TASKS
    for task in prange(_TASKS):
        masked, places = np.empty(_CHUNK), np.empty(_CHUNK, np.int32)
        words = np.empty(_CHUNK // 8, np.uint64)
        for c in range(task * each, min((task + 1) * each, chunks)):
            start = c * _CHUNK
            part = values[start : min(start + _CHUNK, len(values))]
            here = masked[: len(part)]
            _decode(part, table, here)
            if len(bits):
                own = bits[start // 8 : (start + len(part) + 7) // 8]
                spread(own, words[: len(own)])
                _mask(here, words.view(np.uint8))
            zeros[c] = _sum(here, sums[c], extremes[c])
            _place(here, edges, places)
            _count(places[: len(part)], counts[task])


@serial
def _in_order(sums: np.ndarray) -> tuple[float, float, float]:
    total = l1 = squares = 0.0
    for c in range(len(sums)):
        total += sums[c, 0]
        l1 += sums[c, 1]
        squares += sums[c, 2]
    return total, l1, squares


@serial
def _decode(part: np.ndarray, table: np.ndarray, masked: np.ndarray) -> None:
    for i in range(len(part)):
        masked[i] = decoded(part[i], table)


@serial
def _mask(masked: np.ndarray, marks: np.ndarray) -> None:
    for i in range(len(masked)):
        masked[i] = masked[i] if marks[i] else 0.0


@serial
def _sum(masked: np.ndarray, sums: np.ndarray, extremes: np.ndarray) -> int:
    zeros = 0
    total = l1 = squares = 0.0
    least, largest = np.inf, -np.inf
    for i in range(len(masked)):
        value = masked[i]
        total += value
        l1 += abs(value)
        squares += value * value
        zeros += int(value == 0.0)
        if value < least and value != 0.0:  # in this order: hardly ever, so foreseen
            least = value
        if value > largest and value != 0.0:
            largest = value
    sums[0], sums[1], sums[2] = total, l1, squares
    extremes[0], extremes[1] = least, largest
    return zeros


@serial
def _place(masked: np.ndarray, edges: np.ndarray, places: np.ndarray) -> None:
    """The bin of each weight, or the one behind the last for what is in none.

    A guess by division, then a look at its edges, as rounding must not move a weight. Without
    branches (which weights are 0 cannot be predicted), and in three loops, of which LLVM makes
    vectors where one loop would stay scalar: four times as fast.
    """
    bins = np.int32(len(edges) - 1)
    low, high = edges[0], edges[bins]
    scale, last = bins / (high - low), float(bins - 1)
    for i in range(len(masked)):
        guess = (masked[i] - low) * scale
        guess = guess if guess > 0.0 else 0.0  # a NaN too
        places[i] = np.int32(guess if guess < last else last)
    for i in range(len(masked)):
        value, place = masked[i], np.uint32(places[i])
        after = np.int32(value >= edges[place + np.uint32(1)])
        places[i] = np.int32(places[i] + after - np.int32(value < edges[place]))
    for i in range(len(masked)):
        value = masked[i]
        outside = np.int32(value == 0.0) | np.int32(not (low <= value)) | np.int32(value > high)
        inside = min(places[i], bins - np.int32(1))  # the last bin has its right edge too
        places[i] = inside + (bins - inside) * outside


@serial
def _count(places: np.ndarray, counts: np.ndarray) -> None:
    """In turn into several histograms: increments of one entry in a row wait for each other."""
    for i in range(len(places)):
        counts[i & 3, places[i]] += 1
