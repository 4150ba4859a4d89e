"""A cloud of many points as one item: stamped into a picture whenever the view changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QRectF
from PySide6.QtGui import QImage, QPainter

from app.plot.splat import splat


class SplatItem(pg.GraphicsObject):  # type: ignore[misc]
    """Draws 100,000 points in some milliseconds, each in a colour of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._x = self._y = np.empty(0)
        self._colours = np.empty((0, 3), dtype=np.uint8)
        self._size = 5.0
        self._bounds = QRectF()
        self._picture: tuple[Any, np.ndarray] | None = None

    def show_points(self, x: np.ndarray, y: np.ndarray, colours: np.ndarray, size: float) -> None:
        """Finite positions, uint8 (N, 3) colours, diameter in pixels."""
        self.prepareGeometryChange()
        self._x, self._y, self._colours, self._size = x, y, colours, size
        self._picture = None
        if len(x):
            left, top = float(x.min()), float(y.min())
            self._bounds = QRectF(left, top, float(x.max()) - left, float(y.max()) - top)
        else:
            self._bounds = QRectF()
        self.update()

    def boundingRect(self) -> QRectF:
        return self._bounds

    def viewTransformChanged(self) -> None:
        """The view was panned or zoomed."""
        self.update()

    def paint(self, p: QPainter, *_: Any) -> None:
        view = self.getViewBox()
        if len(self._x) == 0 or view is None:
            return
        transform = p.worldTransform()
        area = view.mapRectToScene(view.boundingRect()).toAlignedRect()
        ratio = p.device().devicePixelRatioF()
        scale = (transform.m11(), transform.m22(), transform.dx(), transform.dy())
        key = (scale, area.getRect(), ratio)
        if self._picture is None or self._picture[0] != key:
            x = (self._x * transform.m11() + transform.dx() - area.left()) * ratio
            y = (self._y * transform.m22() + transform.dy() - area.top()) * ratio
            shape = (int(area.height() * ratio), int(area.width() * ratio))
            self._picture = (key, splat(x, y, self._colours, shape, self._size * ratio))
        pixels = self._picture[1]
        height, width = pixels.shape[:2]
        image = QImage(pixels.data, width, height, 4 * width, QImage.Format.Format_RGBA8888)
        image.setDevicePixelRatio(ratio)
        p.save()
        try:
            p.resetTransform()
            p.drawImage(area.topLeft(), image)
        finally:
            p.restore()
