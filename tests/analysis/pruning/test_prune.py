from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from analysis.errors import ArgumentError, InputError
from analysis.models import Model
from analysis.pruning import PRESETS, Prune, Pruned, Recipe, pruned_model, recipe_named
from analysis.pruning.counting import exact_count
from analysis.records import pack, unpack
from analysis.request import Cancelled, Step, part_of
from tests.analysis.pruning.toys import ConvNet, noise, toy


def _shifted(model: Model) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {
        name: tensor + 0.01 * torch.randn(tensor.shape, generator=generator)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in model.weights.items()
    }


MODEL = toy(ConvNet)
IMAGES = noise(12, MODEL)
PARAMETERS = sum(layer.parameters for layer in MODEL.layers)
COMPANION = replace(MODEL, key="companion", weights=_shifted(MODEL))
MEASURED = "depth-dp"
"""Its budget is time measured here and now; test_depth.py has its tests."""
APPLICABLE = [n for n, p in PRESETS.items() if n != MEASURED and not p.recipe.inapplicable(MODEL)]
UNSTRUCTURED = [
    n
    for n in APPLICABLE
    if PRESETS[n].recipe.structure.name == "weight" and PRESETS[n].recipe.allocation.exact
]


def run(
    recipe: Recipe, sparsity: float | None, model: Model = MODEL, seed: int = 0
) -> tuple[Model, Pruned]:
    request = Prune(
        model, recipe, sparsity, IMAGES, seed, companions=(COMPANION,), contrast=IMAGES
    )
    pruned = request()
    return pruned_model(model, pruned, request), pruned


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(UNSTRUCTURED), st.floats(0, 0.99), st.integers(0, 5))
def test_zeros_are_exactly_those_asked_for(name: str, sparsity: float, seed: int) -> None:
    assume(name != "uniform-plus" or sparsity <= 0.93)  # it keeps the first layer whole
    after, pruned = run(PRESETS[name].recipe, sparsity, seed=seed)
    asked = exact_count(sparsity, PARAMETERS)
    assert (pruned.audit.asked, pruned.audit.got, pruned.audit.removed) == (asked,) * 3
    assert sum(after.zeros.values()) == pruned.audit.zeros == asked
    assert after.sparsity == pytest.approx(asked / PARAMETERS)


def test_nothing_removed_is_the_dense_model() -> None:
    after, pruned = run(PRESETS["global-magnitude"].recipe, 0.0)
    assert pruned.masks == {}
    assert all(torch.equal(after.weight(n), t) for n, t in MODEL.weights.items())


def test_kept_weights_are_untouched_and_shared() -> None:
    after, pruned = run(PRESETS["wanda"].recipe, 0.6)
    for layer in MODEL.layers:
        keep = pruned.masks[layer.parameter].keep()
        assert torch.equal(
            after.weight(layer.parameter)[keep], MODEL.weights[layer.parameter][keep]
        )
    assert after.weights is MODEL.weights


@pytest.mark.parametrize("name", APPLICABLE)
def test_pruning_changes_neither_the_dense_model_nor_the_ambient_state(name: str) -> None:
    before = {k: v.clone() for k, v in MODEL.weights.items()}
    rng, grad = torch.random.get_rng_state(), torch.is_grad_enabled()
    settings_ = {"recovery": "bn-recalibration"}
    run(recipe_named(name, settings_), 0.5)
    assert all(torch.equal(v, before[k]) for k, v in MODEL.weights.items())
    assert torch.equal(rng, torch.random.get_rng_state())
    assert torch.is_grad_enabled() == grad
    assert not any(v.requires_grad for v in MODEL.weights.values())


@pytest.mark.parametrize("name", APPLICABLE)
def test_the_same_request_gives_the_same_result(name: str) -> None:
    (one, _), (two, _) = (run(PRESETS[name].recipe, 0.5) for _ in range(2))
    assert one.key == two.key != MODEL.key


def test_keys_tell_what_differs() -> None:
    recipe = PRESETS["random"].recipe
    keys = {run(recipe, s, seed=seed)[0].key for s in (0.5, 0.6) for seed in (0, 1)}
    assert len(keys) == 4
    requests = [Prune(MODEL, recipe, 0.5, None), Prune(MODEL, recipe, 0.5, IMAGES)]
    assert requests[0].key == requests[1].key  # random looks at no image
    wanda = PRESETS["wanda"].recipe
    assert Prune(MODEL, wanda, 0.5, IMAGES).key != Prune(MODEL, wanda, 0.5, noise(3, MODEL)).key


def test_origin_and_name_tell_how_it_was_made() -> None:
    after, _ = run(PRESETS["wanda"].recipe, 0.625, seed=3)
    assert after.name == "wanda 62.5 %"
    assert after.origin is not None
    assert after.origin.base == MODEL.key
    assert Recipe.from_json(after.origin.recipe) == PRESETS["wanda"].recipe
    assert (after.origin.sparsity, after.origin.seed) == (0.625, 3)
    assert after.origin.calibration == IMAGES.key
    plain, _ = run(PRESETS["random"].recipe, 0.5)
    assert plain.origin is not None
    assert plain.origin.calibration == ""


