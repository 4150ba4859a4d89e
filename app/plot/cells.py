"""What lies over a heat map: hatches, texts and outlines of cells, drawn in screen pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPen, QTransform

from app.figures.colours import hexadecimal, mapped, readable
from app.figures.curves import runs
from app.figures.spec import Matrix, Theme

_HATCH = 7.0
"""Distance of hatch lines in pixels."""
_MOST_TEXTS = 4_000


class CellOverlay(pg.GraphicsObject):  # type: ignore[misc]
    """Follows a `Matrix` in a view box."""

    def __init__(self) -> None:
        super().__init__()
        self._mark: Matrix | None = None
        self._theme: Theme | None = None
        self._chosen: np.ndarray | None = None
        self._colours = np.empty((0, 0, 4), dtype=np.uint8)
        self._font = QFont()
        self._font.setPointSizeF(9.0)

    def show_cells(self, mark: Matrix, theme: Theme) -> None:
        self.prepareGeometryChange()
        self._mark, self._theme, self._chosen = mark, theme, None
        self._colours = mapped(np.asarray(mark.values, dtype=np.float64), mark.colouring)
        self.update()

    def outline(self, chosen: np.ndarray | None) -> None:
        """Outline the chosen cells (bool, shape of the matrix)."""
        self._chosen = chosen
        self.update()

    def boundingRect(self) -> QRectF:
        if self._mark is None or np.size(self._mark.values) == 0:
            return QRectF()
        rows, columns = np.shape(self._mark.values)
        return QRectF(-0.5, -0.5, columns, rows)

    def viewTransformChanged(self) -> None:
        """The view was panned or zoomed."""
        self.update()

    def paint(self, p: QPainter, *_: Any) -> None:
        mark = self._mark
        if mark is None or np.size(mark.values) == 0:
            return
        transform = p.worldTransform()
        p.save()
        try:
            p.resetTransform()
            if mark.estimated is not None:
                filled = np.isfinite(np.asarray(mark.values, dtype=np.float64))
                self._hatch(p, transform, np.asarray(mark.estimated, dtype=bool) & filled)
            if mark.text is not None:
                self._texts(p, transform, mark.text)
            if self._chosen is not None:
                self._outlines(p, transform, self._chosen)
        finally:
            p.restore()

    def _hatch(self, p: QPainter, transform: QTransform, where: np.ndarray) -> None:
        """Diagonals in black or white, whichever can be seen on the cell."""
        for row, line in enumerate(where):
            for run in runs(line):
                box = _box(transform, row, run.start, run.stop)
                colour = QColor(readable(self._colour(row, run.start)))
                colour.setAlpha(90)
                p.setPen(QPen(colour, 1))
                p.drawLines(_diagonals(box))

    def _texts(self, p: QPainter, transform: QTransform, texts: np.ndarray) -> None:
        rows, columns = texts.shape
        cell = _box(transform, 0, 0, 1)
        metrics = QFontMetricsF(self._font)
        longest = max((str(t) for t in texts.ravel()), key=len, default="")
        too_small = cell.height() < metrics.height() or (
            cell.width() < metrics.horizontalAdvance(longest) + 4
        )
        if too_small or rows * columns > _MOST_TEXTS or self._theme is None:
            return
        p.setFont(self._font)
        for (row, column), text in np.ndenumerate(texts):
            if text:
                filled = self._colours[row, column, 3] > 0
                colour = readable(self._colour(row, column)) if filled else self._theme.foreground
                p.setPen(QColor(colour))
                box = _box(transform, row, column, column + 1)
                p.drawText(box, int(Qt.AlignmentFlag.AlignCenter), str(text))

    def _outlines(self, p: QPainter, transform: QTransform, where: np.ndarray) -> None:
        """A dark line in a light one, so that it is seen on any colour."""
        assert self._theme is not None
        for colour, width in ((self._theme.background, 4.0), (self._theme.colour("ink"), 2.0)):
            pen = QPen(QColor(colour), width)
            pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
            p.setPen(pen)
            for row, line in enumerate(where):
                for run in runs(line):
                    p.drawRect(_box(transform, row, run.start, run.stop))

    def _colour(self, row: int, column: int) -> str:
        return hexadecimal(self._colours[row, column, :3])


def _box(transform: QTransform, row: int, start: int, stop: int) -> QRectF:
    """Cells start..stop of a row in pixels."""
    return transform.mapRect(QRectF(start - 0.5, row - 0.5, stop - start, 1.0))


def _diagonals(box: QRectF) -> list[QLineF]:
    """45° lines across a box; all boxes share one raster, so neighbours join up."""
    first = np.ceil((box.left() + box.top()) / _HATCH) * _HATCH
    lines = []
    for total in np.arange(first, box.right() + box.bottom(), _HATCH):
        x0 = max(box.left(), total - box.bottom())
        x1 = min(box.right(), total - box.top())
        lines.append(QLineF(QPointF(x0, total - x0), QPointF(x1, total - x1)))
    return lines
