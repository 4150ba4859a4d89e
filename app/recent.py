"""The menu of what was opened lately."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu, QWidget

from app.settings import Settings


class RecentMenu(QMenu):
    """Filled when it opens; files that are gone are listed as missing. `chosen(source)`."""

    chosen = Signal(str)

    def __init__(self, settings: Settings, parent: QWidget) -> None:
        super().__init__("Open recent", parent)
        self._settings = settings
        self.aboutToShow.connect(self.fill)
        self.triggered.connect(self._choose)

    def fill(self) -> None:
        self.clear()
        for source in self._settings.recent:
            here = is_here(source)
            action = self.addAction(source if here else f"{source} (missing)")
            action.setData(source)
            action.setEnabled(here)
        if not self._settings.recent:
            self.addAction("Nothing was opened yet").setEnabled(False)

    def _choose(self, action: QAction) -> None:
        self.chosen.emit(action.data())


def is_here(source: str) -> bool:
    """Whether a recent source can still be opened."""
    return source.startswith("demo:") or source == "digits" or Path(source).exists()
