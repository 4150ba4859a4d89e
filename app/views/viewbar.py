"""A view's part of the header above it: what dragging does, its options, and the exports."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QMenu,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.plot import Tool
from app.views.toolicons import tool_icon

TOOLS: dict[Tool, tuple[str, str]] = {
    "pan": ("Pan", "Drag to move the plot, wheel to zoom; double click or Home shows everything."),
    "box": ("Box", "Drag a box to select. Shift adds, Ctrl toggles, Alt subtracts, Esc cancels."),
    "lasso": (
        "Lasso",
        "Draw around items to select them. Shift adds, Ctrl toggles, Alt subtracts, Esc cancels.",
    ),
}
EXPORTS = (
    ("svg", "Save as SVG…"),
    ("pdf", "Save as PDF…"),
    ("png", "Save as PNG…"),
    ("csv", "Save data as CSV…"),
    ("py", "Save as Python script…"),
    ("", ""),
    ("copy-image", "Copy image"),
    ("copy-data", "Copy data"),
    ("copy-python", "Copy as Python"),
)


class ViewBar(QWidget):
    """Signals: tool_changed(tool), export_requested(kind)."""

    tool_changed = Signal(str)
    export_requested = Signal(str)

    def __init__(self, title: str, form: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._ink = ""
        self._popup = _popup(form, title, self)
        self.subtitle = QLabel()
        self.subtitle.setObjectName("muted")
        self.subtitle.setMinimumWidth(1)
        self.options = _button("Options", f"Options of {title}")
        self.options.clicked.connect(self._open_options)
        self.export = _button("Export", f"Save or copy {title}")
        self.export.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.export.setMenu(self._export_menu())
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(self.subtitle, 1)
        row.addWidget(self._tool_buttons())
        row.addWidget(self.options)
        row.addWidget(self.export)

    def set_tool(self, tool: Tool) -> None:
        self.tools[tool].setChecked(True)

    def set_ink(self, colour: str) -> None:
        """Draw the tools in this colour."""
        if colour != self._ink:
            self._ink = colour
            for tool, button in self.tools.items():
                button.setIcon(tool_icon(tool, colour))

    def set_subtitle(self, text: str) -> None:
        self.subtitle.setText(text)
        self.subtitle.setToolTip(text)

    def _tool_buttons(self) -> QWidget:
        frame = QFrame()
        frame.setObjectName("segments")
        frame.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        row = QHBoxLayout(frame)
        row.setContentsMargins(2, 0, 2, 0)
        row.setSpacing(0)
        self.tools: dict[Tool, QToolButton] = {}
        for tool, (text, help_text) in TOOLS.items():
            button = _button(text, f"{text}. {help_text}")
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonIconOnly)
            button.setFixedSize(32, 28)
            button.setCheckable(True)
            button.setAutoExclusive(True)
            button.setAccessibleName(f"{text} tool")
            button.toggled.connect(partial(self._toggled, tool))
            row.addWidget(button)
            self.tools[tool] = button
        return frame

    def _toggled(self, tool: str, on: bool) -> None:
        if on:
            self.tool_changed.emit(tool)

    def _export_menu(self) -> QMenu:
        menu = QMenu(self)
        for kind, text in EXPORTS:
            if kind:
                menu.addAction(text, partial(self.export_requested.emit, kind))
            else:
                menu.addSeparator()
        return menu

    def _open_options(self) -> None:
        """Below the button, kept inside the screen."""
        self._popup.adjustSize()
        corner = QPoint(self.options.width() - self._popup.width(), self.options.height() + 2)
        place = self.options.mapToGlobal(corner)
        area = self.screen().availableGeometry()
        place.setX(max(area.left(), min(place.x(), area.right() - self._popup.width())))
        self._popup.move(place)
        self._popup.show()
        self._popup.setFocus()


class ProgressLine(QWidget):
    """Three pixels on a view's edge: how far the view's computation is."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(3)
        self.setAccessibleName("Progress of this view")
        self.fraction: float | None = None
        self._colour = QColor("#000000")

    def show_progress(self, fraction: float | None, colour: str) -> None:
        """0 to 1, or None when nothing is computed. Always leaves a visible beginning."""
        self.fraction, self._colour = fraction, QColor(colour)
        text = "" if fraction is None else f"Computing, {100 * fraction:.0f} % done"
        self.setToolTip(text)
        self.setAccessibleDescription(text)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        if self.fraction is None:
            return
        p = QPainter(self)
        try:
            share = min(max(self.fraction, 0.02), 1.0)
            track = QColor(self._colour)
            track.setAlpha(40)
            p.fillRect(self.rect(), track)
            p.fillRect(0, 0, round(self.width() * share), self.height(), self._colour)
        finally:
            p.end()


def _button(text: str, help_text: str) -> QToolButton:
    button = QToolButton()
    button.setText(text)
    button.setToolTip(help_text)
    button.setWhatsThis(help_text)
    button.setAccessibleName(text)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return button


def _popup(form: QWidget, title: str, parent: QWidget) -> QFrame:
    frame = QFrame(parent, Qt.WindowType.Popup)
    frame.setObjectName("panel")
    frame.setFrameShape(QFrame.Shape.StyledPanel)
    frame.setAccessibleName(f"Options of {title}")
    column = QVBoxLayout(frame)
    column.setContentsMargins(16, 12, 16, 12)
    column.addWidget(form)
    form.setMinimumWidth(240)
    return frame
