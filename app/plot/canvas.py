"""The widget that draws a `Figure` on screen."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QColor, QKeyEvent, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QGridLayout, QLabel, QSizePolicy, QStackedLayout, QWidget

from app.figures.layout import stretches
from app.figures.legend import shared_bars
from app.figures.spec import Axes, Colouring, Figure, Highlights, Panel, Theme
from app.plot.fitting import fitted
from app.plot.gestures import Tool
from app.plot.panel import AxesPanel
from app.plot.table import TablePanel

Widget = AxesPanel | TablePanel


class FigureCanvas(QWidget):
    """Lays out the panels of a figure in a grid and reports what is picked in them.

    Widgets and plot items are built once and fed new data: nothing is destroyed while the view
    lives, so a new selection costs an overlay, and new data cost one pass over the arrays.

    Signals
    -------
    picked(entity, ids, mode): a click, box or lasso; ids is a frozenset, mode one of replace, add,
        toggle, subtract. An empty set in mode "replace" clears.
    hovered(entity, ids): the item under the pointer; an empty set when it was left.
    refitted(): a change of size left out other panels than before.
    """

    picked = Signal(str, object, str)
    hovered = Signal(str, object)
    refitted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._plots: list[AxesPanel] = []
        self._tables: list[TablePanel] = []
        self._shown: list[tuple[Panel, Widget]] = []
        self._places: tuple[object, ...] = ()
        self._figure: Figure | None = None
        self._theme: Theme | None = None
        self._highlights: Highlights = {}
        self._tool: Tool = "pan"
        self._message = QLabel(alignment=Qt.AlignmentFlag.AlignCenter)
        self._message.setWordWrap(True)
        self._message.setMargin(24)
        self._page = QWidget()
        self._grid = QGridLayout(self._page)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(4)
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self._message)
        self._stack.addWidget(self._page)
        self.gradual = False
        """Feed one panel a turn of the event loop, so that the window answers in between."""
        self._waiting: list[tuple[Panel, Widget, tuple[Colouring, ...], Theme]] = []
        self._feeding = QTimer(self, singleShot=True, interval=0)
        self._feeding.timeout.connect(self._feed_next)
        self._aligning = QTimer(self, singleShot=True, interval=0)
        self._aligning.timeout.connect(self._refit)

    # ------------------------------------------------------------------ showing

    def show_figure(self, figure: Figure, theme: Theme) -> None:
        """Show other data, or another figure. Highlights stay as they were."""
        self._dress(theme)
        self._message.setText(figure.message or ("" if figure.panels else "Nothing to show yet."))
        self._stack.setCurrentWidget(self._page if figure.panels else self._message)
        self._figure, self._theme = figure, theme
        if figure.panels:
            self._show_panels(fitted(figure, self.width(), self.height()), theme)

    @property
    def left_out(self) -> int:
        """How many panels of the figure there is no room for."""
        count = len(self._figure.panels) if self._figure is not None else 0
        return max(0, count - len(self._shown))

    def _refit(self) -> None:
        """After a change of size: other panels may fit now."""
        if self._figure is not None and self._theme is not None and self._figure.panels:
            smaller = fitted(self._figure, self.width(), self.height())
            if len(smaller.panels) != len(self._shown):
                self._show_panels(smaller, self._theme)
                self.refitted.emit()
        self.align()

    def _show_panels(self, figure: Figure, theme: Theme) -> None:
        self._place(figure)
        bars = shared_bars(figure.panels)
        self._waiting = [
            (panel, widget, own, theme)
            for (panel, widget), own in zip(self._shown, bars, strict=True)
        ]
        if self.gradual and self.isVisible():
            self._feed_next()
        else:
            while self._waiting:
                self._feed_next()

    def _feed_next(self) -> None:
        """Feed one panel; the last one is followed by what concerns them all."""
        if not self._waiting:
            return
        panel, widget, bars, theme = self._waiting.pop(0)
        if isinstance(panel, Axes):
            widget.show_axes(panel, theme, bars)  # type: ignore[union-attr]
        else:
            widget.show_table(panel, theme)  # type: ignore[union-attr]
        widget.highlight(self._highlights)
        if self._waiting:
            self._feeding.start()
        else:
            self.align()
            self._aligning.start()

    def highlight(self, highlights: Highlights) -> None:
        """Show what is selected, by overlays only."""
        self._highlights = highlights
        for _, widget in self._shown:
            widget.highlight(highlights)

    def ring(self, entity: str, ids: frozenset[int | str]) -> None:
        """Ring what is hovered over in another view."""
        for plot in self.plots():
            plot.ring(entity, ids)

    def set_tool(self, tool: Tool) -> None:
        """What dragging does: pan, box or lasso."""
        self._tool = tool
        for plot in self._plots:
            plot.set_tool(tool)

    def reset(self) -> None:
        """Show everything in every plot."""
        for plot in self.plots():
            plot.reset()

    def plots(self) -> list[AxesPanel]:
        """The plots now shown, in the order of the figure's panels."""
        return [w for _, w in self._shown if isinstance(w, AxesPanel)]

    def tables(self) -> list[TablePanel]:
        return [w for _, w in self._shown if isinstance(w, TablePanel)]

    # ------------------------------------------------------------------ layout

    def align(self) -> None:
        """Give the plots of a row equal axes below and heads above, those of a column equal left
        axes, so that their areas line up."""
        for _ in range(2):  # the first round changes the lengths that the second one measures
            self._grid.activate()
            self._align_once()

    def _align_once(self) -> None:
        needs = {
            id(widget): (panel, widget, widget.wanted())
            for panel, widget in self._shown
            if isinstance(widget, AxesPanel)
        }
        for panel, widget, _ in needs.values():
            row = [
                n
                for p, _, n in needs.values()
                if (p.row, p.row_span) == (panel.row, panel.row_span)
            ]
            column = [
                n
                for p, _, n in needs.values()
                if (p.column, p.column_span) == (panel.column, panel.column_span)
            ]
            widget.align(
                max(n[0] for n in column),
                max(n[1] for n in row),
                max(n[2] for n in row),
                max(n[3] for n in row),
            )

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._aligning.start()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Home:
            self.reset()
        else:
            super().keyPressEvent(event)

    def _place(self, figure: Figure) -> None:
        """A widget a panel, put where the panel stands; kept when nothing about that changed."""
        rows, columns = stretches(figure)
        places = (
            rows,
            columns,
            *((type(p), p.row, p.column, p.row_span, p.column_span) for p in figure.panels),
        )
        if places == self._places:
            old = [widget for _, widget in self._shown]
            self._shown = list(zip(figure.panels, old, strict=True))
            return
        self._places = places
        for _, widget in self._shown:
            self._grid.removeWidget(widget)
            widget.hide()
        self._shown = []
        plots, tables = (
            self._supply(self._plots, AxesPanel),
            self._supply(self._tables, TablePanel),
        )
        for panel in figure.panels:
            widget = next(plots) if isinstance(panel, Axes) else next(tables)  # type: ignore[assignment]
            self._grid.addWidget(
                widget, panel.row, panel.column, panel.row_span, panel.column_span
            )
            # The figure's shares decide, not what a plot or a table would like.
            widget.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
            widget.show()
            self._shown.append((panel, widget))
        for index in range(max(self._grid.rowCount(), len(rows))):
            self._grid.setRowStretch(index, round(100 * rows[index]) if index < len(rows) else 0)
        for index in range(max(self._grid.columnCount(), len(columns))):
            share = round(100 * columns[index]) if index < len(columns) else 0
            self._grid.setColumnStretch(index, share)

    def _supply(self, pool: list, kind: type) -> Iterable:  # type: ignore[type-arg]
        """The widgets there are, then new ones."""
        yield from list(pool)
        while True:
            widget = kind(self._page)
            widget.picked.connect(self.picked)
            widget.hovered.connect(self.hovered)
            pool.append(widget)
            if isinstance(widget, AxesPanel):
                widget.set_tool(self._tool)
            yield widget

    def paintEvent(self, event: QPaintEvent) -> None:
        """The ground behind panels: a palette would not do, style sheets reset it."""
        if self._theme is not None:
            painter = QPainter(self)
            painter.fillRect(event.rect(), QColor(self._theme.background))
            painter.end()

    def _dress(self, theme: Theme) -> None:
        if theme == self._theme:
            return
        self.update()
        self._message.setStyleSheet(f"color: {theme.colour('muted')};")
