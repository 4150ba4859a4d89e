"""The passes over a table of chunks that selection is made of; every loop is compiled.

Integers are given their width one by one: an int32 that quietly becomes an int64 halves the
vectors or keeps LLVM from making any. The loops over `BLOCK` values become vector instructions.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import carray, prange  # type: ignore[attr-defined]

from kernels.cpu.chunks import CHUNK, LINE, Chunks, Keys, key_at, pointer
from kernels.cpu.jit import parallel, serial

BLOCK = 32
ROOM = CHUNK // 8
"""Values a chunk may have in the bracket: a hundredth is usual, in samples a twentieth."""

_SPOTS = 1024
_SAFE = 1 << 14
"""Chunks whose entries surely fit an int32."""

_I = np.int32


@serial
def _compared(block: np.ndarray, keys: Keys, low: np.int32, high: np.int32) -> np.int32:
    """How many of a block are up to low, up to high and NaN: ten bits each of one sum.

    One sum instead of three, as adding up the lanes of a vector costs as much as the rest.
    """
    counts = _I(0)
    for j in range(BLOCK):
        key = key_at(block, j, keys)
        nan = _I(_I(block[j] & keys.bits) > keys.largest)
        both = _I(_I(key <= low) + _I(_I(key <= high) << _I(10)))
        counts = _I(counts + _I(both + _I(nan << _I(20))))
    return counts


@numba.njit(inline="always")  # a call would count the references to `found`, which takes longer
def _append(
    block: np.ndarray, keys: Keys, low: np.int32, high: np.int32, found: np.ndarray, n: int
) -> int:
    """Write the keys of a block that are in (low, high] from found[n]; returns where they end.

    Nearly always there are one or two: their minimum and maximum, found without a branch.
    """
    smallest, largest = high, low
    count = _I(0)
    for j in range(BLOCK):
        key = key_at(block, j, keys)
        inside = (key > low) & (key <= high)
        smallest = min(smallest, key if inside else high)
        largest = max(largest, key if inside else low)
        count = _I(count + _I(inside))
    found[n], found[n + 1] = smallest, largest
    end = n + int(count)
    if count > 2:
        for j in range(BLOCK):
            key = key_at(block, j, keys)
            if key > low and key <= high:
                found[n] = key
                n += 1
    return end


@parallel
def gather(
    chunks: Chunks, keys: Keys, low: np.int32, high: np.int32, found: np.ndarray
) -> np.ndarray:
    """Count the keys up to `low` and collect those in (low, high]: one read of everything.

    Which blocks hold something is noted without a branch and looked at when the chunk has been
    read: a mispredicted branch in the stream would wait for memory.

    Parameters
    ----------
    found: int32 (chunks, at least BLOCK); row c is filled from its front.

    Returns
    -------
    int64 (chunks, 3): how many up to `low`, how many collected (more than fit: not all were
    written), how many NaN.
    """
    counts = np.zeros((chunks.addresses.size, 3), np.int64)
    for c in prange(chunks.addresses.size):
        values = carray(pointer(chunks.addresses[c], chunks.like), (chunks.lengths[c],))
        row = found[c]
        hits = np.empty(CHUNK // BLOCK + 1, np.int32)
        hit = below = nans = n = 0
        whole = values.size - values.size % BLOCK
        for start in range(0, whole, BLOCK):
            seen = _compared(values[start : start + BLOCK], keys, low, high)
            hits[hit] = start
            hit += (seen & 1023) != ((seen >> 10) & 1023)
            below += int(seen & 1023)
            nans += int(seen >> 20)
        for i in range(hit):
            if n + BLOCK <= row.size:
                n = _append(values[hits[i] : hits[i] + BLOCK], keys, low, high, row, n)
            else:
                n += BLOCK
        for i in range(whole, values.size):
            key = key_at(values, i, keys)
            below += int(key <= low)
            nans += int(_I(values[i] & keys.bits) > keys.largest)
            if low < key and key <= high:
                if n < row.size:
                    row[n] = key
                n += 1
        counts[c, 0], counts[c, 1], counts[c, 2] = below, n, nans
    return counts


@parallel
def sample(chunks: Chunks, keys: Keys, firsts: np.ndarray, every: int, taken: np.ndarray) -> None:
    """Take the keys of every `every`-th cache line, counted through all chunks.

    Parameters
    ----------
    firsts: int64, how many whole lines lie in the chunks before each chunk.
    taken: int32 (lines // every * LINE,), filled.
    """
    for c in prange(chunks.addresses.size):
        values = carray(pointer(chunks.addresses[c], chunks.like), (chunks.lengths[c],))
        first = firsts[c] // every
        for i in range(first, (firsts[c] + values.size // LINE) // every):
            start = ((i + 1) * every - 1 - firsts[c]) * LINE
            for j in range(LINE):
                taken[i * LINE + j] = key_at(values, start + j, keys)


@parallel
def histogram(chunks: Chunks, keys: Keys, shift: int, prefix: int, slices: int) -> np.ndarray:
    """Counts over 16 bits of the keys.

    The places to count at are made first, some hundred at a time, by vector instructions.

    Parameters
    ----------
    shift: 16 counts the upper 16 bits of all keys; 0 counts the lower 16 bits of the keys whose
        upper ones are `prefix`, or, for values of 16 bits, of all keys.
    slices: into how many parts the chunks are divided, each with counts of its own.

    Returns
    -------
    int64 (2^16,); a key of 16 bits and the upper bits are counted at place `key + 2^15`, lower
    bits of a longer key at their own.
    """
    parts = np.zeros((slices, 1 << 16), np.int64)
    number = chunks.addresses.size
    lower = shift == 0 and chunks.like.itemsize == 4
    for part in prange(slices):
        counts = np.zeros((1 << 16) + 1, np.int32)
        spots = np.empty(_SPOTS, np.int32)
        for c in range(part * number // slices, (part + 1) * number // slices):
            values = carray(pointer(chunks.addresses[c], chunks.like), (chunks.lengths[c],))
            for start in range(0, values.size, _SPOTS):
                block = values[start : start + _SPOTS]
                for i in range(block.size):
                    key = key_at(block, i, keys)
                    if lower:
                        inside = _I(key >> _I(16)) == _I(prefix)
                        spots[i] = _I(key & _I(0xFFFF)) if inside else _I(1 << 16)
                    else:
                        spots[i] = _I(_I(key >> _I(shift)) + _I(1 << 15))
                for i in range(block.size):
                    counts[np.uint32(spots[i])] += _I(1)
            if c % _SAFE == 0 or c + 1 == (part + 1) * number // slices:
                parts[part] += counts[: 1 << 16]
                counts[:] = 0
    total: np.ndarray = parts.sum(axis=0)
    return total


@parallel
def mark(chunks: Chunks, keys: Keys, limits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Write one byte an entry: 1 where its key is up to its chunk's limit.

    Parameters
    ----------
    limits: int32, one a chunk.
    targets: addresses of the bytes of each chunk.

    Returns
    -------
    int64, one a chunk: how many keys are equal to the limit.
    """
    equal = np.zeros(chunks.addresses.size, np.int64)
    bytes_ = np.empty(0, np.uint8)
    for c in prange(chunks.addresses.size):
        values = carray(pointer(chunks.addresses[c], chunks.like), (chunks.lengths[c],))
        target = carray(pointer(targets[c], bytes_), (chunks.lengths[c],))
        limit, same = limits[c], _I(0)
        for i in range(values.size):
            key = key_at(values, i, keys)
            target[i] = np.uint8(key <= limit)
            same = _I(same + _I(key == limit))
        equal[c] = same
    return equal


@parallel
def pack(chunks: Chunks, keys: Keys, limits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Write one bit an entry, lowest bit first: 1 where its key is above its chunk's limit.

    Parameters and result are those of `mark`, with ceil(length / 8) bytes a chunk.
    """
    equal = np.zeros(chunks.addresses.size, np.int64)
    bytes_ = np.empty(0, np.uint8)
    for c in prange(chunks.addresses.size):
        values = carray(pointer(chunks.addresses[c], chunks.like), (chunks.lengths[c],))
        target = carray(pointer(targets[c], bytes_), ((chunks.lengths[c] + 7) // 8,))
        equal[c] = _packed(values, keys, limits[c], target)
    return equal


@serial
def _packed(values: np.ndarray, keys: Keys, limit: np.int32, target: np.ndarray) -> np.int32:
    """One chunk of `pack`; as part of its parallel loop numba drops the last, odd byte."""
    same = _I(0)
    for i in range(values.size // 8):
        bits = _I(0)
        for j in range(8):
            key = key_at(values, 8 * i + j, keys)
            bits = _I(bits | _I(_I(key > limit) << _I(j)))
            same = _I(same + _I(key == limit))
        target[i] = np.uint8(bits)
    rest = values.size % 8
    if rest:
        bits = _I(0)
        for j in range(rest):
            key = key_at(values, values.size - rest + j, keys)
            bits = _I(bits | _I(_I(key > limit) << _I(j)))
            same = _I(same + _I(key == limit))
        target[values.size // 8] = np.uint8(bits)
    return same


@serial
def places(chunks: Chunks, c: int, keys: Keys, key: np.int32) -> np.ndarray:
    """Positions within chunk c of the entries with this key."""
    values = carray(pointer(chunks.addresses[c], chunks.like), (chunks.lengths[c],))
    found = np.empty(values.size, np.int64)
    n = 0
    for i in range(values.size):
        if key_at(values, i, keys) == key:
            found[n] = i
            n += 1
    return found[:n]
