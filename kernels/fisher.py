"""The inverse empirical Fisher matrix in diagonal blocks, and what oBERT reads from it.

Kurtic et al., "The Optimal BERT Surgeon" (2022, arXiv:2203.07259); the algebra is that of Hassibi
and Stork, "Optimal Brain Surgeon" (1992). For consecutive blocks of B weights

    F = damp · I + 1/m Σ g gᵀ

is kept as its inverse: from F⁻¹ = I / damp, by one Woodbury update a gradient,

    v = F⁻¹ g,   F⁻¹ -= v vᵀ / (m + gᵀv)

A torch loop over gradients reads and writes all blocks m times; the fast paths apply all gradients
to one block while it is in the cache. Weights, gradients and masks are flat, in the order of the
weights; where the last block is shorter it is padded with I / damp, which nothing reads.

Memory: B numbers a weight (85 million weights and B = 50 in float32: 17 GB).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from kernels.gram import check_finite, exact_float32
from kernels.paths import fast

_PORTION = 1 << 24
"""Numbers that are converted or solved for at a time: 64 MiB of float32."""
_TRITON_UP_TO = 128
"""Largest block that a Triton program holds in registers."""
_TOO_LITTLE = "the damping is too small for the precision of"
_REMEDY = "use more damping, or gradients in float64"


def fisher_inverse(gradients: Tensor, block: int, damp: float) -> Tensor:
    """Inverse of damp · I + 1/m Σ g gᵀ in diagonal blocks.

    Parameters
    ----------
    gradients: (m, n) floating point, finite; a row is the gradient of one sample or batch.
    block: B, weights that may make up for each other.
    damp: λ > 0. The inverse starts from 1/λ, so a small λ costs digits of float32: with 64
        gradients and B = 50 its diagonal was right to 0.05 % at λ = 1e-4 times the mean squared
        gradient, to 0.5 % at 1e-5, to 6 % at 1e-6. Take float64 for less.

    Returns
    -------
    (ceil(n / B), B, B), symmetric; float64 for float64 gradients, else float32.

    Raises
    ------
    ValueError: sizes do not fit, a gradient is not finite, or λ is lost in the rounding.
    """
    if gradients.ndim != 2 or not gradients.shape[0]:
        raise ValueError(f"gradients are (samples, weights), not {tuple(gradients.shape)}")
    inverse = start_inverse(gradients, block, damp)
    update(inverse, gradients, gradients.shape[0])
    return inverse


def start_inverse(like: Tensor, block: int, damp: float) -> Tensor:
    """I / damp in blocks for gradients like these (..., n): where `update` begins."""
    if block < 1 or not 0 < damp < float("inf"):
        raise ValueError(f"blocks of {block} and damping {damp}: both must be positive")
    dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
    eye = torch.eye(block, dtype=dtype, device=like.device) / damp
    return eye.repeat(-(-like.shape[-1] // block), 1, 1)


def update(inverse: Tensor, gradients: Tensor, total: int) -> None:
    """Bring further gradients into `inverse`, in place.

    Parameters
    ----------
    inverse: (blocks, B, B) of `start_inverse`, contiguous.
    gradients: (some, n), a portion of the `total` gradients.
    total: m, the number of gradients of all portions together.
    """
    _check_update(inverse, gradients, total)
    fits = inverse.device.type == "cpu" or inverse.shape[1] <= _TRITON_UP_TO
    module = fast("fisher", inverse, gradients) if fits else None
    step = woodbury if module is None else module.woodbury
    for blocks, part in _portions(inverse, gradients.detach()):
        step(blocks, part, total)
    _check_positive(inverse)


def update_reference(inverse: Tensor, gradients: Tensor, total: int) -> None:
    """`update` as a loop over gradients in plain torch; any device."""
    _check_update(inverse, gradients, total)
    for blocks, part in _portions(inverse, gradients.detach()):
        woodbury(blocks, part, total)
    _check_positive(inverse)


def woodbury(inverse: Tensor, gradients: Tensor, total: int) -> None:
    """All rank-one updates of contiguous blocks; gradients in their type."""
    with exact_float32():
        for gradient in gradients:
            g = _blocks(gradient, inverse).unsqueeze(2)
            v = torch.bmm(inverse, g)
            # Rounding can leave gᵀv a little below zero; written as a square the result stays
            # symmetric to the last bit.
            v /= (total + (g * v).sum(dim=1, keepdim=True).clamp(min=0)).sqrt()
            inverse.baddbmm_(v, v.mT, alpha=-1)


def scores_single(weights: Tensor, inverse: Tensor) -> Tensor:
    """Loss from removing each weight alone and letting its block make up for it.

    w² / (2 [F⁻¹]_ii); (n,) in the type of `inverse`.
    """
    values = _checked(weights, inverse)
    return _flat(values.square() / (2 * inverse.diagonal(dim1=1, dim2=2)), weights)


def scores_group(weights: Tensor, inverse: Tensor, size: int) -> Tensor:
    """Loss from removing each group of `size` consecutive weights: ½ w_Qᵀ ([F⁻¹]_QQ)⁻¹ w_Q.

    Returns (ceil(n / size),); a trailing incomplete group counts with the weights it has.

    Raises
    ------
    ValueError: groups would cross the borders of blocks.
    """
    groups, squares = _grouped(_checked(weights, inverse), inverse, size)
    solved = _solve(squares, groups)
    return (groups * solved).sum(dim=-1).reshape(-1)[: -(-weights.numel() // size)] / 2


def compensation(weights: Tensor, inverse: Tensor, removed: Tensor, size: int = 1) -> Tensor:
    """Change of all weights when `removed` go, each group as if it went alone.

    Parameters
    ----------
    weights, removed: (n,), floating and boolean. inverse: (blocks, B, B).
    size: group size; above 1 `removed` consists of whole groups, each solved jointly.

    Returns
    -------
    (n,): -Σ_Q F⁻¹ E_Q ([F⁻¹]_QQ)⁻¹ w_Q, except that removed weights get exactly -w. What groups
    of one block do to each other is left out, as in the authors' code; see `compensation_exact`.
    """
    values, gone = _checked(weights, inverse), _marked(removed, weights, inverse)
    if size == 1:
        shares = values * gone / inverse.diagonal(dim1=1, dim2=2)
    else:
        groups, squares = _grouped(values, inverse, size)
        marked = gone.reshape(groups.shape)
        present = _blocks(torch.ones_like(removed), inverse).reshape(groups.shape)
        if bool((marked.any(-1, keepdim=True) & present & ~marked).any()):
            raise ValueError(f"the removed weights are not whole groups of {size}")
        shares = (_solve(squares, groups) * marked).reshape(values.shape)
    return _change(shares, values, inverse, gone, weights)


def compensation_exact(weights: Tensor, inverse: Tensor, removed: Tensor) -> Tensor:
    """Change of all weights when `removed` go together: -F⁻¹ E_Q ([F⁻¹]_QQ)⁻¹ w_Q per block.

    The optimum under the Fisher quadratic (Q = all that goes): never worse than setting
    the weights to zero. Parameters and result as `compensation`.
    """
    values, gone = _checked(weights, inverse), _marked(removed, weights, inverse)
    shares = torch.empty_like(values)
    together = max(1, _PORTION // inverse.shape[1] ** 2)
    for start in range(0, len(inverse), together):
        some = slice(start, start + together)
        marked = gone[some]
        # Rows and columns that stay become those of I: one size of system for every block.
        system = inverse[some] * (marked.unsqueeze(1) & marked.unsqueeze(2))
        system.diagonal(dim1=1, dim2=2).add_((~marked).to(system.dtype))
        shares[some] = _solve(system, values[some] * marked)
    return _change(shares, values, inverse, gone, weights)


def _change(
    shares: Tensor, values: Tensor, inverse: Tensor, gone: Tensor, weights: Tensor
) -> Tensor:
    """-F⁻¹ shares; removed weights are set to exact zeros."""
    with exact_float32():
        change = -torch.bmm(inverse, shares.unsqueeze(2)).squeeze(2)
    return _flat(torch.where(gone, -values, change), weights)


def _grouped(values: Tensor, inverse: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Weights (blocks, groups, size) and [F⁻¹]_QQ (blocks, groups, size, size)."""
    blocks, block = values.shape
    if size < 1 or block % size:
        raise ValueError(f"groups of {size} cross the borders of blocks of {block}")
    count = block // size
    squares = inverse.view(blocks, count, size, count, size).diagonal(dim1=1, dim2=3)
    return values.reshape(blocks, count, size), squares.movedim(-1, 1)


