"""Exact selection of the k smallest scores over many tensors, without joining them.

"Exact" means: exactly k entries are chosen, whatever the ties. Among equal scores the one that
stands first goes first: tensors in the order given, entries in row-major order. So the answer is
that of one stable sort over everything (`k_smallest_reference`), but

- on the CPU, float32 scores are read in chunks: a histogram of the upper 16 bits of their ordered
  bit pattern, then one of the lower 16 bits within the one bucket that holds the k-th score, give
  the threshold exactly and with hardly any extra memory;
- other CPU types go through one `np.partition`;
- on other devices the stable sort itself runs, in plain torch.

-inf marks what has to go in any case. NaN has no order and is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

_CHUNK = 1 << 20
_HALF = 1 << 16


def k_smallest(scores: Sequence[Tensor], k: int) -> list[Tensor]:
    """Choose the k smallest entries over all tensors.

    Parameters
    ----------
    scores: floating-point tensors of any shapes, on one device.
    k: how many entries to choose, 0 <= k <= total number of entries.

    Returns
    -------
    Boolean tensors in the shapes of `scores`; True = among the k smallest.

    Raises
    ------
    ValueError: k is out of range, or a score is NaN.
    """
    total = sum(score.numel() for score in scores)
    _check(scores, k, total)
    if k in (0, total):
        return [torch.full_like(score, k > 0, dtype=torch.bool) for score in scores]
    if any(score.device.type != "cpu" for score in scores):
        return k_smallest_reference(scores, k)
    values = [_single(score) for score in scores]
    return _up_to(values, kth_smallest(values, k), k)


def k_smallest_reference(scores: Sequence[Tensor], k: int) -> list[Tensor]:
    """`k_smallest` as one stable sort over the joined scores; any device."""
    _check(scores, k, sum(score.numel() for score in scores))
    joined = torch.cat([score.reshape(-1) for score in scores])
    chosen = torch.zeros(joined.numel(), dtype=torch.bool, device=joined.device)
    chosen[torch.sort(joined, stable=True).indices[:k]] = True
    parts = torch.split(chosen, [score.numel() for score in scores])
    return [part.reshape(score.shape) for part, score in zip(parts, scores, strict=True)]


def kth_smallest(scores: Sequence[Tensor], k: int) -> float:
    """Value of the k-th smallest entry (k = 1 is the minimum) over CPU tensors without NaN."""
    arrays = [score.detach().reshape(-1).numpy() for score in scores]
    if any(array.dtype != np.float32 for array in arrays):
        joined = np.concatenate([array.astype(np.float64) for array in arrays])
        return float(np.partition(joined, k - 1)[k - 1])
    high = np.zeros(_HALF, dtype=np.int64)
    for keys in _keys(arrays):
        high += np.bincount(keys >> 16, minlength=_HALF)
    bucket, rank = _find(high, k)
    low = np.zeros(_HALF, dtype=np.int64)
    for keys in _keys(arrays):
        inside = keys[(keys >> 16) == bucket]
        low += np.bincount(inside & 0xFFFF, minlength=_HALF)
    return _value((bucket << 16) | _find(low, rank)[0])


def k_smallest_rows(scores: Tensor, counts: Sequence[int]) -> Tensor:
    """Choose in each row its own number of smallest entries; ties go by column.

    Parameters
    ----------
    scores: (rows, columns), floating point.
    counts: one number a row, 0 <= count <= columns.

    Returns
    -------
    Boolean (rows, columns); True = chosen.
    """
    wanted = np.asarray(counts, dtype=np.int64)
    _check_rows(scores, wanted)
    if scores.device.type != "cpu":
        return k_smallest_rows_reference(scores, counts)
    values = _single(scores).numpy()
    chosen = np.zeros(values.shape, dtype=bool)
    for count in np.unique(wanted):
        rows = np.flatnonzero(wanted == count)
        chosen[rows] = _rows_with_count(values[rows], int(count))
    return torch.from_numpy(chosen)


def k_smallest_rows_reference(scores: Tensor, counts: Sequence[int]) -> Tensor:
    """`k_smallest_rows` as a stable sort of every row; any device."""
    _check_rows(scores, np.asarray(counts, dtype=np.int64))
    order = torch.sort(scores, dim=1, stable=True).indices
    limit = torch.as_tensor(counts, device=scores.device).reshape(-1, 1)
    first = torch.arange(scores.shape[1], device=scores.device) < limit
    return torch.zeros_like(first).scatter_(1, order, first)


def _check(scores: Sequence[Tensor], k: int, total: int) -> None:
    if not 0 <= k <= total:
        raise ValueError(f"cannot choose {k} of {total} scores")
    if any(bool(torch.isnan(score).any()) for score in scores):
        raise ValueError("a score is NaN: scores without an order cannot be ranked")


def _check_rows(scores: Tensor, counts: np.ndarray) -> None:
    if scores.ndim != 2 or counts.shape != (scores.shape[0],):
        raise ValueError(f"{counts.shape} counts do not fit scores of shape {tuple(scores.shape)}")
    if counts.size and (counts.min() < 0 or counts.max() > scores.shape[1]):
        raise ValueError(f"cannot choose {int(counts.max())} of {scores.shape[1]} in a row")
    _check([scores], 0, scores.numel())


def _single(scores: Tensor) -> Tensor:
    """Detached and contiguous; half precisions become float32, which holds them exactly."""
    wide = scores.dtype in (torch.float32, torch.float64)
    return scores.detach().to(scores.dtype if wide else torch.float32).contiguous()


def _keys(arrays: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Chunks of uint32 whose integer order is the order of the float32 values."""
    for array in arrays:
        for start in range(0, array.size, _CHUNK):
            bits = array[start : start + _CHUNK].view(np.uint32)
            # A negative float has all its bits flipped, a positive one its sign bit only.
            flip = (bits.view(np.int32) >> 31).view(np.uint32) | np.uint32(0x80000000)
            yield bits ^ flip


