from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

import kernels.cpu.select as cpu
from kernels.select import (
    NAN_REFUSED,
    Threshold,
    k_smallest,
    k_smallest_reference,
    keep_masks,
    keep_masks_reference,
    kth_magnitude,
    kth_smallest,
    threshold_reference,
)

# Few distinct values, so that ties are the rule; both zeros, infinities and denormals among them.
EDGES = [0.0, -0.0, 1.0, -1.0, 1e-42, -1e-42, 3e38, float("inf"), float("-inf"), 0.1, 0.10000001]
values = st.one_of(st.sampled_from(EDGES), st.floats(width=32, allow_nan=False))
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


@pytest.fixture
def triton_select(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The Triton path with so small a sample and so little room that it has to bisect, too."""
    pytest.importorskip("triton", reason="Triton is not installed")
    if os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("Triton compiles for the device here: tests/gpu compares it")
    module = importlib.import_module("kernels.cuda.select")
    for name, size in {"_SAMPLED": 16, "_LEAST_ROOM": 4, "_BLOCK": 256, "_BLOCKS": 2}.items():
        monkeypatch.setattr(module, name, size)
    return module


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU path samples and brackets from 256 scores on."""
    monkeypatch.setattr(cpu, "_DIRECT", 256)
    monkeypatch.setattr(cpu, "_SAMPLED", 128)


@st.composite
def tensors_and_k(draw: st.DrawFn) -> tuple[list[Tensor], int]:
    shapes = draw(
        st.lists(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6), max_size=4)
    )
    tensors = [
        torch.from_numpy(np.array(draw(hnp.arrays(np.float32, shape, elements=values))))
        for shape in shapes
    ]
    return tensors, draw(st.integers(0, sum(t.numel() for t in tensors)))


def brute_force(tensors: list[Tensor], k: int) -> np.ndarray:
    """Python's own stable sort over (value, position)."""
    flat = [float(v) for tensor in tensors for v in tensor.reshape(-1)]
    chosen = np.zeros(len(flat), dtype=bool)
    chosen[sorted(range(len(flat)), key=lambda i: (flat[i], i))[:k]] = True
    return chosen


def flat(masks: list[Tensor]) -> np.ndarray:
    return np.concatenate([mask.reshape(-1).numpy() for mask in masks] or [np.zeros(0, bool)])


def packed(gone: np.ndarray, tensors: list[Tensor]) -> list[np.ndarray]:
    ends = np.cumsum([tensor.numel() for tensor in tensors])[:-1] if tensors else []
    return [np.packbits(~part, bitorder="little") for part in np.split(gone, ends)]


@settings(max_examples=80, deadline=None)
@given(tensors_and_k(), st.sampled_from(DTYPES))
def test_choice_equals_pythons_stable_sort(
    case: tuple[list[Tensor], int], dtype: torch.dtype
) -> None:
    tensors = [tensor.to(dtype) for tensor in case[0]]
    expected = brute_force(tensors, case[1])
    assert [m.shape for m in k_smallest(tensors, case[1])] == [t.shape for t in tensors]
    np.testing.assert_array_equal(flat(k_smallest(tensors, case[1])), expected)
    np.testing.assert_array_equal(flat(k_smallest_reference(tensors, case[1])), expected)


@settings(max_examples=80, deadline=None)
@given(tensors_and_k(), st.sampled_from(DTYPES))
def test_masks_keep_all_but_the_smallest_magnitudes(
    case: tuple[list[Tensor], int], dtype: torch.dtype
) -> None:
    tensors, k = [tensor.to(dtype) for tensor in case[0]], case[1]
    expected = brute_force([tensor.abs() for tensor in tensors], k)
    for masks in (keep_masks(tensors, k), keep_masks_reference(tensors, k)):
        assert all(mask.dtype == torch.uint8 for mask in masks)
        for mask, bits in zip(masks, packed(expected, tensors) if tensors else [], strict=True):
            np.testing.assert_array_equal(mask.numpy(), bits)


