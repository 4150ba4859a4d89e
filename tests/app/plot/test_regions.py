from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path

from app.plot.regions import inside_polygon, mode_of, rectangle
from app.plot.sameness import same
from app.plot.splat import splat
from app.plot.ticks import linear_ticks, log_ticks, power_of_ten, scientific
from tests.app import samples

# Corners on odd, points on even multiples: no point on an edge's end, where rules may differ.
corner = st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda p: (2.0 * p[0], 2.0 * p[1]))


@settings(max_examples=60, deadline=None)
@given(st.lists(corner, min_size=3, max_size=12), st.integers(0, 2**32 - 1))
def test_simple_polygons_agree_with_matplotlib(corners, seed) -> None:
    # A star-shaped polygon never crosses itself, where fill rules differ.
    points = np.array(corners)
    centre = points.mean(axis=0)
    offset = points - centre
    angle = np.round(np.arctan2(offset[:, 1], offset[:, 0]), 6)
    polygon = points[np.unique(angle, return_index=True)[1]]
    x, y = np.random.default_rng(seed).uniform(-5, 85, (2, 400))
    expected = (
        Path(polygon).contains_points(np.stack([x, y], 1))
        if len(polygon) > 2
        else np.zeros(400, bool)
    )
    assert (inside_polygon(x, y, polygon) != expected).mean() <= 0.005


@settings(max_examples=40, deadline=None)
@given(st.tuples(*[st.floats(-50, 50)] * 4), st.integers(0, 2**32 - 1))
def test_a_box_is_two_comparisons(ends, seed) -> None:
    x0, y0, x1, y1 = ends
    x, y = np.random.default_rng(seed).uniform(-60, 60, (2, 300))
    expected = (min(x0, x1) < x) & (x < max(x0, x1)) & (min(y0, y1) < y) & (y < max(y0, y1))
    assert (inside_polygon(x, y, rectangle(x0, y0, x1, y1)) == expected).all()


def test_points_that_are_not_finite_lie_outside() -> None:
    x = np.array([np.nan, np.inf, 0.5])
    assert inside_polygon(x, x, rectangle(0, 0, 1, 1)).tolist() == [False, False, True]
    assert not inside_polygon(x, x, np.zeros((2, 2))).any()


def test_modes_of_the_keys() -> None:
    assert mode_of(shift=False, ctrl=False, alt=False) == "replace"
    assert mode_of(shift=True, ctrl=False, alt=False) == "add"
    assert mode_of(shift=False, ctrl=True, alt=False) == "toggle"
    assert mode_of(shift=False, ctrl=False, alt=True) == "subtract"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 60), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_splat_equals_discs_drawn_one_by_one(count, diameter, seed) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-12, 40, (2, count))
    colours = rng.integers(0, 256, (count, 3), dtype=np.uint8)
    image = splat(x, y, colours, (24, 30), float(diameter))
    rows, columns = np.mgrid[:24, :30]
    expected = np.zeros((24, 30, 4), np.uint8)
    for px, py, colour in zip(np.rint(x), np.rint(y), colours, strict=True):
        disc = (columns - px) ** 2 + (rows - py) ** 2 <= max(diameter**2 / 4, 0.25)
        expected[disc] = [*colour, 255]
    assert (image == expected).all()


def test_ticks_are_round_and_few() -> None:
    assert [t for _, t in linear_ticks(0, 1, 5)] == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert [t for _, t in linear_ticks(-0.5, 0.5, 4)] == ["−0.50", "−0.25", "0.00", "0.25", "0.50"]
    assert [t for _, t in linear_ticks(0, 3e7, 3)] == ["0", "10⁷", "2·10⁷", "3·10⁷"]
    assert [t for _, t in log_ticks(-2, 3, 10)] == ["10⁻²", "10⁻¹", "1", "10", "100", "10³"]
    assert linear_ticks(1, 1, 5) == []
    assert linear_ticks(float("nan"), 1, 5) == []
    assert (power_of_ten(-3), scientific(1.5e-5)) == ("10⁻³", "1.5·10⁻⁵")


@settings(max_examples=100, deadline=None)
@given(st.floats(-1e9, 1e9), st.floats(1e-9, 1e9), st.integers(2, 12))
def test_ticks_lie_inside_and_are_not_too_many(low, width, count) -> None:
    if low + width > low:
        ticks = linear_ticks(low, low + width, count)
        assert len(ticks) <= count + 2
        step = width / count
        assert all(low - step * 1e-3 <= v <= low + width + step * 1e-3 for v, _ in ticks)


def test_sameness_sees_every_difference() -> None:
    for one, other in zip(samples.every_mark(3, True), samples.every_mark(3, True), strict=True):
        assert same(one, other)
    for one, other in zip(samples.every_mark(3), samples.every_mark(4), strict=True):
        assert same(one, other) == (type(one).__name__ in ("Rule", "Label", "Picture"))
