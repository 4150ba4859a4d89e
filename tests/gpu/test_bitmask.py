from __future__ import annotations

import pytest
import torch

from kernels import bitmask

SIZES = [0, 1, 7, 8, 9, 1023, 8192, 1_000_003]


@pytest.mark.parametrize("size", SIZES)
def test_bits_are_those_of_the_reference(size: int, device: str) -> None:
    generator = torch.Generator().manual_seed(0)
    keep = (torch.rand(size, generator=generator) < 0.4).to(device)
    other = (torch.rand(size, generator=generator) < 0.7).to(device)
    packed, also = bitmask.pack(keep), bitmask.pack(other)
    assert torch.equal(packed, bitmask.pack_reference(keep))
    assert torch.equal(bitmask.unpack(packed, (size,)), keep)
    assert bitmask.count(packed, size) == int(keep.sum())
    expected = bitmask.overlap_reference([packed, also], size)
    assert torch.equal(bitmask.overlap([packed, also], size).kept, expected.kept)
    if size % 8:
        packed[-1] |= 0x80  # padding is not counted
        assert bitmask.count(packed, size) == int(keep.sum())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_masked_weights_are_those_of_the_reference(dtype: torch.dtype, device: str) -> None:
    weight = torch.randn(31, 1001, generator=torch.Generator().manual_seed(0)).to(device, dtype)
    weight[3] = float("nan")
    packed = bitmask.pack((weight > 0) | (weight < -1))
    masked = bitmask.apply(weight, packed)
    assert torch.equal(masked, bitmask.apply_reference(weight, packed))
    assert not masked.isnan().any()
