from __future__ import annotations

import pytest
import torch

from kernels.nm import nm_keep, nm_keep_reference

SHAPES = [(64, 4096), (3, 1021), (16, 37, 3, 3), (0, 8), (5, 3)]
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_entries_are_kept(
    shape: tuple[int, ...], dtype: torch.dtype, device: str
) -> None:
    # Rounded, so that ties are the rule.
    scores = (2 * torch.randn(shape, generator=torch.Generator().manual_seed(0))).round()
    scores = scores.to(device, dtype)
    for pattern in ((2, 4), (1, 2), (20, 64)):
        for dim in (0, 1, -1):
            expected = nm_keep_reference(scores, *pattern, dim)
            assert torch.equal(nm_keep(scores, *pattern, dim), expected)
            turned = scores.transpose(0, 1)
            assert torch.equal(nm_keep(turned, *pattern), nm_keep_reference(turned, *pattern))


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_is_refused(dtype: torch.dtype, device: str) -> None:
    scores = torch.zeros(300, 9, dtype=dtype, device=device)
    for place in (7, 8):
        scores[299, place] = float("nan")
        with pytest.raises(ValueError, match="NaN"):
            nm_keep(scores, 2, 4)
        scores[299, place] = 0
