"""One plot of a figure: title, legend, axes, marks, colour bars and a note, as one widget."""

from __future__ import annotations

from typing import Any

import pyqtgraph as pg
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app.figures.emphasis import selected
from app.figures.legend import entries
from app.figures.spec import Axes, Colouring, Highlights, Mark, Matrix, Picture, Theme
from app.plot.areas import ARTISTS
from app.plot.artists import Artist, Canvas
from app.plot.axis import TickAxis
from app.plot.bounds import bounds
from app.plot.gestures import GestureBox, Tool
from app.plot.pointer import Pointer
from app.plot.sameness import same
from app.plot.strips import ColourBar, ElidedLabel, LegendStrip


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
        self.title, self.note = ElidedLabel(), QLabel()
        self.legend = LegendStrip()
        self._bars: list[ColourBar] = []
        self._artists: list[Artist] = []
        self._axes: Axes | None = None
        self._canvas: Canvas | None = None
        self._colourings: tuple[Colouring, ...] = ()
        self._zoomed = False
        self._theme: Theme | None = None
        self._aligned: tuple[float, ...] = ()
        self.pointer = Pointer(self.box, self.plot, self)
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
        self.pointer.picked.connect(self.picked)
        self.pointer.hovered.connect(self.hovered)
        self.pointer.reset_asked.connect(self.reset)
        self.box.sigRangeChangedManually.connect(self._note_zoom)

    # ------------------------------------------------------------------ showing

    def show_axes(self, axes: Axes, theme: Theme, bars: tuple[Colouring, ...]) -> None:
        """Draw other data, with these colour bars. The zoom stays while the axes mean the same."""
        old, canvas = self._axes, Canvas(theme, axes)
        if old is not None and self._canvas is not None and self._canvas.theme == theme:
            if same(old, axes) and same(self._colourings, bars):
                return
            kept = _scales(old) == _scales(axes)
        else:
            kept = False
        self._axes, self._canvas, self._colourings = axes, canvas, bars
        self._dress(axes, theme)
        self._draw(axes, canvas, old.marks if old is not None and kept else ())
        self.pointer.follow(canvas)
        if not (old is not None and _identity(old) == _identity(axes) and self._zoomed):
            self.reset()

    def _draw(self, axes: Axes, canvas: Canvas, old: tuple[Mark, ...]) -> None:
        """Feed every mark that differs from the one drawn in its place before."""
        for index, mark in enumerate(axes.marks):
            wanted = ARTISTS[type(mark)]
            if index == len(self._artists):
                self._artists.append(wanted(self.box))
            elif type(self._artists[index]) is not wanted:
                self._artists[index].remove()
                self._artists[index] = wanted(self.box)
            elif index < len(old) and same(old[index], mark):
                self._artists[index].highlight(None)
                continue
            self._artists[index].show(mark, canvas)
        while len(self._artists) > len(axes.marks):
            self._artists.pop().remove()

    def highlight(self, highlights: Highlights) -> None:
        """Selected items in full colour with an outline, all others dimmed: overlays only."""
        if self._axes is not None:
            for artist, mark in zip(self._artists, self._axes.marks, strict=True):
                artist.highlight(selected(mark, highlights))

    def reset(self) -> None:
        """Show everything."""
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
        self.pointer.ring(entity, ids)

    def _dress(self, axes: Axes, theme: Theme) -> None:
        """Everything around the data."""
        if theme != self._theme:  # style sheets cost milliseconds
            self._theme = theme
            self.plot.setBackground(theme.background)
            self.setStyleSheet(f"AxesPanel QLabel {{ color: {theme.foreground}; }}")
            self.note.setStyleSheet(f"color: {theme.colour('muted')};")
            self.box.set_accent(theme.colour("accent"))
        for label, text in ((self.title, axes.title), (self.note, axes.note)):
            label.setText(text)
            label.setToolTip(text)
        self.title.setVisible(bool(axes.title))  # the note's place is agreed on by `align`
        self.legend.show_entries(entries(axes), theme)
        self.setAccessibleName(axes.title or f"{axes.y.label} against {axes.x.label}")
        self.plot.setAccessibleName(self.accessibleName())
        grid = not any(isinstance(m, (Matrix, Picture)) for m in axes.marks)
        self.left.configure(axes.y, theme, grid)
        self.bottom.configure(axes.x, theme, grid)
        self.box.setAspectLocked(axes.equal, ratio=1)
        self.box.invertX(axes.x.reversed)
        self.box.invertY(axes.y.reversed)
        while len(self._bars) < len(self._colourings):
            self._bars.append(ColourBar())
            self._row.addWidget(self._bars[-1])
        for index, bar in enumerate(self._bars):
            bar.setVisible(index < len(self._colourings))
            if index < len(self._colourings):
                bar.show_colouring(self._colourings[index], theme)

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
        wanted = (left, bottom, head, note, len(self._colourings))
        if wanted == self._aligned:  # each of these lays the plot out anew
            return
        self._aligned = wanted
        self.left.reserve(left)
        self.bottom.reserve(bottom)
        self._head.setFixedHeight(head)
        self.note.setVisible(note > 0)
        self.note.setFixedHeight(note)
        for bar in self._bars:
            bar.align(2, int(bottom))

    def _note_zoom(self, *_: Any) -> None:
        self._zoomed = True


def _identity(axes: Axes) -> tuple[Any, ...]:
    """What makes a zoom meaningful: the quantities on the axes and their kind."""
    both = [(a.label, a.log, a.reversed, a.limits, a.ticks) for a in (axes.x, axes.y)]
    return (*both, axes.equal, axes.row, axes.column)


def _scales(axes: Axes) -> tuple[Any, ...]:
    """What decides how a mark is drawn, besides itself."""
    return tuple((a.log, a.reversed) for a in (axes.x, axes.y))
