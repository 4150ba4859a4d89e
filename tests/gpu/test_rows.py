from __future__ import annotations

import pytest
import torch

from kernels.rows import k_smallest_rows, k_smallest_rows_reference


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(1, 1), (300, 1023), (64, 11008)])
def test_rows_are_those_of_the_reference(
    device: str, dtype: torch.dtype, shape: tuple[int, int]
) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(shape, generator=generator).to(device, dtype)
    scores[:, : shape[1] // 3] = 0
    counts = torch.randint(0, shape[1] + 1, (shape[0],), generator=generator).tolist()
    expected = k_smallest_rows_reference(scores, counts)
    assert torch.equal(k_smallest_rows(scores, counts), expected)


def test_nan_is_refused(device: str) -> None:
    scores = torch.ones(3, 5000, device=device)
    scores[2, 4999] = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        k_smallest_rows(scores, [0, 0, 0])
