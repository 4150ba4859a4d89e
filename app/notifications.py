"""Messages inside the window: what happened, on which input, what to do next; details fold out."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Literal

from PySide6.QtCore import QEvent, QObject, Qt, QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from analysis.errors import InputError

Severity = Literal["info", "success", "warning", "error"]

_SHOWN = 4
_SECONDS = {"info": 6, "success": 6, "warning": 0, "error": 0}
"""How long a toast stays; 0 = until it is closed."""
_WIDTH = 440
_MARGIN = 16


@dataclass(frozen=True)
class Message:
    """One notification. `details` is folded away at first."""

    severity: Severity
    text: str
    details: str = ""


def message_of(error: BaseException, doing: str = "") -> Message:
    """What the user is told about an error; unusable input is no fault of ours: no trace."""
    prefix = f"{doing}: " if doing else ""
    if isinstance(error, (InputError, ValueError)):
        return Message("error", f"{prefix}{error}")
    trace = "".join(traceback.format_exception(error))
    text = f"{prefix}{type(error).__name__}: {error}"
    return Message("error", f"{text} Please report it with the details.", trace)


class Toast(QFrame):
    """One message on screen."""

    def __init__(self, message: Message, parent: QWidget) -> None:
        super().__init__(parent)
        self.message = message
        self.setObjectName("toast")
        self.setProperty("severity", message.severity)
        self.setAccessibleName(f"{message.severity}: {message.text}")
        self._text = QLabel(message.text)
        self._text.setWordWrap(True)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._details = QPlainTextEdit(message.details)
        self._details.setReadOnly(True)
        self._details.setAccessibleName("Details of the message")
        self._details.setFixedHeight(160)
        self._details.hide()
        self._fold = _button("Details", "Show the details of the message")
        self._fold.setCheckable(True)
        self._fold.setVisible(bool(message.details))
        self._fold.toggled.connect(self._details.setVisible)
        copy = _button("Copy", "Copy the message and its details")
        copy.clicked.connect(self.copy)
        close = _button("Close", "Close the message")
        close.clicked.connect(self.close)
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addStretch(1)
        for button in (self._fold, copy, close):
            row.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 8, 8, 6)
        layout.setSpacing(4)
        layout.addWidget(self._text)
        layout.addWidget(self._details)
        layout.addLayout(row)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)
        seconds = _SECONDS[message.severity]
        if seconds:
            QTimer.singleShot(1000 * seconds, self, self.close)

    def copy(self) -> None:
        """Put text and details on the clipboard."""
        text = "\n\n".join(filter(None, (self.message.text, self.message.details)))
        QGuiApplication.clipboard().setText(text)


class Notifications(QWidget):
    """The strip of toasts in the lower right corner of `host`; the newest is at the bottom."""

    def __init__(self, host: QWidget) -> None:
        super().__init__(host)
        self._host = host
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(8)
        self.setAccessibleName("Messages")
        self._placing = QTimer(self, singleShot=True, interval=0)
        self._placing.timeout.connect(self._place)
        host.installEventFilter(self)
        self.hide()

    def show_message(self, message: Message) -> None:
        """Show a message; the same one is not shown twice at a time."""
        shown = self.toasts()
        if any(toast.message == message for toast in shown):
            return
        for toast in shown[: max(0, len(shown) - _SHOWN + 1)]:
            toast.close()
        toast = Toast(message, self)
        toast.installEventFilter(self)
        toast.destroyed.connect(self._placing.start)
        self._layout.addWidget(toast)
        self.show()
        toast.show()
        self._place()
        self._placing.start()

    def toasts(self) -> list[Toast]:
        """The messages on screen, oldest first."""
        children = self.findChildren(Toast, options=Qt.FindChildOption.FindDirectChildrenOnly)
        return [toast for toast in children if not toast.isHidden()]

    def clear(self) -> None:
        for toast in self.toasts():
            toast.close()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        wanted = QEvent.Type.Resize if watched is self._host else QEvent.Type.LayoutRequest
        if event.type() == wanted:
            self._placing.start()  # not within the layout pass that asked for it
        return False

    def _place(self) -> None:
        toasts = self.toasts()
        if not toasts:
            self.hide()
            return
        width = min(_WIDTH, self._host.width() - 2 * _MARGIN)
        for toast in toasts:
            toast.setFixedWidth(width)
        self._layout.invalidate()
        height = sum(toast.heightForWidth(width) for toast in toasts)
        height = max(height, self._layout.sizeHint().height())
        self.setGeometry(
            self._host.width() - width - _MARGIN,
            self._host.height() - height - 48,
            width,
            height,
        )
        self.raise_()


def _button(text: str, name: str) -> QToolButton:
    button = QToolButton()
    button.setText(text)
    button.setAccessibleName(name)
    button.setToolTip(name)
    return button
