"""What undo and reopening bring back: models that were listed, and the selection."""

from __future__ import annotations

import dataclasses
from typing import Any

from PySide6.QtGui import QUndoCommand

from app.documents import Documents
from app.linking import Selection
from app.selection import SelectionState


class Listing(QUndoCommand):
    """Models come into the lists or leave them, and the selection follows."""

    def __init__(
        self,
        documents: Documents,
        selection: Selection,
        shown: tuple[str, ...],
        hidden: tuple[str, ...],
        new: SelectionState,
        text: str,
    ) -> None:
        super().__init__(text)
        self._documents, self._selection = documents, selection
        self._shown, self._hidden = shown, hidden
        self._old, self._new = selection.state, new

    def redo(self) -> None:
        self._apply(self._shown, self._hidden, self._new)

    def undo(self) -> None:
        self._apply(self._hidden, self._shown, self._old)

    def _apply(
        self, shown: tuple[str, ...], hidden: tuple[str, ...], state: SelectionState
    ) -> None:
        for key in shown:
            self._documents.hide(key, False)
        for key in hidden:
            self._documents.hide(key, True)
        self._selection.show(state)


def restored_selection(kept: Any, documents: Documents) -> SelectionState:
    """The remembered selection as far as it still makes sense; all models when there is none."""
    listed = tuple(model.key for model in documents.listed())
    if not isinstance(kept, dict):
        return SelectionState(models=listed)
    known = {field.name for field in dataclasses.fields(SelectionState)}
    fields = {name: _tuples(value) for name, value in kept.items() if name in known}
    fields["models"] = tuple(key for key in fields.get("models", listed) if key in listed)
    for name in ("reference", "focus"):
        if fields.get(name) not in listed:
            fields[name] = ""
    return SelectionState(**fields)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
