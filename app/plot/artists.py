"""Each kind of mark as items of a plot: made once, fed new data, highlighted by overlays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QPainterPath, QPen, QPolygonF
from PySide6.QtWidgets import QGraphicsItem, QGraphicsPathItem

from app.figures.colours import point_colours
from app.figures.curves import runs, smooth
from app.figures.emphasis import DIMMED
from app.figures.spec import Axes, Dash, Marker, Theme
from app.plot.hits import axis_values
from app.plot.splats import SplatItem

SYMBOLS: dict[Marker, str] = {
    "circle": "o",
    "square": "s",
    "triangle": "t1",
    "diamond": "d",
    "cross": "x",
    "star": "star",
    "plus": "+",
}
LARGER = {"diamond": 1.45, "cross": 1.15, "star": 1.4, "plus": 1.15, "triangle": 1.1}
"""Symbols that look smaller than a disc of the same size."""
DASHES: dict[Dash, list[float]] = {
    "solid": [],
    "dash": [5, 3],
    "dot": [1.2, 2.4],
    "dashdot": [5, 2.5, 1.2, 2.5],
}
LARGE = 20_000
"""Clouds above this size are stamped into a picture."""


@dataclass(frozen=True)
class Canvas:
    """What an artist must know of its plot."""

    theme: Theme
    axes: Axes

    def x(self, values: Any) -> np.ndarray:
        return axis_values(values, self.axes.x.log)

    def y(self, values: Any) -> np.ndarray:
        return axis_values(values, self.axes.y.log)

    def pen(self, colour: str, width: float, dash: Dash = "solid") -> QPen:
        """A cosmetic pen with round joins."""
        pen = QPen(QColor(self.theme.colour(colour)), width)
        pen.setCosmetic(True)
        pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
        if DASHES[dash]:
            pen.setDashPattern(DASHES[dash])
        return pen


class Artist:
    """The items of one mark. Subclasses make them in `items`, fill them in `show`.

    `highlight(chosen)` gets the bool array of `emphasis.selected`, or None when nothing is dimmed;
    it touches opacities and overlays only.
    """

    level: ClassVar[float] = 0.0

    def __init__(self, box: pg.ViewBox) -> None:
        self._box = box
        self.items: list[QGraphicsItem] = []

    def add(self, item: QGraphicsItem, level: float) -> None:
        """Put an item into the plot, `level` above the ground of this kind of mark."""
        item.setZValue(self.level + level)
        self._box.addItem(item, ignoreBounds=True)
        self.items.append(item)

    def remove(self) -> None:
        for item in self.items:
            self._box.removeItem(item)
        self.items = []

    def show(self, mark: Any, canvas: Canvas) -> None:
        raise NotImplementedError

    def highlight(self, chosen: np.ndarray | None) -> None:
        """Most marks stand for nothing that can be selected."""


class QuietScatter(pg.ScatterPlotItem):  # type: ignore[misc]
    """A scatter item that leaves clicks to the view box, as every other item does."""

    def mouseClickEvent(self, ev: Any) -> None:
        ev.ignore()


class PointsArtist(Artist):
    level = 30.0

    def __init__(self, box: pg.ViewBox) -> None:
        super().__init__(box)
        self.base = QuietScatter(pxMode=True)
        self.raster = SplatItem()
        self.over = QuietScatter(pxMode=True)
        self.add(self.base, 0)
        self.add(self.raster, 0)
        self.add(self.over, 30)

    def show(self, mark: Any, canvas: Canvas) -> None:
        x, y = canvas.x(mark.x), canvas.y(mark.y)
        self._keep = np.isfinite(x) & np.isfinite(y)
        self._mark, self._canvas, self._x, self._y = mark, canvas, x, y
        self._colours = np.asarray(point_colours(mark, canvas.theme))
        large = len(x) > LARGE
        self.base.setVisible(not large)
        self.raster.setVisible(large)
        keep = self._keep
        if large:
            self.raster.show_points(x[keep], y[keep], self._colours[keep], mark.size)
            self.base.clear()
        else:
            self.raster.show_points(x[:0], y[:0], self._colours[:0], mark.size)
            rim = canvas.theme.colour("faint") if mark.values is not None else None
            _scatter(self.base, x[keep], y[keep], self._colours[keep], mark, rim, 0.0)
        self.highlight(None)

    def highlight(self, chosen: np.ndarray | None) -> None:
        mark = self._mark
        opacity = mark.opacity * (1.0 if chosen is None else DIMMED)
        self.base.setOpacity(opacity)
        self.raster.setOpacity(opacity)
        if chosen is None or not chosen.any():
            self.over.clear()
            return
        keep = self._keep & chosen
        colours, outline = self._colours[keep], self._canvas.theme.colour("ink")
        _scatter(self.over, self._x[keep], self._y[keep], colours, mark, outline, 2.0)


def _scatter(
    item: pg.ScatterPlotItem,
    x: np.ndarray,
    y: np.ndarray,
    colours: np.ndarray,
    mark: Any,
    outline: str | None,
    larger: float,
) -> None:
    """Fill a scatter item; equal colours share one brush, which is what makes this fast."""
    if len(x) == 0:
        item.clear()
        return
    packed = colours.astype(np.int64) @ np.array([65536, 256, 1])
    distinct, inverse = np.unique(packed, return_inverse=True)
    hues = [QColor(int(v) >> 16, int(v) >> 8 & 255, int(v) & 255) for v in distinct]
    pens: Any = (
        pg.mkPen(QColor(outline), width=1.25 if larger else 0.5) if outline else pg.mkPen(None)
    )
    if mark.hollow:
        pens = _shared([pg.mkPen(h, width=2.2 if larger else 1.5) for h in hues], inverse)
        brushes: Any = pg.mkBrush(None)
    else:
        brushes = _shared([pg.mkBrush(h) for h in hues], inverse)
    symbol = SYMBOLS[mark.marker]
    size = (mark.size + larger) * LARGER.get(mark.marker, 1.0)
    item.setData(x=x, y=y, size=size, symbol=symbol, pen=pens, brush=brushes)


def _shared(values: list[Any], inverse: np.ndarray) -> Any:
    if len(values) == 1:
        return values[0]
    table = np.empty(len(values), dtype=object)
    table[:] = values
    return table[inverse]


class LineArtist(Artist):
    level = 20.0

    def __init__(self, box: pg.ViewBox) -> None:
        super().__init__(box)
        self.halo = pg.PlotCurveItem(antialias=True, connect="finite")
        self.curve = pg.PlotCurveItem(antialias=True, connect="finite")
        self.markers = QuietScatter(pxMode=True)
        self.add(self.halo, 0)
        self.add(self.curve, 0.1)
        self.add(self.markers, 0.2)

    def show(self, mark: Any, canvas: Canvas) -> None:
        self._mark, self._canvas = mark, canvas
        x, y = canvas.x(mark.x), canvas.y(mark.y)
        keep = np.isfinite(x) & np.isfinite(y)
        curve = (np.where(keep, x, np.nan), np.where(keep, y, np.nan))
        if mark.smooth:
            curve = smooth(x, y)
        drawable = bool(np.isfinite(curve[0]).any())
        self.curve.setVisible(drawable)
        self._curve = curve if drawable else (np.zeros(1), np.zeros(1))
        self.curve.setData(*self._curve)
        if mark.marker and keep.any():
            brush = pg.mkBrush(QColor(canvas.theme.colour(mark.colour)))
            pen = pg.mkPen(QColor(canvas.theme.background), width=0.8)
            symbol = SYMBOLS[mark.marker]
            size = 8 * LARGER.get(mark.marker, 1.0)
            place = {"x": x[keep], "y": y[keep]}
            self.markers.setData(**place, size=size, symbol=symbol, pen=pen, brush=brush)
        else:
            self.markers.clear()
        self.highlight(None)

    def highlight(self, chosen: np.ndarray | None) -> None:
        mark, lit = self._mark, chosen is not None and bool(chosen.any())
        opacity = mark.opacity if chosen is None or lit else mark.opacity * DIMMED
        for item in (self.curve, self.markers):
            item.setOpacity(opacity)
        width = mark.width * (1.5 if lit else 1.0)
        self.curve.setPen(self._canvas.pen(mark.colour, width, mark.dash))
        self.halo.setVisible(lit and self.curve.isVisible())
        if lit:
            self.halo.setData(*self._curve)
            self.halo.setPen(self._canvas.pen(self._canvas.theme.background, width + 4))
        for step, item in enumerate(self.items):
            item.setZValue(self.level + (5 if lit else 0) + 0.1 * step)


class BandArtist(Artist):
    level = 5.0

    def __init__(self, box: pg.ViewBox) -> None:
        super().__init__(box)
        self.area = QGraphicsPathItem()
        self.area.setPen(QPen(Qt.PenStyle.NoPen))
        self.add(self.area, 0)

    def show(self, mark: Any, canvas: Canvas) -> None:
        x, low, high = canvas.x(mark.x), canvas.y(mark.low), canvas.y(mark.high)
        path = QPainterPath()
        for run in runs(np.isfinite(x) & np.isfinite(low) & np.isfinite(high)):
            outline = [*zip(x[run], low[run], strict=True)]
            outline += reversed([*zip(x[run], high[run], strict=True)])
            path.addPolygon(QPolygonF([QPointF(float(a), float(b)) for a, b in outline]))
            path.closeSubpath()
        self.area.setPath(path)
        self.area.setBrush(QColor(canvas.theme.colour(mark.colour)))
        self.area.setOpacity(mark.opacity)


class ErrorBarsArtist(Artist):
    level = 19.0

    def __init__(self, box: pg.ViewBox) -> None:
        super().__init__(box)
        self.stems = pg.PlotCurveItem(antialias=False, connect="pairs")
        self.caps = QuietScatter(pxMode=True)
        self.add(self.stems, 0)
        self.add(self.caps, 0.1)
        self._cap = QPainterPath(QPointF(-0.5, 0))
        self._cap.lineTo(0.5, 0)

    def show(self, mark: Any, canvas: Canvas) -> None:
        x, low, high = canvas.x(mark.x), canvas.y(mark.low), canvas.y(mark.high)
        keep = np.isfinite(x) & np.isfinite(low) & np.isfinite(high)
        self.stems.setVisible(bool(keep.any()))
        if not keep.any():
            self.caps.clear()
            return
        x, low, high = x[keep], low[keep], high[keep]
        pen = canvas.pen(mark.colour, 1.25)
        self.stems.setData(np.repeat(x, 2), np.stack([low, high], 1).ravel(), pen=pen)
        ends = np.concatenate([low, high])
        self.caps.setData(x=np.tile(x, 2), y=ends, size=7, symbol=self._cap, pen=pen, brush=None)
