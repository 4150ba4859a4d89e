from __future__ import annotations

import pytest
import torch

from kernels.select import (
    k_smallest,
    k_smallest_reference,
    keep_masks,
    keep_masks_reference,
    kth_magnitude,
    threshold_reference,
)

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", DTYPES)
def test_selection_is_that_of_the_reference(device: str, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(3001, 701), (1,), (0, 3), (500_001,)]
    tensors = [torch.randn(shape, generator=generator).to(device, dtype) for shape in shapes]
    tensors[0] = tensors[0].T
    tensors[3][1000:200_000] = 0
    total = sum(tensor.numel() for tensor in tensors)
    for k in (0, 1, 100_000, total // 2, total - 1, total):
        ours, expected = k_smallest(tensors, k), k_smallest_reference(tensors, k)
        assert all(map(torch.equal, ours, expected))
        bits, reference = keep_masks(tensors, k), keep_masks_reference(tensors, k)
        assert all(map(torch.equal, bits, reference))
        if k:
            threshold = threshold_reference(tensors, k, magnitude=True)
            assert kth_magnitude(tensors, k) == threshold


@pytest.mark.parametrize("k", [1, 400_000, 999_999])
def test_ties_everywhere_are_shared_out_by_position(device: str, k: int) -> None:
    levels = torch.randint(-2, 3, (1_000_000,), generator=torch.Generator().manual_seed(0))
    tensors = [levels.to(device, torch.float16)]
    assert torch.equal(k_smallest(tensors, k)[0], k_smallest_reference(tensors, k)[0])
    assert torch.equal(keep_masks(tensors, k)[0], keep_masks_reference(tensors, k)[0])


def test_nan_is_refused(device: str) -> None:
    scores = torch.ones(100_000, device=device)
    scores[-1] = float("nan")
    for k in (0, 5, 100_000):
        with pytest.raises(ValueError, match="NaN"):
            keep_masks([scores], k)
