from __future__ import annotations

import numpy as np
import pytest
import torch

from kernels.curves import score_curves, score_curves_reference


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("magnitude", [False, True])
def test_curves_are_those_of_the_reference(
    device: str, dtype: torch.dtype, magnitude: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = [torch.randn(n, generator=generator).to(device, dtype) for n in (1_000_001, 5, 0)]
    scores[0][:300_000] = 0
    ours = score_curves(scores, magnitude)
    expected = score_curves_reference(scores, magnitude)
    np.testing.assert_array_equal(ours.cumulative, expected.cumulative)