def test_results_survive_the_study_format() -> None:
    _, pruned = run(recipe_named("filter-l1", {"recovery": "bn-recalibration"}), 0.5)
    back = unpack(*pack(pruned))
    request = Prune(MODEL, PRESETS["filter-l1"].recipe, 0.5, IMAGES)
    assert pruned_model(MODEL, back, request).key == pruned_model(MODEL, pruned, request).key
    assert back.audit.layers[0].name == "conv1"
    assert back.audit.notes == pruned.audit.notes


@pytest.mark.parametrize("criterion", ["magnitude", "snip", "activation-magnitude", "random"])
@pytest.mark.parametrize("allocation", ["global", "uniform", "per-row", "erk"])
def test_masks_are_nested_over_rounds(criterion: str, allocation: str) -> None:
    recipe = Recipe.from_json(
        {
            "criterion": criterion,
            "allocation": allocation,
            "schedule": {"name": "iterative", "rounds": 4, "spacing": "linear"},
        }
    )
    third, _ = run(recipe.model_copy(update={"schedule": recipe.schedule}), 0.6)
    whole, pruned = run(recipe, 0.8)
    assert pruned.audit.got == exact_count(0.8, PARAMETERS)
    if criterion in ("magnitude", "random") and allocation == "global":
        once, _ = run(Recipe.from_json({"criterion": criterion, "allocation": allocation}), 0.8)
        assert once.key == whole.key
    assert third.sparsity < whole.sparsity


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(UNSTRUCTURED),
    st.sampled_from([*UNSTRUCTURED, "filter-l1", "nm-magnitude"]),
    st.floats(0.05, 0.4),
)
def test_pruning_a_pruned_model_goes_on_from_its_masks(
    first: str, second: str, sparsity: float
) -> None:
    half, _ = run(PRESETS[first].recipe, sparsity)
    target = None if second == "nm-magnitude" else sparsity + 0.4
    both, _ = run(PRESETS[second].recipe, target, model=half)
    assert both.origin is not None
    assert both.origin.base == MODEL.key
    assert both.name.startswith(f"{half.name} + {second} ")
    for name, mask in half.masks.items():
        assert not bool((both.masks[name].keep() & ~mask.keep()).any())


def test_less_than_is_gone_already_is_refused() -> None:
    half, _ = run(PRESETS["global-magnitude"].recipe, 0.5)
    with pytest.raises(ArgumentError, match="already lacks"):
        run(PRESETS["global-magnitude"].recipe, 0.4, model=half)
    same, _ = run(PRESETS["uniform-magnitude"].recipe, 0.5, model=half)
    assert same.key == half.key


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 2.0, float("nan")])
def test_impossible_sparsities_are_refused(sparsity: float) -> None:
    for name in ("global-magnitude", "filter-l1", "nm-magnitude"):
        with pytest.raises(ArgumentError, match="sparsity"):
            run(PRESETS[name].recipe, sparsity)


@pytest.mark.parametrize("name", ["wanda", "snip", "taylor"])
def test_missing_calibration_is_named(name: str) -> None:
    for images in (None, IMAGES.subset(np.arange(0))):
        with pytest.raises(ArgumentError, match="needs calibration images"):
            Prune(MODEL, PRESETS[name].recipe, 0.5, images)()


@pytest.mark.parametrize("name", ["wanda", "snip", "taylor"])
def test_weights_too_large_for_scores_are_named(name: str) -> None:
    weights = {k: v * 1e30 if v.ndim > 1 else v for k, v in MODEL.weights.items()}
    with pytest.raises(InputError, match=r"scores of .* are NaN"):
        run(PRESETS[name].recipe, 0.5, replace(MODEL, weights=weights))


def test_progress_rises_to_its_end_and_names_rounds() -> None:
    steps: list[Step] = []
    recipe = recipe_named("snip", {"schedule": "iterative", "schedule.rounds": "3"})
    Prune(MODEL, recipe, 0.5, IMAGES)(steps.append)
    fractions = [step.done / step.total for step in steps]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert {"round 1 of 3, gradients", "round 3 of 3, masks", "audit"} <= {
        s.message for s in steps
    }


def test_a_cancelled_job_ends() -> None:
    def cancel(step: Step) -> None:
        if "norms" in step.message:
            raise Cancelled

    with pytest.raises(Cancelled):
        Prune(MODEL, PRESETS["wanda"].recipe, 0.5, IMAGES)(cancel)


def test_stages_share_one_scale() -> None:
    seen: list[Step] = []
    part_of(seen.append, 1, 4, "round 2, ")(Step(1, 2, "scores"))
    part_of(seen.append, 3, 4, "")(Step(0, 0, "audit"))
    assert [(s.done, s.total, s.message) for s in seen] == [
        (375, 1000, "round 2, scores"),
        (750, 1000, "audit"),
    ]


def test_time_and_memory_are_measured() -> None:
    _, pruned = run(PRESETS["taylor"].recipe, 0.5)
    assert pruned.seconds > 0
    assert pruned.peak_memory_bytes >= 0
