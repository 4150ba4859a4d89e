"""Exact selection of the k smallest scores over many tensors, without joining them.

"Exact" means: exactly k entries are chosen, whatever the ties. Among equal scores the one that
stands first goes first: tensors in the order given, entries in row-major order; zeros of both
signs are equal. So the answer is that of one stable sort over everything (the references here),
but the fast paths read the scores once or twice where they lie:

    kernels/cpu/select.py    a bracket from a sample, then one pass (numba)
    kernels/cuda/select.py   a radix select by histograms (Triton)

-inf marks what has to go in any case. NaN has no order and is refused.

Magnitudes are never made: `kth_magnitude` and `keep_masks` read the weights and drop the sign.
Masks come packed: row-major, least significant bit first, 1 = kept, ceil(n / 8) bytes a tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor

from kernels.paths import fast

NAN_REFUSED = "a score is NaN: scores without an order cannot be ranked"
READ_AS_BITS = (torch.float32, torch.bfloat16, torch.float16)
"""What the fast paths read; other types are joined and sorted."""


@dataclass(frozen=True)
class Threshold:
    """Where the k smallest end.

    Attributes
    ----------
    value: of the k-th smallest, as a score or a magnitude.
    below: how many entries are strictly below it.
    ties: how many of those equal to it are chosen, first in position order; k - below.
    """

    value: float
    below: int
    ties: int


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
    ValueError: k is out of range, a score is NaN, or the tensors are on several devices.
    """
    module = _path(scores, k)
    if module is None:
        return k_smallest_reference(scores, k)
    chosen: list[Tensor] = module.chosen(scores, k)
    return chosen


def k_smallest_reference(scores: Sequence[Tensor], k: int) -> list[Tensor]:
    """`k_smallest` as one stable sort over the joined scores; any device."""
    _check(scores, k)
    if not scores:
        return []
    joined = _joined(scores, magnitude=False)
    chosen = torch.zeros(joined.numel(), dtype=torch.bool, device=joined.device)
    chosen[torch.sort(joined, stable=True).indices[:k]] = True
    parts = torch.split(chosen, [score.numel() for score in scores])
    return [part.reshape(score.shape) for part, score in zip(parts, scores, strict=True)]


def kth_smallest(scores: Sequence[Tensor], k: int) -> float:
    """Value of the k-th smallest entry over all tensors (k = 1 is the minimum)."""
    return _threshold(scores, k, magnitude=False).value


def kth_magnitude(weights: Sequence[Tensor], k: int) -> Threshold:
    """The k-th smallest |w| over all tensors, 1 <= k <= total; raises as `k_smallest` does."""
    return _threshold(weights, k, magnitude=True)


def threshold_reference(scores: Sequence[Tensor], k: int, *, magnitude: bool) -> Threshold:
    """The k-th smallest score or magnitude from one sort; any device."""
    _check(scores, k, least=1)
    joined = _joined(scores, magnitude)
    value = torch.sort(joined).values[k - 1]
    below = int(torch.count_nonzero(joined < value))
    return Threshold(float(value), below, k - below)


def keep_masks(weights: Sequence[Tensor], k: int) -> list[Tensor]:
    """Packed keep-masks of everything but the k smallest magnitudes over all tensors.

    Parameters
    ----------
    weights: floating-point tensors of any shapes, on one device.
    k: how many weights go, 0 <= k <= total number of weights.

    Returns
    -------
    uint8, ceil(n / 8) bytes a tensor, on its device (layout above; `analysis.masks.Mask`).

    Raises
    ------
    ValueError: as `k_smallest`.
    """
    module = _path(weights, k)
    if module is None:
        return keep_masks_reference(weights, k)
    packed: list[Tensor] = module.kept_bits(weights, k)
    return packed


def keep_masks_reference(weights: Sequence[Tensor], k: int) -> list[Tensor]:
    """`keep_masks` from `k_smallest_reference` of the magnitudes; any device."""
    gone = k_smallest_reference([weight.detach().abs() for weight in weights], k)
    return [_packed(~part.reshape(-1)) for part in gone]


def _packed(bits: Tensor) -> Tensor:
    """Eight booleans a byte, the first in the lowest bit; the last byte is filled up with 0."""
    filled = bits.new_zeros((bits.numel() + 7) // 8 * 8)
    filled[: bits.numel()] = bits
    places = 1 << torch.arange(8, device=bits.device)
    return (filled.reshape(-1, 8) * places).sum(dim=1).to(torch.uint8)


def _threshold(scores: Sequence[Tensor], k: int, magnitude: bool) -> Threshold:
    module = _path(scores, k, least=1)
    if module is None:
        return threshold_reference(scores, k, magnitude=magnitude)
    found: Threshold = module.threshold(scores, k, magnitude)
    return found


def _path(scores: Sequence[Tensor], k: int, least: int = 0) -> ModuleType | None:
    """The fast path for these scores, if there is one; refuses a k that is out of range."""
    total = sum(score.numel() for score in scores)
    if not least <= k <= total:
        raise ValueError(f"cannot choose {k} of {total} scores")
    module = fast("select", *scores)
    return module if total and all(score.dtype in READ_AS_BITS for score in scores) else None


def _check(scores: Sequence[Tensor], k: int, least: int = 0) -> None:
    total = sum(score.numel() for score in scores)
    if not least <= k <= total:
        raise ValueError(f"cannot choose {k} of {total} scores")
    if any(bool(torch.isnan(score).any()) for score in scores):
        raise ValueError(NAN_REFUSED)


def _joined(scores: Sequence[Tensor], magnitude: bool) -> Tensor:
    joined = torch.cat([score.detach().reshape(-1) for score in scores])
    return joined.abs() if magnitude else joined
