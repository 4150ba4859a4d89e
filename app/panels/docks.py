"""All panels, and the docks they start in."""

from __future__ import annotations

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtWidgets import QMainWindow

from app.panels.base import PanelDock
from app.panels.data import DataPanel
from app.panels.inspector import InspectorPanel
from app.panels.jobs import JobsPanel
from app.panels.models import ModelsPanel
from app.panels.prune import PrunePanel
from app.panels.samples import SamplesPanel
from app.session import Session
from app.theme import Palette

LEFT, RIGHT, BOTTOM = (
    Qt.DockWidgetArea.LeftDockWidgetArea,
    Qt.DockWidgetArea.RightDockWidgetArea,
    Qt.DockWidgetArea.BottomDockWidgetArea,
)
_AREAS = {
    "models": LEFT,
    "data": LEFT,
    "prune": LEFT,
    "inspector": RIGHT,
    "samples": RIGHT,
    "jobs": BOTTOM,
}
_TITLES = {"data": "Data", "jobs": "Jobs", "models": "Models", "prune": "Prune"}
_TITLES |= {"inspector": "Inspector", "samples": "Samples"}
_SHARE, _NARROW, _WIDE = 0.21, 268, 336
"""Side panels take this share of the window's width, within these limits in pixels."""
_HEIGHTS = {"models": 300, "data": 210, "prune": 330, "inspector": 380, "samples": 460}
_JOBS_HEIGHT = 148


class Panels(QObject):
    """The panels of one window. `asked` carries the id of an action that a panel offers."""

    asked = Signal(str)

    def __init__(self, session: Session, window: QMainWindow) -> None:
        super().__init__(window)
        self.models = ModelsPanel(session)
        self.data = DataPanel(session)
        self.prune = PrunePanel(session)
        self.inspector = InspectorPanel(session)
        self.samples = SamplesPanel(session)
        self.jobs = JobsPanel(session.jobs)
        self.models.asked.connect(self.asked)
        self.data.asked.connect(self.asked)
        self.docks = {
            name: PanelDock(name, _TITLES[name], getattr(self, name), window) for name in _AREAS
        }
        window.setCorner(Qt.Corner.BottomLeftCorner, LEFT)
        window.setCorner(Qt.Corner.BottomRightCorner, BOTTOM)
        self.place(window)

    def place(self, window: QMainWindow) -> None:
        """Put every dock where it belongs, with its usual size."""
        for name, dock in self.docks.items():
            dock.setFloating(False)
            window.removeDockWidget(dock)
            window.addDockWidget(_AREAS[name], dock)
            dock.show()
        side = [self.docks[name] for name in ("models", "data", "prune", "inspector", "samples")]
        heights = [_HEIGHTS[dock.name] for dock in side]
        window.resizeDocks(side, heights, Qt.Orientation.Vertical)
        width = max(_NARROW, min(_WIDE, round(_SHARE * window.width())))
        for area in (LEFT, RIGHT):
            docks = [self.docks[name] for name, place in _AREAS.items() if place == area]
            window.resizeDocks(docks, [width] * len(docks), Qt.Orientation.Horizontal)
        window.resizeDocks([self.docks["jobs"]], [_JOBS_HEIGHT], Qt.Orientation.Vertical)

    def set_palette(self, palette: Palette) -> None:
        """Colours for what the panels draw themselves."""
        for panel in (self.models, self.samples, self.jobs):
            panel.set_palette(palette)
