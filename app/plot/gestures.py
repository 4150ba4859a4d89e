"""The view box: pan and zoom, and box and lasso gestures with their modifiers."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, Qt, Signal
from PySide6.QtGui import QBrush, QColor, QPainterPath, QPen
from PySide6.QtWidgets import QGraphicsPathItem

from app.plot.regions import mode_of, rectangle
from app.selection import SelectMode

Tool = Literal["pan", "box", "lasso"]


def mode_from(modifiers: Qt.KeyboardModifier) -> SelectMode:
    """The selection mode that the keys held now ask for."""
    return mode_of(
        shift=bool(modifiers & Qt.KeyboardModifier.ShiftModifier),
        ctrl=bool(modifiers & Qt.KeyboardModifier.ControlModifier),
        alt=bool(modifiers & Qt.KeyboardModifier.AltModifier),
    )


class GestureBox(pg.ViewBox):  # type: ignore[misc]
    """Emits gestures in pixels of this box; keeps no selection.

    clicked(x, y, mode), enclosed(polygon (M, 2), mode) on release, double_clicked() for reset.
    """

    clicked = Signal(float, float, str)
    enclosed = Signal(object, str)
    double_clicked = Signal()

    def __init__(self) -> None:
        super().__init__(enableMenu=False)
        self.tool: Tool = "pan"
        self._track: list[tuple[float, float]] = []
        self._cancelled = False
        self._shape = QGraphicsPathItem(self)
        self._shape.setZValue(1e6)
        self._shape.hide()

    @property
    def busy(self) -> bool:
        """Whether a box or lasso is being drawn."""
        return bool(self._track)

    def set_accent(self, colour: str) -> None:
        fill = QColor(colour)
        fill.setAlpha(36)
        pen = QPen(QColor(colour), 1.25)
        pen.setCosmetic(True)
        self._shape.setPen(pen)
        self._shape.setBrush(QBrush(fill))

    def cancel(self) -> None:
        """Drop the gesture under way; the rest of its drag does nothing."""
        self._cancelled = self.busy
        self._track = []
        self._shape.hide()

    def mouseClickEvent(self, ev: Any) -> None:
        if ev.button() != Qt.MouseButton.LeftButton:
            super().mouseClickEvent(ev)
            return
        ev.accept()
        if ev.double():
            self.double_clicked.emit()
        else:
            self.clicked.emit(ev.pos().x(), ev.pos().y(), mode_from(ev.modifiers()))

    def mouseDragEvent(self, ev: Any, axis: int | None = None) -> None:
        if self.tool == "pan" or axis is not None or ev.button() != Qt.MouseButton.LeftButton:
            super().mouseDragEvent(ev, axis=axis)
            return
        ev.accept()
        if ev.isStart():
            start = ev.buttonDownPos()
            self._cancelled = False
            self._track = [(start.x(), start.y())]
        if self._cancelled or not self._track:
            return
        here = (ev.pos().x(), ev.pos().y())
        self._track = [self._track[0], here] if self.tool == "box" else [*self._track, here]
        if ev.isFinish():
            polygon = self._polygon()
            self._track = []
            self._shape.hide()
            self.enclosed.emit(polygon, mode_from(ev.modifiers()))
        else:
            self._draw()

    def _polygon(self) -> np.ndarray:
        if self.tool == "box":
            (x0, y0), (x1, y1) = self._track[0], self._track[-1]
            return rectangle(x0, y0, x1, y1)
        return np.asarray(self._track, dtype=np.float64)

    def _draw(self) -> None:
        path = QPainterPath()
        corners = [QPointF(x, y) for x, y in self._polygon()]
        path.moveTo(corners[0])
        for corner in corners[1:]:
            path.lineTo(corner)
        path.closeSubpath()
        self._shape.setPath(path)
        self._shape.show()
