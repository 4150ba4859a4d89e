"""Second-order kernels against the published algorithms written straight in torch."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.bars.bar import Bar
from benchmarks.bars.timing import median_ms
from kernels.fisher import fisher_inverse, start_inverse
from kernels.gram import add_gram
from kernels.inverse_factor import inverse_factor
from kernels.sparsegpt import sweep

_ROWS, _COLUMNS, _BLOCK, _INPUTS = 1024, 4096, 128, 8192


def rows() -> list[Bar]:
    return [_gram(), _sparsegpt(), _fisher(4000, 50, 128)]


def _gram() -> Bar:
    inputs, gram = _inputs(2048), torch.zeros(_COLUMNS, _COLUMNS)
    return Bar(
        what="Gram matrix of 2048 x 4096 inputs, float32",
        against="torch addmm of the whole product",
        ours=median_ms(lambda: add_gram(gram, inputs)),
        theirs=median_ms(lambda: gram.addmm_(inputs.T, inputs)),
        target=1.2,
    )


def _sparsegpt() -> Bar:
    inputs = _inputs(_INPUTS)
    weight = torch.randn(_ROWS, _COLUMNS, generator=torch.Generator().manual_seed(1))
    gram = torch.zeros(_COLUMNS, _COLUMNS)
    add_gram(gram, inputs)
    counts = [_ROWS * _BLOCK // 2] * (_COLUMNS // _BLOCK)

    def ours() -> Tensor:
        return sweep(weight, inverse_factor(gram, 0.01).factor, counts, _BLOCK).weight

    # One near tie decided otherwise changes masks all the way to the last column, so both are
    # compared with the algorithm in float64.
    exact = _error(_published(weight.double(), gram.double(), 0.01), weight, gram)
    mine, other = [
        abs(_error(pruned, weight, gram) / exact - 1)
        for pruned in (ours(), _published(weight, gram, 0.01))
    ]
    return Bar(
        what=f"SparseGPT 50 %, {_ROWS} x {_COLUMNS} float32, Gram matrix given",
        against="the published algorithm in torch",
        ours=median_ms(ours, repeats=3),
        theirs=median_ms(lambda: _published(weight, gram, 0.01), repeats=3),
        target=1.5,
        note=f"‖X(W - W')ᵀ‖² against float64: ours off by {mine:.0e}, torch by {other:.0e}",
    )


def _fisher(blocks: int, block: int, samples: int) -> Bar:
    generator = torch.Generator().manual_seed(2)
    gradients = torch.randn(samples, blocks * block, generator=generator)
    ours = fisher_inverse(gradients, block, 0.01)
    theirs = _bmm_loop(gradients, block, 0.01)
    difference = float((ours - theirs).norm() / theirs.norm())
    return Bar(
        what=f"inverse Fisher, {blocks} blocks of {block}, {samples} gradients, float32",
        against="torch bmm, gradient by gradient",
        ours=median_ms(lambda: fisher_inverse(gradients, block, 0.01), repeats=3),
        theirs=median_ms(lambda: _bmm_loop(gradients, block, 0.01), repeats=3),
        target=3.0,
        note=f"relative difference {difference:.1e}",
    )


def _inputs(count: int) -> Tensor:
    """Correlated rows: every column shares a tenth of its variance with its neighbours."""
    noise = torch.randn(count, _COLUMNS, generator=torch.Generator().manual_seed(0))
    return noise + 0.3 * noise.roll(1, dims=1)


def _error(pruned: Tensor, weight: Tensor, gram: Tensor) -> float:
    """‖X(W - W')ᵀ‖²."""
    change = pruned.double() - weight.double()
    return float(((change @ gram.double()) * change).sum())


def _published(weight: Tensor, gram: Tensor, damp: float) -> Tensor:
    """SparseGPT (Frantar and Alistarh 2023) as its authors wrote it, exactly half a block."""
    w, hessian = weight.clone(), gram.clone()
    hessian.diagonal().add_(damp * hessian.diagonal().mean())
    factor = torch.linalg.cholesky(hessian)
    factor = torch.linalg.cholesky(torch.cholesky_inverse(factor), upper=True)
    for start in range(0, w.shape[1], _BLOCK):
        stop = min(start + _BLOCK, w.shape[1])
        inside, triangle = w[:, start:stop].clone(), factor[start:stop, start:stop]
        scores = inside**2 / triangle.diagonal() ** 2
        gone = scores <= scores.flatten().sort().values[scores.numel() // 2 - 1]
        errors, pruned = torch.zeros_like(inside), torch.zeros_like(inside)
        for i in range(stop - start):
            column = inside[:, i]
            kept = column.clone()
            kept[gone[:, i]] = 0
            error = (column - kept) / triangle[i, i]
            inside[:, i:] -= error[:, None].matmul(triangle[i : i + 1, i:])
            pruned[:, i], errors[:, i] = kept, error
        w[:, start:stop] = pruned
        w[:, stop:] -= errors.matmul(factor[start:stop, stop:])
    return w


def _bmm_loop(gradients: Tensor, block: int, damp: float) -> Tensor:
    """Every gradient through all blocks before the next one."""
    inverse = start_inverse(gradients, block, damp)
    for gradient in gradients:
        g = gradient.reshape(-1, block, 1)
        v = torch.bmm(inverse, g)
        v /= (len(gradients) + (g * v).sum(dim=1, keepdim=True)).sqrt()
        inverse.baddbmm_(v, v.mT, alpha=-1)
    return inverse
