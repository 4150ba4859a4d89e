"""Small stand-ins: a view that notes what it was shown, and models and data of a few bytes."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from app.views import ViewEntry


class FakeProgress:
    """The line on the edge."""

    def __init__(self) -> None:
        self.shown: list[float | None] = []

    def show_progress(self, fraction: float | None, colour: str) -> None:
        self.shown.append(fraction)


class FakeView(QWidget):
    """Notes every `show_scene`."""

    options_changed = Signal()
    picked = Signal(str, object, str)
    hovered = Signal(str, object)
    export_requested = Signal(str)

    def __init__(self, entry: ViewEntry, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.entry = entry
        self.options = entry.state.Options()
        self.progress = FakeProgress()
        self.shown: list[tuple[Any, dict[str, Any], float | None]] = []
        self.rings: list[tuple[str, frozenset[int | str]]] = []

    def show_scene(self, scene: Any, answers: Any, busy: float | None, theme: Any) -> None:
        self.shown.append((scene, dict(answers), busy))

    def show_hover(self, entity: str, ids: frozenset[int | str]) -> None:
        self.rings.append((entity, ids))
