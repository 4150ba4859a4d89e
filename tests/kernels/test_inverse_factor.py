from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.inverse_factor import inverse_factor


def spd(size: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    rows = np.random.default_rng(seed).normal(size=(2 * size, size)) @ np.diag(
        np.linspace(1, 3, size)
    )
    return torch.from_numpy(rows.T @ rows).to(dtype)


def published(gram: torch.Tensor, damp: float) -> torch.Tensor:
    """Cholesky, inverse from it, upper Cholesky of the inverse: as the authors' code does."""
    damped = gram + damp * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    return torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(damped)), upper=True)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.sampled_from([0.0, 0.01, 0.3]))
def test_factor_is_that_of_the_published_way(size: int, damp: float) -> None:
    found = inverse_factor(spd(size), damp)
    torch.testing.assert_close(found.factor, published(spd(size), damp))
    assert (found.damp, found.note) == (damp, "")
    assert torch.equal(found.factor, found.factor.triu())


def test_several_panels_in_float32() -> None:
    gram = spd(1100, dtype=torch.float32)
    expected = published(gram.double(), 0.01)
    error = (inverse_factor(gram).factor - expected).norm() / expected.norm()
    assert error < 1e-5


def test_dead_columns_get_a_diagonal_of_one() -> None:
    gram = spd(4)
    gram[2] = gram[:, 2] = 0
    found = inverse_factor(gram, 0.01)
    assert found.dead.tolist() == [False, False, True, False]
    gram[2, 2] = 1
    torch.testing.assert_close(found.factor, published(gram, 0.01))
    everything = inverse_factor(torch.zeros(3, 3), 0.0)
    assert everything.dead.all()
    torch.testing.assert_close(everything.factor, torch.eye(3))


def test_damping_grows_until_it_is_enough() -> None:
    gram = torch.tensor([[1.0, 1.5], [1.5, 1.0]], dtype=torch.float64)  # eigenvalues 2.5, -0.5
    found = inverse_factor(gram, 0.1)
    assert found.damp == 1.0
    assert "0.1" in found.note
    assert "1 was used" in found.note
    torch.testing.assert_close(found.factor, published(gram, 1.0))


def test_no_damping_can_grow_too() -> None:
    singular = torch.ones(3, 3, dtype=torch.float64)
    singular[0, 0] = 0.99
    found = inverse_factor(singular, 0.0)
    assert found.damp > 0
    assert found.note


def test_the_diagonal_is_the_last_resort() -> None:
    gram = torch.tensor([[1.0, 1e3], [1e3, 4.0]], dtype=torch.float64)
    found = inverse_factor(gram, 0.01)
    assert "only its diagonal" in found.note
    torch.testing.assert_close(
        found.factor, torch.diag(torch.tensor([1.025, 4.025], dtype=torch.float64).rsqrt())
    )


def test_the_gram_matrix_is_left_alone() -> None:
    gram = spd(5)
    before = gram.clone()
    inverse_factor(gram)
    assert torch.equal(gram, before)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="square"):
        inverse_factor(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="float32 or float64"):
        inverse_factor(torch.eye(2, dtype=torch.float16))
    with pytest.raises(ValueError, match="damping"):
        inverse_factor(torch.eye(2), -0.1)
    with pytest.raises(ValueError, match="NaN or infinite"):
        inverse_factor(torch.tensor([[float("nan")]]))
