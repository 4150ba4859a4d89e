from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from analysis.errors import ArgumentError
from analysis.pruning import KINDS, PARTS, PRESETS, Recipe, recipe_label, recipe_named
from analysis.pruning.allocations.global_threshold import Global
from analysis.pruning.criteria.magnitude import Magnitude
from analysis.pruning.criteria.taylor import Taylor
from analysis.request import digest


def test_required_presets_and_parts_are_there() -> None:
    asked = {"random", "global-magnitude", "uniform-magnitude", "wanda", "snip", "taylor"}
    assert asked | {"nm-magnitude"} <= set(PRESETS)
    assert all(PARTS[kind] for kind in KINDS)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json_and_say_what_they_are(name: str) -> None:
    preset = PRESETS[name]
    text = json.dumps(preset.recipe.to_json())
    assert Recipe.from_json(json.loads(text)) == preset.recipe
    assert preset.name == name == recipe_label(preset.recipe.to_json())
    assert preset.title
    assert preset.paper
    assert preset.help.endswith(".")


def test_every_part_and_field_carries_its_texts() -> None:
    for kind in KINDS:
        for part in PARTS[kind].values():
            assert part.title
            assert part.__doc__
            for field in part.model_fields.values():
                assert field.title
                assert field.description
                assert field.default is not None


def test_json_names_parts_not_classes() -> None:
    recipe = Recipe(criterion=Magnitude(), allocation=Global(min_keep=3))
    assert recipe.to_json() == {
        "criterion": {"name": "magnitude"},
        "structure": {"name": "weight"},
        "allocation": {"name": "global", **Global(min_keep=3).model_dump()},
        "schedule": {"name": "one-shot"},
        "recovery": {"name": "none"},
    }
    assert recipe.model_dump(mode="json") == recipe.to_json()
    assert digest(recipe) != digest(Recipe(criterion=Magnitude(), allocation=Global(min_keep=4)))


def test_needs_are_those_of_all_parts() -> None:
    assert recipe_named("global-magnitude").needs == frozenset()
    assert recipe_named("wanda").needs == {"calibration"}
    assert recipe_named("snip").needs == {"calibration", "labels", "gradients"}
    assert recipe_named("random", {"recovery": "bn-recalibration"}).needs == {"calibration"}


def test_settings_change_fields_and_parts_in_any_order() -> None:
    assert recipe_named("global-magnitude", {"allocation.min_keep": "16"}).allocation == Global(
        min_keep=16
    )
    swapped = recipe_named("wanda", {"criterion.batch": "8", "criterion": "taylor"})
    assert swapped.criterion == Taylor(batch=8)
    assert swapped.allocation.name == "per-row"
    assert recipe_named("random", {"allocation": "per_row"}).allocation.name == "per-row"


@pytest.mark.parametrize(
    ("name", "settings_", "message"),
    [
        ("wand", {}, "no recipe 'wand'; known: random, "),
        ("wanda", {"criterion": "fishy"}, "no criterion 'fishy'; known: random|no criterion"),
        ("wanda", {"speed": "1"}, "'speed' is no part"),
        ("wanda", {"allocation.min_keep": "1"}, "per-row has no field 'min_keep'.*none"),
        ("global-magnitude", {"allocation.min_keep": "few"}, "min_keep: .*integer.*'few'"),
        ("global-magnitude", {"allocation.min_keep": "-1"}, "min_keep: .*greater"),
        ("nm-magnitude", {"structure.n": "4"}, "4:4 removes nothing"),
        ("nm-magnitude", {"allocation": "global"}, "same budget"),
        ("nm-magnitude", {"schedule": "iterative"}, "one-shot and layer-by-layer only"),
        ("filter-l1", {"allocation": "per-row"}, "a filter is a row"),
    ],
)
def test_unusable_settings_are_explained(
    name: str, settings_: dict[str, str], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        recipe_named(name, settings_)


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(sorted(PRESETS)),
    st.dictionaries(
        st.one_of(st.sampled_from(["criterion", "structure.n", "schedule.rounds"]), st.text()),
        st.text(),
        max_size=3,
    ),
)
def test_any_settings_give_a_recipe_or_an_argument_error(
    name: str, given_settings: dict[str, str]
) -> None:
    try:
        recipe = recipe_named(name, given_settings)
    except ArgumentError:
        return
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_labels_say_what_differs_from_a_preset() -> None:
    def label(name: str, settings_: dict[str, str]) -> str:
        return recipe_label(recipe_named(name, settings_).to_json())

    assert label("global-magnitude", {"allocation.min_keep": "16"}) == (
        "global-magnitude (min_keep=16)"
    )
    assert label("wanda", {"recovery": "bn-recalibration"}) == "wanda + bn-recalibration"
    assert label("iterative-snip", {"schedule.rounds": "3"}) == "iterative-snip (rounds=3)"
    assert label("taylor", {"allocation": "uniform"}) == "taylor · weight · uniform"
    assert recipe_label({"criterion": {"name": "new"}}) == "new · ? · ? · ? · ?"


def test_recipes_are_frozen_and_strict() -> None:
    recipe = recipe_named("wanda")
    with pytest.raises(ValidationError):
        recipe.criterion = Magnitude()  # type: ignore[misc]
    with pytest.raises(ArgumentError, match="speed"):
        Recipe.from_json({"criterion": "magnitude", "speed": 1})
    with pytest.raises(ArgumentError, match="criterion"):
        Recipe.from_json({})
    with pytest.raises(ArgumentError, match="criterion"):
        Recipe.from_json({"criterion": 3})
    with pytest.raises(ArgumentError):
        Recipe.from_json({"criterion": Global()})
