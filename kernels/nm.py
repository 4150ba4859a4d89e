"""N:M selection: of every m consecutive scores along one dimension the n largest are kept.

Ties go by position, as everywhere: of equal scores the first is removed first. Only complete
groups are decided; a trailing rest of fewer than m entries is kept whole.
"""

from __future__ import annotations

import torch
from torch import Tensor

_COMPARE_UP_TO = 8
"""Groups up to this size are ranked by comparing all pairs: m (m - 1) / 2 passes beat a sort."""


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
    groups, keep = _grouped(scores, n, m, dim)
    keep.copy_((_ranks(groups) if m <= _COMPARE_UP_TO else _sorted_ranks(groups)) >= m - n)
    return _whole(scores, keep, m, dim)


def nm_keep_reference(scores: Tensor, n: int, m: int, dim: int = 1) -> Tensor:
    """`nm_keep` as a stable sort of every group."""
    groups, keep = _grouped(scores, n, m, dim)
    keep.copy_(_sorted_ranks(groups) >= m - n)
    return _whole(scores, keep, m, dim)


def complete(size: int, m: int) -> int:
    """How many of `size` entries lie in complete groups of m."""
    return size - size % m


def _grouped(scores: Tensor, n: int, m: int, dim: int) -> tuple[Tensor, Tensor]:
    """The complete groups as (..., groups, m), and an empty boolean mask of that shape."""
    if not 1 <= n < m:
        raise ValueError(f"{n}:{m} is no pattern: n of every m are kept, 1 <= n < m")
    if bool(torch.isnan(scores).any()):
        raise ValueError("a score is NaN: scores without an order cannot be ranked")
    last = scores.movedim(dim, -1)
    whole = last[..., : complete(last.shape[-1], m)]
    groups = whole.reshape(*whole.shape[:-1], -1, m) if whole.numel() else whole.reshape(0, m)
    return groups, torch.empty_like(groups, dtype=torch.bool)


def _whole(scores: Tensor, keep: Tensor, m: int, dim: int) -> Tensor:
    """Put decided groups back into the shape of `scores`; the rest is kept."""
    mask = torch.ones(scores.shape, dtype=torch.bool, device=scores.device)
    last = mask.movedim(dim, -1)
    inside = last[..., : complete(last.shape[-1], m)]
    inside.copy_(keep.reshape(inside.shape))
    return mask


def _ranks(groups: Tensor) -> Tensor:
    """Rank of every entry within its group (0 = first to go), by comparing all pairs."""
    m = groups.shape[-1]
    ranks = torch.zeros_like(groups, dtype=torch.int8)
    for i in range(m):
        for j in range(i + 1, m):
            first = groups[..., i] <= groups[..., j]
            ranks[..., j] += first
            ranks[..., i] += ~first
    return ranks


def _sorted_ranks(groups: Tensor) -> Tensor:
    """The same ranks from a stable sort."""
    order = torch.sort(groups, dim=-1, stable=True).indices
    places = torch.arange(groups.shape[-1], device=groups.device).expand_as(order)
    return torch.empty_like(order).scatter_(-1, order, places)
