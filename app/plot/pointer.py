"""What the pointer and the keys do in one plot: hover, click, box, lasso, escape, home."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QCursor, QKeyEvent
from PySide6.QtWidgets import QApplication, QToolTip

from app.figures.emphasis import member
from app.figures.spec import Axes, Points
from app.plot.artists import Canvas, QuietScatter
from app.plot.gestures import GestureBox
from app.plot.hits import Frame, Hit, inside, nearest

CLEARED = ("sample", "unit", "class")
"""Entities that an empty click clears; a layer, model or cell stays chosen until another is."""


class Pointer(QObject):
    """Turns events of a plot into intents; keeps no selection.

    picked(entity, ids, mode), hovered(entity, ids), reset_asked().
    """

    picked = Signal(str, object, str)
    hovered = Signal(str, object)
    reset_asked = Signal()

    def __init__(self, box: GestureBox, plot: pg.PlotWidget, parent: QObject) -> None:
        super().__init__(parent)
        self._box, self._plot = box, plot
        self._canvas: Canvas | None = None
        self._over: Hit | None = None
        self._ring = QuietScatter(pxMode=True)
        self._ring.setZValue(90)
        box.addItem(self._ring, ignoreBounds=True)
        self._clear = QTimer(self, singleShot=True, interval=QApplication.doubleClickInterval())
        self._clear.timeout.connect(self._clear_now)
        box.clicked.connect(self._clicked)
        box.enclosed.connect(self._enclosed)
        box.double_clicked.connect(self._double_clicked)
        plot.scene().sigMouseMoved.connect(self._moved)
        plot.installEventFilter(self)

    def follow(self, canvas: Canvas) -> None:
        """Point at other data from now on."""
        self._canvas = canvas
        self._over = None
        self._ring.clear()

    @property
    def axes(self) -> Axes | None:
        return self._canvas.axes if self._canvas else None

    def frame(self) -> Frame:
        """The mapping from data to pixels of the view box, as it is now."""
        t, axes = self._box.childTransform(), self.axes
        x_log, y_log = (axes.x.log, axes.y.log) if axes else (False, False)
        return Frame(t.m11(), t.dx(), t.m22(), t.dy(), x_log, y_log)

    def ring(self, entity: str, ids: frozenset[int | str]) -> None:
        """Ring what another view is hovering over; an empty set removes the ring."""
        self._ring.clear()
        if self._canvas is None or not ids:
            return
        places: list[np.ndarray] = []
        for mark in self._canvas.axes.marks:
            if isinstance(mark, Points) and mark.entity == entity and mark.ids is not None:
                xy = np.stack([self._canvas.x(mark.x), self._canvas.y(mark.y)], axis=1)
                keep = member(mark.ids, ids) & np.isfinite(xy).all(axis=1)
                places.append(xy[keep])
        if places and sum(map(len, places)):
            self._draw_ring(np.concatenate(places), 6.0)

    # ------------------------------------------------------------------ events

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Leave:
            self._hover(None)
        elif event.type() in (QEvent.Type.KeyPress, QEvent.Type.ShortcutOverride):
            return self._key(event)  # type: ignore[arg-type]
        return False

    def _key(self, event: QKeyEvent) -> bool:
        """Escape drops a gesture before any shortcut sees it; Home shows everything."""
        press = event.type() == QEvent.Type.KeyPress
        if event.key() == Qt.Key.Key_Escape and self._box.busy:
            event.accept()
            if press:
                self._box.cancel()
            return True
        if event.key() == Qt.Key.Key_Home and press:
            self.reset_asked.emit()
            return True
        return False

    def _clicked(self, x: float, y: float, mode: str) -> None:
        hit = nearest(self.axes, self.frame(), x, y) if self.axes else None
        if hit is not None and hit.entity is not None and hit.id is not None:
            self.picked.emit(hit.entity, frozenset([hit.id]), mode)
        elif mode == "replace":
            self._clear.start()

    def _double_clicked(self) -> None:
        self._clear.stop()
        self.reset_asked.emit()

    def _clear_now(self) -> None:
        """An empty click that did not become a double click."""
        marks = self.axes.marks if self.axes else ()
        for entity in sorted({getattr(m, "entity", None) or "" for m in marks}):
            if entity in CLEARED:
                self.picked.emit(entity, frozenset(), "replace")

    def _enclosed(self, polygon: Any, mode: str) -> None:
        if self.axes is None:
            return
        for entity, ids in inside(self.axes, self.frame(), polygon).items():
            if ids or (mode == "replace" and entity in CLEARED):
                self.picked.emit(entity, ids, mode)

    # ------------------------------------------------------------------ hover

    def _moved(self, position: Any) -> None:
        within = self._box.sceneBoundingRect().contains(position)
        if self._box.busy or self.axes is None or not within:
            self._hover(None)
            return
        place = self._box.mapFromScene(position)
        self._hover(nearest(self.axes, self.frame(), place.x(), place.y()))

    def _hover(self, hit: Hit | None) -> None:
        old, self._over = self._over, hit
        if (old and (old.mark, old.item)) == (hit and (hit.mark, hit.item)):
            return
        self._ring_hit(hit)
        QToolTip.showText(QCursor.pos(), hit.hint if hit else "", self._plot)
        before = (old.entity, old.id) if old else (None, None)
        after = (hit.entity, hit.id) if hit else (None, None)
        if before != after:
            ids = frozenset([hit.id]) if hit and hit.id is not None else frozenset()
            self.hovered.emit((hit and hit.entity) or before[0] or "", ids)

    def _ring_hit(self, hit: Hit | None) -> None:
        mark = self.axes.marks[hit.mark] if hit and self.axes else None
        self._ring.clear()
        if hit is not None and isinstance(mark, Points):
            f = self.frame()
            x, y = (hit.x - f.x_offset) / f.x_scale, (hit.y - f.y_offset) / f.y_scale
            self._draw_ring(np.array([[x, y]]), mark.size)

    def _draw_ring(self, places: np.ndarray, size: float) -> None:
        assert self._canvas is not None
        pen = pg.mkPen(self._canvas.theme.colour("accent"), width=1.75)
        self._ring.setData(pos=places, size=size + 7, pen=pen, brush=pg.mkBrush(None))
