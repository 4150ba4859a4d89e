"""What all views share: a canvas for the figure that `state.py` makes, and its controls.

The controls (`bar`) are placed by whoever shows the view: the window puts them into the header.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ValidationError
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.figures.spec import Figure, Highlights, Theme
from app.figures.themes import LIGHT
from app.forms import ModelForm
from app.plot import FigureCanvas, Tool
from app.scene import Scene
from app.views import ViewEntry
from app.views.common import nothing_open
from app.views.viewbar import ProgressLine, ViewBar


class FigureView(QWidget):
    """A view: shows what `state.figure` makes of a scene and the answers so far.

    It computes nothing and keeps no selection: `picked` says what the user wants selected, and the
    next `show_scene` shows what became of it.

    Signals
    -------
    options_changed(): a control was moved; `options` has the new values.
    picked(entity, ids, mode), hovered(entity, ids): see `app.plot.FigureCanvas`.
    export_requested(kind): "svg", "pdf", "png", "csv", "py", "copy-image", "copy-data" or
        "copy-python".
    """

    options_changed = Signal()
    picked = Signal(str, object, str)
    hovered = Signal(str, object)
    export_requested = Signal(str)

    tool: ClassVar[Tool] = "pan"
    """What dragging does when the view is new."""

    def __init__(self, entry: ViewEntry, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.entry = entry
        self._options: BaseModel = entry.state.Options()
        self._figure = nothing_open(entry.title)
        self._highlights: Highlights = {}
        self.form = ModelForm(entry.state.Options)
        self.form.set_value(self._options)
        self.bar = ViewBar(entry.title, self.form)
        self.progress = ProgressLine()
        self.canvas = FigureCanvas()
        self.setAccessibleName(entry.title)
        self.setWhatsThis(entry.help)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.progress)
        layout.addWidget(self.canvas, 1)
        self.setFocusProxy(self.canvas)
        self._connect()
        self.canvas.show_figure(self._figure, LIGHT)

    def _connect(self) -> None:
        self.form.changed.connect(self._take_options)
        self.bar.tool_changed.connect(self.canvas.set_tool)
        self.bar.export_requested.connect(self.export_requested)
        self.canvas.picked.connect(self.picked)
        self.canvas.hovered.connect(self.hovered)
        self.canvas.refitted.connect(self._name)
        self.bar.set_tool(self.tool)

    @property
    def options(self) -> BaseModel:
        """What the controls say, as the view's `Options`."""
        return self._options

    @options.setter
    def options(self, value: BaseModel) -> None:
        """Show other options; `options_changed` is not emitted."""
        self._options = value
        self.form.set_value(value)

    def show_scene(
        self,
        scene: Scene | None,
        answers: Mapping[str, Any],
        busy: float | None,
        theme: Theme,
    ) -> None:
        """Draw what is known. `busy`: progress (0 to 1) of what is still computed, or None."""
        if scene is None:
            self._figure, self._highlights = nothing_open(self.entry.title), {}
        else:
            self._figure = self.entry.state.figure(scene, self._options, answers)
            self._highlights = scene.highlights
        self.bar.set_ink(theme.colour("muted"))
        self.progress.show_progress(busy, theme.colour("accent"))
        self.canvas.show_figure(self._figure, theme)
        self.canvas.highlight(self._highlights)
        self._name()

    def show_hover(self, entity: str, ids: frozenset[int | str]) -> None:
        """Ring what another view is hovering over."""
        self.canvas.ring(entity, ids)

    def current_figure(self) -> Figure:
        """What is drawn now, for exports."""
        return self._figure

    def _name(self) -> None:
        """Beside the view's title: what the figure is about, and what there is no room for."""
        about = self._figure.title.removeprefix(self.entry.title).strip(" :")
        hidden = self.canvas.left_out
        more = f"{hidden} more when enlarged" if hidden else ""
        self.bar.set_subtitle(" · ".join(text for text in (about, more) if text))

    def _take_options(self) -> None:
        try:
            value = self.form.value()
        except ValidationError:
            return  # an edit under way; the form says what is wrong
        if value != self._options:
            self._options = value
            self.options_changed.emit()
