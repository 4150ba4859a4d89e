"""Least squares with a mask for every row, from Gram matrices.

Row r of W' may differ from W in the columns S_r only. With G = X̂ᵀX̂ and what is still missing,
R = (Y - X̂ Wᵀ)ᵀ X̂, the correction solves (G[S, S] + λ I) δ[S] = R[r, S]. Rows with the same mask
share one Cholesky factor; all others are solved in batches of about equally many columns, filled
up with rows of the identity.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

LIMIT = 32 << 20
"""Float64 numbers in one batch of systems (256 MiB); a single system may take more."""
_TRIES = 12


def correct_rows(
    gram: Tensor, missing: Tensor, keep: Tensor, damping: float, limit: int = LIMIT
) -> tuple[Tensor, float]:
    """The corrections δ, (rows, d) float64, zero outside the masks, and the damping used.

    Parameters
    ----------
    gram: (d, d) float64, symmetric. missing: (rows, d) float64. keep: boolean (rows, d).
    damping: λ as a share of the mean diagonal of `gram`, > 0. It is raised tenfold until all
        systems are positive definite. Whatever it is, no row's error grows.
    """
    share = damping * float(gram.diagonal().mean())
    if share == 0:  # there is no input at all: nothing can be corrected
        return torch.zeros_like(missing), damping
    for step in range(_TRIES):
        found = _solve(gram, missing, keep, share * 10**step, limit)
        if found is not None:
            return found, damping * 10**step
    raise ValueError(f"no system is positive definite, even with damping {damping:g} 10^{_TRIES}")


def _solve(
    gram: Tensor, missing: Tensor, keep: Tensor, damping: float, limit: int
) -> Tensor | None:
    patterns, owner = torch.unique(keep, dim=0, return_inverse=True)
    sizes = torch.bincount(owner, minlength=len(patterns))
    rows, ends = torch.argsort(owner, stable=True), sizes.cumsum(0)
    found = torch.zeros_like(missing)
    for chunk in _chunks(patterns.sum(dim=1), sizes, keep.shape[1], limit):
        width = int(patterns[chunk].sum(dim=1).max())
        if width == 0:
            continue
        columns = torch.argsort(~patterns[chunk], dim=1, stable=True)[:, :width]
        inside = patterns[chunk].gather(1, columns)
        factor, info = torch.linalg.cholesky_ex(_systems(gram, columns, inside, damping))
        if bool(info.any()):
            return None
        place = torch.arange(int(sizes[chunk].max()), device=rows.device)
        used = place < sizes[chunk][:, None]
        own = rows[(ends[chunk] - sizes[chunk])[:, None] + place.where(used, 0)]
        across = columns[:, None].expand(-1, len(place), -1)
        sides = missing[own].gather(2, across) * inside[:, None]
        solved = torch.cholesky_solve(sides.mT, factor).mT * inside[:, None]
        spread = torch.zeros_like(missing[own]).scatter_(2, across, solved)
        found[own[used]] = spread[used]
    return found


def _systems(gram: Tensor, columns: Tensor, inside: Tensor, damping: float) -> Tensor:
    """(patterns, width, width): the kept part of G, damped; the identity in the columns added."""
    systems = gram[columns[:, :, None], columns[:, None, :]]
    systems *= inside[:, :, None] & inside[:, None, :]
    systems.diagonal(dim1=1, dim2=2).add_(torch.where(inside, damping, 1.0))
    return systems


def _chunks(kept: Tensor, sizes: Tensor, width: int, limit: int) -> Iterator[Tensor]:
    """Patterns in the order of their number of columns, as many at a time as the limit allows."""
    order = torch.argsort(kept, stable=True)
    start = 0
    while start < len(order):
        stop, tallest = start, 0
        while stop < len(order):
            high = int(kept[order[stop]])
            tallest = max(tallest, int(sizes[order[stop]]))
            held = (stop + 1 - start) * (2 * high * high + 4 * tallest * width)
            if stop > start and held > limit:
                break
            stop += 1
        yield order[start:stop]
        start = stop
