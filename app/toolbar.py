"""The toolbar: layouts as one segmented control, undo, and the way to every command."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QFrame, QHBoxLayout, QSizePolicy, QToolBar, QToolButton, QWidget

from app.actions import Actions
from app.layouts import PRESETS


class LayoutBar(QToolBar):
    """[Prune | Sensitivity | Geometry | …]   undo redo · commands"""

    def __init__(self, actions: Actions, parent: QWidget) -> None:
        super().__init__("Layouts", parent)
        self._actions = actions
        self.setObjectName("toolbar-layouts")
        self.setMovable(False)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.PreventContextMenu)
        self._segments = QFrame()
        self._segments.setObjectName("segments")
        self._row = QHBoxLayout(self._segments)
        self._row.setContentsMargins(1, 0, 1, 0)
        self._row.setSpacing(0)
        for name in PRESETS:
            self.add_layout_button(name)
        self.addWidget(self._segments)
        space = QWidget()
        space.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.addWidget(space)
        self._add("edit.undo", "Undo")
        self._add("edit.redo", "Redo")
        self.addSeparator()
        keys = actions.actions["edit.palette"].shortcuts[0]
        native = QKeySequence(keys).toString(QKeySequence.SequenceFormat.NativeText)
        self._add("edit.palette", f"Commands  {native}")

    def add_layout_button(self, name: str) -> None:
        """One more segment, for the layout with this name."""
        button = QToolButton()
        button.setDefaultAction(self._actions.qt[f"layout.{name}"])
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
        button.setAccessibleName(f"Layout {button.text()}")
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._row.addWidget(button)

    def _add(self, action_id: str, text: str) -> None:
        button = QToolButton()
        button.setText(text)
        button.setAccessibleName(text)
        button.setObjectName(action_id)
        action = self._actions.qt[action_id]
        button.setToolTip(action.toolTip())
        button.setEnabled(action.isEnabled())
        button.clicked.connect(action.trigger)
        action.enabledChanged.connect(button.setEnabled)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.addWidget(button)
