"""One plot of a figure: title, legend, axes, marks, colour bars and a note, as one widget."""

from __future__ import annotations

from typing import Any

import pyqtgraph as pg
from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QCursor, QKeyEvent
from PySide6.QtWidgets import QApplication, QHBoxLayout, QLabel, QToolTip, QVBoxLayout, QWidget

from app.figures.emphasis import selected
from app.figures.legend import colour_bars, entries
from app.figures.spec import Axes, Highlights, Matrix, Picture, Theme
from app.plot.areas import ARTISTS
from app.plot.artists import Artist, Canvas
from app.plot.axis import TickAxis
from app.plot.bounds import bounds
from app.plot.gestures import GestureBox, Tool
from app.plot.hits import Frame, Hit, inside, nearest
from app.plot.strips import ColourBar, LegendStrip

CLEARED = ("sample", "unit", "class")
"""Entities that an empty click clears; a layer, model or cell stays chosen until another is."""


class AxesPanel(QWidget):
    """Draws `Axes`. Everything is built once; `show_axes` feeds it, `highlight` adds overlays."""

    picked = Signal(str, object, str)
    hovered = Signal(str, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.box = GestureBox()
        self.left, self.bottom = TickAxis("left"), TickAxis("bottom")
        axes = {"left": self.left, "bottom": self.bottom}
        self.plot = pg.PlotWidget(viewBox=self.box, axisItems=axes, enableMenu=False)
        self.title, self.note = QLabel(), QLabel()
        self.legend = LegendStrip()
        self._bars: list[ColourBar] = []
        self._artists: list[Artist] = []
        self._axes: Axes | None = None
        self._canvas: Canvas | None = None
        self._zoomed = False
        self._over: Hit | None = None
        self._ring = pg.ScatterPlotItem(pxMode=True)
        self._clear = QTimer(self, singleShot=True, interval=QApplication.doubleClickInterval())
        self._build()
        self._connect()

    def _build(self) -> None:
        self.plot.getPlotItem().hideButtons()
        self.plot.getPlotItem().layout.setContentsMargins(0, 2, 14, 0)
        self.plot.setFrameShape(self.plot.Shape.NoFrame)
        for axis in (self.left, self.bottom):
            axis.setZValue(-1000)  # the grid lies behind the data
        self.plot.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.plot.setMinimumSize(80, 60)
        self.box.disableAutoRange()
        self._ring.setZValue(90)
        self.box.addItem(self._ring, ignoreBounds=True)
        for label, size in ((self.title, 9.5), (self.note, 9.0)):
            font = label.font()
            font.setPointSizeF(size)
            font.setBold(label is self.title)
            label.setFont(font)
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setMinimumWidth(1)
        self.note.setWordWrap(True)
        self.note.setContentsMargins(8, 0, 8, 0)
        self._head = QWidget()
        head = QVBoxLayout(self._head)
        head.setContentsMargins(8, 4, 8, 2)
        head.setSpacing(3)
        head.addStretch(1)
        head.addWidget(self.title)
        head.addWidget(self.legend)
        self._row = QHBoxLayout()
        self._row.setSpacing(0)
        self._row.addWidget(self.plot, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 0, 4, 4)
        layout.setSpacing(2)
        layout.addWidget(self._head)
        layout.addLayout(self._row, 1)
        layout.addWidget(self.note)

    def _connect(self) -> None:
        self.box.clicked.connect(self._clicked)
        self.box.enclosed.connect(self._enclosed)
        self.box.double_clicked.connect(self.reset)
        self.box.sigRangeChangedManually.connect(self._note_zoom)
        self.plot.scene().sigMouseMoved.connect(self._moved)
        self.plot.installEventFilter(self)
        self._clear.timeout.connect(self._clear_now)

    # ------------------------------------------------------------------ showing

    def show_axes(self, axes: Axes, theme: Theme) -> None:
        """Draw other data. The zoom stays unless the axes now mean something else."""
        same = self._axes is not None and _identity(self._axes) == _identity(axes)
        self._axes, self._canvas = axes, Canvas(theme, axes)
        self._dress(axes, theme)
        for index, mark in enumerate(axes.marks):
            wanted = ARTISTS[type(mark)]
            if index < len(self._artists) and type(self._artists[index]) is wanted:
                continue
            if index < len(self._artists):
                self._artists[index].remove()
                self._artists[index] = wanted(self.box)
            else:
                self._artists.append(wanted(self.box))
        while len(self._artists) > len(axes.marks):
            self._artists.pop().remove()
        for artist, mark in zip(self._artists, axes.marks, strict=True):
            artist.show(mark, self._canvas)
        self._show_ring(None)
        if not (same and self._zoomed):
            self.reset()

    def highlight(self, highlights: Highlights) -> None:
        """Selected items in full colour with an outline, all others dimmed: overlays only."""
        if self._axes is not None:
            for artist, mark in zip(self._artists, self._axes.marks, strict=True):
                artist.highlight(selected(mark, highlights))

    def reset(self) -> None:
        """Show everything."""
        self._clear.stop()
        if self._axes is not None:
            x, y = bounds(self._axes)
            self._zoomed = False
            self.box.setRange(xRange=x, yRange=y, padding=0, disableAutoRange=True)

    def set_tool(self, tool: Tool) -> None:
        self.box.tool = tool
        shape = Qt.CursorShape.ArrowCursor if tool == "pan" else Qt.CursorShape.CrossCursor
        self.plot.viewport().setCursor(shape)

    def ring(self, entity: str, ids: frozenset[int | str]) -> None:
        """Ring what another view is hovering over; an empty set removes the ring."""
        if self._axes is None or self._canvas is None:
            return
        found = [
            (self._canvas.x(m.x)[i], self._canvas.y(m.y)[i])
            for m in self._axes.marks
            if getattr(m, "entity", None) == entity and hasattr(m, "hollow")
            for i in _places(m, ids)
        ]
        self._ring.setData(pos=found, **self._ring_style()) if found else self._ring.clear()

    def _dress(self, axes: Axes, theme: Theme) -> None:
        """Everything around the data."""
        self.plot.setBackground(theme.background)
        self.setStyleSheet(f"AxesPanel QLabel {{ color: {theme.foreground}; }}")
        self.note.setStyleSheet(f"color: {theme.colour('muted')};")
        self.box.set_accent(theme.colour("accent"))
        for label, text in ((self.title, axes.title), (self.note, axes.note)):
            label.setText(text)
            label.setVisible(bool(text))
        self.legend.show_entries(entries(axes), theme)
        self.setAccessibleName(axes.title or f"{axes.y.label} against {axes.x.label}")
        self.plot.setAccessibleName(self.accessibleName())
        grid = not any(isinstance(m, (Matrix, Picture)) for m in axes.marks)
        self.left.configure(axes.y, theme, grid)
        self.bottom.configure(axes.x, theme, grid)
        self.box.setAspectLocked(axes.equal, ratio=1)
        self.box.invertX(axes.x.reversed)
        self.box.invertY(axes.y.reversed)
        colourings = colour_bars(axes)
        while len(self._bars) < len(colourings):
            self._bars.append(ColourBar())
            self._row.addWidget(self._bars[-1])
        for index, bar in enumerate(self._bars):
            bar.setVisible(index < len(colourings))
            if index < len(colourings):
                bar.show_colouring(colourings[index], theme)

    # ------------------------------------------------------------------ sizes

    def wanted(self) -> tuple[float, float, int, int]:
        """What it needs: width of the left axis, height of the bottom axis, of head and note."""
        area = self.box.geometry()
        self.legend.fit(max(self.width() - 24, 40))
        head = self._head.sizeHint().height() if self.title.text() or self.legend.height() else 0
        note = self.note.heightForWidth(max(self.width() - 8, 40)) if self.note.text() else 0
        return (
            self.left.wanted(max(area.height(), 60.0)),
            self.bottom.wanted(max(area.width(), 60.0)),
            head,
            max(note, 0),
        )

    def align(self, left: float, bottom: float, head: int, note: int) -> None:
        """Take the sizes that its row and column agreed on, so that plots line up."""
        self.left.reserve(left)
        self.bottom.reserve(bottom)
        self._head.setFixedHeight(head)
        self.note.setVisible(note > 0)
        self.note.setFixedHeight(note)
        for bar in self._bars:
            bar.align(2, int(bottom))

    # ------------------------------------------------------------------ pointer and keys

    def frame(self) -> Frame:
        """The mapping from data to pixels of the view box, as it is now."""
        t = self.box.childTransform()
        axes = self._axes
        x_log, y_log = (axes.x.log, axes.y.log) if axes else (False, False)
        return Frame(t.m11(), t.dx(), t.m22(), t.dy(), x_log, y_log)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Leave:
            self._hover(None)
        elif event.type() in (QEvent.Type.KeyPress, QEvent.Type.ShortcutOverride):
            return self._key(event)  # type: ignore[arg-type]
        return bool(super().eventFilter(watched, event))

    def _key(self, event: QKeyEvent) -> bool:
        """Escape drops a gesture before any shortcut sees it; Home shows everything."""
        press = event.type() == QEvent.Type.KeyPress
        if event.key() == Qt.Key.Key_Escape and self.box.busy:
            event.accept()
            if press:
                self.box.cancel()
            return True
        if event.key() == Qt.Key.Key_Home and press:
            self.reset()
            return True
        return False

    def _note_zoom(self, *_: Any) -> None:
        self._zoomed = True

    def _clicked(self, x: float, y: float, mode: str) -> None:
        hit = nearest(self._axes, self.frame(), x, y) if self._axes else None
        if hit is not None and hit.entity is not None and hit.id is not None:
            self.picked.emit(hit.entity, frozenset([hit.id]), mode)
        elif mode == "replace":
            self._clear.start()

    def _clear_now(self) -> None:
        """An empty click that did not become a double click."""
        for entity in sorted({getattr(m, "entity", None) or "" for m in self._marks()}):
            if entity in CLEARED:
                self.picked.emit(entity, frozenset(), "replace")

    def _enclosed(self, polygon: Any, mode: str) -> None:
        if self._axes is None:
            return
        for entity, ids in inside(self._axes, self.frame(), polygon).items():
            if ids or (mode == "replace" and entity in CLEARED):
                self.picked.emit(entity, ids, mode)

    def _marks(self) -> tuple[Any, ...]:
        return self._axes.marks if self._axes else ()

    def _moved(self, position: Any) -> None:
        inside_box = self.box.sceneBoundingRect().contains(position)
        if self.box.busy or self._axes is None or not inside_box:
            self._hover(None)
            return
        place = self.box.mapFromScene(position)
        self._hover(nearest(self._axes, self.frame(), place.x(), place.y()))

    def _hover(self, hit: Hit | None) -> None:
        old = self._over
        self._over = hit
        known = (
            old is not None and hit is not None and (old.mark, old.item) == (hit.mark, hit.item)
        )
        if known or (old is None and hit is None):
            return
        self._show_ring(hit)
        QToolTip.showText(QCursor.pos(), hit.hint if hit else "", self.plot)
        before = (old.entity, old.id) if old else (None, None)
        after = (hit.entity, hit.id) if hit else (None, None)
        if before != after:
            ids = frozenset([hit.id]) if hit and hit.id is not None else frozenset()
            self.hovered.emit((hit and hit.entity) or before[0] or "", ids)

    def _show_ring(self, hit: Hit | None) -> None:
        mark = self._axes.marks[hit.mark] if hit and self._axes else None
        if hit is None or mark is None or not hasattr(mark, "hollow"):
            self._ring.clear()
            return
        frame = self.frame()
        place = (
            (hit.x - frame.x_offset) / frame.x_scale,
            (hit.y - frame.y_offset) / frame.y_scale,
        )
        self._ring.setData(pos=[place], **self._ring_style(mark.size))

    def _ring_style(self, size: float = 6.0) -> dict[str, Any]:
        assert self._canvas is not None
        pen = pg.mkPen(self._canvas.theme.colour("accent"), width=1.75)
        return {"size": size + 7, "pen": pen, "brush": pg.mkBrush(None)}


def _identity(axes: Axes) -> tuple[Any, ...]:
    """What makes a zoom meaningful: the quantities on the axes and their kind."""
    both = [(a.label, a.log, a.reversed, a.limits, a.ticks) for a in (axes.x, axes.y)]
    return (*both, axes.equal, axes.row, axes.column)


def _places(mark: Any, ids: frozenset[int | str]) -> Any:
    from numpy import flatnonzero

    from app.figures.emphasis import member

    return flatnonzero(member(mark.ids, ids)) if mark.ids is not None and ids else ()
