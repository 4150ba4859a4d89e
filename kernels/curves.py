"""Counts of scores per layer by value, so that a slider moves a threshold without the weights.

Scores are counted once into buckets of equal upper 16 bits of their ordered bit pattern: for
float32 a bucket spans less than 1/128 of its value, for half types it is one single value. What a
threshold then removes from every layer is looked up.

    kernels/cpu/curves.py     numba, a histogram a thread
    kernels/cuda/curves.py    Triton, atomic counts
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kernels.paths import fast
from kernels.select import NAN_REFUSED, READ_AS_BITS

_MIDDLE = 1 << 15
"""Bucket that starts at zero."""


@dataclass(frozen=True)
class Shares:
    """How many of the k smallest scores each layer has, from counts by bucket.

    Attributes
    ----------
    counts: int64, one a layer; they sum to k exactly.
    bound: int64, one a layer: the true number differs from `counts` by no more.
    """

    counts: np.ndarray
    bound: np.ndarray


@dataclass(frozen=True)
class ScoreCurves:
    """Cumulative counts of the scores of every layer.

    Attributes
    ----------
    cumulative: int64 (layers, 2^16 + 1); entry b counts the scores in the buckets before b.
    dtype: type whose bit patterns make the buckets.
    """

    cumulative: np.ndarray
    dtype: torch.dtype

    @property
    def sizes(self) -> np.ndarray:
        """Scores a layer."""
        sizes: np.ndarray = self.cumulative[:, -1]
        return sizes

    def counts_below(self, value: float) -> np.ndarray:
        """How many scores of every layer are below a value; int64.

        Exact where the value is the edge of a bucket (`threshold` gives edges, and any half value
        is one for scores of that type). Otherwise the scores in the value's own bucket are left
        out, those within 1/128 below the value.
        """
        counts: np.ndarray = self.cumulative[:, self._bucket(value)]
        return counts

    def threshold(self, k: int) -> tuple[float, float]:
        """The edges (low, high) between which the k-th smallest score lies: low <= it < high.

        1 <= k <= number of scores. Of an infinite score both edges are infinity.
        """
        bucket = self._bucket_of_rank(k)
        return self._edge(bucket), self._edge(bucket + 1)

    def counts(self, k: int) -> Shares:
        """How many of the k smallest scores lie in every layer, 0 <= k <= number of scores.

        Whole buckets below the k-th score are exact. The bucket that holds it is shared out among
        the layers in proportion to what they have in it, rounded cumulatively in layer order.
        """
        if k == 0:
            return Shares(np.zeros_like(self.sizes), np.zeros_like(self.sizes))
        bucket = self._bucket_of_rank(k)
        below = self.cumulative[:, bucket]
        inside = self.cumulative[:, bucket + 1] - below
        missing, total = k - int(below.sum()), int(inside.sum())
        # Python's integers: the products are too large for int64 with billions of scores.
        ends = [(2 * missing * int(n) + total) // (2 * total) for n in np.cumsum(inside)]
        whole = missing == total
        return Shares(below + np.diff(ends, prepend=0), np.zeros_like(inside) if whole else inside)

    def _bucket_of_rank(self, k: int) -> int:
        scores = int(self.sizes.sum())
        if not 1 <= k <= scores:
            raise ValueError(f"cannot choose {k} of {scores} scores")
        return _first_reaching(self.cumulative, k) - 1

    def _bucket(self, value: float) -> int:
        """Bucket of a value, which need not be one of the type: that of the next below it."""
        if np.isnan(value):
            raise ValueError("a threshold cannot be NaN")
        exact = torch.tensor([value], dtype=torch.float64)
        return int(_places(_rounded_down(exact, self.dtype))[0])

    def _edge(self, bucket: int) -> float:
        """Smallest value of a bucket; infinite beyond the finite ones."""
        wide = self.dtype == torch.float32
        key = (bucket - _MIDDLE) << (16 if wide else 0)
        integer = torch.int32 if wide else torch.int16
        limit = int(torch.tensor([float("inf")], dtype=self.dtype).view(integer))
        magnitude = torch.tensor([min(abs(key), limit)], dtype=integer).view(self.dtype)
        return float(-magnitude if key < 0 else magnitude)


def score_curves(scores: Sequence[Tensor], magnitude: bool) -> ScoreCurves:
    """Count the scores, or the magnitudes of weights, of every layer.

    Parameters
    ----------
    scores: one floating-point tensor a layer, on one device. Tensors of float32 or of one half
        type are counted as they are; halves among others become float32, which holds them, and
        float64 is rounded down to float32.
    magnitude: whether |score| is counted.

    Raises
    ------
    ValueError: a score is NaN, or the tensors are on several devices.
    """
    module = fast("curves", *scores)
    if module is None or not all(score.dtype in READ_AS_BITS for score in scores):
        return score_curves_reference(scores, magnitude)
    return _cumulated(module.histograms(scores, magnitude), _common(scores))


def score_curves_reference(scores: Sequence[Tensor], magnitude: bool) -> ScoreCurves:
    """`score_curves` by `torch.bincount`; any device."""
    dtype = _common(scores)
    counts = np.zeros((len(scores), 1 << 16), np.int64)
    for i, score in enumerate(scores):
        flat = score.detach().reshape(-1)
        if bool(torch.isnan(flat).any()):
            raise ValueError(NAN_REFUSED)
        values = _rounded_down(flat.abs() if magnitude else flat, dtype)
        counts[i] = torch.bincount(_places(values), minlength=1 << 16).cpu().numpy()
    return _cumulated(counts, dtype)


def _common(scores: Sequence[Tensor]) -> torch.dtype:
    """Type whose bit patterns make the buckets."""
    found = {score.dtype for score in scores}
    dtype = found.pop() if len(found) == 1 else torch.float32
    return dtype if dtype in READ_AS_BITS else torch.float32


def _cumulated(counts: np.ndarray, dtype: torch.dtype) -> ScoreCurves:
    cumulative = np.zeros((len(counts), counts.shape[1] + 1), np.int64)
    np.cumsum(counts, axis=1, out=cumulative[:, 1:])
    return ScoreCurves(cumulative, dtype)


def _first_reaching(cumulative: np.ndarray, k: int) -> int:
    """First b with at least k scores of all layers before it, by bisection."""
    low, high = 0, cumulative.shape[1] - 1
    while low < high:
        middle = (low + high) // 2
        if int(cumulative[:, middle].sum()) >= k:
            high = middle
        else:
            low = middle + 1
    return low


def _rounded_down(values: Tensor, dtype: torch.dtype) -> Tensor:
    """The largest values of the type that are not above these."""
    if values.dtype == dtype:
        return values
    rounded = values.to(dtype)
    below = torch.nextafter(rounded, torch.full_like(rounded, float("-inf")))
    return torch.where(rounded > values, below, rounded)


def _places(values: Tensor) -> Tensor:
    """Bucket of every value."""
    wide = values.dtype == torch.float32
    bits = values.view(torch.int32 if wide else torch.int16).to(torch.int32)
    size = bits & (0x7FFFFFFF if wide else 0x7FFF)
    keys = torch.where(bits < 0, -size, size)
    return ((keys >> 16) if wide else keys) + _MIDDLE
