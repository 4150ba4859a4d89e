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

from kernels.nm import complete, nm_keep, nm_keep_reference

PATTERNS = [(2, 4), (1, 4), (3, 4), (1, 2), (4, 8), (5, 9), (1, 16)]
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
# Few distinct values, so that ties are the rule; both zeros and the infinities among them.
values = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, float("-inf"), float("inf"), 6e-8, -6e-8]),
    st.floats(width=16, allow_nan=False),
)


def triton_keep(scores: Tensor, n: int, m: int, dim: int = 1) -> Tensor:
    """The Triton path on dimension 1 of tensors on the CPU."""
    pytest.importorskip("triton", reason="Triton is not installed")
    if os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("Triton compiles for the device here: tests/gpu compares it")
    from kernels.cuda import nm as cuda

    assert dim == 1
    inside = scores.contiguous().reshape(*scores.shape[:2], math.prod(scores.shape[2:]))
    keep, nan = cuda.nm_keep(inside, n, m)
    keep[:, complete(scores.shape[1], m) :] = True
    if nan:
        raise ValueError("NaN")
    return keep.view(scores.shape)


def group_by_group(scores: np.ndarray, n: int, m: int) -> np.ndarray:
    """Every group along dimension 1 sorted by (value, position) in Python."""
    keep = np.ones(scores.shape, dtype=bool)
    rest = [range(size) for size in (*scores.shape[:1], *scores.shape[2:])]
    for row, *position in np.ndindex(*map(len, rest)):
        for start in range(0, complete(scores.shape[1], m), m):
            group = range(start, start + m)
            lowest = sorted(group, key=lambda j: (scores[(row, j, *position)], j))[: m - n]
            for j in lowest:
                keep[(row, j, *position)] = False
    return keep


@settings(max_examples=80, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=4, max_side=18).filter(lambda s: np.prod(s) < 600),
        elements=values,
    ),
    st.sampled_from(PATTERNS),
    st.sampled_from(DTYPES),
)
def test_every_group_keeps_its_n_largest(
    scores: np.ndarray, pattern: tuple[int, int], dtype: torch.dtype
) -> None:
    tensor = torch.from_numpy(scores).to(dtype)
    expected = group_by_group(tensor.double().numpy(), *pattern)
    np.testing.assert_array_equal(nm_keep(tensor, *pattern).numpy(), expected)
    np.testing.assert_array_equal(nm_keep_reference(tensor, *pattern).numpy(), expected)


@settings(max_examples=15, deadline=None)
@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=3, max_side=9), elements=values),
    st.sampled_from(PATTERNS[:5]),
    st.sampled_from(DTYPES),
)
def test_triton_chooses_the_same(
    scores: np.ndarray, pattern: tuple[int, int], dtype: torch.dtype
) -> None:
    tensor = torch.from_numpy(scores).to(dtype)
    assert torch.equal(triton_keep(tensor, *pattern), nm_keep_reference(tensor, *pattern))


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(DTYPES))
def test_layout_in_memory_and_direction_of_groups_do_not_matter(
    data: st.DataObject, dtype: torch.dtype
) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=13))
    order = data.draw(st.permutations(range(len(shape))))
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    step = data.draw(st.integers(1, 2))
    seed = data.draw(st.integers(0, 1000))
    whole = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
    scores = whole.permute(order)[..., ::step]
    for pattern in PATTERNS[:5]:
        expected = nm_keep_reference(scores.contiguous(), *pattern, dim)
        assert torch.equal(nm_keep(scores, *pattern, dim), expected)


@pytest.mark.parametrize("shape", [(3, 5000, 1), (1, 18002, 1), (2, 1003, 3), (2, 37, 300)])
@pytest.mark.parametrize("pattern", [(2, 4), (5, 16), (20, 64), (30, 70)])
def test_sizes_beyond_one_task(shape: tuple[int, ...], pattern: tuple[int, int]) -> None:
    scores = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(nm_keep(scores, *pattern), nm_keep_reference(scores, *pattern))


def test_groups_can_run_along_any_dimension() -> None:
    scores = torch.arange(8.0).reshape(4, 2)
    assert nm_keep(scores, 2, 4, dim=0).tolist() == [
        [False] * 2,
        [False] * 2,
        [True] * 2,
        [True] * 2,
    ]
    with pytest.raises(IndexError):
        nm_keep(scores, 2, 4, dim=2)


def test_incomplete_groups_stay() -> None:
    assert nm_keep(torch.zeros(2, 3), 2, 4).all()
    assert nm_keep(torch.zeros(1, 6), 2, 4).tolist() == [[False, False, True, True, True, True]]
    assert nm_keep(torch.tensor(1.0), 2, 4, dim=0).all()


@pytest.mark.parametrize("shape", [(0, 8), (8, 0), (2, 8, 0)])
def test_nothing_to_choose_from(shape: tuple[int, ...]) -> None:
    assert nm_keep(torch.zeros(shape), 2, 4).shape == shape
    assert nm_keep_reference(torch.zeros(shape), 2, 4).shape == shape


@pytest.mark.parametrize("pattern", [(0, 4), (4, 4), (5, 4)])
def test_patterns_that_are_none_are_refused(pattern: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no pattern"):
        nm_keep(torch.zeros(1, 8), *pattern)


@pytest.mark.parametrize("choose", [nm_keep, nm_keep_reference, triton_keep])
@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_is_refused(choose: Callable[..., Tensor], dtype: torch.dtype) -> None:
    for shape in ((3, 9), (3, 8), (3, 8, 2), (3, 8, 9)):
        for sign in (1, -1):
            scores = torch.zeros(shape, dtype=dtype)
            scores[2, 7] = math.copysign(float("nan"), sign)
            for pattern in ((2, 4), (1, 2)):
                with pytest.raises(ValueError, match="NaN"):
                    choose(scores, *pattern)
    if choose is not triton_keep:
        with pytest.raises(ValueError, match="NaN"):
            choose(torch.tensor([[1.0, 2.0, 3.0, 4.0, float("nan")]], dtype=dtype), 2, 4)
