from __future__ import annotations

import importlib
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from app.figures.spec import Figure
from app.figures.themes import DARK, LIGHT
from app.scene import Scene
from app.selection import SelectionState
from app.views import VIEWS
from app.views.base import FigureView
from tests.app import samples


class Options(BaseModel):
    count: int = Field(50, ge=1, le=500, description="Points drawn.")
    colour: Literal["class", "margin"] = "class"


def figure(scene: Scene, options: Options, answers: Any) -> Figure:
    return replace(samples.geometry(options.count), title=f"{len(answers)} answers")


ENTRY: Any = SimpleNamespace(
    name="fake",
    title="Fake",
    help="What it shows.",
    state=SimpleNamespace(Options=Options, figure=figure),
)


def scene(**selection: Any) -> Scene:
    return Scene((), {}, None, None, None, None, SelectionState(**selection))  # type: ignore[arg-type]


@pytest.fixture
def view(qtbot) -> FigureView:
    widget = FigureView(ENTRY)
    qtbot.addWidget(widget)
    widget.resize(700, 420)
    with qtbot.waitExposed(widget):
        widget.show()
    return widget


def test_it_shows_what_the_state_makes_of_the_scene(view) -> None:
    view.show_scene(scene(samples=(1, 2)), {"a": 1}, 0.4, LIGHT)
    assert view.current_figure().title == "1 answers"
    assert view.bar.subtitle.text() == "1 answers"
    assert view.progress.fraction == 0.4
    assert "40 %" in view.progress.accessibleDescription()
    artist = view.canvas.plots()[1]._artists[0]
    assert len(artist.over.getData()[0]) == 2
    view.show_scene(scene(), {}, None, DARK)
    assert view.progress.fraction is None
    assert len(artist.over.getData()[0]) == 0


def test_without_a_scene_it_says_what_to_do(view) -> None:
    view.show_scene(None, {}, None, LIGHT)
    assert "Open a checkpoint" in view.current_figure().message


def test_options_follow_the_form_and_are_told(view, qtbot) -> None:
    with qtbot.waitSignal(view.options_changed):
        view.form.field("count").setValue(60)
    assert view.options == Options(count=60)
    with qtbot.assertNotEmitted(view.options_changed):
        view.options = Options(count=70)
    assert view.form.value() == Options(count=70)


def test_picks_hovers_and_exports_are_passed_on(view, qtbot) -> None:
    with qtbot.waitSignal(view.picked) as caught:
        view.canvas.picked.emit("sample", frozenset([1]), "add")
    assert caught.args == ["sample", frozenset([1]), "add"]
    with qtbot.waitSignal(view.hovered):
        view.canvas.hovered.emit("sample", frozenset([1]))
    kinds = []
    view.export_requested.connect(kinds.append)
    for action in view.bar.export.menu().actions():
        action.trigger()
    assert kinds == ["svg", "pdf", "png", "csv", "py", "copy-image", "copy-data", "copy-python"]


def test_the_tools_set_what_dragging_does(view) -> None:
    view.show_scene(scene(), {}, None, LIGHT)
    view.bar.tools["lasso"].click()
    assert {p.box.tool for p in view.canvas.plots()} == {"lasso"}
    assert not view.bar.tools["pan"].isChecked()


def test_a_hover_elsewhere_is_ringed(view) -> None:
    view.show_scene(scene(), {}, None, LIGHT)
    view.show_hover("sample", frozenset([3]))
    ring = view.canvas.plots()[1].pointer._ring
    assert len(ring.getData()[0]) == 1
    view.show_hover("sample", frozenset())
    assert len(ring.getData()[0]) == 0


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_opens_empty(name, qtbot) -> None:
    importlib.import_module(f"app.views.{name}.state")
    widget = VIEWS[name].widget(VIEWS[name])
    qtbot.addWidget(widget)
    widget.show_scene(None, {}, 0.5, LIGHT)
    assert widget.current_figure().message
    assert widget.accessibleName() == VIEWS[name].title
    widget.grab()
