"""Exact k-th smallest and its masks on the CPU, each little more than one read of the weights.

The k-th smallest is bracketed by two values of a sample, whole cache lines taken at even
distances. One pass then counts what lies below the bracket and collects what lies inside, less
than a hundredth of everything; the k-th of all is the one of the right rank among those. Counts
are exact, so a bracket that misses is seen. It is widened once, and where that does not help
either (ties everywhere, or an order that deceives the sample) two histograms of 16 bits decide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numba
import numpy as np
import torch
from torch import Tensor

from kernels.cpu.chunks import (
    CHUNK,
    IDENTITY,
    LINE,
    Chunks,
    Keys,
    chunks_of,
    chunks_of_keys,
    keys_of,
    readable,
    value_of,
)
from kernels.cpu.passes import BLOCK, ROOM, gather, histogram, mark, pack, places, sample
from kernels.select import NAN_REFUSED, Threshold

_DIRECT = 1 << 15
"""Up to here everything is collected and partitioned at once."""
_SAMPLED, _ONE_IN = 1 << 13, 128
"""The sample is one value in 128, and about 8192 values at least."""
_STANDARD_ERRORS = (4.0, 16.0)
"""Half width of the bracket at the first and the second attempt. The values of a cache line
resemble each other in a trained network, so the second is wider than chance alone asks for."""
_LOWEST, _HIGHEST = np.int32(-(2**31)), np.int32(2**31 - 1)
"""No value has these keys, or lies beyond them."""

Ranks = tuple[int, ...]
Writer = Callable[[Chunks, Keys, np.ndarray, np.ndarray], np.ndarray]


def threshold(tensors: Sequence[Tensor], k: int, magnitude: bool) -> Threshold:
    """The k-th smallest, 1 <= k <= total, of float32, bfloat16 or float16 tensors."""
    values = readable(tensors)
    dtype = values[0].dtype
    key, below = _kth(chunks_of(values), keys_of(dtype, magnitude), k)
    return Threshold(value_of(key, dtype), below, k - below)


def chosen(tensors: Sequence[Tensor], k: int) -> list[Tensor]:
    """Boolean tensors: True for the k smallest values."""
    values = readable(tensors)
    marks = [torch.empty(value.shape, dtype=torch.bool) for value in values]
    flat = [part.view(-1).view(torch.uint8).numpy() for part in marks]
    for i, spared in _write(mark, values, k, flat):
        flat[i][spared] = 0
    return marks


def kept_bits(tensors: Sequence[Tensor], k: int) -> list[Tensor]:
    """Packed keep-masks of all but the k smallest magnitudes."""
    values = readable(tensors)
    packed = [np.empty((value.numel() + 7) // 8, np.uint8) for value in values]
    for i, spared in _write(pack, values, k, packed):
        bits = np.left_shift(1, spared & 7).astype(np.uint8)
        np.bitwise_or.at(packed[i], spared >> 3, bits)
    return [torch.from_numpy(part) for part in packed]


def _write(
    writer: Writer, values: Sequence[Tensor], k: int, outputs: Sequence[np.ndarray]
) -> Iterator[tuple[int, np.ndarray]]:
    """Let `writer` write for the k smallest; yields whose ties it took one chunk too many of.

    Of the entries equal to the k-th only the first go. A chunk is written as if all of its own
    did, and again as if none did where the number is used up before it. At most one chunk lies
    across the end: its (tensor, positions) to be spared are left to the caller.
    """
    packing = writer is pack
    keys = keys_of(values[0].dtype if values else torch.float32, magnitude=packing)
    chunks = chunks_of(values)
    key, ties = _boundary(chunks, keys, k)
    targets = _targets(values, outputs, 8 if packing else 1)
    limits = np.full(targets.size, key, np.int32)
    equal = writer(chunks, keys, limits, targets)
    after = np.cumsum(equal)
    whole = (equal > 0) & (after - equal >= ties)
    if whole.any():
        again = Chunks(chunks.addresses[whole], chunks.lengths[whole], chunks.like)
        writer(again, keys, limits[whole] - np.int32(1), targets[whole])
    for c in np.flatnonzero((after > ties) & ~whole)[:1]:
        counts = np.cumsum([math.ceil(value.numel() / CHUNK) for value in values])
        i = int(np.searchsorted(counts, c, side="right"))
        start = (c - (counts[i - 1] if i else 0)) * CHUNK
        first = ties - (after[c] - equal[c])
        yield i, start + places(chunks, c, keys, key)[first:]


def _targets(values: Sequence[Tensor], outputs: Sequence[np.ndarray], packing: int) -> np.ndarray:
    """Where the entries of every chunk are written: `packing` of them a byte."""
    return np.array(
        [
            output.ctypes.data + start // packing
            for value, output in zip(values, outputs, strict=True)
            for start in range(0, value.numel(), CHUNK)
        ],
        np.int64,
    )


def _boundary(chunks: Chunks, keys: Keys, k: int) -> tuple[np.int32, int]:
    """Up to which key entries go, and how many of those that have it; 0 <= k <= total."""
    if 0 < k < chunks.lengths.sum():
        key, below = _kth(chunks, keys, k)
        return np.int32(key), k - below
    refuse_nan(chunks, keys)
    return (_HIGHEST if k else _LOWEST), 0


def _kth(chunks: Chunks, keys: Keys, k: int) -> tuple[int, int]:
    """Key of the k-th smallest, and how many keys are below it."""
    (found,) = _ranked(chunks, keys, (k,))
    return found


def _ranked(chunks: Chunks, keys: Keys, ranks: Ranks) -> list[tuple[int, int]]:
    """`_kth` for ascending ranks that lie near each other."""
    total = int(chunks.lengths.sum())
    if total <= _DIRECT:
        everything = _room(chunks, CHUNK)
        counts = _counted(chunks, keys, _LOWEST, _HIGHEST, everything)
        return _partitioned(_collected(everything, counts), ranks)
    for errors in _STANDARD_ERRORS:
        found = _within(chunks, keys, ranks, _bracket(chunks, keys, ranks, errors))
        if found is not None:
            return found
    return [_by_histograms(chunks, keys, k) for k in ranks]


def _ranked_keys(values: np.ndarray, ranks: Ranks) -> list[tuple[int, int]]:
    """`_ranked` for one array of keys."""
    if values.size <= _DIRECT:
        return _partitioned(values, ranks)
    return _ranked(chunks_of_keys(values), IDENTITY, ranks)


def _partitioned(values: np.ndarray, ranks: Ranks) -> list[tuple[int, int]]:
    keys = np.partition(values, [k - 1 for k in ranks])[[k - 1 for k in ranks]]
    return [(int(key), int(np.count_nonzero(values < key))) for key in keys]


def _bracket(chunks: Chunks, keys: Keys, ranks: Ranks, errors: float) -> tuple[np.int32, np.int32]:
    """Two keys of a sample, so many standard errors outside the first and the last rank."""
    lines = chunks.lengths // LINE
    count, total = int(lines.sum()), int(chunks.lengths.sum())
    every = max(1, min(_ONE_IN, count * LINE // _SAMPLED))
    taken = np.empty(count // every * LINE, np.int32)
    sample(chunks, keys, np.cumsum(lines) - lines, every, taken)
    shares = [k / total for k in (ranks[0], ranks[-1])]
    margins = [errors * math.sqrt(taken.size * share * (1 - share)) + LINE for share in shares]
    first = int(shares[0] * taken.size - margins[0])
    last = math.ceil(shares[1] * taken.size + margins[1])
    inner = tuple(k for k in (first, last) if 1 <= k <= taken.size)
    ends = [np.int32(key) for key, _ in _ranked_keys(taken, inner)] if inner else []
    low = ends[0] if first >= 1 else _LOWEST
    return low, (ends[-1] if last <= taken.size else _HIGHEST)


def _within(
    chunks: Chunks, keys: Keys, ranks: Ranks, bracket: tuple[np.int32, np.int32]
) -> list[tuple[int, int]] | None:
    """`_ranked` if all are inside the bracket or its low end, and few enough are inside."""
    found = _room(chunks, ROOM)
    counts = _counted(chunks, keys, *bracket, found)
    up_to, inside = int(counts[:, 0].sum()), int(counts[:, 1].sum())
    halved = 2 * inside <= chunks.lengths.sum()  # or this might go on for ever
    if ranks[-1] > up_to + inside or not halved or np.any(counts[:, 1] > found.shape[1]):
        return None
    at_low = [k for k in ranks if k <= up_to]
    beyond = tuple(k - up_to for k in ranks if k > up_to)
    answers: list[tuple[int, int]] = []
    if at_low:
        less = np.int32(bracket[0] - 1)
        below = int(_counted(chunks, keys, less, less, found[:, :0])[:, 0].sum())
        if at_low[0] <= below:
            return None
        answers = [(int(bracket[0]), below)] * len(at_low)
    if beyond:
        rows = found.ctypes.data + np.arange(len(found)) * found.strides[0]
        table = Chunks(rows, np.ascontiguousarray(counts[:, 1]), np.empty(0, np.int32))
        answers += [(key, n + up_to) for key, n in _ranked(table, IDENTITY, beyond)]
    return answers


def refuse_nan(chunks: Chunks, keys: Keys) -> None:
    """Raises ValueError if a value is NaN."""
    _counted(chunks, keys, _LOWEST, _LOWEST, _room(chunks, BLOCK))


def _room(chunks: Chunks, width: int) -> np.ndarray:
    """Rows for what `gather` collects: pages that are not written take no memory."""
    longest = int(chunks.lengths.max(initial=0))
    return np.empty((chunks.lengths.size, max(BLOCK, min(width, longest))), np.int32)


def _counted(
    chunks: Chunks, keys: Keys, low: np.int32, high: np.int32, found: np.ndarray
) -> np.ndarray:
    counts = gather(chunks, keys, low, high, found)
    if counts[:, 2].any():
        raise ValueError(NAN_REFUSED)
    return counts


def _collected(found: np.ndarray, counts: np.ndarray) -> np.ndarray:
    rows: np.ndarray = np.concatenate(
        [row[:count] for row, count in zip(found, counts[:, 1], strict=True)]
    )
    return rows


def _by_histograms(chunks: Chunks, keys: Keys, k: int) -> tuple[int, int]:
    """`_kth` from counts over the upper 16 bits, then over the lower ones in the one bucket."""
    slices = numba.get_num_threads()
    wide = chunks.like.itemsize == 4
    bucket, rank = _find(histogram(chunks, keys, 16 if wide else 0, 0, slices), k)
    key = bucket - (1 << 15)
    if wide:
        lower, rank = _find(histogram(chunks, keys, 0, key, slices), rank)
        key = (key << 16) | lower
    return key, k - rank


def _find(counts: np.ndarray, k: int) -> tuple[int, int]:
    """Bucket that holds the k-th entry, and the entry's rank within it (from 1)."""
    cumulative = np.cumsum(counts)
    bucket = int(np.searchsorted(cumulative, k))
    return bucket, k - (int(cumulative[bucket - 1]) if bucket else 0)
