from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kernels.inverse_factor import inverse_factor
from kernels.sparsegpt import (
    Swept,
    column_blocks,
    sweep,
    sweep_nm,
    sweep_nm_reference,
    sweep_reference,
)


def layer(rows: int, size: int, device: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(size, size, generator=generator)
    inputs = torch.randn(3 * size, size, generator=generator) @ mixing
    weight = torch.randn(rows, size, generator=generator).to(device, dtype)
    gram = (inputs.double().T @ inputs.double()).to(device)
    factor = inverse_factor(gram).factor
    return weight, factor if dtype == torch.float64 else factor.float()


def check(ours: Swept, reference: Swept) -> None:
    assert torch.equal(ours.keep, reference.keep)
    torch.testing.assert_close(ours.weight, reference.weight, rtol=1e-5, atol=1e-5)
    assert ours.loss == pytest.approx(reference.loss, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("rows", "size", "block"), [(1, 1, 128), (37, 300, 128), (64, 96, 20)])
def test_sweep_is_the_reference(
    device: str, dtype: torch.dtype, rows: int, size: int, block: int
) -> None:
    weight, factor = layer(rows, size, device, dtype)
    counts = [rows * (stop - start) // 2 for start, stop in column_blocks(size, block)]
    ours = sweep(weight, factor, counts, block)
    check(ours, sweep_reference(weight, factor, counts, block))
    assert int((~ours.keep).sum()) == sum(counts)


@pytest.mark.parametrize("pattern", [(2, 4), (1, 2), (4, 8), (3, 5)])
def test_nm_sweep_is_the_reference(device: str, pattern: tuple[int, int]) -> None:
    weight, factor = layer(37, 203, device, torch.float32)
    check(sweep_nm(weight, factor, *pattern), sweep_nm_reference(weight, factor, *pattern))
    removed = weight.abs() < 0.1
    check(
        sweep_nm(weight, factor, *pattern, removed=removed),
        sweep_nm_reference(weight, factor, *pattern, removed=removed),
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_weights_come_back_as_they_came(device: str, dtype: torch.dtype) -> None:
    weight, factor = layer(16, 128, device, dtype)
    swept = sweep(weight, factor, [1024])
    assert swept.weight.dtype == dtype
    torch.testing.assert_close(
        swept.weight.float(), sweep_reference(weight, factor, [1024]).weight.float()
    )
