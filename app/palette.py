"""The command palette: type a few letters, press Enter."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import (
    QAbstractListModel,
    QEvent,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QRect,
    Qt,
    Signal,
)
from PySide6.QtGui import QColor, QKeyEvent, QPainter, QPalette
from PySide6.QtWidgets import (
    QFrame,
    QLineEdit,
    QListView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from app.actions import Action, shortcut_text

_WIDTH, _ROWS = 560, 10


def match(query: str, text: str) -> float | None:
    """How well `query` fits `text`: higher is better, None = not at all.

    Its letters must occur in order; letters at word starts and runs of letters count more.
    """
    text = text.lower()
    score, at, run = 0.0, -1, 0
    for letter in query.lower().replace(" ", ""):
        found = text.find(letter, at + 1)
        start = _word_start(text, letter, at + 1)
        if found < 0:
            return None
        run = run + 1 if found == at + 1 else 0
        if run == 0 and start >= 0:
            found = start
        score += 1 + 2 * run + (3 if found == 0 or not text[found - 1].isalnum() else 0)
        at = found
    return score - 0.01 * len(text)


def _word_start(text: str, letter: str, begin: int) -> int:
    for i in range(begin, len(text)):
        if text[i] == letter and (i == 0 or not text[i - 1].isalnum()):
            return i
    return -1


def ranked(query: str, actions: Iterable[Action]) -> list[Action]:
    """The actions that fit, best first; all of them, in their own order, for an empty query."""
    scored = [(match(query, _text(action)), action) for action in actions]
    fitting = [(score, action) for score, action in scored if score is not None]
    if query.strip():
        fitting.sort(key=lambda pair: -pair[0])
    return [action for _, action in fitting]


def label(action: Action) -> str:
    """The title as it reads outside its menu: "Export Overview: PDF…"."""
    _, _, submenu = action.menu.partition("/")
    return f"{submenu}: {action.title}" if submenu else action.title


def _text(action: Action) -> str:
    return f"{label(action)} {action.menu.partition('/')[0]}"


class _Model(QAbstractListModel):
    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.actions: list[Action] = []

    def rowCount(self, parent: QModelIndex | QPersistentModelIndex = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.actions)

    def data(self, index: QModelIndex | QPersistentModelIndex, role: int = 0) -> object:
        if not index.isValid():
            return None
        action = self.actions[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return label(action)
        if role == Qt.ItemDataRole.ToolTipRole:
            return action.help
        return action if role == Qt.ItemDataRole.UserRole else None

    def show(self, actions: list[Action]) -> None:
        self.beginResetModel()
        self.actions = actions
        self.endResetModel()


class _Delegate(QStyledItemDelegate):
    """Title on the left, menu and shortcut in muted ink on the right."""

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> None:
        super().paint(painter, option, index)
        action: Action = index.data(Qt.ItemDataRole.UserRole)
        side = " · ".join(filter(None, (action.menu.partition("/")[0], shortcut_text(action))))
        painter.save()
        painter.setFont(option.font)
        painter.setPen(QColor(option.palette.color(QPalette.ColorRole.PlaceholderText)))
        rect: QRect = option.rect.adjusted(0, 0, -12, 0)
        painter.drawText(rect, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, side)
        painter.restore()


class CommandPalette(QFrame):
    """A box at the top of its window; `chosen` carries the action's id."""

    chosen = Signal(str)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("paletteBox")
        self._actions: list[Action] = []
        self.field = QLineEdit()
        self.field.setPlaceholderText("Type a command")
        self.field.setAccessibleName("Command")
        self.field.textChanged.connect(self._filter)
        self.field.installEventFilter(self)
        self._model = _Model(self)
        self.list = QListView()
        self.list.setAccessibleName("Matching commands")
        self.list.setModel(self._model)
        self.list.setItemDelegate(_Delegate(self.list))
        self.list.setUniformItemSizes(True)
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.clicked.connect(self._choose)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(1, 1, 1, 1)
        layout.setSpacing(0)
        layout.addWidget(self.field)
        layout.addWidget(self.list)
        self.hide()

    def open(self, actions: list[Action]) -> None:
        """Show these actions and take the keyboard."""
        self._actions = actions
        self.field.clear()
        self._filter("")
        host = self.parentWidget()
        width = min(_WIDTH, host.width() - 32)
        height = self.field.sizeHint().height() + _ROWS * max(28, self.list.sizeHintForRow(0)) + 12
        self.setGeometry((host.width() - width) // 2, 56, width, min(height, host.height() - 80))
        self.show()
        self.raise_()
        self.field.setFocus(Qt.FocusReason.PopupFocusReason)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            return self._key(event.key())
        if event.type() == QEvent.Type.FocusOut and self.isVisible():
            self.hide()
        return False

    def _key(self, key: int) -> bool:
        if key == Qt.Key.Key_Escape:
            self.hide()
            self.parentWidget().setFocus()
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._choose(self.list.currentIndex())
        elif key in (Qt.Key.Key_Down, Qt.Key.Key_Up):
            step = 1 if key == Qt.Key.Key_Down else -1
            count = max(1, self._model.rowCount())
            self._point_at((self.list.currentIndex().row() + step) % count)
        else:
            return False
        return True

    def _filter(self, text: str) -> None:
        self._model.show(ranked(text, self._actions))
        self._point_at(0)

    def _point_at(self, row: int) -> None:
        self.list.setCurrentIndex(self._model.index(row, 0))

    def _choose(self, index: QModelIndex) -> None:
        action = index.data(Qt.ItemDataRole.UserRole)
        self.hide()
        if action is not None:
            self.chosen.emit(action.id)
