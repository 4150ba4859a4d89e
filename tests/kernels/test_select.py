from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from kernels.select import (
    k_smallest,
    k_smallest_reference,
    k_smallest_rows,
    k_smallest_rows_reference,
    kth_smallest,
)

# Few distinct values, so that ties are the rule; both zeros, infinities and denormals among them.
EDGES = [0.0, -0.0, 1.0, -1.0, 1e-42, -1e-42, 3e38, float("inf"), float("-inf"), 0.1, 0.10000001]
values = st.one_of(st.sampled_from(EDGES), st.floats(width=32, allow_nan=False))


@st.composite
def tensors_and_k(draw: st.DrawFn) -> tuple[list[Tensor], int]:
    shapes = draw(st.lists(hnp.array_shapes(max_dims=3, max_side=6), min_size=1, max_size=4))
    tensors = [
        torch.from_numpy(draw(hnp.arrays(np.float32, shape, elements=values))) for shape in shapes
    ]
    return tensors, draw(st.integers(0, sum(t.numel() for t in tensors)))


def brute_force(tensors: list[Tensor], k: int) -> np.ndarray:
    """Python's own stable sort over (value, position)."""
    flat = [float(v) for tensor in tensors for v in tensor.reshape(-1)]
    chosen = np.zeros(len(flat), dtype=bool)
    chosen[sorted(range(len(flat)), key=lambda i: (flat[i], i))[:k]] = True
    return chosen


def flat(masks: list[Tensor]) -> np.ndarray:
    return np.concatenate([mask.reshape(-1).numpy() for mask in masks])


@settings(max_examples=60, deadline=None)
@given(tensors_and_k(), st.sampled_from([torch.float32, torch.float64]))
def test_choice_equals_pythons_stable_sort(
    case: tuple[list[Tensor], int], dtype: torch.dtype
) -> None:
    tensors = [tensor.to(dtype) for tensor in case[0]]
    expected = brute_force(tensors, case[1])
    assert [m.shape for m in k_smallest(tensors, case[1])] == [t.shape for t in tensors]
    np.testing.assert_array_equal(flat(k_smallest(tensors, case[1])), expected)
    np.testing.assert_array_equal(flat(k_smallest_reference(tensors, case[1])), expected)


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


def test_half_precision_keeps_its_order() -> None:
    scores = torch.tensor([1.5, -2.0, 0.25, -2.0]).to(torch.bfloat16)
    assert k_smallest([scores], 2)[0].tolist() == [False, True, False, True]


def test_a_transposed_tensor_is_read_in_its_own_order() -> None:
    scores = torch.tensor([[3.0, 0.0], [1.0, 0.0]]).T
    assert torch.equal(k_smallest([scores], 1)[0], torch.tensor([[False, False], [True, False]]))


@pytest.mark.parametrize("choose", [k_smallest, k_smallest_reference])
def test_nan_and_impossible_counts_are_refused(choose: object) -> None:
    with pytest.raises(ValueError, match="NaN"):
        choose([torch.tensor([1.0, float("nan")])], 0)  # type: ignore[operator]
    for k in (-1, 3):
        with pytest.raises(ValueError, match="cannot choose"):
            choose([torch.zeros(2)], k)  # type: ignore[operator]


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=8), elements=values),
    st.data(),
)
def test_rows_are_chosen_each_for_itself(matrix: np.ndarray, data: st.DataObject) -> None:
    scores = torch.from_numpy(matrix)
    counts = data.draw(
        st.lists(st.integers(0, matrix.shape[1]), min_size=len(matrix), max_size=len(matrix))
    )
    expected = [brute_force([row], k) for row, k in zip(scores, counts, strict=True)]
    np.testing.assert_array_equal(k_smallest_rows(scores, counts).numpy(), expected)
    np.testing.assert_array_equal(k_smallest_rows_reference(scores, counts).numpy(), expected)


def test_rows_refuse_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        k_smallest_rows(torch.zeros(2, 3), [1])
    with pytest.raises(ValueError, match="in a row"):
        k_smallest_rows(torch.zeros(2, 3), [1, 4])
    with pytest.raises(ValueError, match="NaN"):
        k_smallest_rows(torch.full((1, 2), float("nan")), [1])