@settings(max_examples=60, deadline=None)
@given(tensors_and_k(), st.sampled_from(DTYPES))
def test_threshold_says_where_the_smallest_end(
    case: tuple[list[Tensor], int], dtype: torch.dtype
) -> None:
    tensors = [tensor.to(dtype) for tensor in case[0]]
    total = sum(tensor.numel() for tensor in tensors)
    if total == 0:
        return
    k = max(case[1], 1)
    for magnitude in (False, True):
        ordered = sorted(
            abs(float(v)) if magnitude else float(v) for t in tensors for v in t.reshape(-1)
        )
        below = sum(value < ordered[k - 1] for value in ordered)
        expected = Threshold(ordered[k - 1], below, k - below)
        assert threshold_reference(tensors, k, magnitude=magnitude) == expected
        if magnitude:
            assert kth_magnitude(tensors, k) == expected
        else:
            assert kth_smallest(tensors, k) == expected.value


@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(tensors_and_k(), st.sampled_from(DTYPES[:3]))
def test_triton_agrees(
    triton_select: ModuleType, case: tuple[list[Tensor], int], dtype: torch.dtype
) -> None:
    tensors, k = [tensor.to(dtype) for tensor in case[0]], case[1]
    if sum(tensor.numel() for tensor in tensors) == 0:
        return
    expected = k_smallest_reference(tensors, k)
    assert all(map(torch.equal, triton_select.chosen(tensors, k), expected))
    expected = keep_masks_reference(tensors, k)
    assert all(map(torch.equal, triton_select.kept_bits(tensors, k), expected))


@pytest.mark.parametrize("dtype", DTYPES[:3])
def test_triton_brackets_bisects_and_shares_out_ties(
    triton_select: ModuleType, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(size, generator=generator).to(dtype) for size in (300, 1, 131)]
    tensors[0][40:180] = 0
    for k in (100, 400):
        for magnitude in (False, True):
            expected = threshold_reference(tensors, k, magnitude=magnitude)
            assert triton_select.threshold(tensors, k, magnitude) == expected
        masks = triton_select.kept_bits(tensors, k)
        assert all(map(torch.equal, masks, keep_masks_reference(tensors, k)))


def test_triton_refuses_nan(triton_select: ModuleType) -> None:
    for bad in (float("nan"), -float("nan")):
        for k in (0, 1, 3):
            with pytest.raises(ValueError, match=NAN_REFUSED):
                triton_select.chosen([torch.tensor([1.0, bad, 2.0])], k)


def normal(generator: torch.Generator) -> Tensor:
    return torch.randn(30_011, generator=generator)


def pruned(generator: torch.Generator) -> Tensor:
    scores = torch.randn(30_011, generator=generator)
    return scores * (scores.abs() > 0.7)


def rising(generator: torch.Generator) -> Tensor:
    return torch.linspace(-3, 3, 30_011)


def few_levels(generator: torch.Generator) -> Tensor:
    return torch.randint(-3, 4, (30_011,), generator=generator).float()


def constant(generator: torch.Generator) -> Tensor:
    return torch.full((30_011,), -2.5)


def infinite(generator: torch.Generator) -> Tensor:
    scores = torch.randn(30_011, generator=generator)
    scores[::3], scores[1::5] = float("-inf"), float("inf")
    return scores


