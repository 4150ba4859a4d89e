from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pyqtgraph as pg
import pytest
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QImage, QPalette
from PySide6.QtTest import QTest

from app.figures.spec import Axes, Axis, Figure, Points
from app.figures.themes import DARK, LIGHT
from app.plot import FigureCanvas
from app.plot.artists import LARGE, PointsArtist
from app.plot.panel import AxesPanel
from tests.app import samples
from tests.app.gestures import LEFT, NONE, drag, place

SHIFT = Qt.KeyboardModifier.ShiftModifier
CTRL, ALT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.AltModifier


@pytest.fixture
def canvas(qtbot) -> FigureCanvas:
    widget = FigureCanvas()
    qtbot.addWidget(widget)
    widget.resize(700, 500)
    with qtbot.waitExposed(widget):
        widget.show()
    return widget


def square() -> Figure:
    """Four points at the corners of a square, ids 0 to 3, sizes easy to hit."""
    x, y = np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.0, 0.0, 1.0, 1.0])
    points = Points(x, y, size=12, entity="sample", ids=np.arange(4), hints=tuple("abcd"))
    limits = (-0.5, 1.5)
    return Figure("S", (Axes(Axis("x", limits=limits), Axis("y", limits=limits), (points,)),))


def colours(widget) -> int:
    image: QImage = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    pixels = np.frombuffer(image.constBits(), np.uint32).reshape(image.height(), -1)
    return len(np.unique(pixels))


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("name", samples.ALL)
def test_every_sample_is_drawn(canvas, name, theme) -> None:
    canvas.show_figure(samples.ALL[name](), theme)
    assert colours(canvas) > 20
    assert canvas.grab().toImage().pixelColor(1, 1).name() == theme.background


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("bad", [False, True])
def test_every_mark_is_drawn_whatever_its_data(canvas, count, bad) -> None:
    for mark in samples.every_mark(count, bad):
        canvas.show_figure(samples.single(mark), LIGHT)
        canvas.highlight({"sample": frozenset([0]), "layer": frozenset(["a"])})
        canvas.grab()
        canvas.highlight({})
        canvas.grab()


