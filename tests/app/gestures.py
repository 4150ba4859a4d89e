"""Mouse gestures on plots, as real events."""

from __future__ import annotations

from itertools import pairwise

from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.plot.panel import AxesPanel

LEFT = Qt.MouseButton.LeftButton
NONE = Qt.KeyboardModifier.NoModifier


def place(panel: AxesPanel, x: float, y: float) -> QPoint:
    """Viewport pixel of a data position."""
    scene = panel.box.mapViewToScene(QPointF(x, y))
    return panel.plot.mapFromScene(scene)


def drag(panel: AxesPanel, corners, keys=NONE, release=True, end_keys=None) -> None:
    port = panel.plot.viewport()
    path = [place(panel, *corner) for corner in corners]
    QTest.mousePress(port, LEFT, keys, path[0])
    for before, here in pairwise(path):
        for share in (0.3, 0.6, 1.0):
            QTest.qWait(12)  # pyqtgraph takes at most 100 moves a second
            at = QPointF(before * (1 - share) + here * share)
            move = QMouseEvent(
                QEvent.Type.MouseMove,
                at,
                port.mapToGlobal(at),
                Qt.MouseButton.NoButton,
                LEFT,
                keys,
            )
            QApplication.sendEvent(port, move)
    if release:
        QTest.mouseRelease(port, LEFT, keys if end_keys is None else end_keys, path[-1])
