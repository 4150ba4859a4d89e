"""The icons of the three tools, drawn in the colours of the theme."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QIcon, QPainter, QPainterPath, QPen, QPixmap

from app.plot import Tool

_SIZE = 16
_SCALE = 3
"""Drawn larger than shown, for screens with more pixels."""


def tool_icon(tool: Tool, colour: str) -> QIcon:
    """Four arrows (pan), a dashed box, or a dashed loop (lasso)."""
    pixmap = QPixmap(_SIZE * _SCALE, _SIZE * _SCALE)
    pixmap.setDevicePixelRatio(_SCALE)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    try:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        pen = QPen(QColor(colour), 1.4)
        pen.setCapStyle(Qt.PenCapStyle.RoundCap)
        pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
        if tool != "pan":
            pen.setDashPattern([2.2, 1.8])
        painter.setPen(pen)
        painter.drawPath(_PATHS[tool]())
    finally:
        painter.end()
    return QIcon(pixmap)


def _arrows() -> QPainterPath:
    path = QPainterPath()
    for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        tip = QPointF(8 + 6.2 * dx, 8 + 6.2 * dy)
        path.moveTo(8, 8)
        path.lineTo(tip)
        for side in (-1, 1):
            path.moveTo(tip)
            path.lineTo(tip.x() - 2.2 * dx + 2.2 * side * dy, tip.y() - 2.2 * dy + 2.2 * side * dx)
    return path


def _box() -> QPainterPath:
    path = QPainterPath()
    path.addRect(QRectF(2, 3, 12, 10))
    return path


def _loop() -> QPainterPath:
    path = QPainterPath(QPointF(5, 14))
    path.cubicTo(5, 11, 1.5, 10, 2, 6.5)
    path.cubicTo(2.5, 1.5, 13.5, 1, 14, 6)
    path.cubicTo(14.5, 10.5, 8, 11.5, 5, 10.5)
    return path


_PATHS = {"pan": _arrows, "box": _box, "lasso": _loop}
