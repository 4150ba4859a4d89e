from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import ArgumentError
from analysis.pruning.counting import (
    apportion,
    bounded,
    check_sparsity,
    exact_count,
    shared_counts,
)

sparsities = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    ("sparsity", "size", "count"),
    [(0.5, 1, 1), (0.5, 5, 3), (0.35, 10, 4), (0.15, 10, 2), (0.8, 270_896, 216_717), (0.0, 9, 0)],
)
def test_halves_round_up_as_typed(sparsity: float, size: int, count: int) -> None:
    assert exact_count(sparsity, size) == count


@given(sparsities, st.integers(0, 10**9))
def test_counts_are_decimal_rounding(sparsity: float, size: int) -> None:
    expected = (Decimal(repr(sparsity)) * size).to_integral_value(ROUND_HALF_UP)
    assert exact_count(sparsity, size) == int(expected)


@given(sparsities, st.lists(st.integers(0, 5000), min_size=1, max_size=30))
def test_shares_add_up_and_are_near(sparsity: float, sizes: list[int]) -> None:
    counts = shared_counts(sizes, sparsity)
    assert sum(counts) == exact_count(sparsity, sum(sizes))
    for count, size in zip(counts, sizes, strict=True):
        assert 0 <= count <= size
        assert abs(count - sparsity * size) < 1 + 1e-9


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=20))
def test_apportioned_shares_add_up_and_are_near(shares: list[float]) -> None:
    total = math.floor(math.fsum(shares) + 0.5)
    counts = apportion(shares, total)
    assert sum(counts) == total
    for count, share in zip(counts, shares, strict=True):
        assert abs(count - share) < 1.5


def test_shares_of_another_total_are_refused() -> None:
    with pytest.raises(ValueError, match="add up"):
        apportion([1.0, 2.0], 5)


@settings(max_examples=60)
@given(st.data())
def test_bounded_counts_meet_bounds_and_total(data: st.DataObject) -> None:
    lowest = data.draw(st.lists(st.integers(0, 20), min_size=1, max_size=8))
    highest = [low + data.draw(st.integers(0, 20)) for low in lowest]
    counts = [data.draw(st.integers(0, 45)) for _ in lowest]
    total = data.draw(st.integers(sum(lowest), sum(highest)))
    moved = bounded(counts, lowest, highest, total)
    assert sum(moved) == total
    assert all(lo <= c <= hi for lo, c, hi in zip(lowest, moved, highest, strict=True))


def test_counts_within_bounds_stay() -> None:
    assert bounded([3, 4], [0, 0], [5, 5], 7) == [3, 4]


def test_impossible_totals_are_refused() -> None:
    with pytest.raises(ArgumentError, match="between 2 and 6"):
        bounded([1, 1], [1, 1], [3, 3], 7)


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1.5, float("nan"), float("inf")])
def test_sparsity_outside_its_range(sparsity: float) -> None:
    with pytest.raises(ArgumentError, match=r"outside \[0, 1\)"):
        check_sparsity(sparsity)
