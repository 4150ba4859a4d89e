"""Packed masks against NumPy's packbits and masked multiplication."""

from __future__ import annotations

import math
import os
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from kernels import bitmask
from kernels.bitmask import (
    apply,
    apply_reference,
    count,
    overlap,
    overlap_reference,
    pack,
    pack_reference,
    unpack,
    unpack_reference,
)

masks = hnp.arrays(bool, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=14))
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.int8]
INTERPRETED = pytest.mark.skipif(
    os.environ.get("TRITON_INTERPRET") != "1",
    reason="Triton compiles for the device here: tests/gpu compares it",
)


@pytest.fixture
def triton_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The public functions take the Triton path, on CPU tensors."""
    pytest.importorskip("triton", reason="Triton is not installed")
    from kernels.cuda import bitmask as cuda

    monkeypatch.setattr(bitmask, "fast", lambda *_: cuda)


def packbits(keep: np.ndarray) -> np.ndarray:
    return np.packbits(keep.reshape(-1), bitorder="little")


def with_padding(keep: np.ndarray) -> Tensor:
    """Packed, with every bit set that belongs to no weight."""
    packed = packbits(keep)
    if keep.size % 8:
        packed[-1] |= 0xFF << keep.size % 8 & 0xFF
    return torch.from_numpy(packed)


def check_all(keep: np.ndarray) -> None:
    tensor, expected = torch.from_numpy(keep), packbits(keep)
    packed = with_padding(keep)
    np.testing.assert_array_equal(pack(tensor), expected)
    np.testing.assert_array_equal(pack_reference(tensor), expected)
    np.testing.assert_array_equal(unpack(packed, keep.shape), keep)
    np.testing.assert_array_equal(unpack_reference(packed, keep.shape), keep)
    assert count(packed, keep.size) == keep.sum()


def check_apply(keep: np.ndarray, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(keep.size)
    weight = (4 * torch.randn(keep.shape, generator=generator)).to(dtype)
    expected = np.where(keep, weight.double().numpy(), 0.0)
    for function in (apply, apply_reference):
        masked = function(weight, with_padding(keep))
        assert masked.dtype == dtype
        np.testing.assert_array_equal(masked.double().numpy(), expected)
        assert not np.signbit(masked.double().numpy()[~keep]).any()


@settings(max_examples=80, deadline=None)
@given(masks)
def test_bits_are_numpys(keep: np.ndarray) -> None:
    check_all(keep)


@settings(max_examples=40, deadline=None)
@given(masks, st.sampled_from(DTYPES))
def test_masked_weights(keep: np.ndarray, dtype: torch.dtype) -> None:
    check_apply(keep, dtype)


@INTERPRETED
@pytest.mark.usefixtures("triton_path")
@pytest.mark.parametrize("shape", [(), (0,), (1,), (7,), (8,), (3, 5), (4, 4, 4), (9001,)])
def test_triton_paths(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    keep, other = rng.random(shape) < 0.5, rng.random(shape) < 0.5
    keep, other = np.asarray(keep), np.asarray(other)
    check_all(keep)
    for dtype in DTYPES:
        check_apply(keep, dtype)
    found = overlap([with_padding(keep), with_padding(other)], keep.size)
    assert found.both == (keep & other).sum()
    assert found.neither == (~keep & ~other).sum()


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 4), st.integers(0, 400), st.integers(0, 1000))
def test_overlap_counts_pairs_of_masks(masks: int, size: int, seed: int) -> None:
    keeps = np.random.default_rng(seed).random((masks, size)) < 0.4
    packed = [with_padding(keep) for keep in keeps]
    expected = [[int((a & b).sum()) for b in keeps] for a in keeps]
    for function in (overlap, overlap_reference):
        assert function(packed, size).kept.tolist() == expected
    found = overlap(packed[:2], size)
    assert (found.both, found.only_first, found.only_second, found.neither) == (
        (keeps[0] & keeps[1]).sum(),
        (keeps[0] & ~keeps[1]).sum(),
        (~keeps[0] & keeps[1]).sum(),
        (~keeps[0] & ~keeps[1]).sum(),
    )


def test_sizes_beyond_one_task() -> None:
    keep = np.random.default_rng(0).random((3, 700_001)) < 0.3
    check_all(keep)
    check_apply(keep, torch.float32)


def test_memory_layout_does_not_matter() -> None:
    keep = torch.arange(30).view(5, 6) % 3 == 0
    weight = torch.arange(30.0).view(6, 5).T
    assert torch.equal(apply(weight, pack(keep)), weight * keep)
    np.testing.assert_array_equal(pack(keep.T), packbits(keep.T.numpy()))
    shifted = torch.cat([torch.ones(1, dtype=torch.bool), keep.reshape(-1)])[1:]  # unaligned
    np.testing.assert_array_equal(pack(shifted), packbits(keep.numpy()))
    assert count(torch.cat([pack(keep), pack(keep)])[4:], 30) == 10


def test_masking_leaves_the_weight_and_what_is_not_a_number_alone() -> None:
    weight = torch.tensor([float("nan"), float("inf"), -1.0, float("nan"), float("inf")])
    masked = apply(weight, pack(torch.tensor([True, True, False, False, False])))
    np.testing.assert_array_equal(masked, [math.nan, math.inf, 0, 0, 0])
    assert weight.isnan().sum() == 2
    parameter = torch.ones(3, requires_grad=True)
    assert not apply(parameter, pack(torch.ones(3, dtype=torch.bool))).requires_grad


def test_complex_weights_go_the_plain_way() -> None:
    weight = torch.tensor([1 + 2j, 3j], dtype=torch.complex128)
    assert apply(weight, pack(torch.tensor([False, True]))).tolist() == [0, 3j]


@pytest.mark.parametrize(
    "call",
    [
        lambda: unpack(torch.zeros(2, dtype=torch.uint8), (17,)),
        lambda: apply(torch.zeros(8), torch.zeros(2, dtype=torch.uint8)),
        lambda: count(torch.zeros(1, dtype=torch.int32), 8),
        lambda: overlap([torch.zeros(1, dtype=torch.uint8)] * 2, 9),
    ],
)
def test_a_mask_of_another_size_is_refused(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="a mask of"):
        call()


def test_what_is_no_mask_is_refused() -> None:
    with pytest.raises(ValueError, match="is boolean"):
        pack(torch.ones(3))
    with pytest.raises(ValueError, match="two masks or more"):
        overlap([torch.zeros(1, dtype=torch.uint8)], 8)
    with pytest.raises(ValueError, match="of two"):
        _ = overlap([torch.zeros(1, dtype=torch.uint8)] * 3, 8).both
