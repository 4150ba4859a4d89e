"""Which views and panels are shown, and where: the presets, and layouts that users saved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QSplitter,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.views import VIEWS

ONE_ROW = 520
"""From this width on, a view's title and its controls share one row."""

PANELS = ("models", "data", "prune", "inspector", "samples", "jobs")


@dataclass(frozen=True)
class Layout:
    """Columns of views from left to right, and the panels around them.

    Attributes
    ----------
    columns: names of views, top to bottom, a tuple a column.
    widths: share of each column; empty = equal.
    heights: share of each view in its column; empty = equal.
    panels: names of the panels that are shown.
    """

    title: str
    columns: tuple[tuple[str, ...], ...]
    widths: tuple[int, ...] = ()
    heights: tuple[tuple[int, ...], ...] = ()
    panels: tuple[str, ...] = PANELS

    @property
    def views(self) -> tuple[str, ...]:
        return tuple(name for column in self.columns for name in column)

    def to_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "columns": [list(column) for column in self.columns],
            "widths": list(self.widths),
            "heights": [list(column) for column in self.heights],
            "panels": list(self.panels),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Layout:
        """Inverse; unknown views and panels are left out. ValueError when no view stays."""
        columns = [
            tuple(name for name in column if name in VIEWS) for column in value.get("columns", ())
        ]
        columns = [column for column in columns if column]
        if not columns:
            raise ValueError("a layout needs a view")
        heights = tuple(tuple(map(int, column)) for column in value.get("heights", ()))
        return cls(
            title=str(value.get("title", "")),
            columns=tuple(columns),
            widths=tuple(map(int, value.get("widths", ()))),
            heights=heights,
            panels=tuple(name for name in value.get("panels", PANELS) if name in PANELS),
        )


_ANALYSE = ("models", "inspector", "samples", "jobs")

PRESETS: dict[str, Layout] = {
    "prune": Layout("Prune", (("overview", "weights"),), heights=((2, 1),)),
    "sensitivity": Layout(
        "Sensitivity", (("sensitivity",), ("weights",)), (5, 3), panels=_ANALYSE
    ),
    "geometry": Layout("Geometry", (("geometry",),), panels=_ANALYSE),
    "paths": Layout("Paths", (("paths",), ("geometry",)), (1, 1), panels=_ANALYSE),
    "robustness": Layout("Robustness", (("robustness",), ("geometry",)), (1, 1), panels=_ANALYSE),
    "compare": Layout(
        "Compare",
        (("overview", "robustness"), ("geometry", "paths")),
        panels=("models",),
    ),
}


class Slot(QFrame):
    """One view with its header: title, the view's own controls (`view.bar`), enlarge, close."""

    enlarge = Signal(str)
    closed = Signal(str)

    def __init__(self, name: str, view: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.name = name
        self.view = view
        self.setObjectName("viewSlot")
        entry = VIEWS[name]
        title = QLabel(entry.title)
        title.setObjectName("slotTitle")
        title.setToolTip(entry.help)
        self._enlarge = _tool("⤢", f"Enlarge {entry.title}, or put it back")
        self._enlarge.clicked.connect(self._ask_enlarge)
        close = _tool("✕", f"Close {entry.title}")
        close.clicked.connect(self._ask_close)
        self.header = QFrame()
        self.header.setObjectName("slotHeader")
        row = QHBoxLayout(self.header)
        row.setContentsMargins(16, 4, 8, 4)
        row.setSpacing(4)
        row.addWidget(title)
        row.addStretch(1)
        row.addWidget(self._enlarge)
        row.addWidget(close)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.header)
        column.addWidget(view, 1)
        view.setWhatsThis(entry.help)
        view.show()
        self.setMinimumSize(240, 180)
        self._row, self._column = row, column
        self._bar: QWidget | None = getattr(view, "bar", None)
        self._wide: bool | None = None

    def resizeEvent(self, event: QResizeEvent) -> None:
        """A wide slot has the view's controls in its header; a narrow one under it."""
        super().resizeEvent(event)
        wide = event.size().width() >= ONE_ROW
        if self._bar is None or wide == self._wide:
            return
        self._wide = wide
        if wide:
            self._row.insertWidget(self._row.indexOf(self._enlarge), self._bar, 100)
        else:
            self._column.insertWidget(1, self._bar)
        self._bar.show()

    def _ask_enlarge(self) -> None:
        self.enlarge.emit(self.name)

    def _ask_close(self) -> None:
        self.closed.emit(self.name)


