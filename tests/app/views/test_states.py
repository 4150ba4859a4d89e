"""What the views say: what they ask for, and that figures show the numbers of the answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.checkpoints import open_model
from analysis.data import open_data
from analysis.evaluate import Evaluate
from analysis.pruning import Prune, pruned_model, recipe_named
from app.figures.spec import Axes, Bars, Figure, Line, Matrix, Points, Table
from app.scene import Scene, style_of
from app.selection import SelectionState
from app.views import VIEWS
from app.views.overview.state import pareto_front


@pytest.fixture(scope="module")
def scene() -> Scene:
    dense, _ = open_model("demo:resnet")
    data = open_data("digits", limit=60)
    job = Prune(dense, recipe_named("global-magnitude", {}), 0.9)
    pruned = pruned_model(dense, job(), job)
    models = (dense, pruned)
    return Scene(
        models,
        {m.key: style_of(i) for i, m in enumerate(models)},
        dense,
        pruned,
        data.evaluation,
        data.calibration,
        SelectionState(models=tuple(m.key for m in models), samples=(1, 5, 9)),
    )


SMALL = {"paths": {"images": 3, "steps": 5}, "geometry": {"embedding": "pca"}}


def answered(scene: Scene, name: str, **options: object) -> tuple[Figure, dict[str, object]]:
    state = VIEWS[name].state
    chosen = state.Options(**{**SMALL.get(name, {}), **options})
    answers: dict[str, object] = {}
    while new := {
        k: r for k, r in state.requests(scene, chosen, answers).items() if k not in answers
    }:
        answers |= {label: request() for label, request in new.items()}
    return state.figure(scene, chosen, answers), answers


def marks(figure: Figure, kind: type) -> list:
    return [
        mark
        for panel in figure.panels
        if isinstance(panel, Axes)
        for mark in panel.marks
        if isinstance(mark, kind)
    ]


@pytest.mark.parametrize("name", VIEWS)
def test_without_models_a_view_says_what_to_do_next(scene: Scene, name: str) -> None:
    state = VIEWS[name].state
    empty = replace(scene, models=(), reference=None, focus=None)
    assert state.requests(empty, state.Options(), {}) == {}
    assert "Open a checkpoint" in state.figure(empty, state.Options(), {}).message


@pytest.mark.parametrize("name", VIEWS)
def test_before_the_answers_a_view_says_what_it_waits_for(scene: Scene, name: str) -> None:
    state = VIEWS[name].state
    figure = state.figure(scene, state.Options(), {})
    assert figure.message.endswith("…")


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("count", [1, 2])
def test_every_view_has_panels_for_one_and_two_models(scene: Scene, name: str, count: int) -> None:
    focus = scene.models[count - 1]
    figure, _ = answered(replace(scene, models=scene.models[:count], focus=focus), name)
    assert figure.panels
    assert not figure.message


def test_overview_shows_each_models_accuracy(scene: Scene) -> None:
    figure, answers = answered(scene, "overview")
    drawn = {p.ids[0]: float(p.y[0]) for p in marks(figure, Points) if p.entity == "model"}
    for model in scene.models:
        assert drawn[model.key] == 100 * answers[f"evaluate:{model.key}"].accuracy
    table = next(p for p in figure.panels if isinstance(p, Table))
    assert table.ids == tuple(m.key for m in scene.models)
    assert table.rows[1][1] == pytest.approx(90, abs=1e-3)


def test_overview_waits_with_comparing_until_an_evaluation_is_whole(scene: Scene) -> None:
    state = VIEWS["overview"].state
    _, answers = answered(scene, "overview")
    part = scene.evaluation.subset(np.arange(20))
    answers[f"evaluate:{scene.focus.key}"] = Evaluate(scene.focus, part)()
    table = state.figure(scene, state.Options(), answers).panels[1]
    assert table.rows[1][4:8] == (None, None, None, None)
    assert table.rows[1][-1] == 20


def test_pareto_front_keeps_what_nothing_beats() -> None:
    assert pareto_front([(0, 99), (50, 98), (50, 97), (80, 98)]) == {0, 3}


def test_geometry_selects_images_by_their_index(scene: Scene) -> None:
    figure, _ = answered(scene, "geometry")
    clouds = [p for p in marks(figure, Points) if p.entity == "sample"]
    first_panel = [m for m in figure.panels[0].marks if isinstance(m, Points)]
    ids = np.concatenate([np.asarray(p.ids) for p in first_panel])
    assert sorted(ids.tolist()) == list(range(60))
    assert clouds


def test_geometry_follows_the_layer(scene: Scene) -> None:
    layer = scene.reference.layers[2].name
    chosen = replace(scene, selection=replace(scene.selection, layer=layer))
    figure, answers = answered(chosen, "geometry")
    assert layer in figure.title
    assert answers[f"geometry:{scene.reference.key}"].margin.size == 0


def test_weights_follow_the_layer_and_count_zeros(scene: Scene) -> None:
    layer = scene.reference.layers[3].name
    chosen = replace(scene, selection=replace(scene.selection, layer=layer))
    figure, answers = answered(chosen, "weights")
    assert answers["weights"].layer == layer
    assert answers["weights"].zeros == scene.models[1].zeros[layer]
    units = next(b for b in marks(figure, Bars) if b.entity == "unit")
    assert units.ids[0] == f"{layer}:0"


def test_paths_use_the_selected_images_and_name_units_by_layer(scene: Scene) -> None:
    figure, answers = answered(scene, "paths")
    result = answers[f"paths:{scene.reference.key}"]
    assert result.indices.tolist() == [1, 5, 9]
    names = {layer.name for layer in scene.reference.layers}
    units = [i for p in marks(figure, Points) if p.entity == "unit" for i in p.ids]
    assert units
    assert all(unit.rpartition(":")[0] in names for unit in units)
    assert sum(m.entity == "model" for m in marks(figure, Line)) == 2


def test_a_model_whose_path_is_not_found_yet_has_none(scene: Scene) -> None:
    state = VIEWS["paths"].state
    _, answers = answered(scene, "paths")
    del answers[f"paths:{scene.focus.key}"]
    figure = state.figure(scene, state.Options(**SMALL["paths"]), answers)
    drawn = [m.ids[0] for m in marks(figure, Line) if m.entity == "model"]
    assert drawn == [scene.reference.key]
    assert {p.label for p in marks(figure, Points)} == {"unit"}


def test_robustness_cells_and_the_images_lost_in_one(scene: Scene) -> None:
    state = VIEWS["robustness"].state
    figure, answers = answered(scene, "robustness")
    matrix = marks(figure, Matrix)[0]
    grid = answers[f"robustness:{scene.reference.key}"]
    np.testing.assert_allclose(matrix.values[:, 1:6], 100 * grid.accuracy[0])
    assert np.isnan(matrix.values[:, 6]).all()
    name = grid.corruptions[0]
    chosen = state.picked(
        scene, state.Options(), answers, "cell", frozenset({f"{name}:5:{scene.focus.key}"})
    )
    assert (chosen.corruption, chosen.severity) == (name, 5)
    other = answers[f"robustness:{scene.focus.key}"]
    right = grid.predictions[0, 0, -1] == grid.labels
    wrong = other.predictions[0, 0, -1] != other.labels
    assert chosen.samples == tuple(np.flatnonzero(right & wrong).tolist())


def test_robustness_selects_no_images_of_a_cell_that_is_not_computed(scene: Scene) -> None:
    state = VIEWS["robustness"].state
    _, answers = answered(scene, "robustness")
    key = f"robustness:{scene.focus.key}"
    grid = answers[key]
    accuracy, predictions = grid.accuracy.copy(), grid.predictions.copy()
    accuracy[0, 0, 4], predictions[0, 0, 4] = np.nan, -1
    answers[key] = replace(grid, accuracy=accuracy, predictions=predictions)
    cells = [f"{grid.corruptions[0]}:{s}:{scene.focus.key}" for s in (4, 5)]
    chosen = state.picked(scene, state.Options(), answers, "cell", frozenset(cells[1:]))
    assert chosen.severity == 5
    assert chosen.samples == scene.selection.samples
    boxed = state.picked(scene, state.Options(), answers, "cell", frozenset(cells))
    assert boxed == scene.selection


def test_robustness_over_selected_images_says_when_there_are_none(scene: Scene) -> None:
    bare = replace(scene, selection=replace(scene.selection, samples=()))
    figure, _ = answered(bare, "robustness", over="selected images")
    assert "Select images first" in figure.message
