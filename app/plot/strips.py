"""What stands around a plot: its legend above, its colour bar beside it."""

from __future__ import annotations

import numpy as np
from pyqtgraph.graphicsItems.ScatterPlotItem import drawSymbol
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QImage, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

from app.figures.colours import lut
from app.figures.legend import Entry
from app.figures.spec import Colouring, Theme
from app.plot.artists import DASHES, SYMBOLS
from app.plot.ticks import linear_ticks

_SWATCH = 22.0
_GAP = 14.0
_BAR = 10.0


class ElidedLabel(QLabel):
    """One line of text that ends in "…" where there is no room for all of it."""

    def paintEvent(self, event: QPaintEvent) -> None:
        text = self.fontMetrics().elidedText(
            self.text(), Qt.TextElideMode.ElideRight, self.contentsRect().width()
        )
        painter = QPainter(self)
        try:
            painter.setPen(self.palette().color(self.foregroundRole()))
            painter.drawText(self.contentsRect(), int(self.alignment()), text)
        finally:
            painter.end()


class LegendStrip(QWidget):
    """Entries side by side, wrapped; painted, so that a change costs nothing."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._entries: tuple[Entry, ...] = ()
        self._theme: Theme | None = None
        font = self.font()
        font.setPointSizeF(9.0)
        self.setFont(font)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_entries(self, entries: tuple[Entry, ...], theme: Theme) -> None:
        self._entries, self._theme = entries, theme
        self.setAccessibleName("Legend: " + ", ".join(e.label for e in entries))
        self.setVisible(bool(entries))
        self.fit(self.width())

    def fit(self, width: int) -> None:
        """Take the height that the entries need in `width` pixels."""
        self.setFixedHeight(self._height(width) if self._entries else 0)
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(120, self._height(max(self.width(), 120)))

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._theme is None:
            return
        p = QPainter(self)
        try:
            p.setRenderHint(QPainter.RenderHint.Antialiasing)
            for entry, place in self._places(self.width()):
                self._draw(p, entry, place)
        finally:
            p.end()

    def _swatch(self) -> float:
        """Lines need more room than symbols."""
        return _SWATCH if any(e.dash is not None for e in self._entries) else 12.0

    def _line(self) -> float:
        return QFontMetricsF(self.font()).height() + 3

    def _places(self, width: int) -> list[tuple[Entry, QPointF]]:
        metrics = QFontMetricsF(self.font())
        x, y, places = 0.0, 0.0, []
        for entry in self._entries:
            needed = self._swatch() + 6 + metrics.horizontalAdvance(entry.label)
            if x > 0 and x + needed > width:
                x, y = 0.0, y + self._line()
            places.append((entry, QPointF(x, y)))
            x += needed + _GAP
        return places

    def _height(self, width: int) -> int:
        places = self._places(width)
        return int(places[-1][1].y() + self._line()) + 2 if places else 0

    def _draw(self, p: QPainter, entry: Entry, place: QPointF) -> None:
        assert self._theme is not None
        colour = QColor(self._theme.colour(entry.colour))
        line, swatch = self._line(), self._swatch()
        middle = place.y() + line / 2
        if entry.kind == "area":
            colour.setAlphaF(max(entry.opacity, 0.15))
            p.fillRect(QRectF(place.x() + 1, middle - 5, swatch - 2, 10), colour)
        if entry.dash is not None:
            pen = QPen(colour, 2)
            if DASHES[entry.dash]:
                pen.setDashPattern(DASHES[entry.dash])
            p.setPen(pen)
            p.drawLine(QPointF(place.x(), middle), QPointF(place.x() + swatch, middle))
        if entry.marker is not None:
            p.save()
            p.translate(place.x() + swatch / 2, middle)
            pen = QPen(colour, 1.5) if entry.hollow else QPen(Qt.PenStyle.NoPen)
            brush = Qt.BrushStyle.NoBrush if entry.hollow else colour
            _symbol(p, entry, pen, brush)
            p.restore()
        metrics = QFontMetricsF(self.font())
        room = max(self.width() - place.x() - swatch - 6, 10)
        text = metrics.elidedText(entry.label, Qt.TextElideMode.ElideRight, room + 1)
        p.setPen(QColor(self._theme.foreground))
        p.drawText(QPointF(place.x() + swatch + 6, middle + metrics.ascent() / 2 - 1), text)


def _symbol(p: QPainter, entry: Entry, pen: QPen, brush: object) -> None:
    assert entry.marker is not None
    width = pen.widthF() / 9 if pen.style() != Qt.PenStyle.NoPen else 0.0
    pen.setWidthF(width)
    p.scale(1.0, 1.0)
    pen.setCosmetic(False)
    drawSymbol(p, SYMBOLS[entry.marker], 9, pen, brush)


class ColourBar(QWidget):
    """A slim bar with ticks and a label, as tall as the plot beside it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._colouring = Colouring(limits=(0.0, 1.0))
        self._theme: Theme | None = None
        self._top = self._bottom = 0
        font = self.font()
        font.setPointSizeF(9.0)
        self.setFont(font)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Expanding)

    def show_colouring(self, colouring: Colouring, theme: Theme) -> None:
        """`colouring` must have limits."""
        self._colouring, self._theme = colouring, theme
        assert colouring.limits is not None
        low, high = colouring.limits
        self.setAccessibleName(f"Colours: {colouring.label}, {low:.4g} to {high:.4g}")
        self.setFixedWidth(self._width())
        self.update()

    def align(self, top: int, bottom: int) -> None:
        """Margins above and below, so that the bar spans the plot's area."""
        self._top, self._bottom = top, bottom
        self.update()

    def _width(self) -> int:
        assert self._colouring.limits is not None
        metrics = QFontMetricsF(self.font())
        limits = self._colouring.limits
        texts = [text for count in range(2, 7) for _, text in linear_ticks(*limits, count)]
        widest = max((metrics.horizontalAdvance(t) for t in texts), default=0.0)
        label = metrics.height() + 4 if self._colouring.label else 0
        return int(8 + _BAR + 7 + widest + label + 4)

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._theme is None or self._colouring.limits is None:
            return
        p = QPainter(self)
        try:
            self._draw(p, self._theme, self._colouring.limits)
        finally:
            p.end()

    def _draw(self, p: QPainter, theme: Theme, limits: tuple[float, float]) -> None:
        height = self.height() - self._top - self._bottom
        if height < 8:
            return
        table = np.ascontiguousarray(lut(self._colouring.colormap)[::-1, None])
        image = QImage(table.data, 1, 256, 3, QImage.Format.Format_RGB888)
        bar = QRectF(8, self._top, _BAR, height)
        p.drawImage(bar, image)
        metrics = QFontMetricsF(self.font())
        p.setPen(QColor(theme.foreground))
        low, high = limits
        for value, text in linear_ticks(low, high, min(max(2, height // 44), 6)):
            y = bar.bottom() - (value - low) / (high - low) * height
            p.drawLine(QPointF(bar.right() + 1, y), QPointF(bar.right() + 4, y))
            base = min(max(y + metrics.ascent() * 0.4, metrics.ascent() * 0.8), self.height() - 2)
            p.drawText(QPointF(bar.right() + 7, base), text)
        if self._colouring.label:
            p.translate(self.width() - metrics.height() - 1, bar.center().y())
            p.rotate(-90)
            box = QRectF(-height / 2, 0, height, metrics.height())
            mode = Qt.TextElideMode.ElideRight
            label = metrics.elidedText(self._colouring.label, mode, height)
            p.drawText(box, int(Qt.AlignmentFlag.AlignCenter), label)
