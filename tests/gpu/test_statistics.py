from __future__ import annotations

import numpy as np
import pytest
import torch

from kernels import bitmask
from kernels.statistics import weight_statistics, weight_statistics_reference


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("size", [0, 1, 1000, 3_000_001])
def test_statistics_are_those_of_the_reference(size: int, dtype: torch.dtype, device: str) -> None:
    weight = torch.randn(size, generator=torch.Generator().manual_seed(0)).to(device, dtype)
    packed = bitmask.pack(weight.abs() > 0.5)
    for edges in (np.linspace(-3, 3, 2), np.linspace(-4, 3, 62), np.linspace(-1, 1, 1001)):
        for mask in (None, packed):
            found = weight_statistics(weight, edges, mask)
            expected = weight_statistics_reference(weight, edges, mask)
            assert torch.equal(found.counts, expected.counts)
            for name in ("size", "kept", "zeros", "minimum", "maximum"):
                assert getattr(found, name) == getattr(expected, name)
            assert found.l1 == pytest.approx(expected.l1, rel=1e-12)
            assert found.l2 == pytest.approx(expected.l2, rel=1e-12)
            assert found.total == pytest.approx(expected.total, abs=1e-12 * (1 + expected.l1))
            again = weight_statistics(weight, edges, mask)
            assert (again.total, again.l1, again.l2) == (found.total, found.l1, found.l2)


def test_nan_is_refused(device: str) -> None:
    weight = torch.ones(5000, device=device)
    weight[4999] = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        weight_statistics(weight, np.linspace(-1, 1, 3))
