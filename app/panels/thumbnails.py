"""Images as a list model, and how one is drawn: picture, label, each model's answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QRect,
    QSize,
    Qt,
)
from PySide6.QtGui import QColor, QFontMetrics, QImage, QPainter, QPen
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from app.theme import LIGHT, Palette

INDEX = Qt.ItemDataRole.UserRole
PICTURE, CELL, LINES = 64, 98, 4
_ModelIndex = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True)
class Answer:
    """One model's answer to one image."""

    model: str
    colour: str
    text: str
    correct: bool


class SampleModel(QAbstractListModel):
    """Rows are indices into the evaluation images; texts are made when they are looked at."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.images = np.zeros((0, 1, 1, 1), np.uint8)
        self.labels: tuple[str, ...] = ()
        self.rows = np.zeros(0, np.int64)
        self.answers: Any = lambda index: ()

    def show(self, images: np.ndarray, labels: Any, rows: np.ndarray, answers: Any) -> None:
        """`labels(index)` and `answers(index)` are asked for what is on screen only."""
        self.beginResetModel()
        self.images, self.rows, self.answers = images, rows, answers
        self.label = labels
        self.endResetModel()

    def rowCount(self, parent: _ModelIndex = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.rows)

    def data(self, index: _ModelIndex, role: int = 0) -> object:
        if not index.isValid():
            return None
        sample = int(self.rows[index.row()])
        if role == INDEX:
            return sample
        if role == Qt.ItemDataRole.DecorationRole:
            return picture(self.images[sample])
        if role == Qt.ItemDataRole.DisplayRole:
            return self.label(sample)
        if role in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole):
            lines = [f"Image {sample:,}: {self.label(sample)}"]
            lines += [f"{a.model}: {a.text}" for a in self.answers(sample)]
            return "\n".join(lines)
        return None

    def row_of(self, sample: int) -> int:
        """The row that shows a sample, or -1."""
        found = np.flatnonzero(self.rows == sample)
        return int(found[0]) if len(found) else -1


def picture(pixels: np.ndarray) -> QImage:
    """uint8 H,W,C (1, 3 or 4 channels) -> an image that owns its pixels."""
    height, width, channels = pixels.shape
    if channels == 1:
        content = np.ascontiguousarray(pixels[:, :, 0])
        kind = QImage.Format.Format_Grayscale8
    else:
        content = np.ascontiguousarray(pixels[:, :, :3])
        kind = QImage.Format.Format_RGB888
    return QImage(content.data, width, height, content.strides[0], kind).copy()


class SampleDelegate(QStyledItemDelegate):
    """Draws a cell: the picture, pixel by pixel, its label, and a line a model."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.palette: Palette = LIGHT
        self.lines = 1

    def sizeHint(self, option: QStyleOptionViewItem, index: _ModelIndex) -> QSize:
        line = QFontMetrics(option.font).height()
        return QSize(CELL, PICTURE + 16 + line * (1 + min(self.lines, LINES)))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _ModelIndex) -> None:
        painter.save()
        cell = option.rect.adjusted(2, 2, -2, -2)
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        hovered = bool(option.state & QStyle.StateFlag.State_MouseOver)
        if selected or hovered:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(self.palette.tint if selected else self.palette.hover))
            painter.drawRoundedRect(cell, 6, 6)
            if selected:
                painter.setPen(QPen(QColor(self.palette.accent), 1))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawRoundedRect(cell.adjusted(0, 0, -1, -1), 6, 6)
        self._picture(painter, cell, index.data(Qt.ItemDataRole.DecorationRole))
        self._texts(painter, cell, option, index)
        painter.restore()

    def _picture(self, painter: QPainter, cell: QRect, image: QImage) -> None:
        scaled = image.scaled(
            PICTURE,
            PICTURE,
            Qt.AspectRatioMode.KeepAspectRatio,
            Qt.TransformationMode.FastTransformation,
        )
        left = cell.left() + (cell.width() - scaled.width()) // 2
        painter.drawImage(left, cell.top() + 6, scaled)

    def _texts(
        self, painter: QPainter, cell: QRect, option: QStyleOptionViewItem, index: _ModelIndex
    ) -> None:
        metrics = QFontMetrics(option.font)
        painter.setFont(option.font)
        line = QRect(
            cell.left() + 6, cell.top() + PICTURE + 10, cell.width() - 12, metrics.height()
        )
        label = str(index.data(Qt.ItemDataRole.DisplayRole))
        painter.setPen(QColor(self.palette.text))
        painter.drawText(line, _CENTRE, metrics.elidedText(label, _RIGHT, line.width()))
        model = index.model()
        assert isinstance(model, SampleModel)
        for answer in model.answers(index.data(INDEX))[:LINES]:
            line.translate(0, metrics.height())
            self._answer(painter, line, metrics, answer)

    def _answer(
        self, painter: QPainter, line: QRect, metrics: QFontMetrics, answer: Answer
    ) -> None:
        dot = QRect(line.left(), line.center().y() - 3, 7, 7)
        painter.fillRect(dot, QColor(answer.colour))
        painter.setPen(QColor(self.palette.muted if answer.correct else self.palette.negative))
        text = line.adjusted(11, 0, 0, 0)
        painter.drawText(text, _LEFT, metrics.elidedText(answer.text, _RIGHT, text.width()))


_CENTRE = Qt.AlignmentFlag.AlignCenter
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_RIGHT = Qt.TextElideMode.ElideRight
