from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QMainWindow

from app.actions import Action, Actions, shortcuts_table
from app.palette import CommandPalette, match, ranked


@pytest.fixture
def window(qtbot):
    window = QMainWindow()
    window.resize(900, 600)
    qtbot.addWidget(window)
    window.show()
    return window


def test_one_declaration_gives_menu_shortcut_and_state(window, qtbot):
    done, on = [], [False]
    actions = Actions(
        window,
        [
            Action("file.open", "Open…", lambda: done.append("open"), "File", ("Ctrl+O",)),
            Action("view.on", "On", lambda: done.append("on"), "View/More", checked=lambda: on[0]),
            Action("file.never", "Never", lambda: done.append("never"), "File",
                   enabled=lambda: False, section=1),
        ],
    )  # fmt: skip
    menus = actions.fill(window.menuBar(), ["File", "View"])
    titles = [a.text() for a in menus["File"].actions()]
    assert titles == ["Open…", "", "Never"]
    assert [a.text() for a in menus["View/More"].actions()] == ["On"]
    actions.qt["file.open"].trigger()
    actions.trigger("file.never")
    assert done == ["open"]
    assert not actions.qt["file.never"].isEnabled()
    on[0] = True
    actions.refresh()
    assert actions.qt["view.on"].isChecked()
    assert [a.id for a in actions.available()] == ["file.open", "view.on"]
    with pytest.raises(ValueError, match=r"file\.open"):
        actions.add(Action("file.open", "", lambda: None))
    assert "Ctrl+O" in shortcuts_table(actions.actions.values())


def test_fuzzy_matching_prefers_word_starts():
    assert match("xyz", "Open checkpoints") is None
    assert match("oc", "Open checkpoints") > match("oc", "Document cache")
    assert match("", "anything") is not None


def test_the_palette_filters_and_runs_by_keyboard(window, qtbot):
    chosen = []
    palette = CommandPalette(window)
    palette.chosen.connect(chosen.append)
    actions = [
        Action("a", "Open checkpoints", print),
        Action("b", "Export the view", print),
        Action("c", "Open data", print),
    ]
    palette.open(actions)
    qtbot.keyClicks(palette.field, "open")
    assert palette.list.model().rowCount() == 2
    qtbot.keyClick(palette.field, Qt.Key.Key_Down)
    qtbot.keyClick(palette.field, Qt.Key.Key_Return)
    assert chosen == [ranked("open", actions)[1].id]
    assert not palette.isVisible()
    palette.open(actions)
    qtbot.keyClick(palette.field, Qt.Key.Key_Escape)
    assert not palette.isVisible()
