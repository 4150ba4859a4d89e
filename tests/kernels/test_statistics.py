"""Statistics of weights against NumPy's histogram and sums exact to the last digit."""

from __future__ import annotations

import math
import os
from collections.abc import Callable

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from kernels import bitmask, statistics
from kernels.statistics import WeightStatistics, weight_statistics, weight_statistics_reference

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
Statistics = Callable[..., WeightStatistics]


def triton_statistics(
    weight: Tensor, edges: np.ndarray, packed: Tensor | None = None
) -> WeightStatistics:
    """The public function on the Triton path, on CPU tensors."""
    pytest.importorskip("triton", reason="Triton is not installed")
    if os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("Triton compiles for the device here: tests/gpu compares it")
    from kernels.cuda import statistics as cuda

    # The interpreter computes with NumPy, which warns of NaN.
    with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
        patch.setattr(statistics, "fast", lambda *_: cuda)
        return weight_statistics(weight, edges, packed)


PATHS = pytest.mark.parametrize(
    "path", [weight_statistics, weight_statistics_reference, triton_statistics]
)


def check(path: Statistics, weight: Tensor, edges: np.ndarray, keep: Tensor | None) -> None:
    packed = None if keep is None else bitmask.pack(keep)
    found = path(weight, edges, packed)
    kept = np.ones(weight.shape, bool) if keep is None else keep.numpy()
    values = np.where(kept, weight.double().numpy(), 0.0).reshape(-1)
    others = values[values != 0]
    assert (found.size, found.kept) == (values.size, kept.sum())
    assert found.zeros == (values == 0).sum()
    extremes = (others.min(), others.max()) if others.size else (0, 0)
    assert (found.minimum, found.maximum) == extremes
    expected, _ = np.histogram(others, bins=edges)
    np.testing.assert_array_equal(found.counts.numpy(), expected)
    if np.isfinite(values).all():
        l1 = math.fsum(abs(values))
        assert found.l1 == pytest.approx(l1, rel=1e-13)
        assert found.total == pytest.approx(math.fsum(values), abs=1e-13 * l1)
        assert found.l2 == pytest.approx(math.sqrt(math.fsum(values**2)), rel=1e-13)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Tensor, np.ndarray, Tensor | None]:
    """Weights on bin edges and beside them as the rule."""
    bins = draw(st.integers(1, 70))
    edges = draw(
        st.sampled_from(
            [
                np.linspace(-1.0, 1.0, bins + 1),
                np.linspace(-0.1, 0.1, bins + 1),
                np.linspace(0.0, float(np.float32(0.3)), bins + 1),
                np.linspace(2.0, 4.0, bins + 1),
            ]
        )
    )
    special = st.sampled_from([0.0, -0.0, math.inf, -math.inf, 1e-40, -1.0, 1.0])
    near = st.builds(
        lambda i, ulps: float(np.float32(edges[i]) * np.float32(1 + ulps * 2.0**-23)),
        st.integers(0, bins),
        st.integers(-1, 1),
    )
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=9))
    elements = st.one_of(special, near, st.floats(-5, 5, width=32))
    array = draw(hnp.arrays(np.float32, shape, elements=elements))
    weight = torch.from_numpy(np.asarray(array)).to(draw(st.sampled_from(DTYPES)))
    mask = draw(st.one_of(st.none(), hnp.arrays(bool, shape)))
    return weight, edges, None if mask is None else torch.from_numpy(np.asarray(mask))


@settings(max_examples=80, deadline=None)
@given(cases())
def test_everything_is_what_numpy_finds(case: tuple[Tensor, np.ndarray, Tensor | None]) -> None:
    check(weight_statistics, *case)
    check(weight_statistics_reference, *case)


@settings(max_examples=12, deadline=None)
@given(cases())
def test_triton_finds_the_same(case: tuple[Tensor, np.ndarray, Tensor | None]) -> None:
    check(triton_statistics, *case)


@pytest.mark.parametrize("dtype", DTYPES)
@PATHS
def test_sizes_beyond_one_chunk(path: Statistics, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 9001, generator=generator).to(dtype)
    keep = torch.rand(3, 9001, generator=generator) < 0.6
    limit = float(weight.abs().max())
    check(path, weight, np.linspace(-limit, limit, 62), keep)
    check(path, weight.T, np.linspace(-limit, limit / 2, 300), None)


def test_infinities_of_both_signs_in_different_chunks() -> None:
    weight = torch.zeros(100_000)
    weight[0], weight[-1] = math.inf, -math.inf
    found = weight_statistics(weight, np.linspace(-1, 1, 3))
    assert (found.l1, found.l2) == (math.inf, math.inf)
    assert math.isnan(found.total)


def test_sums_do_not_depend_on_the_number_of_threads() -> None:
    weight = torch.randn(1_000_003, generator=torch.Generator().manual_seed(0))
    edges, before = np.linspace(-5, 5, 62), numba.get_num_threads()
    found = []
    try:
        for threads in range(1, before + 1):
            numba.set_num_threads(threads)
            found.append(weight_statistics(weight, edges))
    finally:
        numba.set_num_threads(before)
    assert len({(f.total, f.l1, f.l2) for f in found}) == 1


@PATHS
def test_nan_is_refused_unless_it_is_removed(path: Statistics) -> None:
    edges = np.linspace(-1, 1, 5)
    for dtype in DTYPES:
        weight = torch.tensor([0.5, float("nan"), math.inf, -math.inf], dtype=dtype)
        with pytest.raises(ValueError, match="NaN"):
            path(weight, edges)
        keep = torch.tensor([True, False, True, True])
        found = path(weight, edges, bitmask.pack(keep))
        assert (found.l1, found.minimum, found.counts.tolist()) == (
            math.inf,
            -math.inf,
            [0, 0, 0, 1],
        )


@PATHS
def test_edges_must_be_even(path: Statistics) -> None:
    for edges in ([0.0], [0.0, 1.0, 1.1], [1.0, 0.0], [0.0, math.inf], [[0.0, 1.0]], [0.0, 0.0]):
        with pytest.raises(ValueError, match="edges"):
            path(torch.ones(3), np.array(edges))
    with pytest.raises(ValueError, match="a mask of"):
        path(torch.ones(9), np.array([0.0, 1.0]), torch.zeros(1, dtype=torch.uint8))
