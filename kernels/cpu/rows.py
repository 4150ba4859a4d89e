"""Row-wise selection on the CPU: a radix select of every row, rows in parallel.

Eleven bits at a time: a histogram names the bucket of the wanted entry, and only what is in that
bucket is looked at again. The first digit leaves a tenth of a row, the second next to nothing.
"""

from __future__ import annotations

import numpy as np
import torch
from numba import prange
from torch import Tensor

from kernels.cpu.chunks import Keys, bits_of, key_at, keys_of
from kernels.cpu.jit import parallel, serial
from kernels.select import NAN_REFUSED

_DIGIT = 11
_I = np.int32


def k_smallest_rows(scores: Tensor, counts: np.ndarray) -> Tensor:
    """Boolean (rows, columns): True for the `counts[r]` smallest of row r, ties by column."""
    values = scores.contiguous()
    chosen = torch.empty(values.shape, dtype=torch.bool)
    keys = keys_of(values.dtype, magnitude=False)
    if _choose(bits_of(values), keys, counts, chosen.view(torch.uint8).numpy()).any():
        raise ValueError(NAN_REFUSED)
    return chosen


@parallel
def _choose(bits: np.ndarray, keys: Keys, counts: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Fill `chosen`; returns how many NaN every row has (rows with NaN mean nothing)."""
    rows, columns = bits.shape
    nans = np.zeros(rows, np.int64)
    top = 21 if bits.itemsize == 4 else 5
    for r in prange(rows):
        row = np.empty(columns, np.int32)
        rest = np.empty(columns, np.int32)
        values, bad = bits[r], _I(0)
        for i in range(columns):
            row[i] = key_at(values, i, keys)
            bad = _I(bad + _I(_I(values[i] & keys.bits) > keys.largest))
        nans[r] = bad
        if counts[r] in (0, columns):
            chosen[r] = counts[r] > 0
        else:
            limit, ties, equal = _kth(row, rest, counts[r], top)
            _mark(row, limit, ties, equal, chosen[r])
    return nans


@serial
def _kth(row: np.ndarray, rest: np.ndarray, rank: int, top: int) -> tuple[np.int32, int, int]:
    """The key of this rank (from 1), how many with this key are among the first, and in all.

    `rest` is room for as many keys as the row has; `top` is the lowest bit of the first digit.
    """
    places = np.empty(row.size, np.int32)
    source, n, shift = row, row.size, top
    while True:
        counts = np.zeros(1 << _DIGIT, np.int32)
        # Only the first digit has a sign; half of its places lie below 0.
        first = _I(1 << (_DIGIT - 1)) if shift == top else _I(0)
        for i in range(n):
            places[i] = _I(_I(source[i] >> _I(shift)) + first) & _I((1 << _DIGIT) - 1)
        for i in range(n):
            counts[np.uint32(places[i])] += _I(1)
        bucket = 0
        while rank > counts[bucket]:
            rank -= counts[bucket]
            bucket += 1
        m = 0
        for i in range(n):
            rest[m] = source[i]
            m += places[i] == bucket
        source, n = rest, m
        if shift == 0 or n == 1:
            return rest[0], rank, n
        shift = max(shift - _DIGIT, 0)


@serial
def _mark(row: np.ndarray, limit: np.int32, ties: int, equal: int, chosen: np.ndarray) -> None:
    """Choose what is below the limit and the first `ties` of the `equal` ones at it."""
    for i in range(row.size):
        chosen[i] = np.uint8(row[i] <= limit)
    spared = equal - ties
    i = row.size
    while spared > 0:
        i -= 1
        if row[i] == limit:
            chosen[i] = 0
            spared -= 1