def _value(key: int) -> float:
    """The float32 whose ordered bit pattern is `key`."""
    bits = key ^ 0x80000000 if key & 0x80000000 else key ^ 0xFFFFFFFF
    return float(np.array([bits], dtype=np.uint32).view(np.float32)[0])


def _find(histogram: np.ndarray, k: int) -> tuple[int, int]:
    """Bucket that holds the k-th entry, and the entry's rank within it (from 1)."""
    cumulative = np.cumsum(histogram)
    bucket = int(np.searchsorted(cumulative, k))
    return bucket, k - (int(cumulative[bucket - 1]) if bucket else 0)


def _up_to(scores: Sequence[Tensor], threshold: float, k: int) -> list[Tensor]:
    """All entries below the threshold, and of those equal to it the first ones, k in all."""
    chosen = [score < threshold for score in scores]
    missing = k - sum(int(torch.count_nonzero(part)) for part in chosen)
    for part, score in zip(chosen, scores, strict=True):
        if missing == 0:
            break
        ties = torch.nonzero(score.reshape(-1) == threshold).reshape(-1)[:missing]
        part.view(-1)[ties] = True
        missing -= ties.numel()
    return chosen


def _rows_with_count(values: np.ndarray, count: int) -> np.ndarray:
    if count in (0, values.shape[1]):
        return np.full(values.shape, count > 0)
    threshold = np.partition(values, count - 1, axis=1)[:, count - 1 : count]
    chosen: np.ndarray = values < threshold
    missing = count - chosen.sum(axis=1, keepdims=True)
    ties = values == threshold
    if np.any(ties.sum(axis=1, keepdims=True) > missing):
        ties &= np.cumsum(ties, axis=1) <= missing
    chosen |= ties
    return chosen
