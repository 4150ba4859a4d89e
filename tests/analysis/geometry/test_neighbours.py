"""Exact neighbours against scikit-learn, brute force and published values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from analysis.errors import ArgumentError
from analysis.geometry.neighbours import TRUST_LIMIT, exact_knn, knn_jaccard, knn_overlap, trust


def _published() -> tuple[np.ndarray, np.ndarray]:
    state = np.random.RandomState(1337)  # the published values use this legacy generator
    x = state.randn(100, 10)
    return x, state.randn(100, 10) + x


def test_overlap_has_the_published_values() -> None:
    x, y = _published()
    assert knn_overlap(x, y, 10).mean() == pytest.approx(0.2890, abs=1e-12)
    assert knn_jaccard(x, y, 10).mean() == pytest.approx(0.1771944567, abs=1e-10)


def test_neighbours_equal_scikit_learns() -> None:
    points = np.random.default_rng(0).normal(size=(1203, 7))
    distances, indices = (
        NearestNeighbors(n_neighbors=9, algorithm="brute").fit(points).kneighbors()
    )
    found, apart = exact_knn(points, 9)
    assert np.array_equal(found, indices)
    assert apart == pytest.approx(distances, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.integers(1, 5))
def test_ties_go_to_the_lower_index_and_never_to_oneself(seed: int, count: int, k: int) -> None:
    """On a small grid nearly everything is tied; the reference sorts (distance, index)."""
    points = np.random.default_rng(seed).integers(0, 3, (count, 2)).astype(np.float32)
    k = min(k, count - 1)
    found, _ = exact_knn(points, k)
    for i in range(count):
        squares = ((points - points[i]) ** 2).sum(axis=1)
        order = sorted((float(squares[j]), j) for j in range(count) if j != i)
        assert found[i].tolist() == [j for _, j in order[:k]]


def test_overlap_of_equal_and_of_unrelated_features() -> None:
    generator = np.random.default_rng(3)
    a = generator.normal(size=(300, 4))
    turned = a @ np.linalg.qr(generator.normal(size=(4, 4)))[0]
    assert (knn_overlap(a, turned, 10) == 1).all()
    assert knn_overlap(a, generator.normal(size=(300, 6)), 10).mean() < 0.1
    assert np.isnan(knn_overlap(a, a, 0)).all()


def test_arguments_out_of_range() -> None:
    points = np.zeros((5, 2))
    with pytest.raises(ArgumentError, match="more than 5 points"):
        exact_knn(points, 5)
    with pytest.raises(ArgumentError, match="5 and 4 rows"):
        knn_overlap(points, points[:4], 2)


def test_trustworthiness_is_one_for_the_points_themselves_and_subsampled_beyond_the_limit() -> (
    None
):
    points = np.random.default_rng(0).normal(size=(TRUST_LIMIT + 5, 2))
    value, count = trust(points, points, 15, 0)
    assert value == 1.0
    assert count == TRUST_LIMIT
    assert np.isnan(trust(points[:2], points[:2], 15, 0)[0])
    assert trust(points[:5], points[:5], 15, 0) == (1.0, 5)
