"""The factor of an inverse Hessian that SparseGPT and GPTQ read their costs and updates from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.gram import check_finite, exact_float32

_PANEL = 256
_RETRIES = 3
_UNFIT = "the Gram matrix is not positive definite with damping"


@dataclass(frozen=True, eq=False)
class InverseFactor:
    """U with H⁻¹ = UᵀU, and how it was come by.

    Attributes
    ----------
    factor: (d, d) upper triangular, positive diagonal.
    dead: boolean (d,), True = no input ever: such weights cost nothing and go first, if they are
        set to zero before the sweep, as the paper does.
    damp: the share of the mean diagonal that was added to the diagonal.
    note: empty, or what had to be done because H was not positive definite.
    """

    factor: Tensor
    dead: Tensor
    damp: float
    note: str = ""


def inverse_factor(gram: Tensor, damp: float = 0.01) -> InverseFactor:
    """Upper factor of (H + damp · mean(diag H) · I)⁻¹ by one Cholesky and one triangular inverse.

    With both axes reversed H = R Rᵀ, R upper triangular, so U = R⁻¹: the usual way over the whole
    inverse and a second Cholesky does twice the work. When H is not positive definite the damping
    grows tenfold, up to three times; after that the off-diagonal of H is left out.

    Parameters
    ----------
    gram: H, (d, d) symmetric, float32 or float64.
    damp: share of the mean diagonal, >= 0.

    Raises
    ------
    ValueError: `gram` is not square, not finite or of another type; `damp` is negative.
    """
    _check_gram(gram, damp)
    dead = gram.diagonal() == 0
    diagonal = torch.where(dead, torch.ones_like(gram.diagonal()), gram.diagonal())
    reverse = gram.flip(0, 1)
    tries = [damp] + [(damp or 0.001) * 10**i for i in range(1, _RETRIES + 1)]
    for used in tries:
        damped = diagonal + used * diagonal.mean()
        reverse.diagonal().copy_(damped.flip(0))
        lower = _inverse_cholesky(reverse)
        if lower is not None:
            note = "" if used == damp else f"{_UNFIT} {damp:g}; {used:g} was used"
            return InverseFactor(lower.flip(0, 1), dead, used, note)
    damped = diagonal.clamp(min=0) + damp * diagonal.clamp(min=0).mean()
    factor = torch.diag((damped.clamp(min=torch.finfo(gram.dtype).tiny)).rsqrt())
    note = f"{_UNFIT} {damp:g} to {tries[-1]:g}; only its diagonal was used"
    return InverseFactor(factor, dead, damp, note)


def _check_gram(gram: Tensor, damp: float) -> None:
    if gram.ndim != 2 or gram.shape[0] != gram.shape[1] or not gram.numel():
        raise ValueError(f"a Gram matrix is square, not {tuple(gram.shape)}")
    if gram.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"a Gram matrix is read in float32 or float64, not {gram.dtype}")
    if not 0 <= damp < float("inf"):
        raise ValueError(f"the damping is a share of the mean diagonal, >= 0, not {damp}")
    check_finite(gram, "the Gram matrix")


def _inverse_cholesky(matrix: Tensor) -> Tensor | None:
    """L⁻¹ with matrix = L Lᵀ; None when the matrix is not positive definite to its precision."""
    lower, info = torch.linalg.cholesky_ex(matrix)
    if int(info):
        return None
    inverse = torch.zeros_like(lower, memory_format=torch.contiguous_format)
    with exact_float32():
        for start, stop in _panels(len(lower), _PANEL):
            _inverse_rows(lower, inverse, start, stop)
    return inverse if bool(torch.isfinite(inverse.diagonal()).all()) else None


def _inverse_rows(lower: Tensor, inverse: Tensor, start: int, stop: int) -> None:
    """Rows of L⁻¹ from those above: -L_bb⁻¹ L[b, :b] L⁻¹[:b], leaving out the zeros of L⁻¹."""
    eye = torch.eye(stop - start, dtype=lower.dtype, device=lower.device)
    corner = torch.linalg.solve_triangular(lower[start:stop, start:stop], eye, upper=False)
    inverse[start:stop, start:stop] = corner
    for first, last in _panels(start, 4 * _PANEL):
        known = lower[start:stop, first:start] @ inverse[first:start, first:last]
        torch.neg(corner @ known, out=inverse[start:stop, first:last])


def _panels(size: int, width: int) -> list[tuple[int, int]]:
    return [(start, min(start + width, size)) for start in range(0, size, width)]