class Centre(QFrame):
    """The grid of views: columns side by side, each a stack; all borders can be dragged."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("centre")
        self.setAccessibleName("Views")
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._slots: dict[str, Slot] = {}
        self._grid: QSplitter | None = None
        self._columns: tuple[tuple[str, ...], ...] = ()
        self._enlarged = ""

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the views that can be seen."""
        if self._enlarged:
            return (self._enlarged,)
        return tuple(name for column in self._columns for name in column)

    def arrange(self, layout: Layout, views: Mapping[str, QWidget]) -> None:
        """Show the layout's views; `views` holds their widgets."""
        self._columns = layout.columns
        self._enlarged = ""
        grid = _splitter(Qt.Orientation.Horizontal, "Columns of views")
        for i, names in enumerate(layout.columns):
            stack = _splitter(Qt.Orientation.Vertical, f"Column {i + 1} of views")
            for name in names:
                stack.addWidget(self._slot(name, views[name]))
            grid.addWidget(stack)
            heights = layout.heights[i] if i < len(layout.heights) else ()
            _share(stack, heights or (1,) * len(names))
        _share(grid, layout.widths or (1,) * len(layout.columns))
        for name, slot in self._slots.items():
            if name not in layout.views:
                slot.setParent(self)
                slot.hide()
        if self._grid is not None:
            self._layout.removeWidget(self._grid)
            self._grid.hide()
            self._grid.deleteLater()
        self._grid = grid
        self._layout.addWidget(grid)
        grid.show()
        self.changed.emit()

    def current(self, title: str, panels: Iterable[str]) -> Layout:
        """What is shown now, with the sizes it has, as a layout."""
        if self._grid is None:
            raise ValueError("nothing is arranged yet")
        stacks = [self._grid.widget(i) for i in range(self._grid.count())]
        heights = tuple(tuple(stack.sizes()) for stack in stacks if isinstance(stack, QSplitter))
        return Layout(title, self._columns, tuple(self._grid.sizes()), heights, tuple(panels))

    def toggle_enlarged(self, name: str) -> None:
        """Give one view the whole centre, or go back to the grid."""
        self._enlarged = "" if self._enlarged == name else name
        for column in self._columns:
            for other in column:
                self._slots[other].setVisible(self._enlarged in ("", other))
        if self._grid is not None:
            for i, column in enumerate(self._columns):
                seen = not self._enlarged or self._enlarged in column
                self._grid.widget(i).setVisible(seen)
        self.changed.emit()

    def slot(self, name: str) -> Slot:
        return self._slots[name]

    def _slot(self, name: str, view: QWidget) -> Slot:
        if name not in self._slots:
            self._slots[name] = Slot(name, view)
            self._slots[name].enlarge.connect(self.toggle_enlarged)
            self._slots[name].closed.connect(self.close_view)
        slot = self._slots[name]
        slot.show()
        return slot

    def close_view(self, name: str) -> None:
        """Take a view out of the grid; the last one stays."""
        if sum(len(column) for column in self._columns) == 1:
            return
        columns = (tuple(v for v in column if v != name) for column in self._columns)
        layout = Layout("", tuple(column for column in columns if column))
        self.arrange(layout, {key: slot.view for key, slot in self._slots.items()})


def _splitter(orientation: Qt.Orientation, name: str) -> QSplitter:
    splitter = QSplitter(orientation)
    splitter.setHandleWidth(1)
    splitter.setChildrenCollapsible(False)
    splitter.setAccessibleName(name)
    splitter.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
    return splitter


def _share(splitter: QSplitter, shares: tuple[int, ...]) -> None:
    """Sizes in proportion, now and whenever the window grows."""
    total = sum(shares) or 1
    splitter.setSizes([max(1, round(10_000 * share / total)) for share in shares])
    for i, share in enumerate(shares[: splitter.count()]):
        splitter.setStretchFactor(i, max(1, round(100 * share / total)))


def _tool(text: str, name: str) -> QToolButton:
    button = QToolButton()
    button.setText(text)
    button.setToolTip(name)
    button.setAccessibleName(name)
    return button
