"""The selection that links all views: a value, a signal when it changes, and its history."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QUndoCommand, QUndoStack

from app.selection import SelectionState, SelectMode

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
        self.show(new)

    def hover(self, entity: str, ids: object) -> None:
        self.hovered.emit(entity, ids)

    def show(self, new: SelectionState) -> None:
        """Make `new` the selection outside the history; for undo commands."""
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
        self._selection.show(self._new)

    def undo(self) -> None:
        self._selection.show(self._old)

    def id(self) -> int:
        return 1 if self._gesture else -1

    def mergeWith(self, other: QUndoCommand) -> bool:
        if not isinstance(other, _Change) or other._gesture != self._gesture:
            return False
        self._new = other._new
        return True


def pick(
    state: SelectionState, entity: str, ids: Iterable[int | str], mode: SelectMode
) -> SelectionState:
    """What picking marks in a view means, whatever the view.

    Samples, classes and units follow the mode. A layer and a model are chosen one at a time: the
    last id counts, and picking nothing changes nothing. A cell means something in its view alone.
    """
    chosen = list(ids)
    if entity == "sample":
        return state.with_samples(frozenset(int(i) for i in chosen), mode)
    if entity == "class":
        return state.with_classes(frozenset(int(i) for i in chosen), mode)
    if entity == "unit":
        units = state.with_units(frozenset(map(str, chosen)), mode)
        layer = str(chosen[-1]).rpartition(":")[0] if chosen else state.layer
        return replace(units, layer=layer)
    if not chosen:
        return state
    last = str(chosen[-1])
    if entity == "layer":
        return replace(state, layer=last, units=() if last != state.layer else state.units)
    if entity == "model":
        models = state.models if last in state.models else (*state.models, last)
        return replace(state, models=models, focus=last)
    return state


def describe_pick(entity: str, state: SelectionState) -> str:
    """The name of the undo step."""
    if entity == "sample":
        return f"Select {len(state.samples):,} images"
    if entity == "class":
        return f"Select {len(state.classes)} classes"
    if entity == "unit":
        return f"Select {len(state.units)} units"
    if entity == "cell" and state.corruption:
        return f"Choose {state.corruption.replace('_', ' ')} {state.severity}"
    return f"Choose {state.layer}" if entity == "layer" else "Choose model"
