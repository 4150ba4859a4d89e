from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kernels.nm import complete, nm_keep, nm_keep_reference

patterns = st.sampled_from([(2, 4), (1, 4), (3, 4), (1, 2), (4, 8), (5, 9), (1, 16)])


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


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=4, max_side=18).filter(lambda s: np.prod(s) < 600),
        elements=st.one_of(
            st.sampled_from([0.0, -0.0, 1.0, float("-inf")]), st.floats(width=32, allow_nan=False)
        ),
    ),
    patterns,
)
def test_every_group_keeps_its_n_largest(scores: np.ndarray, pattern: tuple[int, int]) -> None:
    expected = group_by_group(scores, *pattern)
    tensor = torch.from_numpy(scores)
    np.testing.assert_array_equal(nm_keep(tensor, *pattern).numpy(), expected)
    np.testing.assert_array_equal(nm_keep_reference(tensor, *pattern).numpy(), expected)


def test_groups_can_run_along_any_dimension() -> None:
    scores = torch.arange(8.0).reshape(4, 2)
    assert nm_keep(scores, 2, 4, dim=0).tolist() == [
        [False] * 2,
        [False] * 2,
        [True] * 2,
        [True] * 2,
    ]


def test_incomplete_groups_stay() -> None:
    assert nm_keep(torch.zeros(2, 3), 2, 4).all()
    assert nm_keep(torch.zeros(1, 6), 2, 4).tolist() == [[False, False, True, True, True, True]]


@pytest.mark.parametrize("pattern", [(0, 4), (4, 4), (5, 4)])
def test_patterns_that_are_none_are_refused(pattern: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no pattern"):
        nm_keep(torch.zeros(1, 8), *pattern)


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        nm_keep(torch.full((1, 4), float("nan")), 2, 4)