def test_a_click_picks_and_keys_choose_the_mode(canvas, qtbot) -> None:
    canvas.show_figure(square(), LIGHT)
    (panel,) = canvas.plots()
    modes = ((NONE, "replace"), (SHIFT, "add"), (CTRL, "toggle"), (ALT, "subtract"))
    for which, (keys, mode) in enumerate(modes):
        with qtbot.waitSignal(canvas.picked, timeout=2000) as caught:
            QTest.mouseClick(
                panel.plot.viewport(), LEFT, keys, place(panel, which % 2, which // 2)
            )
        assert caught.args == ["sample", frozenset([which]), mode]


def test_an_empty_click_clears_unless_it_becomes_a_double_click(canvas, qtbot) -> None:
    canvas.show_figure(square(), LIGHT)
    (panel,) = canvas.plots()
    with qtbot.waitSignal(canvas.picked, timeout=2000) as caught:
        QTest.mouseClick(panel.plot.viewport(), LEFT, NONE, place(panel, 0.5, 0.5))
    assert caught.args == ["sample", frozenset(), "replace"]
    panel.box.clicked.emit(*place(panel, 0.5, 0.5).toTuple(), "replace")
    panel.box.setRange(xRange=(0, 0.1), yRange=(0, 0.1))
    with qtbot.assertNotEmitted(canvas.picked, wait=600):
        panel.box.double_clicked.emit()
    assert panel.box.viewRange()[0][1] > 1


def test_boxes_and_lassos_pick_what_they_enclose(canvas, qtbot) -> None:
    canvas.show_figure(square(), LIGHT)
    (panel,) = canvas.plots()
    canvas.set_tool("box")
    with qtbot.waitSignal(canvas.picked, timeout=2000) as caught:
        drag(panel, [(-0.4, -0.4), (1.4, 0.4)], end_keys=SHIFT)
    assert caught.args == ["sample", frozenset([0, 1]), "add"]  # judged on release
    canvas.set_tool("lasso")
    with qtbot.waitSignal(canvas.picked, timeout=2000) as caught:
        drag(panel, [(-0.4, -0.4), (0.4, -0.4), (0.4, 1.4), (-0.4, 1.4)])
    assert caught.args == ["sample", frozenset([0, 2]), "replace"]


def test_escape_cancels_the_gesture(canvas, qtbot) -> None:
    canvas.show_figure(square(), LIGHT)
    (panel,) = canvas.plots()
    canvas.set_tool("lasso")
    with qtbot.assertNotEmitted(canvas.picked, wait=50):
        drag(panel, [(-0.4, -0.4), (1.4, -0.4), (1.4, 1.4)], release=False)
        assert panel.box.busy
        QTest.keyClick(panel.plot, Qt.Key.Key_Escape)
        assert not panel.box.busy
        QTest.mouseRelease(panel.plot.viewport(), LEFT, NONE, place(panel, 1.4, 1.4))


def test_panning_picks_nothing_and_the_zoom_stays_with_the_axes(canvas, qtbot) -> None:
    canvas.show_figure(square(), LIGHT)
    (panel,) = canvas.plots()
    with qtbot.assertNotEmitted(canvas.picked, wait=50):
        drag(panel, [(0.3, 0.3), (0.6, 0.5)])
    moved = panel.box.viewRange()
    assert moved[0][0] != pytest.approx(-0.5)
    other = replace(square().panels[0], marks=(Points(np.arange(2.0), np.arange(2.0)),))
    canvas.show_figure(Figure("S", (other,)), LIGHT)
    assert panel.box.viewRange() == moved
    canvas.show_figure(Figure("S", (replace(other, x=Axis("another quantity")),)), LIGHT)
    assert panel.box.viewRange() != moved
    QTest.keyClick(panel.plot, Qt.Key.Key_Home)
    assert panel.box.viewRange()[1] == pytest.approx([-0.5, 1.5])


def test_hovering_is_told_once_and_ended(canvas) -> None:
    canvas.show_figure(square(), LIGHT)
    (panel,) = canvas.plots()
    seen: list[tuple[str, frozenset]] = []
    canvas.hovered.connect(lambda entity, ids: seen.append((entity, ids)))
    for x, y in ((1, 1), (1.01, 1), (0.5, 0.5)):
        panel.pointer._moved(panel.box.mapViewToScene(QPointF(x, y)))
    assert seen == [("sample", frozenset([3])), ("sample", frozenset())]


def artist_of(canvas: FigureCanvas) -> PointsArtist:
    artist = canvas.plots()[0]._artists[0]
    assert isinstance(artist, PointsArtist)
    return artist


def test_highlight_dims_by_overlays_only(canvas) -> None:
    canvas.show_figure(square(), LIGHT)
    artist = artist_of(canvas)
    base = artist.base.data
    canvas.highlight({"sample": frozenset([2])})
    assert artist.base.opacity() == pytest.approx(0.25)
    assert (artist.over.getData()[0].tolist(), artist.over.getData()[1].tolist()) == ([0.0], [1.0])
    assert artist.base.data is base
    canvas.highlight({"sample": frozenset()})
    assert artist.base.opacity() == 1
    assert len(artist.over.getData()[0]) == 0


def test_highlights_survive_new_data(canvas) -> None:
    canvas.show_figure(square(), LIGHT)
    canvas.highlight({"sample": frozenset([2])})
    canvas.show_figure(samples.geometry(), LIGHT)
    assert artist_of(canvas).base.opacity() == pytest.approx(0.25)


def test_large_clouds_become_pictures_and_are_quick(canvas) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 100_000))
    ids = np.arange(len(x))
    figure = samples.single(Points(x, y, "#E69F00", values=x, size=4, entity="sample", ids=ids))
    assert len(x) > LARGE
    canvas.show_figure(figure, LIGHT)
    artist = artist_of(canvas)
    assert artist.raster.isVisible()
    assert not artist.base.isVisible()
    assert colours(canvas) > 100
    start = time.perf_counter()
    canvas.highlight({"sample": frozenset(range(500))})
    canvas.grab()
    assert time.perf_counter() - start < 1.0  # a repaint, not a rebuild (seconds)