def _solve(systems: Tensor, values: Tensor) -> Tensor:
    solved: Tensor
    solved, info = torch.linalg.solve_ex(systems, values.unsqueeze(-1))
    if bool(info.any()):
        raise ValueError("a block of the inverse Fisher matrix is singular: use more damping")
    return solved.squeeze(-1)


def _blocks(flat: Tensor, inverse: Tensor) -> Tensor:
    """(blocks, B) of a flat tensor, padded with zeros."""
    blocks, block = inverse.shape[:2]
    if flat.numel() == blocks * block:
        return flat.reshape(blocks, block)
    padded = flat.new_zeros(blocks * block)
    padded[: flat.numel()] = flat
    return padded.view(blocks, block)


def _flat(blocks: Tensor, weights: Tensor) -> Tensor:
    return blocks.reshape(-1)[: weights.numel()]


def _portions(inverse: Tensor, gradients: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Blocks and their gradients in the type of the blocks; copies only where it differs."""
    if gradients.dtype == inverse.dtype and gradients.is_contiguous():
        yield inverse, gradients
        return
    block = inverse.shape[1]
    together = max(1, _PORTION // (block * len(gradients)))
    for start in range(0, len(inverse), together):
        stop = min(start + together, len(inverse))
        part = gradients[:, start * block : stop * block].to(inverse.dtype)
        yield inverse[start:stop], part.contiguous()


def _checked(weights: Tensor, inverse: Tensor) -> Tensor:
    """The weights as (blocks, B) in the type of `inverse`."""
    _check_blocks(inverse, weights.numel())
    check_finite(weights, "the weights")
    return _blocks(weights.detach().reshape(-1).to(inverse.dtype), inverse)


def _marked(removed: Tensor, weights: Tensor, inverse: Tensor) -> Tensor:
    if removed.dtype != torch.bool or removed.numel() != weights.numel():
        raise ValueError("the mask of removed weights is boolean, one entry a weight")
    return _blocks(removed.reshape(-1), inverse)


def _check_blocks(inverse: Tensor, size: int) -> None:
    fits = inverse.ndim == 3 and inverse.shape[1] == inverse.shape[2] > 0
    if not fits or -(-size // inverse.shape[1]) != len(inverse):
        raise ValueError(f"blocks {tuple(inverse.shape)} do not fit {size} weights")


def _check_update(inverse: Tensor, gradients: Tensor, total: int) -> None:
    if gradients.ndim != 2 or not gradients.is_floating_point():
        raise ValueError(f"gradients are (samples, weights), not {tuple(gradients.shape)}")
    _check_blocks(inverse, gradients.shape[1])
    if not inverse.is_contiguous() or inverse.dtype not in (torch.float32, torch.float64):
        raise ValueError("the inverse is kept as contiguous float32 or float64")
    if total < max(1, len(gradients)):
        raise ValueError(f"{len(gradients)} gradients are more than the {total} of all portions")
    check_finite(gradients, "the gradients")
    if gradients.numel():
        peak = max(abs(float(bound)) for bound in gradients.aminmax())
        start = float(inverse.diagonal(dim1=1, dim2=2).amax())
        if peak * peak * inverse.shape[1] * start > torch.finfo(inverse.dtype).max:
            raise ValueError(f"gᵀF⁻¹g overflows; {_TOO_LITTLE} {inverse.dtype}; {_REMEDY}")


def _check_positive(inverse: Tensor) -> None:
    if not bool((inverse.diagonal(dim1=1, dim2=2) > 0).all()):
        raise ValueError(
            f"the inverse Fisher matrix is not positive; {_TOO_LITTLE} {inverse.dtype}; {_REMEDY}"
        )
