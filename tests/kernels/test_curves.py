from __future__ import annotations

import importlib
import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from kernels.curves import score_curves, score_curves_reference

EDGES = [0.0, -0.0, 1.0, -1.0, 1e-42, -1e-42, 3e38, float("inf"), float("-inf"), 0.1]
values = st.one_of(st.sampled_from(EDGES), st.floats(width=32, allow_nan=False))
layers = st.lists(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, max_dims=2, min_side=0), elements=values),
    min_size=1,
    max_size=3,
)
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def taken(scores: list[Tensor], magnitude: bool) -> list[np.ndarray]:
    """The counted values of every layer as float64."""
    found = [score.double().reshape(-1).numpy() for score in scores]
    return [np.abs(values) for values in found] if magnitude else found


@settings(max_examples=40, deadline=None)
@given(layers, st.sampled_from(DTYPES), st.booleans(), st.data())
def test_counts_are_those_of_a_sort(
    arrays: list[np.ndarray], dtype: torch.dtype, magnitude: bool, data: st.DataObject
) -> None:
    scores = [torch.from_numpy(np.array(array)).to(dtype) for array in arrays]
    counted = taken(scores, magnitude)
    joined = np.sort(np.concatenate(counted))
    curves = score_curves(scores, magnitude)
    np.testing.assert_array_equal(
        curves.cumulative, score_curves_reference(scores, magnitude).cumulative
    )
    np.testing.assert_array_equal(curves.sizes, [len(values) for values in counted])
    if not joined.size:
        return
    k = data.draw(st.integers(1, joined.size))
    low, high = curves.threshold(k)
    kth = joined[k - 1]
    assert low <= kth < high or low == kth == high == np.inf
    for edge in (low, high):
        below = [int((values < edge).sum()) for values in counted]
        np.testing.assert_array_equal(curves.counts_below(edge), below)
    shares = curves.counts(k)
    assert shares.counts.sum() == k
    for values, count, bound in zip(counted, shares.counts, shares.bound, strict=True):
        least, most = int((values < kth).sum()), int((values <= kth).sum())
        assert least - bound <= count <= most + bound
        assert 0 <= count <= len(values)


def test_a_half_value_is_a_bucket_of_its_own() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = [torch.randn(500, generator=generator).half() for _ in range(3)]
    curves = score_curves(scores, magnitude=True)
    joined = np.sort(np.concatenate(taken(scores, magnitude=True)))
    for k in (1, 700, 1500):
        assert curves.threshold(k)[0] == joined[k - 1]


def test_float32_buckets_span_less_than_a_hundredth() -> None:
    scores = [torch.randn(20_000, generator=torch.Generator().manual_seed(0))]
    low, high = score_curves(scores, magnitude=True).threshold(15_000)
    assert high / low - 1 <= 1 / 128


def test_many_chunks_are_counted_once() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = [torch.randn(200_001, generator=generator), torch.randn(3, 5, generator=generator)]
    for magnitude in (False, True):
        ours = score_curves(scores, magnitude)
        reference = score_curves_reference(scores, magnitude)
        np.testing.assert_array_equal(ours.cumulative, reference.cumulative)


def test_nothing_and_everything_are_exact() -> None:
    curves = score_curves([torch.ones(3), torch.arange(4.0)], magnitude=False)
    assert curves.counts(0).counts.tolist() == [0, 0]
    everything = curves.counts(7)
    assert everything.counts.tolist() == [3, 4]
    assert everything.bound.tolist() == [0, 0]
    shared = curves.counts(3)  # one zero, then two of the four ones
    assert shared.counts.sum() == 3
    assert shared.bound.tolist() == [3, 1]


def test_float64_between_two_float32_is_counted_below_the_upper_one() -> None:
    scores = [torch.tensor([1 - 1e-12, 1.0, -1 - 1e-12], dtype=torch.float64)]
    assert score_curves(scores, magnitude=False).counts_below(1.0).tolist() == [2]
    assert score_curves(scores, magnitude=False).counts_below(-1.0).tolist() == [1]


@pytest.mark.parametrize("dtype", DTYPES[:3])
def test_triton_agrees(dtype: torch.dtype) -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    if os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("Triton compiles for the device here: tests/gpu compares it")
    module = importlib.import_module("kernels.cuda.curves")
    scores = [torch.randn(5001, generator=torch.Generator().manual_seed(0)).to(dtype)]
    scores += [torch.tensor([0.0, -0.0, float("inf"), float("-inf")]).to(dtype), scores[0][:0]]
    for magnitude in (False, True):
        reference = np.diff(score_curves_reference(scores, magnitude).cumulative)
        np.testing.assert_array_equal(module.histograms(scores, magnitude), reference)
    with pytest.raises(ValueError, match="NaN"):
        module.histograms([torch.full((2,), float("nan"), dtype=dtype)], True)


def test_what_has_no_answer_is_refused() -> None:
    for dtype in DTYPES:
        with pytest.raises(ValueError, match="NaN"):
            score_curves([torch.tensor([1.0, float("nan")]).to(dtype)], magnitude=True)
    curves = score_curves([torch.ones(3)], magnitude=True)
    for k in (-1, 4):
        with pytest.raises(ValueError, match="cannot choose"):
            curves.counts(k)
    with pytest.raises(ValueError, match="cannot choose 0"):
        curves.threshold(0)
    with pytest.raises(ValueError, match="NaN"):
        curves.counts_below(float("nan"))
