"""A model's colour and marker as a small icon: the same two channels as in the plots."""

from __future__ import annotations

import math

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QIcon, QPainter, QPainterPath, QPen, QPixmap, QPolygonF

from app.figures.spec import Marker, Theme
from app.scene import Style

SIZE = 14


def swatch(style: Style, theme: Theme, size: int = SIZE, ratio: float = 2.0) -> QIcon:
    """The icon of a model."""
    pixmap = QPixmap(round(size * ratio), round(size * ratio))
    pixmap.setDevicePixelRatio(ratio)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    paint_marker(painter, style.marker, QColor(theme.colour(style.colour)), size)
    painter.end()
    return QIcon(pixmap)


def paint_marker(painter: QPainter, marker: Marker, colour: QColor, size: float) -> None:
    """Draw a marker into the square 0, 0, size, size."""
    if marker in ("cross", "plus"):
        painter.setPen(QPen(colour, size / 5, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
        low, high, half = 0.24 * size, 0.76 * size, size / 2
        if marker == "cross":
            painter.drawLine(QPointF(low, low), QPointF(high, high))
            painter.drawLine(QPointF(low, high), QPointF(high, low))
        else:
            painter.drawLine(QPointF(half, 0.16 * size), QPointF(half, 0.84 * size))
            painter.drawLine(QPointF(0.16 * size, half), QPointF(0.84 * size, half))
        return
    painter.fillPath(_outline(marker, size), colour)


def _outline(marker: Marker, size: float) -> QPainterPath:
    path = QPainterPath()
    if marker == "circle":
        path.addEllipse(QRectF(0.18 * size, 0.18 * size, 0.64 * size, 0.64 * size))
    elif marker == "square":
        path.addRect(QRectF(0.2 * size, 0.2 * size, 0.6 * size, 0.6 * size))
    elif marker == "star":
        path.addPolygon(_polygon(size, 10, (0.48, 0.21)))
    else:
        corners = {"triangle": 3, "diamond": 4}[marker]
        path.addPolygon(_polygon(size, corners, (0.46,)))
    path.closeSubpath()
    return path


def _polygon(size: float, corners: int, radii: tuple[float, ...]) -> QPolygonF:
    points = []
    for i in range(corners):
        angle = 2 * math.pi * i / corners - math.pi / 2
        radius = radii[i % len(radii)] * size
        points.append(
            QPointF(size / 2 + radius * math.cos(angle), size / 2 + radius * math.sin(angle))
        )
    return QPolygonF(points)