def deceiving(generator: torch.Generator) -> Tensor:
    """Small exactly where the sample looks: every 32nd cache line."""
    scores = 1 + torch.rand(30_011, generator=generator)
    for line in range(31, 30_011 // 16, 32):
        scores[16 * line : 16 * line + 16] = 0.5
    return scores


CASES = [normal, pruned, rising, few_levels, constant, infinite, deceiving]


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("dtype", DTYPES[:3])
@pytest.mark.parametrize("make", CASES)
def test_brackets_hold_or_are_seen_to_miss(
    make: Callable[[torch.Generator], Tensor], dtype: torch.dtype
) -> None:
    scores = make(torch.Generator().manual_seed(0)).to(dtype)
    tensors = [scores[:17], scores[17:9000].reshape(-1, 1).T, scores[9000:]]
    signed, sizes = np.sort(scores.float().numpy()), np.sort(scores.float().abs().numpy())
    zeros = int((scores == 0).sum())
    for k in {1, 2, 3_001, max(zeros, 1), 15_000, 24_008, 30_010, 30_011}:
        below = int((sizes < sizes[k - 1]).sum())
        assert kth_magnitude(tensors, k) == Threshold(float(sizes[k - 1]), below, k - below)
        assert kth_smallest(tensors, k) == signed[k - 1]
        assert all(map(torch.equal, keep_masks(tensors, k), keep_masks_reference(tensors, k)))


@pytest.mark.parametrize("dtype", DTYPES[:3])
def test_histograms_alone_give_the_threshold(dtype: torch.dtype) -> None:
    scores = torch.randn(70_001, generator=torch.Generator().manual_seed(0)).to(dtype)
    for magnitude in (False, True):
        chunks, keys = cpu.chunks_of([scores]), cpu.keys_of(dtype, magnitude)
        for k in (1, 35_000, 70_001):
            expected = threshold_reference([scores], k, magnitude=magnitude)
            key, below = cpu._by_histograms(chunks, keys, k)
            assert (cpu.value_of(key, dtype), below) == (expected.value, expected.below)


def test_ties_across_chunks_go_by_position() -> None:
    scores = [torch.zeros(200_000), torch.zeros(3), torch.zeros(100_000)]
    for k in (1, 65_536, 65_537, 150_001, 200_002, 299_999):
        gone = flat(k_smallest(scores, k))
        assert gone[:k].all()
        assert not gone[k:].any()
        bits = [np.unpackbits(m.numpy(), count=t.numel(), bitorder="little")
                for m, t in zip(keep_masks(scores, k), scores, strict=True)]  # fmt: skip
        np.testing.assert_array_equal(np.concatenate(bits), ~gone)


@settings(max_examples=30, deadline=None)
@given(tensors_and_k(), st.data())
def test_smaller_choices_lie_within_larger_ones(
    case: tuple[list[Tensor], int], data: st.DataObject
) -> None:
    tensors, k = case
    fewer = data.draw(st.integers(0, k))
    inside, outside = flat(k_smallest(tensors, fewer)), flat(k_smallest(tensors, k))
    assert not np.any(inside & ~outside)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 60), st.integers(0, 2**31), st.data())
def test_without_ties_the_choice_follows_a_permutation(
    size: int, seed: int, data: st.DataObject
) -> None:
    k = data.draw(st.integers(0, size))
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randperm(size, generator=generator).float() - size / 2
    order = torch.randperm(size, generator=generator)
    permuted = k_smallest([scores[order]], k)[0]
    assert torch.equal(permuted, k_smallest([scores], k)[0][order])


def test_ties_go_by_position_across_tensors() -> None:
    ones = [torch.ones(2, 2), torch.ones(3)]
    assert flat(k_smallest(ones, 5)).tolist() == [True] * 5 + [False] * 2


def test_many_chunks_give_the_exact_threshold() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = [torch.randn(1_300_000, generator=generator), torch.randn(7, 31, generator=generator)]
    joined = np.sort(np.concatenate([s.numpy().reshape(-1) for s in scores]))
    for k in (1, 2, 650_000, 1_300_217):
        assert kth_smallest(scores, k) == joined[k - 1]
        assert int(flat(k_smallest(scores, k)).sum()) == k


def test_several_types_are_compared_by_value() -> None:
    scores = [torch.tensor([1.0, -3.0]).half(), torch.tensor([-2.0, 4.0]).bfloat16()]
    assert flat(k_smallest(scores, 2)).tolist() == [False, True, True, False]
    scores.append(torch.tensor([-5.0], dtype=torch.float64))
    assert flat(k_smallest(scores, 2)).tolist() == [False, True, False, False, True]


def test_a_transposed_tensor_is_read_in_its_own_order() -> None:
    scores = torch.tensor([[3.0, 0.0], [1.0, 0.0]]).T
    assert torch.equal(k_smallest([scores], 1)[0], torch.tensor([[False, False], [True, False]]))


@pytest.mark.parametrize("choose", [k_smallest, k_smallest_reference, keep_masks])
@pytest.mark.parametrize("size", [2, 100_000])
def test_nan_and_impossible_counts_are_refused(
    choose: Callable[[list[Tensor], int], list[Tensor]], size: int
) -> None:
    for bad in (float("nan"), -float("nan")):
        scores = torch.ones(size)
        scores[-1] = bad
        for k in (0, 1, size):
            with pytest.raises(ValueError, match="NaN"):
                choose([scores], k)
    for k in (-1, 3):
        with pytest.raises(ValueError, match="cannot choose"):
            choose([torch.zeros(2)], k)


def test_there_is_no_zeroth_smallest() -> None:
    with pytest.raises(ValueError, match="cannot choose 0"):
        kth_magnitude([torch.ones(3)], 0)
