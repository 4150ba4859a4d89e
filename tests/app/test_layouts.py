from __future__ import annotations

import pytest
from PySide6.QtWidgets import QWidget

from app.layouts import ONE_ROW, PRESETS, Layout, Slot
from app.settings import Settings


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_layout_survives_json(name):
    assert Layout.from_json(PRESETS[name].to_json()) == PRESETS[name]


def test_what_a_layout_does_not_know_is_left_out():
    kept = {"columns": [["overview", "hologram"], ["x"]], "panels": ["models", "y"], "title": "A"}
    assert Layout.from_json(kept) == Layout("A", (("overview",),), panels=("models",))
    with pytest.raises(ValueError, match="view"):
        Layout.from_json({"columns": [["hologram"]]})


def test_controls_share_the_header_of_a_wide_slot_only(qtbot):
    view = QWidget()
    view.bar = QWidget(view)
    slot = Slot("overview", view)
    qtbot.addWidget(slot)
    slot.show()
    slot.resize(ONE_ROW + 50, 300)
    assert view.bar.parent() is slot.header
    slot.resize(ONE_ROW - 50, 300)
    assert view.bar.parent() is slot
    assert view.bar.isVisible()


def test_settings_come_back_and_bad_ones_are_left_out(tmp_path):
    path = tmp_path / "settings.json"
    settings = Settings.load(path)
    settings.theme = "dark"
    settings.opened("a")
    settings.opened("b")
    settings.opened("a")
    assert Settings.load(path) == settings
    assert settings.recent == ["a", "b"]
    path.write_text('{"schema": 1, "theme": 7, "recent": [1, "x"], "layouts": []}')
    assert Settings.load(path) == Settings(path, recent=["x"])
    path.write_text("{")
    assert Settings.load(path) == Settings(path)
