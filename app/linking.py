"""The selection that links all views: a value, a signal when it changes, and its history."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QUndoCommand, QUndoStack

from app.selection import SelectionState

_LIMIT = 500


class Selection(QObject):
    """The shared selection.

    `changed(old, new)` follows every change, undo and redo included. `hovered(entity, ids)` is
    passed on and forgotten: it is never stored, undone or computed with.
    """

    changed = Signal(object, object)
    hovered = Signal(str, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.state = SelectionState()
        self.undo_stack = QUndoStack(self)
        self.undo_stack.setUndoLimit(_LIMIT)

    def set(self, new: SelectionState, text: str, gesture: str = "") -> None:
        """Make `new` the selection, as one undo step called `text`.

        Consecutive changes with the same non-empty `gesture` are one step (a drag).
        """
        if new != self.state:
            self.undo_stack.push(_Change(self, self.state, new, text, gesture))

    def reset(self, new: SelectionState) -> None:
        """Replace the selection and forget the history (another study was opened)."""
        self.undo_stack.clear()
        self._show(new)

    def hover(self, entity: str, ids: object) -> None:
        self.hovered.emit(entity, ids)

    def _show(self, new: SelectionState) -> None:
        old, self.state = self.state, new
        if old != new:
            self.changed.emit(old, new)


class _Change(QUndoCommand):
    """From one selection to another."""

    def __init__(
        self,
        selection: Selection,
        old: SelectionState,
        new: SelectionState,
        text: str,
        gesture: str,
    ) -> None:
        super().__init__(text)
        self._selection = selection
        self._old = old
        self._new = new
        self._gesture = gesture

    def redo(self) -> None:
        self._selection._show(self._new)

    def undo(self) -> None:
        self._selection._show(self._old)

    def id(self) -> int:
        return 1 if self._gesture else -1

    def mergeWith(self, other: QUndoCommand) -> bool:
        if not isinstance(other, _Change) or other._gesture != self._gesture:
            return False
        self._new = other._new
        return True
