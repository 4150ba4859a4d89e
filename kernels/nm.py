"""N:M selection: of every m consecutive scores along one dimension the n largest are kept.

Ties go by position, as everywhere: of equal scores the first is removed first. Only complete
groups are decided; a trailing rest of fewer than m entries is kept whole.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from kernels.paths import fast

_FAST = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
_WIDEST = 64
"""The fast paths compare all pairs of a group, which beats a sort in groups up to this size."""
_NAN = "a score is NaN: scores without an order cannot be ranked"


def nm_keep(scores: Tensor, n: int, m: int, dim: int = 1) -> Tensor:
    """Keep-mask of the n largest in each complete group of m along `dim`.

    Parameters
    ----------
    scores: floating point, any shape.
    n, m: 1 <= n < m; n of every m are kept.

    Returns
    -------
    Boolean, shape of `scores`; True = kept. Entries outside complete groups are kept.

    Raises
    ------
    ValueError: n and m do not fit each other, or a score is NaN.
    """
    _check(n, m)
    module = fast("nm", scores)
    wide = m > _WIDEST or scores.dtype not in _FAST
    if module is None or wide or scores.numel() == 0 or scores.dim() == 0:
        return nm_keep_reference(scores, n, m, dim)
    order = _memory_order(scores)
    dense = scores.detach().permute(order).contiguous()
    place = order.index(range(scores.dim())[dim])
    before, size, after = dense.shape[:place], dense.shape[place], dense.shape[place + 1 :]
    values = dense.view(before.numel(), size, after.numel())
    keep, unordered = module.nm_keep(values, n, m)
    rest = slice(complete(size, m), None)
    keep[:, rest] = True
    if unordered or bool(torch.isnan(values[:, rest]).any()):
        raise ValueError(_NAN)
    back = [order.index(d) for d in range(len(order))]
    return cast("Tensor", keep.view(dense.shape).permute(back))


def nm_keep_reference(scores: Tensor, n: int, m: int, dim: int = 1) -> Tensor:
    """`nm_keep` as a stable sort of every group."""
    _check(n, m)
    if bool(torch.isnan(scores).any()):
        raise ValueError(_NAN)
    keep = torch.ones(scores.shape, dtype=torch.bool, device=scores.device)
    if scores.dim() == 0:  # one entry is no complete group
        return keep
    groups = _groups(scores, m, dim)
    order = torch.sort(groups, dim=-1, stable=True).indices
    removed = torch.zeros_like(groups, dtype=torch.bool)
    _groups(keep, m, dim).copy_(~removed.scatter_(-1, order[..., : m - n], True))
    return keep


def complete(size: int, m: int) -> int:
    """How many of `size` entries lie in complete groups of m."""
    return size - size % m


def _groups(values: Tensor, m: int, dim: int) -> Tensor:
    """A view of the complete groups along `dim`, as (..., groups, m)."""
    last = values.movedim(dim, -1)
    inside = last[..., : complete(last.shape[-1], m)]
    return inside.view(*inside.shape[:-1], inside.shape[-1] // m, m)


def _check(n: int, m: int) -> None:
    if not 1 <= n < m:
        raise ValueError(f"{n}:{m} is no pattern: n of every m are kept, 1 <= n < m")


def _memory_order(scores: Tensor) -> list[int]:
    """The dimensions from the outermost in memory to the innermost.

    So a transposed tensor is read where it lies; only slices with gaps have to be copied.
    """
    strides = scores.stride()
    return sorted(range(len(strides)), key=lambda d: -strides[d])
