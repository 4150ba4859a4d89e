"""What all panels share: the dock with its quiet header, and the empty state."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QFont
from PySide6.QtWidgets import (
    QDockWidget,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)


class PanelDock(QDockWidget):
    """A dock around one panel. `name` is stable: layouts refer to it."""

    def __init__(self, name: str, title: str, panel: QWidget, parent: QWidget) -> None:
        super().__init__(title, parent)
        self.name = name
        self.panel = panel
        self.setObjectName(f"dock-{name}")
        self.setTitleBarWidget(self._header(title))
        frame = QFrame()
        frame.setObjectName("panel")
        layout = QVBoxLayout(frame)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(panel)
        self.setWidget(frame)

    def _header(self, title: str) -> QFrame:
        header = QFrame()
        header.setObjectName("panelHeader")
        label = QLabel(title)
        label.setObjectName("panelTitle")
        label.setFont(small_caps(label.font()))
        close = QToolButton()
        close.setText("✕")
        close.setToolTip(f"Close {title}")
        close.setAccessibleName(f"Close {title}")
        close.clicked.connect(self.close)
        row = QHBoxLayout(header)
        row.setContentsMargins(16, 4, 8, 4)
        row.addWidget(label)
        row.addStretch(1)
        row.addWidget(close)
        return header


class EmptyState(QWidget):
    """Says what is missing and offers the buttons that help; `asked` carries an action's id."""

    asked = Signal(str)

    def __init__(self, title: str, text: str, buttons: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(16, 16, 16, 16)
        layout.setSpacing(8)
        heading = QLabel(title)
        heading.setObjectName("emptyTitle")
        heading.setWordWrap(True)
        body = QLabel(text)
        body.setObjectName("hint")
        body.setWordWrap(True)
        layout.addWidget(heading)
        layout.addWidget(body)
        for i, (action, label) in enumerate(buttons):
            button = QPushButton(label)
            button.setObjectName(action)
            button.setAccessibleName(label)
            button.setProperty("primary", i == 0)
            button.clicked.connect(self._ask)
            layout.addWidget(button, alignment=Qt.AlignmentFlag.AlignLeft)
        layout.addStretch(1)

    def _ask(self) -> None:
        sender = self.sender()
        if sender is not None:
            self.asked.emit(sender.objectName())


def small_caps(font: QFont) -> QFont:
    """The font of panel headers: letterspaced capitals in semibold."""
    header = QFont(font)
    header.setCapitalization(QFont.Capitalization.AllUppercase)
    header.setLetterSpacing(QFont.SpacingType.PercentageSpacing, 104)
    header.setWeight(QFont.Weight.DemiBold)
    return header


def section(text: str) -> QLabel:
    """A heading within a panel."""
    label = QLabel(text)
    label.setObjectName("sectionTitle")
    return label


def hint(text: str = "") -> QLabel:
    """A line of muted text that wraps."""
    label = QLabel(text)
    label.setObjectName("hint")
    label.setWordWrap(True)
    return label


def tool(text: str, name: str) -> QToolButton:
    """A flat button with a name for those who cannot see it."""
    button = QToolButton()
    button.setText(text)
    button.setToolTip(name)
    button.setAccessibleName(name)
    return button


def percent(fraction: float, digits: int = 1) -> str:
    return f"{100 * fraction:.{digits}f} %"
