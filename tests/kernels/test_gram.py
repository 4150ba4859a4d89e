from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F  # noqa: N812 - its usual name

from kernels import gram as module
from kernels.gram import add_gram, add_gram_reference, exact_float32, unfolded_gram


def noise(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("count", "size"), [(0, 3), (1, 1), (5, 1), (40, 7), (30, 300), (9, 513)])
def test_gram_is_numpys_product(dtype: torch.dtype, count: int, size: int) -> None:
    rows = noise(count, size, dtype=dtype)
    array = rows.double().numpy()
    gram = torch.zeros(size, size, dtype=torch.float64)
    add_gram(gram, rows)
    add_gram(gram, rows)
    np.testing.assert_allclose(gram, 2 * array.T @ array, rtol=1e-12, atol=1e-12)
    assert torch.equal(gram, gram.T)
    whole = torch.zeros(size, size)
    add_gram_reference(whole, rows)
    torch.testing.assert_close(whole, gram.float() / 2)


def test_rows_of_any_strides_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PORTION", 64)
    monkeypatch.setattr(module, "_PANEL", 4)
    for rows in (noise(10, 33).T, noise(66, 20)[::2, ::2], noise(33, 20, dtype=torch.float16)):
        gram = torch.zeros(rows.shape[1], rows.shape[1], dtype=torch.float64)
        add_gram(gram, rows)
        array = rows.double().numpy()
        np.testing.assert_allclose(gram, array.T @ array, rtol=1e-12, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 2)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    groups=st.sampled_from([1, 2, 6]),
)
def test_unfolded_gram_is_that_of_torchs_patches(
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> None:
    x = noise(3, 6, 7, 8)
    ours = unfolded_gram(x, kernel, stride, padding, dilation, groups)
    patches = F.unfold(x, kernel, dilation, padding, stride)
    patches = patches.reshape(3, groups, patches.shape[1] // groups, -1)
    expected = torch.einsum("ngdt,nget->gde", patches, patches)
    torch.testing.assert_close(ours, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("groups", [1, 4])
def test_patches_meet_the_weights_in_their_order(groups: int) -> None:
    """tr(W G Wᵀ) is the energy of the convolution's own output."""
    x, weight = noise(5, 4, 6, 5), noise(8, 4 // groups, 3, 2)
    out = F.conv2d(x, weight, stride=2, padding="valid", groups=groups)
    grams = unfolded_gram(x, (3, 2), 2, "valid", 1, groups)
    rows = weight.reshape(groups, 8 // groups, -1)
    torch.testing.assert_close(
        (rows @ grams @ rows.mT).diagonal(dim1=1, dim2=2).sum(), (out**2).sum()
    )


@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_same_padding_is_torchs() -> None:
    x, weight = noise(2, 1, 6, 5), noise(1, 1, 3, 4)
    out = F.conv2d(x, weight, padding="same", dilation=(2, 1))
    (gram,) = unfolded_gram(x, (3, 4), padding="same", dilation=(2, 1))
    row = weight.reshape(1, -1)
    torch.testing.assert_close((row @ gram @ row.T).sum(), (out**2).sum())


def test_images_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    x = noise(7, 2, 5, 5, dtype=torch.bfloat16)
    whole = unfolded_gram(x, 3)
    monkeypatch.setattr(module, "_PORTION", 1)
    torch.testing.assert_close(unfolded_gram(x, 3), whole)
    assert whole.dtype == torch.float32
    assert unfolded_gram(x[:0], 3).abs().sum() == 0


def test_precision_settings_come_back() -> None:
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    with exact_float32():
        assert matmul.fp32_precision == "ieee"
    assert matmul.fp32_precision == before


def test_bad_input_is_refused() -> None:
    gram = torch.zeros(2, 2)
    for rows in (torch.tensor([[1.0, float("nan")]]), torch.tensor([[1.0, float("inf")]])):
        with pytest.raises(ValueError, match="NaN or infinite"):
            add_gram(gram, rows)
    with pytest.raises(ValueError, match="do not fit"):
        add_gram(gram, torch.zeros(4, 3))
    with pytest.raises(ValueError, match="do not fit"):
        add_gram(gram, torch.zeros(2))
    with pytest.raises(ValueError, match="float32 or float64"):
        add_gram(gram.half(), torch.zeros(4, 2))
    with pytest.raises(ValueError, match="does not fit into images"):
        unfolded_gram(torch.zeros(1, 1, 2, 2), 3)
    with pytest.raises(ValueError, match="groups"):
        unfolded_gram(torch.zeros(1, 3, 2, 2), 1, groups=2)
    with pytest.raises(ValueError, match="'same' or 'valid'"):
        unfolded_gram(torch.zeros(1, 1, 2, 2), 1, padding="full")
    assert gram.abs().sum() == 0
