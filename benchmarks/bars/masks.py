"""N:M selection, packed masks, weight statistics and channel permutation beside their peers."""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor

from benchmarks.bars.bar import Bar
from benchmarks.bars.timing import median_ms
from kernels import bitmask
from kernels.nm import nm_keep
from kernels.permutation import search
from kernels.statistics import weight_statistics

SIDE = 4096
PUBLISHED_EFFICACY = 35.5
"""apex, permutation_tests: stripes of 8 on 64 x 128, 60 s on a CPU."""


def rows() -> list[Bar]:
    return [*_patterns(), *_bits(), _statistics(), *_permutation()]


def _matrix() -> Tensor:
    return torch.randn(SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def _topk(scores: Tensor, n: int, m: int) -> Tensor:
    """The mask as it is usually written."""
    groups = scores.reshape(-1, m)
    chosen = groups.topk(n, dim=1).indices
    keep = torch.zeros(groups.shape, dtype=torch.bool)
    return keep.scatter_(1, chosen, True).reshape(scores.shape)


def _patterns() -> list[Bar]:
    scores = _matrix().abs()
    half = scores.to(torch.bfloat16)
    cases = ((scores, 2, 4, "fp32", 15.0), (half, 2, 4, "bf16", 15.0), (scores, 4, 8, "fp32", 2.0))
    return [
        Bar(
            what=f"{n}:{m} mask of {SIDE} x {SIDE}, {name}",
            against="torch reshape + topk + scatter",
            ours=median_ms(lambda given=given, n=n, m=m: nm_keep(given, n, m)),
            theirs=median_ms(lambda given=given, n=n, m=m: _topk(given, n, m), repeats=3),
            target=target,
        )
        for given, n, m, name, target in cases
    ]


def _bits() -> list[Bar]:
    weight = _matrix()
    keep = weight.abs() > 0.7
    packed, size = bitmask.pack(keep), keep.numel()
    bits, shape = packed.numpy(), keep.shape

    def unpacked() -> np.ndarray:
        return np.unpackbits(bits, count=size, bitorder="little")

    return [
        Bar(
            what=f"mask {SIDE} x {SIDE} weights from packed bits",
            against="numpy.unpackbits, then a product",
            ours=median_ms(lambda: bitmask.apply(weight, packed)),
            theirs=median_ms(
                lambda: weight * torch.from_numpy(unpacked().astype(bool)).view(shape)
            ),
            target=2.0,
        ),
        Bar(
            what=f"count the kept of {SIDE} x {SIDE} packed bits",
            against="numpy.unpackbits, then a sum",
            ours=median_ms(lambda: bitmask.count(packed, size)),
            theirs=median_ms(lambda: unpacked().sum(dtype=int)),
            target=20.0,
        ),
    ]


def _statistics() -> Bar:
    weight = _matrix()[:1024]
    keep = weight.abs() > 0.7
    packed, edges = bitmask.pack(keep), np.linspace(-6, 6, 62)

    def passes() -> None:
        masked = weight * keep
        others = masked[masked != 0].double()
        others.sum(), others.abs().sum(), others.norm(), others.min(), others.max()
        np.histogram(others.numpy(), bins=edges)

    return Bar(
        what=f"statistics and histogram of 1024 x {SIDE} masked weights",
        against="torch and numpy.histogram, pass by pass",
        ours=median_ms(lambda: weight_statistics(weight, edges, packed)),
        theirs=median_ms(passes, repeats=3),
        target=5.0,
    )


def _permutation() -> list[Bar]:
    scores = torch.randn(64, 128, generator=torch.Generator().manual_seed(0)).abs()
    search(scores, 2, 4, sweeps=1)
    started = time.perf_counter()
    found = search(scores, 2, 4, sweeps=30)
    took = time.perf_counter() - started
    return [
        Bar(
            what="loss to 2:4 won back by a channel permutation, 64 x 128, 30 sweeps",
            against="stripe search of apex, as published",
            ours=1 / (100 * found.efficacy),
            theirs=1 / PUBLISHED_EFFICACY,
            target=1.0,
            unit="1/%",
            note=f"efficacy {100 * found.efficacy:.1f} % in {1000 * took:.0f} ms",
        )
    ]
