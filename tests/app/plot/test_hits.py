from __future__ import annotations

import numpy as np

from app.figures.spec import (
    Axes,
    Axis,
    Bars,
    Colouring,
    Label,
    Line,
    Mark,
    Matrix,
    Picture,
    Points,
)
from app.plot.bounds import bounds
from app.plot.hits import Frame, inside, nearest
from app.plot.regions import rectangle
from tests.app import samples

FRAME = Frame(10.0, 5.0, -10.0, 105.0)  # data (0, 0) is pixel (5, 105), upwards


def axes(*marks: Mark) -> Axes:
    return Axes(Axis("x"), Axis("y"), marks)


def test_the_nearest_point_within_reach_wins() -> None:
    ids = np.array([10, 11, 12])
    plot = axes(
        Points(np.arange(3.0), np.zeros(3), entity="sample", ids=ids, hints=("a", "b", "c"))
    )
    hit = nearest(plot, FRAME, 14.0, 105.0)
    assert hit is not None
    assert (hit.entity, hit.id, hit.hint, hit.x, hit.y) == ("sample", 11, "b", 15.0, 105.0)
    assert type(hit.id) is int
    assert nearest(plot, FRAME, 14.0, 50.0) is None


def test_points_lie_over_lines_and_lines_over_areas() -> None:
    matrix = Matrix(
        np.zeros((3, 3)), Colouring(), entity="layer", ids=np.full((3, 3), "m", object)
    )
    line = Line(np.array([0.0, 2.0]), np.array([0.0, 2.0]), entity="model", ids=("line",))
    points = Points(np.array([0.0]), np.array([0.0]), entity="sample", ids=(7,))
    plot = axes(points, line, matrix)
    assert nearest(plot, FRAME, 5, 105).id == 7  # type: ignore[union-attr]
    assert nearest(plot, FRAME, 15, 95).id == "line"  # type: ignore[union-attr]
    assert nearest(plot, FRAME, 25, 105).id == "m"  # type: ignore[union-attr]


def test_cells_bars_and_pictures() -> None:
    values = np.array([[1.0, np.nan], [3.0, 4.0]])
    names = np.array([["a", "b"], ["c", "d"]], dtype=object)
    matrix = axes(
        Matrix(values, Colouring(label="drop"), np.ones((2, 2), bool), None, "layer", names)
    )
    hit = nearest(matrix, FRAME, 15, 95)
    assert hit is not None
    assert (hit.id, hit.hint) == ("d", "drop 4 (estimated)")
    assert nearest(matrix, FRAME, 15, 105) is None  # an empty cell
    assert nearest(matrix, FRAME, 40, 105) is None
    bars = axes(
        Bars(np.arange(2.0), np.array([2.0, 0.0]), horizontal=True, entity="class", ids=(3, 4))
    )
    assert nearest(bars, FRAME, 20, 105).id == 3  # type: ignore[union-attr]
    assert nearest(bars, FRAME, 6, 95).id == 4  # type: ignore[union-attr]
    assert nearest(bars, FRAME, 40, 105) is None
    picture = axes(Picture(np.zeros((2, 2), np.uint8), 0, 0, 1, 1, "sample", (5,), "five"))
    assert nearest(picture, FRAME, 10, 100).hint == "five"  # type: ignore[union-attr]


def test_a_region_gathers_ids_by_entity() -> None:
    plot = axes(
        Points(np.arange(3.0), np.zeros(3), entity="sample", ids=np.array([10, 11, 12])),
        Points(np.arange(3.0), np.full(3, 9.0), entity="sample", ids=np.array([20, 21, 22])),
        Line(np.array([0.0, 9.0]), np.array([0.0, 9.0]), entity="model", ids=("m",)),
        Label(0, 0, "not selectable"),
    )
    found = inside(plot, FRAME, rectangle(0, 100, 20, 110))
    assert found == {"sample": frozenset([10, 11]), "model": frozenset(["m"])}
    assert inside(plot, FRAME, rectangle(500, 500, 501, 501)) == {
        "sample": frozenset(),
        "model": frozenset(),
    }


def test_logarithmic_frames() -> None:
    frame = Frame(100.0, 0.0, 1.0, 0.0, x_log=True)
    points = Points(np.array([1.0, 100.0, -1.0]), np.zeros(3), entity="sample", ids=(0, 1, 2))
    plot = Axes(Axis("x", log=True), Axis("y"), (points,))
    assert nearest(plot, frame, 199, 0).id == 1  # type: ignore[union-attr]
    assert inside(plot, frame, rectangle(-5, -5, 500, 5)) == {"sample": frozenset([0, 1])}
    low, high = bounds(plot)[0]
    assert (round(low, 2), round(high, 2)) == (-0.08, 2.08)


def test_any_mark_survives_any_pointer_and_region() -> None:
    for count in (0, 1, 3):
        for mark in samples.every_mark(count, bad=True):
            plot = axes(mark)
            nearest(plot, FRAME, 5, 105)
            inside(plot, FRAME, rectangle(-1e6, -1e6, 1e6, 1e6))
            for low, high in bounds(plot):
                assert np.isfinite([low, high]).all()
                assert low < high
