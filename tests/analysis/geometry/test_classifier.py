"""Angles and margins against closed forms and against what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.geometry.classifier import angles, boundary_normals, margins


def test_angles_of_known_directions() -> None:
    features = np.array([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0], [-1.0, 0.0]])
    weight = np.array([[5.0, 0.0], [0.0, 0.1]])
    expected = np.pi * np.array([[0, 1 / 2], [1 / 2, 0], [1 / 4, 1 / 4], [1, 1 / 2]])
    # the arccos of a cosine that is off by one rounding step is off by its square root
    assert angles(features, weight) == pytest.approx(expected, abs=1e-7)


def test_zero_features_and_zero_rows_are_orthogonal_to_everything() -> None:
    features = np.array([[0.0, 0.0], [1.0, 2.0]], np.float32)
    weight = np.array([[1.0, 2.0], [0.0, 0.0]], np.float32)
    assert angles(features, weight) == pytest.approx(
        np.array([[np.pi / 2, np.pi / 2], [0.0, np.pi / 2]]), abs=1e-7
    )


def test_margin_of_two_classes_is_the_distance_to_a_line() -> None:
    """Boundary x = 1: distance of (4, 7) is 3, of (-1, 0) is 2, on the wrong side."""
    weight = np.array([[2.0, 0.0], [0.0, 0.0]])
    features = np.array([[4.0, 7.0], [-1.0, 0.0]])
    logits = features @ weight.T + np.array([-2.0, 0.0])
    assert margins(logits, np.array([0, 0]), weight) == pytest.approx([3.0, -2.0])
    assert margins(logits, np.array([1, 1]), weight) == pytest.approx([-3.0, 2.0])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(2, 8))
def test_moving_by_the_margin_reaches_an_exact_tie(seed: int, classes: int, width: int) -> None:
    generator = np.random.default_rng(seed)
    weight, bias = generator.normal(size=(classes, width)), generator.normal(size=classes)
    x, y = generator.normal(size=width), int(generator.integers(classes))
    logits = weight @ x + bias
    margin = margins(logits[None], np.array([y]), weight)[0]
    assert (margin > 0) == (logits.argmax() == y)
    normals = boundary_normals(weight)
    rivals = [j for j in range(classes) if j != y]
    rival = min(rivals, key=lambda j: (logits[y] - logits[j]) / normals[y, j])
    direction = (weight[rival] - weight[y]) / normals[y, rival]
    moved = weight @ (x + margin * direction) + bias
    assert moved[y] == pytest.approx(moved[rival], abs=1e-9)
    if margin > 0:
        assert moved[y] == pytest.approx(moved.max(), abs=1e-9)


def test_pruned_rows_have_no_boundary_between_them() -> None:
    weight = np.array([[0.0, 0.0], [0.0, 0.0], [3.0, 4.0]])
    logits = np.array([[0.5, 0.0, 2.0]])
    assert margins(logits, np.array([0]), weight) == pytest.approx([-1.5 / 5])
    assert np.isnan(margins(logits[:, :2], np.array([0]), weight[:2])).all()
    assert np.isnan(margins(logits[:, :1], np.array([0]), weight[:1])).all()
