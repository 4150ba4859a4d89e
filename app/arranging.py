"""Layouts at work: which views and panels a window shows, and the views' widgets."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, Signal, Slot
from PySide6.QtWidgets import QMainWindow, QWidget

from app.layouts import PRESETS, Centre, Layout
from app.panels.docks import Panels
from app.session import Session
from app.settings import Settings
from app.views import VIEWS, ViewEntry

MakeView = Callable[[ViewEntry, QWidget], QWidget]
SAVED = "saved."
"""Prefix of the names of layouts that users saved."""


def make_view(entry: ViewEntry, parent: QWidget) -> QWidget:
    """The widget of a view."""
    widget: QWidget = entry.widget(entry, parent)
    widget.canvas.gradual = True  # type: ignore[attr-defined]
    return widget


class Arranger(QObject):
    """Applies layouts. Views are built when they are first shown, once.

    `changed`: other views can be seen. `export_requested(view, kind)`: a view's own button.
    """

    changed = Signal()
    export_requested = Signal(str, str)

    def __init__(
        self,
        window: QMainWindow,
        session: Session,
        panels: Panels,
        settings: Settings,
        make: MakeView,
    ) -> None:
        super().__init__(window)
        self._window, self._session = window, session
        self._panels, self._settings, self._make = panels, settings, make
        self.centre = Centre()
        self.name = "prune"
        self.centre.changed.connect(self._views_changed)

    def layouts(self) -> dict[str, Layout]:
        """The presets and the saved layouts, by name."""
        found = dict(PRESETS)
        for name, kept in self._settings.layouts.items():
            try:
                found[SAVED + name] = Layout.from_json(kept)
            except (ValueError, TypeError, AttributeError):
                continue  # written by a version with other views
        return found

    def apply(self, name: str) -> None:
        """Arrange views and panels as a layout says, and remember it in the study."""
        layout = self.layouts()[name]
        self.name = name
        for panel, dock in self._panels.docks.items():
            dock.setVisible(panel in layout.panels)
        self._show(layout)
        self._session.documents.study.set_state("layout", name)

    def restore(self) -> None:
        """The layout that the study was left in."""
        name = self._session.documents.study.get_state("layout", "prune")
        self.apply(name if name in self.layouts() else "prune")

    def reset(self) -> None:
        """Every view and panel back where the layout has it."""
        self._panels.place(self._window)
        self.apply(self.name)

    def save(self, title: str) -> str:
        """Keep the present arrangement under a title; returns the layout's name."""
        docks = self._panels.docks
        shown = [panel for panel, dock in docks.items() if not dock.isHidden()]
        self._settings.layouts[title] = self.centre.current(title, shown).to_json()
        self._settings.save()
        return SAVED + title

    def view(self, name: str) -> QWidget:
        """A view's widget; made and fed from its first use on."""
        widget: QWidget | None = self._session.stage.view(name)
        if widget is None:
            widget = self._make(VIEWS[name], self._window)
            widget.hide()
            widget.setObjectName(name)
            widget.export_requested.connect(self._export)
            self._session.attach_view(name, widget)
        return widget

    def open_view(self, name: str) -> None:
        """Bring a view on screen: where it is, or as another column."""
        if name not in self.centre.views:
            now = self.centre.current("", ())
            width = max(now.widths, default=1)
            layout = Layout("", (*now.columns, (name,)), (*now.widths, width), now.heights)
            self._show(layout)
        self.view(name).setFocus()

    def _show(self, layout: Layout) -> None:
        self.centre.arrange(layout, {name: self.view(name) for name in layout.views})

    @Slot()
    def _views_changed(self) -> None:
        self._session.set_visible_views(self.centre.views)
        self.changed.emit()

    @Slot(str)
    def _export(self, kind: str) -> None:
        sender = self.sender()
        if sender is not None:
            self.export_requested.emit(sender.objectName(), kind)
