from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.linking import Selection
from app.selection import SelectionState


@pytest.fixture
def selection(qapp):
    return Selection()


def test_a_change_is_announced_and_undone(selection):
    seen = []
    selection.changed.connect(lambda old, new: seen.append((old.layer, new.layer)))
    selection.set(SelectionState(layer="conv1"), "Choose conv1")
    selection.set(SelectionState(layer="conv1"), "Choose conv1")
    assert selection.undo_stack.count() == 1
    assert selection.undo_stack.undoText() == "Choose conv1"
    selection.undo_stack.undo()
    selection.undo_stack.redo()
    assert seen == [("", "conv1"), ("conv1", ""), ("", "conv1")]


def test_one_gesture_is_one_step(selection):
    for i in range(5):
        selection.set(SelectionState(samples=(i,)), "Drag", gesture="drag 1")
    selection.set(SelectionState(samples=(9,)), "Drag", gesture="drag 2")
    assert selection.undo_stack.count() == 2
    selection.undo_stack.undo()
    assert selection.state.samples == (4,)
    selection.undo_stack.undo()
    assert selection.state.samples == ()


def test_hover_is_passed_on_and_not_stored(selection, qtbot):
    with qtbot.waitSignal(selection.hovered) as caught:
        selection.hover("sample", (3,))
    assert caught.args == ["sample", (3,)]
    assert selection.state == SelectionState()
    assert selection.undo_stack.count() == 0


def test_reset_forgets_the_history(selection):
    selection.set(SelectionState(layer="a"), "a")
    selection.reset(SelectionState(layer="b"))
    assert selection.state.layer == "b"
    assert not selection.undo_stack.canUndo()


changes = st.lists(
    st.tuples(st.sampled_from(["layer", "corruption"]), st.text(max_size=3)), max_size=12
)


@given(changes)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_undoing_everything_is_the_beginning_and_redoing_the_end(qapp, edits):
    selection = Selection()
    for name, value in edits:
        selection.set(replace(selection.state, **{name: value}), name)
    end = selection.state
    while selection.undo_stack.canUndo():
        selection.undo_stack.undo()
    assert selection.state == SelectionState()
    while selection.undo_stack.canRedo():
        selection.undo_stack.redo()
    assert selection.state == end
