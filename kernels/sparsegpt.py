"""SparseGPT: prune the columns of a linear layer one by one, and let later columns make up for it.

Frantar and Alistarh, "SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot"
(2023), algorithm 1. H is the Gram matrix of the layer's inputs and U the upper factor of its
inverse, H⁻¹ = UᵀU. Removing w_i costs w_i² / (2 U_ii²) and moves the later weights of its row by
-(w_i / U_ii) U[i, i:].

    for each block of columns:
        choose the mask            unstructured: lowest w² / U_ii² over all rows of the block;
                                   N:M: when the sweep reaches a group, from the updated weights
        for each column i:         e = w_i / U_ii where w_i goes, else 0
            weights of the block  -= e U[i, block]
        later columns             -= E U[block, later]

Rows do not see each other, so the loop over columns runs for many rows at once (kernels/cpu and
kernels/cuda); the last line is a matrix product and belongs to BLAS on every device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from kernels.gram import check_finite, exact_float32
from kernels.paths import fast
from kernels.select import k_smallest

Step = Callable[[Tensor, int, Tensor, Tensor], Tensor]
"""(weights, first column, triangle of U, what goes: may be changed) -> errors of the block."""


@dataclass(frozen=True, eq=False)
class Swept:
    """What a sweep leaves.

    Attributes
    ----------
    weight: shape and type of the input, zeros where `keep` is False.
    keep: boolean, True = kept.
    loss: sum of e² / 2. With H = 2/N XᵀX the true error ‖X(W - W')ᵀ‖² is at most N times this;
        the difference is the share of the damping.
    """

    weight: Tensor
    keep: Tensor
    loss: float


def sweep(
    weight: Tensor,
    factor: Tensor,
    counts: Sequence[int],
    block: int = 128,
    removed: Tensor | None = None,
) -> Swept:
    """Unstructured SparseGPT: in each block of columns exactly `counts[b]` weights go.

    Parameters
    ----------
    weight: (out, d) floating point, finite.
    factor: (d, d), U of `kernels.inverse_factor`, float32 or float64.
    counts: one number a block of `column_blocks`; weights of equal score go by row, then column.
    removed: boolean, shape of `weight`: these go first, and count.

    Raises
    ------
    ValueError: shapes do not fit, a count is out of range, a weight is not finite, or the updates
        overflow (then the Gram matrix needs more damping).
    """
    module = fast("sparsegpt", weight, factor)
    step = columns if module is None else module.columns
    return _sweep(weight, factor, counts, block, removed, step)


def sweep_reference(
    weight: Tensor,
    factor: Tensor,
    counts: Sequence[int],
    block: int = 128,
    removed: Tensor | None = None,
) -> Swept:
    """`sweep` with the loop over columns in plain torch; any device."""
    return _sweep(weight, factor, counts, block, removed, columns)


def sweep_nm(
    weight: Tensor,
    factor: Tensor,
    n: int,
    m: int,
    block: int = 128,
    removed: Tensor | None = None,
) -> Swept:
    """SparseGPT with N:M masks: n of every m consecutive columns stay.

    A trailing group of fewer than m columns is kept whole. Entries of `removed` go in any case,
    first in their group; blocks are widened to hold whole groups. Otherwise as `sweep`.
    """
    module = fast("sparsegpt", weight, factor)
    step = columns_nm if module is None else module.columns_nm
    return _sweep_nm(weight, factor, (n, m), block, removed, step)


def sweep_nm_reference(
    weight: Tensor,
    factor: Tensor,
    n: int,
    m: int,
    block: int = 128,
    removed: Tensor | None = None,
) -> Swept:
    """`sweep_nm` with the loop over columns in plain torch; any device."""
    return _sweep_nm(weight, factor, (n, m), block, removed, columns_nm)


def column_blocks(size: int, block: int) -> list[tuple[int, int]]:
    """(first, one past the last) column of each block."""
    if block < 1:
        raise ValueError(f"a block has at least one column, not {block}")
    return [(start, min(start + block, size)) for start in range(0, size, block)]


def columns(work: Tensor, start: int, triangle: Tensor, gone: Tensor) -> Tensor:
    """One block: zero what goes and update the block's later columns, in place.

    Parameters
    ----------
    work: (out, d) weights; the block begins at column `start`.
    triangle: (width, width) of U, contiguous. gone: boolean (out, width), contiguous.

    Returns
    -------
    Errors e = w / U_ii where a weight goes, else 0; (out, width).
    """
    errors = torch.zeros(gone.shape, dtype=work.dtype, device=work.device)
    for i in range(triangle.shape[0]):
        _column(work[:, start : start + triangle.shape[0]], triangle, gone, errors, i)
    return errors


def columns_nm(work: Tensor, start: int, triangle: Tensor, gone: Tensor, n: int, m: int) -> Tensor:
    """`columns` that adds to `gone`, group by group, all but the n highest of m w² / U_ii²."""
    errors = torch.zeros(gone.shape, dtype=work.dtype, device=work.device)
    values = work[:, start : start + triangle.shape[0]]
    for i in range(triangle.shape[0]):
        if i % m == 0 and i + m <= triangle.shape[0]:
            scores = values[:, i : i + m].abs() / triangle.diagonal()[i : i + m]
            scores.masked_fill_(gone[:, i : i + m], float("-inf"))
            lowest = scores.sort(dim=1, stable=True).indices[:, : m - n]
            gone[:, i : i + m].scatter_(1, lowest, True)
        _column(values, triangle, gone, errors, i)
    return errors


def _column(values: Tensor, triangle: Tensor, gone: Tensor, errors: Tensor, i: int) -> None:
    error = torch.where(gone[:, i], values[:, i] / triangle[i, i], 0)
    values[:, i + 1 :] -= error[:, None] * triangle[i, i + 1 :]
    values[:, i].masked_fill_(gone[:, i], 0)
    errors[:, i] = error


def _sweep(
    weight: Tensor,
    factor: Tensor,
    counts: Sequence[int],
    block: int,
    removed: Tensor | None,
    step: Step,
) -> Swept:
    if weight.ndim == 2 and len(counts) != len(column_blocks(weight.shape[1], block)):
        raise ValueError(
            f"{len(counts)} counts do not fit {weight.shape[1]} columns in blocks of {block}"
        )

    def choose_and_step(work: Tensor, start: int, triangle: Tensor, gone: Tensor) -> Tensor:
        values = work[:, start : start + triangle.shape[0]]
        _choose(values, triangle.diagonal(), gone, counts[start // block])
        return step(work, start, triangle, gone)

    return _blocks(weight, factor, block, removed, choose_and_step)


def _sweep_nm(
    weight: Tensor,
    factor: Tensor,
    pattern: tuple[int, int],
    block: int,
    removed: Tensor | None,
    step: Callable[..., Tensor],
) -> Swept:
    n, m = pattern
    if not 1 <= n < m:
        raise ValueError(f"{n}:{m} is no pattern: n of every m are kept, 1 <= n < m")
    whole = -(-max(block, 1) // m) * m
    return _blocks(weight, factor, whole, removed, partial(step, n=n, m=m))


def _choose(values: Tensor, diagonal: Tensor, gone: Tensor, count: int) -> None:
    """Fill `gone` up to `count` entries, lowest |w| / U_ii first (the order of its square)."""
    already = int(gone.sum())
    if not already <= count <= gone.numel():
        raise ValueError(
            f"{count} weights of a block of {gone.numel()} cannot go when {already} went before"
        )
    scores = (values.abs() / diagonal).masked_fill_(gone, float("-inf"))
    gone.copy_(k_smallest([scores], count)[0])


def _blocks(
    weight: Tensor, factor: Tensor, block: int, removed: Tensor | None, step: Step
) -> Swept:
    """Go through the blocks: `step` on each, and its errors on to the later columns."""
    _check_sweep(weight, factor, removed)
    dtype = torch.promote_types(weight.dtype, factor.dtype)
    work = torch.empty(weight.shape, dtype=dtype, device=weight.device).copy_(weight.detach())
    keep = torch.ones(weight.shape, dtype=torch.bool, device=weight.device)
    loss = torch.zeros((), dtype=torch.float64, device=weight.device)
    upper = factor.detach().to(dtype)
    for start, stop in column_blocks(weight.shape[1], block):
        gone = torch.zeros_like(keep[:, start:stop], memory_format=torch.contiguous_format)
        if removed is not None:
            gone |= removed[:, start:stop]
        errors = step(work, start, upper[start:stop, start:stop].contiguous(), gone)
        keep[:, start:stop] = ~gone
        loss += errors.square().sum(dtype=torch.float64) / 2
        with exact_float32():
            work[:, stop:].addmm_(errors, upper[start:stop, stop:], alpha=-1)
    updated = work.to(weight.dtype)  # a half type overflows earlier than what was computed in
    check_finite(updated, "the updated weights (more damping may help): they")
    return Swept(updated, keep, float(loss))


def _check_sweep(weight: Tensor, factor: Tensor, removed: Tensor | None) -> None:
    if weight.ndim != 2 or not weight.is_floating_point():
        raise ValueError(f"weights are a floating (out, d), not {tuple(weight.shape)}")
    if tuple(factor.shape) != (weight.shape[1],) * 2:
        raise ValueError(
            f"a factor of shape {tuple(factor.shape)} does not fit weights {tuple(weight.shape)}"
        )
    if factor.dtype not in (torch.float32, torch.float64) or not bool(
        (factor.diagonal() > 0).all()
    ):
        raise ValueError("the factor is float32 or float64 and has a positive diagonal")
    if removed is not None and (removed.shape != weight.shape or removed.dtype != torch.bool):
        raise ValueError("the mask of removed weights is boolean, in the shape of the weights")
    check_finite(weight, "the weights")