def items_of(canvas: FigureCanvas) -> int:
    return sum(len(panel.plot.scene().items()) for panel in canvas.findChildren(AxesPanel))


def test_twenty_figures_leak_no_items(canvas) -> None:
    figures = [f() for f in samples.ALL.values()]
    for figure in figures:
        canvas.show_figure(figure, LIGHT)
    canvas.show_figure(figures[0], LIGHT)
    items, panels = items_of(canvas), len(canvas.findChildren(AxesPanel))
    for index in range(20):
        canvas.show_figure(figures[index % len(figures)], (LIGHT, DARK)[index % 2])
        canvas.highlight({"sample": frozenset([index])})
    canvas.show_figure(figures[0], LIGHT)
    assert (items_of(canvas), len(canvas.findChildren(AxesPanel))) == (items, panels)


def test_the_same_structure_keeps_its_items(canvas) -> None:
    canvas.show_figure(samples.geometry(400), LIGHT)
    before = [[id(a) for a in p._artists] for p in canvas.plots()]
    canvas.show_figure(samples.geometry(500), DARK)
    assert [[id(a) for a in p._artists] for p in canvas.plots()] == before


def test_unchanged_marks_are_not_drawn_again(canvas, monkeypatch) -> None:
    canvas.show_figure(samples.geometry(), LIGHT)
    calls: list[int] = []
    monkeypatch.setattr(pg.ScatterPlotItem, "setData", lambda *a, **k: calls.append(1))
    canvas.show_figure(samples.geometry(), LIGHT)
    assert calls == []


def test_plots_of_a_row_line_up(canvas, qtbot) -> None:
    canvas.show_figure(samples.sensitivity(), LIGHT)
    left, right = canvas.plots()

    def span(panel: AxesPanel) -> tuple[int, int]:
        box = panel.box.sceneBoundingRect()
        top = panel.plot.mapTo(canvas, panel.plot.mapFromScene(box.topLeft())).y()
        return top, top + round(box.height())

    qtbot.waitUntil(lambda: span(left) == pytest.approx(span(right), abs=1), timeout=2000)


def test_table_rows_pick_sort_as_numbers_and_light_up(canvas, qtbot) -> None:
    canvas.show_figure(samples.overview(), LIGHT)
    (table,) = canvas.tables()
    proxy = table.proxy
    with qtbot.waitSignal(canvas.picked) as caught:
        table.view.clicked.emit(proxy.index(2, 0))
    assert caught.args == ["model", frozenset(["m2"]), "replace"]
    proxy.sort(4, Qt.SortOrder.DescendingOrder)
    assert [proxy.index(r, 4).data() for r in range(4)] == ["63,000", "42,000", "21,000", "0"]
    assert table._id(proxy.index(0, 0)) == "m3"
    canvas.highlight({"model": frozenset(["m3"])})
    assert proxy.index(0, 0).data(Qt.ItemDataRole.FontRole).bold()
    assert proxy.index(1, 0).data(Qt.ItemDataRole.FontRole) is None
    right = int(proxy.index(0, 2).data(Qt.ItemDataRole.TextAlignmentRole))
    assert right & int(Qt.AlignmentFlag.AlignRight)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_the_ground_has_the_themes_colour_whatever_resets_the_palette(canvas, theme) -> None:
    canvas.show_figure(square(), theme)
    canvas.setPalette(QPalette())  # as polishing by a style sheet does
    corner = canvas.grab().toImage().pixelColor(1, canvas.height() - 2)
    assert corner == QColor(theme.background)
