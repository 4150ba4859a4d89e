"""Bars, heat maps, pictures, rules and labels as items of a plot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics

from app.figures.colours import mapped
from app.figures.emphasis import DIMMED
from app.figures.spec import (
    Band,
    Bars,
    ErrorBars,
    Label,
    Line,
    Mark,
    Matrix,
    Picture,
    Points,
    Rule,
)
from app.plot.artists import (
    Artist,
    BandArtist,
    Canvas,
    ErrorBarsArtist,
    LineArtist,
    PointsArtist,
)
from app.plot.cells import CellOverlay


class BarsArtist(Artist):
    level = 10.0

    def __init__(self, box: pg.ViewBox) -> None:
        super().__init__(box)
        nothing = {"x0": [], "y0": [], "width": [], "height": []}
        self.base = pg.BarGraphItem(**nothing)
        self.over = pg.BarGraphItem(**nothing)
        self.add(self.base, 0)
        self.add(self.over, 1)

    def show(self, mark: Any, canvas: Canvas) -> None:
        self._mark, self._canvas = mark, canvas
        position = np.asarray(mark.position, dtype=np.float64)
        length = np.asarray(mark.length, dtype=np.float64)
        self._keep = np.isfinite(position) & np.isfinite(length)
        self._fill(self.base, self._keep, pg.mkPen(None))
        self.highlight(None)

    def highlight(self, chosen: np.ndarray | None) -> None:
        dims = chosen is not None
        self.base.setOpacity(self._mark.opacity * (DIMMED if dims else 1.0))
        keep = self._keep & chosen if chosen is not None else np.zeros_like(self._keep)
        self._fill(self.over, keep, pg.mkPen(QColor(self._canvas.theme.colour("ink")), width=1.25))

    def _fill(self, item: pg.BarGraphItem, keep: np.ndarray, pen: Any) -> None:
        mark, canvas = self._mark, self._canvas
        item.setVisible(bool(keep.any()))
        if not keep.any():
            return
        position = np.asarray(mark.position, dtype=np.float64)[keep]
        starts = np.full(len(position), mark.base)
        ends = mark.base + np.asarray(mark.length, dtype=np.float64)[keep]
        across, along = (canvas.y, canvas.x) if mark.horizontal else (canvas.x, canvas.y)
        sides = across(position - mark.width / 2), across(position + mark.width / 2)
        first, last = along(starts), along(ends)
        lengths, widths = last - first, sides[1] - sides[0]
        brush = pg.mkBrush(QColor(canvas.theme.colour(mark.colour)))
        if mark.horizontal:
            place = {"x0": first, "y0": sides[0], "width": lengths, "height": widths}
        else:
            place = {"x0": sides[0], "y0": first, "width": widths, "height": lengths}
        item.setOpts(**place, pen=pen, brush=brush)


class MatrixArtist(Artist):
    level = 0.0

    def __init__(self, box: pg.ViewBox) -> None:
        super().__init__(box)
        self.image = pg.ImageItem(axisOrder="row-major")
        self.overlay = CellOverlay()
        self.add(self.image, 0)
        self.add(self.overlay, 1)

    def show(self, mark: Any, canvas: Canvas) -> None:
        values = np.asarray(mark.values, dtype=np.float64)
        self.image.setVisible(values.size > 0)
        if values.size:
            rows, columns = values.shape
            colours = mapped(values, mark.colouring)
            self.image.setImage(colours, autoLevels=False)
            self.image.setRect(QRectF(-0.5, -0.5, columns, rows))
        self.overlay.show_cells(mark, canvas.theme)

    def highlight(self, chosen: np.ndarray | None) -> None:
        """Outlined, never dimmed: in a heat map the colour is the value."""
        self.overlay.outline(chosen)


class PictureArtist(Artist):
    level = 8.0

    def __init__(self, box: pg.ViewBox) -> None:
        super().__init__(box)
        self.image = pg.ImageItem(axisOrder="row-major")
        self.add(self.image, 0)

    def show(self, mark: Any, canvas: Canvas) -> None:
        self._canvas = canvas
        pixels = np.asarray(mark.pixels)
        self.image.setVisible(pixels.size > 0)
        if not pixels.size:
            return
        upright = pixels if canvas.axes.y.reversed else pixels[::-1]
        upright = upright[:, ::-1] if canvas.axes.x.reversed else upright
        if upright.ndim == 2:
            upright = np.repeat(upright[..., None], 3, axis=2)
        self.image.setImage(np.ascontiguousarray(upright), autoLevels=False)
        self.image.setRect(QRectF(mark.x, mark.y, mark.width, mark.height))
        self.highlight(None)

    def highlight(self, chosen: np.ndarray | None) -> None:
        lit = chosen is not None and bool(chosen.any())
        self.image.setOpacity(1.0 if chosen is None or lit else DIMMED)
        accent = QColor(self._canvas.theme.colour("accent"))
        self.image.setBorder(pg.mkPen(accent, width=2.5) if lit else None)


class RuleArtist(Artist):
    level = 4.0

    def __init__(self, box: pg.ViewBox) -> None:
        super().__init__(box)
        self.line = pg.InfiniteLine(movable=False, label=" ", labelOpts={"position": 1.0})
        self.line.label.setFont(_small())
        self.add(self.line, 0)

    def show(self, mark: Any, canvas: Canvas) -> None:
        scale = canvas.y if mark.horizontal else canvas.x
        value = float(scale(mark.value))
        self.line.setVisible(bool(np.isfinite(value)))
        if not np.isfinite(value):
            return
        self.line.setAngle(0 if mark.horizontal else 90)
        self.line.setValue(value)
        self.line.setPen(canvas.pen(mark.colour, 1.25, mark.dash))
        label = self.line.label
        label.setFormat(mark.label or " ")
        fill = QColor(canvas.theme.background)
        fill.setAlpha(190 if mark.label else 0)
        label.fill = pg.mkBrush(fill)
        label.setColor(QColor(canvas.theme.colour(mark.colour)))
        # The text lies inside the plot: above the right end of a horizontal rule, right of the
        # top of a vertical one.
        anchor = (1.0, 1.0) if mark.horizontal else (0.0, 0.0)
        label.anchors = [anchor, anchor]
        label.orthoPos = 1.0
        label.updatePosition()


class LabelArtist(Artist):
    level = 70.0

    def __init__(self, box: pg.ViewBox) -> None:
        super().__init__(box)
        self.text = pg.TextItem("")
        self.text.setFont(_small())
        self.add(self.text, 0)
        self._mark: Any = None
        box.sigTransformChanged.connect(self._elide)
        box.sigResized.connect(self._elide)

    def show(self, mark: Any, canvas: Canvas) -> None:
        x, y = float(canvas.x(mark.x)), float(canvas.y(mark.y))
        self.text.setVisible(bool(np.isfinite(x) and np.isfinite(y)))
        if not self.text.isVisible():
            return
        self._mark = mark
        self.text.setColor(QColor(canvas.theme.colour(mark.colour)))
        self._elide()
        self.text.setAnchor(({"left": 0.0, "centre": 0.5, "right": 1.0}[mark.anchor], 0.5))
        self.text.setPos(x, y)

    def _elide(self) -> None:
        """Cut the text to the room it has at this zoom."""
        if self._mark is None:
            return
        text = self._mark.text
        if self._mark.width is not None:
            pixel = self._box.viewPixelSize()[0] or 1.0
            room = int(self._mark.width / pixel)
            text = QFontMetrics(_small()).elidedText(text, Qt.TextElideMode.ElideMiddle, room)
        self.text.setPlainText(text)


def _small() -> QFont:
    font = QFont()
    font.setPointSizeF(9.0)
    return font


ARTISTS: dict[type[Mark], type[Artist]] = {
    Points: PointsArtist,
    Line: LineArtist,
    Band: BandArtist,
    ErrorBars: ErrorBarsArtist,
    Bars: BarsArtist,
    Matrix: MatrixArtist,
    Rule: RuleArtist,
    Label: LabelArtist,
    Picture: PictureArtist,
}
