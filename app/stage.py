"""The stage: it asks each visible view what it needs for a scene, and shows it the answers."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal, Slot
from PySide6.QtWidgets import QWidget

from analysis.request import Compute, Request
from app.answers import Answers
from app.figures.spec import Theme
from app.figures.themes import LIGHT
from app.notifications import message_of
from app.scene import Scene
from app.selection import SelectionState
from app.views import VIEWS

PARTIAL_MS = 200
"""Partial results are drawn at most this often: drawing is for the eye."""
PARTIAL_SHARE = 8
"""And so seldom that drawing takes at most one part in so many of the GUI thread's time."""


class Stage(QObject):
    """Views, and the scene they look at.

    `picked(view, entity, ids, mode)`, `hovered(entity, ids)`: passed on from the views.
    `options_changed(view)`: its controls were used. `told(message)`: a view failed.
    """

    picked = Signal(str, str, object, str)
    hovered = Signal(str, object)
    options_changed = Signal(str)
    told = Signal(object)

    def __init__(self, answers: Answers, compute: Compute, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._answers = answers
        self._compute = compute
        self._theme = LIGHT
        self._views: dict[str, Any] = {}
        self._visible: tuple[str, ...] = ()
        self._dirty: set[str] = set()
        self.scene: Scene | None = None
        self._redraw = QTimer(self)
        self._redraw.setSingleShot(True)
        self._redraw.setInterval(PARTIAL_MS)
        self._redraw.timeout.connect(self._show_dirty)
        answers.ready.connect(self._ready)
        answers.partial.connect(self._partial)
        answers.progressed.connect(self._progress)

    def attach(self, name: str, widget: QWidget) -> None:
        """Feed a view from now on."""
        self._views[name] = widget
        widget.picked.connect(self._picked)
        widget.hovered.connect(self.hovered)
        widget.options_changed.connect(self._options_changed)

    def view(self, name: str) -> Any | None:
        """A view's widget, when it was made already."""
        return self._views.get(name)

    def views(self) -> dict[str, Any]:
        return dict(self._views)

    @property
    def visible(self) -> tuple[str, ...]:
        return self._visible

    def set_visible(self, names: Iterable[str]) -> None:
        """Only visible views ask; what a hidden one has asked for goes on."""
        self._visible = tuple(names)

    def set_theme(self, theme: Theme) -> None:
        self._theme = theme
        for name in self._visible:
            self._show(name)

    def feed(self, scene: Scene | None) -> None:
        """Show a scene in all visible views."""
        self.scene = scene
        for name in self._visible:
            self._ask(name)

    def place(self, requests: Mapping[str, Request[Any]]) -> dict[str, Request[Any]]:
        """The requests, on this session's device."""
        return {
            label: dataclasses.replace(request, compute=self._compute)  # type: ignore[call-arg]
            if hasattr(request, "compute")
            else request
            for label, request in requests.items()
        }

    def special_pick(
        self, name: str, entity: str, ids: Iterable[int | str]
    ) -> SelectionState | None:
        """What picking means in this view alone, or None when the general rule holds."""
        rule = getattr(VIEWS[name].state, "picked", None)
        if rule is None or self.scene is None:
            return None
        known = self._answers.known(name)
        result: SelectionState | None = rule(
            self.scene, self._views[name].options, known, entity, frozenset(ids)
        )
        return result

    def _ask(self, name: str) -> None:
        """Ask until no new question follows from the answers, then show what there is."""
        if self.scene is None:
            self._answers.release(name)
        else:
            try:
                self._ask_in_stages(name, self.scene)
            except Exception as error:  # noqa: BLE001 - a broken view leaves the others alive
                self.told.emit(message_of(error, VIEWS[name].title))
        self._show(name)

    def _ask_in_stages(self, name: str, scene: Scene) -> None:
        options = self._views[name].options
        found: dict[str, Any] = {}
        while True:
            wanted = VIEWS[name].state.requests(scene, options, found)
            more = self._answers.ask(name, self.place(wanted))
            if more.keys() == found.keys():
                return
            found = more

    def _show(self, name: str) -> None:
        self._dirty.discard(name)
        known = self._answers.known(name) if self.scene is not None else {}
        try:
            self._views[name].show_scene(self.scene, known, self._answers.busy(name), self._theme)
        except Exception as error:  # noqa: BLE001 - a broken view leaves the others alive
            self.told.emit(message_of(error, VIEWS[name].title))

    @Slot()
    def _show_dirty(self) -> None:
        started = time.perf_counter()
        for name in tuple(self._dirty):
            if name in self._visible:
                self._show(name)
        self._dirty.clear()
        taken = 1000 * (time.perf_counter() - started)
        self._redraw.setInterval(max(PARTIAL_MS, round(PARTIAL_SHARE * taken)))

    @Slot(str)
    def _ready(self, consumer: str) -> None:
        if consumer in self._visible:
            self._ask(consumer)

    @Slot(str)
    def _partial(self, consumer: str) -> None:
        if consumer in self._visible:
            self._dirty.add(consumer)
            if not self._redraw.isActive():
                self._redraw.start()

    @Slot(str)
    def _progress(self, consumer: str) -> None:
        """Only the line on the view's edge moves: the picture is the same."""
        if consumer in self._visible and consumer not in self._dirty:
            colour = self._theme.colour("accent")
            self._views[consumer].progress.show_progress(self._answers.busy(consumer), colour)

    @Slot(str, object)
    def show_hover(self, entity: str, ids: object) -> None:
        """Ring in every visible view what the pointer is over in one of them."""
        marked = frozenset(ids) if isinstance(ids, Iterable) else frozenset()
        for name in self._visible:
            self._views[name].show_hover(entity, marked)

    @Slot(str, object, str)
    def _picked(self, entity: str, ids: Any, mode: str) -> None:
        self.picked.emit(self._sender_name(), entity, ids, mode)

    @Slot()
    def _options_changed(self) -> None:
        name = self._sender_name()
        if name in self._visible:
            self._ask(name)
        self.options_changed.emit(name)

    def _sender_name(self) -> str:
        sender = self.sender()
        return next((name for name, view in self._views.items() if view is sender), "")
