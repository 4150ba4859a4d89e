from __future__ import annotations

import pytest
import torch

from kernels.fisher import compensation_exact, fisher_inverse, start_inverse, update_reference


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    ("size", "block"), [(1, 1), (1003, 50), (640, 16), (700, 128), (300, 200)]
)
def test_updates_are_those_of_the_reference(
    device: str, dtype: torch.dtype, size: int, block: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    gradients = torch.randn(40, size, generator=generator).to(device, dtype)
    inverse = start_inverse(gradients, block, 0.1)
    update_reference(inverse, gradients, 40)
    ours = fisher_inverse(gradients, block, 0.1)
    torch.testing.assert_close(ours, inverse, rtol=1e-4, atol=1e-4)
    assert torch.equal(ours, ours.mT)


def test_compensation_is_that_of_the_cpu(device: str) -> None:
    generator = torch.Generator().manual_seed(0)
    gradients = torch.randn(40, 333, generator=generator, dtype=torch.float64)
    weights = torch.randn(333, generator=generator, dtype=torch.float64)
    inverse, gone = fisher_inverse(gradients, 50, 0.1), weights.abs() < 0.6
    ours = compensation_exact(weights.to(device), inverse.to(device), gone.to(device))
    torch.testing.assert_close(ours.cpu(), compensation_exact(weights, inverse, gone))
