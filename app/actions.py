"""Every user action once: menus, command palette, shortcuts and their list derive from here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from PySide6.QtCore import QObject
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QLabel,
    QMenu,
    QMenuBar,
    QVBoxLayout,
    QWidget,
)

Enabled = Callable[[], bool]


@dataclass(frozen=True)
class Action:
    """Something the user can do.

    Attributes
    ----------
    id: stable name, "group.verb".
    title: as the menu shows it.
    callback: what happens.
    menu: "File" or "Select/By class"; "" = in the palette only.
    shortcuts: portable key sequences; the first one is shown.
    enabled: asked whenever a menu or the palette opens, and after every change.
    checked: for actions that show a state.
    help: one sentence, shown in the status bar and by What's This.
    section: a line separates sections within a menu.
    """

    id: str
    title: str
    callback: Callable[[], object]
    menu: str = ""
    shortcuts: tuple[str, ...] = ()
    enabled: Enabled | None = None
    checked: Callable[[], bool] | None = None
    help: str = ""
    section: int = 0


class Actions(QObject):
    """The registry: builds one QAction for each action and keeps their states true."""

    def __init__(self, owner: QWidget, actions: Iterable[Action]) -> None:
        super().__init__(owner)
        self._owner = owner
        self.actions: dict[str, Action] = {}
        self.qt: dict[str, QAction] = {}
        for action in actions:
            self.add(action)

    def add(self, action: Action) -> QAction:
        """Register an action; its shortcuts work from everywhere in the owner's window."""
        if action.id in self.actions:
            raise ValueError(f"two actions are called {action.id}")
        qt = QAction(action.title, self._owner)
        qt.setObjectName(action.id)
        qt.setShortcuts([QKeySequence(keys) for keys in action.shortcuts])
        qt.setStatusTip(action.help)
        qt.setWhatsThis(action.help)
        qt.setCheckable(action.checked is not None)
        qt.triggered.connect(self._run)
        self._owner.addAction(qt)
        self.actions[action.id] = action
        self.qt[action.id] = qt
        return qt

    def remove(self, action_id: str) -> None:
        """Forget an action (a saved layout that was deleted)."""
        del self.actions[action_id]
        qt = self.qt.pop(action_id)
        self._owner.removeAction(qt)
        qt.deleteLater()

    def trigger(self, action_id: str) -> None:
        """Do it, if it is enabled now."""
        action = self.actions[action_id]
        if action.enabled is None or action.enabled():
            action.callback()
        self.refresh()

    def refresh(self) -> None:
        """Bring enabled and checked states up to date."""
        for action_id, action in self.actions.items():
            qt = self.qt[action_id]
            qt.setEnabled(action.enabled is None or action.enabled())
            if action.checked is not None:
                qt.setChecked(action.checked())

    def fill(self, bar: QMenuBar, order: Iterable[str]) -> dict[str, QMenu]:
        """Build the menus, in `order`; "A/B" is the submenu B of A. Returns them by path."""
        menus: dict[str, QMenu] = {}
        for title in order:
            menus[title] = bar.addMenu(f"&{title}")
            menus[title].aboutToShow.connect(self.refresh)
        last: dict[str, int] = {}
        for action_id, action in self.actions.items():
            if not action.menu:
                continue
            menu = self._menu(menus, action.menu)
            if last.setdefault(action.menu, action.section) != action.section:
                menu.addSeparator()
                last[action.menu] = action.section
            menu.addAction(self.qt[action_id])
        return menus

    def available(self) -> list[Action]:
        """The actions that can be done now, in order of registration."""
        return [a for a in self.actions.values() if a.enabled is None or a.enabled()]

    def _menu(self, menus: dict[str, QMenu], path: str) -> QMenu:
        if path not in menus:
            parent, _, title = path.rpartition("/")
            menus[path] = self._menu(menus, parent).addMenu(title)
        return menus[path]

    def _run(self) -> None:
        sender = self.sender()
        if sender is not None:
            self.trigger(sender.objectName())


def shortcut_text(action: Action) -> str:
    """All shortcuts as this platform writes them."""
    native = QKeySequence.SequenceFormat.NativeText
    return ", ".join(QKeySequence(keys).toString(native) for keys in action.shortcuts)


def shortcuts_table(actions: Iterable[Action]) -> str:
    """An HTML table of all shortcuts, a section a menu."""
    groups: dict[str, list[Action]] = {}
    for action in actions:
        if action.shortcuts:
            groups.setdefault(action.menu.partition("/")[0] or "Other", []).append(action)
    rows = []
    for group, members in groups.items():
        rows.append(f"<tr><td colspan=2><p><b>{group}</b></p></td></tr>")
        rows += [
            f"<tr><td style='padding-right:32px'>{a.title.rstrip('…')}</td>"
            f"<td><tt>{shortcut_text(a)}</tt></td></tr>"
            for a in members
        ]
    return f"<table cellspacing=3>{''.join(rows)}</table>"


class ShortcutsDialog(QDialog):
    """The list of shortcuts."""

    def __init__(self, actions: Iterable[Action], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Shortcuts")
        mouse = (
            "<p><b>In a view</b><br>Click or lasso selects · Shift adds · Ctrl toggles · "
            "Alt subtracts · Shift+Alt intersects · Esc cancels the gesture</p>"
        )
        text = QLabel(shortcuts_table(actions) + mouse)
        text.setAccessibleName("Shortcuts")
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(24, 16, 24, 16)
        layout.addWidget(text)
        layout.addWidget(buttons)
