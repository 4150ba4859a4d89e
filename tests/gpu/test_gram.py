from __future__ import annotations

import torch

from kernels.gram import add_gram, unfolded_gram


def test_gram_has_the_precision_of_float32(device: str) -> None:
    rows = torch.randn(700, 600, generator=torch.Generator().manual_seed(0))
    gram = torch.zeros(600, 600, device=device)
    add_gram(gram, rows.to(device))
    expected = rows.double().T @ rows.double()
    error = (gram.cpu() - expected).norm() / expected.norm()
    assert error < 1e-6  # TensorFloat-32 would give about 1e-4
    assert torch.equal(gram, gram.T)


def test_unfolded_gram_is_that_of_the_cpu(device: str) -> None:
    images = torch.randn(5, 6, 9, 8, generator=torch.Generator().manual_seed(0))
    for groups in (1, 3):
        ours = unfolded_gram(images.to(device), 3, 2, 1, 1, groups).cpu()
        torch.testing.assert_close(ours, unfolded_gram(images, 3, 2, 1, 1, groups))
