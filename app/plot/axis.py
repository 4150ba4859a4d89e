"""An axis with readable ticks: round numbers, powers of ten, or texts turned to fit."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPen

from app.figures.spec import Axis, Theme
from app.figures.ticks import thinning
from app.plot.ticks import Tick, linear_ticks, log_ticks, minor_log_ticks

_TICK = 4.0
_PAD = 4.0
_LONGEST = 170.0
"""Widest tick text in pixels; longer ones are elided in the middle."""
_TURN = 50.0
"""Degrees that crowded texts are turned by."""
_SIN, _COS = 0.766, 0.643


class TickAxis(pg.AxisItem):  # type: ignore[misc]
    """Left or bottom axis of a plot, with the light grid behind the data."""

    def __init__(self, orientation: str) -> None:
        super().__init__(orientation)
        self._axis = Axis()
        self._theme = Theme("", {"muted": "#000000"})
        self._font = QFont()
        self._font.setPointSizeF(9.0)
        self._gridded = True
        self._reserved = 0.0
        self.setStyle(autoExpandTextSpace=False)
        self.showLabel(False)

    @property
    def vertical(self) -> bool:
        return bool(self.orientation == "left")

    def configure(self, axis: Axis, theme: Theme, grid: bool) -> None:
        """Show another axis; `reserve` must follow once its length is known."""
        self._axis, self._theme, self._gridded = axis, theme, grid
        self.setGrid(255 if grid else False)
        self.setToolTip("\n".join(text for _, text in axis.ticks or ()) if self._long() else "")
        self._reserved = 0.0
        self.update()

    def reserve(self, size: float) -> None:
        """Take `size` pixels across (what `wanted` says, or more to line up with a neighbour)."""
        self._reserved = size
        if self.vertical:
            self.setWidth(size)
        else:
            self.setHeight(size)

    def wanted(self, length: float) -> float:
        """Pixels across that texts and title need, when the axis is `length` pixels long."""
        metrics = QFontMetricsF(self._font)
        title = metrics.height() + _PAD if self._axis.label else 0.0
        texts = self._texts(self._ticks(length))
        if not texts:
            return title + (_PAD + 2 if self._axis.label else 14.0)
        widest = max(min(metrics.horizontalAdvance(t), _LONGEST) for t in texts)
        if self.vertical:
            room = max(widest, metrics.horizontalAdvance("0.00"))
        else:
            turned = self._turned(length)
            room = widest * _SIN + metrics.height() * _COS if turned else metrics.height()
        return float(_TICK + _PAD + room + title + 2)

    def paint(self, p: QPainter, *_: Any) -> None:
        p.save()
        try:
            self._draw(p)
        finally:
            p.restore()

    # ------------------------------------------------------------------ drawing

    def _draw(self, p: QPainter) -> None:
        area = self.mapRectFromParent(self.geometry())
        length = area.height() if self.vertical else area.width()
        if length < 2:
            return
        ticks = self._ticks(length)
        p.setFont(self._font)
        p.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        self._draw_lines(p, area, ticks)
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        p.setPen(QColor(self._theme.foreground))
        if self.vertical:
            self._draw_left(p, area, ticks)
        else:
            self._draw_bottom(p, area, ticks, length)
        self._draw_title(p, area)

    def _draw_lines(self, p: QPainter, area: QRectF, ticks: list[tuple[float, str]]) -> None:
        """Grid, axis line and tick marks."""
        view = self.linkedView()
        if self._gridded and view is not None:
            box = view.mapRectToItem(self, view.boundingRect())
            p.setPen(QPen(QColor(self._theme.grid), 1))
            for place, _ in ticks:
                if self.vertical:
                    p.drawLine(QPointF(box.left(), place), QPointF(box.right(), place))
                else:
                    p.drawLine(QPointF(place, box.top()), QPointF(place, box.bottom()))
        p.setPen(QPen(QColor(self._theme.colour("muted")), 1))
        edge = area.right() - 0.5 if self.vertical else area.top() + 0.5
        if self.vertical:
            p.drawLine(QPointF(edge, area.top()), QPointF(edge, area.bottom()))
        else:
            p.drawLine(QPointF(area.left(), edge), QPointF(area.right(), edge))
        length = area.height() if self.vertical else area.width()
        minor = [(v, 0.5) for v in self._minor(length)] if self._axis.ticks is None else []
        for place, share in [*((v, 1.0) for v, _ in ticks), *minor]:
            if self.vertical:
                p.drawLine(QPointF(edge, place), QPointF(edge - _TICK * share, place))
            else:
                p.drawLine(QPointF(place, edge), QPointF(place, edge + _TICK * share))

    def _draw_left(self, p: QPainter, area: QRectF, ticks: list[tuple[float, str]]) -> None:
        metrics = QFontMetricsF(self._font)
        title = metrics.height() + _PAD if self._axis.label else 0.0
        room = area.width() - _TICK - _PAD - title
        height = metrics.height()
        every = thinning(_spacing(ticks), height * 0.92)
        for index, (place, text) in enumerate(ticks):
            if index % every == 0 and text:
                short = metrics.elidedText(text, Qt.TextElideMode.ElideMiddle, room + 1)
                top = min(max(place - height / 2, area.top() - 4), area.bottom() - height + 4)
                box = QRectF(area.left() + title, top, room, height)
                p.drawText(box, int(Qt.AlignmentFlag.AlignRight), short)

    def _draw_bottom(
        self, p: QPainter, area: QRectF, ticks: list[tuple[float, str]], length: float
    ) -> None:
        metrics = QFontMetricsF(self._font)
        top = area.top() + _TICK + _PAD - 1
        turned = self._turned(length)
        every = thinning(_spacing(ticks), metrics.height() * 1.15) if turned else 1
        last = area.left() - 1e9
        for index, (place, text) in enumerate(ticks):
            if index % every or not text:
                continue
            if turned:
                short = metrics.elidedText(text, Qt.TextElideMode.ElideMiddle, _LONGEST)
                p.save()
                p.translate(place + metrics.height() * 0.25, top)
                p.rotate(-_TURN)
                width = metrics.horizontalAdvance(short)
                p.drawText(QPointF(-width, metrics.ascent() * 0.75), short)
                p.restore()
                continue
            width = metrics.horizontalAdvance(text)
            left = min(max(place - width / 2, area.left() - 24), area.right() - width + 12)
            if left > last + 4:
                p.drawText(QPointF(left, top + metrics.ascent()), text)
                last = left + width

    def _draw_title(self, p: QPainter, area: QRectF) -> None:
        label = self._axis.label
        if not label:
            return
        metrics = QFontMetricsF(self._font)
        if not self.vertical:
            short = metrics.elidedText(label, Qt.TextElideMode.ElideRight, area.width())
            box = QRectF(
                area.left(), area.bottom() - metrics.height() - 1, area.width(), metrics.height()
            )
            p.drawText(box, int(Qt.AlignmentFlag.AlignHCenter), short)
            return
        short = metrics.elidedText(label, Qt.TextElideMode.ElideRight, area.height())
        p.save()
        p.translate(area.left(), area.center().y())
        p.rotate(-90)
        box = QRectF(-area.height() / 2, 0, area.height(), metrics.height())
        p.drawText(box, int(Qt.AlignmentFlag.AlignHCenter), short)
        p.restore()

    # ------------------------------------------------------------------ ticks

    def _ticks(self, length: float) -> list[tuple[float, str]]:
        """Pixel positions (along this item) and texts, sorted, inside the range."""
        low, high = sorted(self.range)
        if self._axis.ticks is not None:
            chosen: list[Tick] = [
                (v, text) for v, text in self._positions() if low - 1e-9 <= v <= high + 1e-9
            ]
        else:
            count = max(2, int(length / (44 if self.vertical else 76)))
            make = log_ticks if self._axis.log else linear_ticks
            chosen = make(low, high, count)
        return sorted((self._pixel(v, length), text) for v, text in chosen)

    def _positions(self) -> list[Tick]:
        from app.plot.hits import axis_values

        ticks = self._axis.ticks or ()
        places = axis_values([v for v, _ in ticks], self._axis.log)
        return [(float(v), text) for v, (_, text) in zip(places, ticks, strict=True)]

    def _minor(self, length: float) -> list[float]:
        if not self._axis.log:
            return []
        low, high = sorted(self.range)
        return [self._pixel(v, length) for v in minor_log_ticks(low, high)]

    def _pixel(self, value: float, length: float) -> float:
        low, high = self.range
        share = (value - low) / (high - low) if high != low else 0.5
        upside = 1 - share if self.vertical else share
        area = self.mapRectFromParent(self.geometry())
        start = area.top() if self.vertical else area.left()
        return float(start + upside * length)

    def _texts(self, ticks: list[tuple[float, str]]) -> list[str]:
        return [text for _, text in ticks if text]

    def _turned(self, length: float) -> bool:
        """Whether the texts of a bottom axis would touch side by side."""
        if self._axis.ticks is None:
            return False
        ticks = self._ticks(length)
        metrics = QFontMetricsF(self._font)
        widest = max((metrics.horizontalAdvance(t) for _, t in ticks), default=0.0)
        return widest + 8 > _spacing(ticks) and len(ticks) > 1

    def _long(self) -> bool:
        metrics = QFontMetricsF(self._font)
        return any(metrics.horizontalAdvance(t) > _LONGEST for _, t in self._axis.ticks or ())


def _spacing(ticks: list[tuple[float, str]]) -> float:
    """Smallest distance of neighbouring ticks in pixels."""
    places = [place for place, _ in ticks]
    return min((b - a for a, b in pairwise(places)), default=1e9)
