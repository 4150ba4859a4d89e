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

from kernels.rows import k_smallest_rows, k_smallest_rows_reference

EDGES = [0.0, -0.0, 1.0, -1.0, 1e-42, -1e-42, 3e38, float("inf"), float("-inf"), 0.1, 0.10000001]
values = st.one_of(st.sampled_from(EDGES), st.floats(width=32, allow_nan=False))
matrices = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=9), elements=values
)
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def brute_force(row: Tensor, k: int) -> np.ndarray:
    """Python's own stable sort over (value, column)."""
    chosen = np.zeros(row.numel(), dtype=bool)
    chosen[sorted(range(row.numel()), key=lambda j: (float(row[j]), j))[:k]] = True
    return chosen


@settings(max_examples=100, deadline=None)
@given(matrices, st.sampled_from(DTYPES), st.data())
def test_rows_are_chosen_each_for_itself(
    matrix: np.ndarray, dtype: torch.dtype, data: st.DataObject
) -> None:
    scores = torch.from_numpy(matrix).to(dtype)
    count = st.integers(0, matrix.shape[1])
    counts = data.draw(st.lists(count, min_size=len(matrix), max_size=len(matrix)))
    chosen = k_smallest_rows(scores, counts)
    for row, mine, k in zip(scores, chosen, counts, strict=True):
        np.testing.assert_array_equal(mine.numpy(), brute_force(row, k))
    assert torch.equal(chosen, k_smallest_rows_reference(scores, counts))


@pytest.mark.parametrize("dtype", DTYPES[:3])
def test_long_rows_equal_a_stable_sort(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(3001, 24, generator=generator).T.to(dtype)
    scores[5], scores[6, ::2], scores[7] = 0, float("-inf"), scores[7].abs()
    counts = torch.randint(0, 3002, (24,), generator=generator).tolist()
    expected = k_smallest_rows_reference(scores, counts)
    assert torch.equal(k_smallest_rows(scores, counts), expected)


@pytest.mark.parametrize("dtype", DTYPES[:3])
def test_triton_agrees(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    if os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("Triton compiles for the device here: tests/gpu compares it")
    rows = importlib.import_module("kernels.cuda.rows")
    monkeypatch.setattr(rows, "_LARGEST_BLOCK", 32)
    scores = torch.randn(4, 45, generator=torch.Generator().manual_seed(0)).to(dtype)
    scores[1, 3:30], scores[2, :5], scores[3] = 0, float("-inf"), -0.0
    counts = np.array([45, 20, 7, 11])
    assert torch.equal(
        rows.k_smallest_rows(scores, counts), k_smallest_rows_reference(scores, counts.tolist())
    )
    scores[0, 44] = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        rows.k_smallest_rows(scores, counts)


def test_wandas_golden_mask() -> None:
    """Weights and inputs of the golden vectors for Wanda, half of every row pruned."""
    i, j = np.mgrid[:4, :8]
    weight = np.sin(1 + 1.7 * i + 0.9 * j + 0.31 * i * j)
    t, k = np.mgrid[:12, :8]
    inputs = (1 + 0.5 * k) * np.cos(0.37 * t * (k + 1) + 0.2 * k)
    scores = torch.from_numpy(np.abs(weight) * np.linalg.norm(inputs, axis=0))
    golden = ["10110010", "11110000", "11110000", "11100001"]
    for dtype in (torch.float64, torch.float32):
        chosen = k_smallest_rows(scores.to(dtype), [4] * 4)
        assert ["".join(str(int(gone)) for gone in row) for row in chosen] == golden


def test_rows_refuse_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        k_smallest_rows(torch.zeros(2, 3), [1])
    with pytest.raises(ValueError, match="cannot choose 4 of 3 in a row"):
        k_smallest_rows(torch.zeros(2, 3), [1, 4])
    with pytest.raises(ValueError, match="cannot choose -1 of 3 in a row"):
        k_smallest_rows(torch.zeros(2, 3), [1, -1])
    for counts in ([0], [1], [2]):
        with pytest.raises(ValueError, match="NaN"):
            k_smallest_rows(torch.tensor([[1.0, float("nan")]]), counts)
