"""DARE and its kin: changes of a fine-tuning go back to the base model."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from analysis.checkpoints import open_model
from analysis.errors import ArgumentError
from analysis.models import Model
from analysis.pruning import Prune, Recipe, pruned_model, recipe_named
from analysis.pruning.context import PruningContext
from analysis.pruning.counting import exact_count
from analysis.pruning.criteria.activation import input_square_sums
from analysis.pruning.criteria.delta import DeltaActivation
from analysis.pruning.recoveries.rescale import analytic_divisor, phi
from analysis.pruning.structures.delta import Delta
from tests.analysis.pruning.toys import ConvNet, OneLinear, context, noise, toy

NAMES = ["dare", "darex", "delta-magnitude", "delta-activation"]


def fine_tuned(base: Model, seed: int = 0, size: float = 2e-3, share: float = 1.0) -> Model:
    """The base with a share of its weights moved a little, as fine-tuning does."""
    generator = torch.Generator().manual_seed(seed)
    weights = dict(base.weights)
    for layer in base.layers:
        change = size * torch.randn(layer.shape, generator=generator, dtype=torch.float64)
        moved = torch.rand(layer.shape, generator=generator) < share
        weight = weights[layer.parameter]
        weights[layer.parameter] = (weight + change * moved).to(weight.dtype)
    return replace(base, name="fine", key="fine-key", weights=weights)


BASE = toy(ConvNet)
FINE = fine_tuned(BASE)


def beside(model: Model, base: Model, seed: int = 0) -> PruningContext:
    where = context(model, noise(8, model), seed)
    return replace(where, base=model, companions=(base,))


def thinned(
    recipe: Recipe, sparsity: float, fine: Model = FINE, base: Model = BASE, seed: int = 0
) -> Model:
    """One round as `Prune` runs it, without its audit."""
    where = beside(fine, base, seed)
    decision = recipe.criterion.decide(where, recipe.structure, recipe.allocation, sparsity)
    assert decision.keep == {}
    now = replace(fine, updates={**fine.updates, **decision.updates})
    repair = recipe.recovery.repair(replace(where, model=now, module=now.module()))
    after = replace(now, updates={**now.updates, **repair.updates})
    structure = Delta()
    for layer in structure.taking_part(where):
        assert structure.found(fine, after, layer, (base,)) == decision.asked[layer.name]
    assert sum(decision.asked.values()) == structure.budget(where, sparsity)
    return after


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(NAMES), st.floats(0, 0.99), st.integers(0, 9))
def test_exactly_so_many_weights_are_the_bases(name: str, sparsity: float, seed: int) -> None:
    after = thinned(recipe_named(name), sparsity, seed=seed)
    parts = [layer for layer in BASE.layers if layer.name != "fc"]
    back = sum(
        int((after.weight(la.parameter) == BASE.weight(la.parameter)).sum()) for la in parts
    )
    assert back == exact_count(sparsity, sum(layer.parameters for layer in parts))
    assert torch.equal(after.weight("fc.weight"), FINE.weight("fc.weight"))
    assert after.masks == {}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_removed_is_the_fine_tuned_model(name: str) -> None:
    after = thinned(recipe_named(name), 0.0)
    assert all(torch.equal(after.weight(n), FINE.weight(n)) for n in FINE.weights)


@pytest.mark.parametrize("p", [0.5, 0.9])
def test_the_expectation_of_what_is_left_is_the_whole_change(p: float) -> None:
    """Error of the mean over K seeds, relative: √(p / ((1-p) K)); .0474 at p = .9, K = 4000."""
    assert math.sqrt(0.9 / (0.1 * 4000)) == pytest.approx(0.0474, abs=5e-5)
    base = toy(lambda: OneLinear(20, 50), input_shape=(1, 1, 50), classes=20, classifier="")
    fine, recipe, count = fine_tuned(base), recipe_named("dare"), 200
    delta = fine.weights["fc.weight"] - base.weights["fc.weight"]
    total = torch.zeros_like(delta)
    for seed in range(count):
        after = thinned(recipe, p, fine, base, seed)
        total += after.weight("fc.weight") - base.weights["fc.weight"]
    error = float((total / count - delta).norm() / delta.norm())
    assert error == pytest.approx(math.sqrt(p / ((1 - p) * count)), rel=0.1)


def test_what_is_left_is_divided_by_the_share_that_is_left() -> None:
    after = thinned(recipe_named("dare"), 0.75)
    for layer in BASE.layers[:-1]:
        then, fine, now = (m.weight(layer.parameter) for m in (BASE, FINE, after))
        kept = now != then
        q = float(kept.sum()) / kept.numel()
        torch.testing.assert_close(
            now[kept], (then + (fine - then) / q)[kept], rtol=1e-4, atol=1e-6
        )
        assert q == pytest.approx(0.25, abs=1 / kept.numel())
    plain = thinned(recipe_named("dare", {"recovery.q": "none"}), 0.75)
    now, then, fine = (m.weight("conv3.weight") for m in (plain, BASE, FINE))
    assert bool(((now == then) | (now == fine)).all())


def test_weights_that_never_changed_count_as_gone() -> None:
    fine = fine_tuned(BASE, share=0.4)
    after = thinned(recipe_named("dare"), 0.8, fine)
    for layer in BASE.layers[:-1]:
        then, tuned, now = (m.weight(layer.parameter) for m in (BASE, fine, after))
        changed, kept = tuned != then, now != then
        assert not bool((kept & ~changed).any())
        q = int(kept.sum()) / int(changed.sum())
        torch.testing.assert_close(
            now[kept], (then + (tuned - then) / q)[kept], rtol=1e-4, atol=1e-6
        )
    assert Delta().gone(beside(fine, BASE)) > 0.55 * Delta().budget(beside(fine, BASE), 0.999)


def test_delta_magnitude_takes_back_the_smallest_changes() -> None:
    after = thinned(recipe_named("delta-magnitude"), 0.5)
    then, fine, now = (m.weight("conv3.weight").flatten() for m in (BASE, FINE, after))
    size, back = (fine - then).abs(), now == then
    assert size[back].max() <= size[~back].min()
    assert torch.equal(now[~back], fine[~back])


def test_delta_activation_is_wanda_on_the_change() -> None:
    where = beside(FINE, BASE)
    scores = DeltaActivation().scores(where)
    norms = input_square_sums(where)["hidden"].sqrt().float()
    change = (FINE.weight("hidden.weight") - BASE.weight("hidden.weight")).abs()
    torch.testing.assert_close(scores["hidden"], change * norms, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize(("p", "value"), [(0.9, 0.364096), (0.95, 0.305661), (0.99, 0.213270)])
def test_phi_goldens(p: float, value: float) -> None:
    assert phi(p) == pytest.approx(value, abs=5e-7)
    assert phi(1 - p) == pytest.approx(value, abs=5e-7)
    assert phi(0.5) == pytest.approx(phi(0.5001), rel=1e-3)
    assert phi(0) == 0


def objective(q: float, c: np.ndarray, p: float, eta: float, gamma: float) -> float:
    phi_ = (1 - 2 * p) / math.log((1 - p) / p)
    first = eta * (1 - (1 - p) / q) * c.sum()
    return abs(first + eta**2 * phi_ * (c**2).sum() / (4 * q**2) + math.log(2 / (1 - gamma)))


def test_the_analytic_divisor_is_a_scan_row_by_row() -> None:
    """Ten rows; the scan ends where eight are past their optimum, and two count as outliers."""
    rng = np.random.default_rng(0)
    c, p, eta, gamma = rng.normal(-0.4, 2, (10, 30)), 0.9, 0.6, 0.95
    grid = [0.1 + 0.001 * k for k in range(901)]
    best = [min(grid, key=lambda q, row=row: objective(q, row, p, eta, gamma)) for row in c]
    stop = sorted(best)[7]
    expected = np.mean([min(q, stop) for q in best])
    assert analytic_divisor(torch.from_numpy(c), p, eta, gamma) == pytest.approx(
        expected, abs=1e-9
    )
    assert len(set(best)) > 3
    assert analytic_divisor(torch.from_numpy(c), 0.0, eta, gamma) == 1.0


def test_darex_divides_by_more_than_what_is_left() -> None:
    plain, ours = thinned(recipe_named("dare"), 0.9), thinned(recipe_named("darex"), 0.9)
    for layer in BASE.layers[:-1]:
        then = BASE.weight(layer.parameter)
        grown = [m.weight(layer.parameter) - then for m in (plain, ours)]
        assert torch.equal(grown[0] == 0, grown[1] == 0)
        assert grown[1].norm() <= grown[0].norm() * (1 + 1e-5)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"structure": "weight", "recovery": "rescale"}, "structure delta only"),
        ({"structure": "weight", "recovery": "rescale-analytic"}, "structure delta only"),
        ({"structure": "delta", "schedule": "layer-by-layer"}, "the classifier among them"),
    ],
)
def test_parts_that_do_not_fit_are_explained(parts: dict[str, str], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Recipe.from_json({"criterion": "random", "allocation": "uniform", **parts})


def test_missing_companions_and_masks_are_named() -> None:
    with pytest.raises(ArgumentError, match="needs another model"):
        Prune(FINE, recipe_named("dare"), 0.5)()
    with pytest.raises(ArgumentError, match="need that model as a companion"):
        recipe_named("delta-magnitude").criterion.scores(context(FINE))
    with pytest.raises(ArgumentError, match="need that model as a companion"):
        Delta().found(FINE, FINE, FINE.layers[0])
    first = Prune(FINE, recipe_named("global-magnitude"), 0.5)
    sparse = pruned_model(FINE, first(), first)
    with pytest.raises(ArgumentError, match="has masks"):
        Prune(sparse, recipe_named("dare"), 0.5, companions=(BASE,))()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("demo", ["demo:resnet", "demo:vit"])
def test_the_demo_networks_through_prune(demo: str, name: str) -> None:
    base = open_model(demo)[0]
    fine = fine_tuned(base, size=1e-3)
    images = noise(16, base)
    request = Prune(fine, recipe_named(name), 0.9, images, companions=(base,))
    pruned = request()
    after = pruned_model(fine, pruned, request)
    assert pruned.audit.unit == "delta weights"
    assert pruned.audit.got == pruned.audit.asked
    assert pruned.masks == {}
    assert after.name == f"{name} 90 % of changes"
    classifier = base.architecture.classifier
    assert f"{classifier}.weight" not in after.updates


def test_rounds_and_more_than_unchanged_weights() -> None:
    once, turns = (
        Prune(FINE, recipe_named("dare", extra), 0.8, companions=(BASE,))
        for extra in ({}, {"schedule": "iterative", "schedule.recover": "after every round"})
    )
    assert pruned_model(FINE, once(), once).key == pruned_model(FINE, turns(), turns).key
    same = fine_tuned(BASE, share=0.2)
    with pytest.raises(ArgumentError, match="already lacks"):
        Prune(same, recipe_named("dare"), 0.3, companions=(BASE,))()


def test_states_of_the_models_are_untouched() -> None:
    before: dict[str, Tensor] = {k: v.clone() for k, v in FINE.weights.items()}
    state = torch.random.get_rng_state()
    for name in NAMES:
        thinned(recipe_named(name), 0.9)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(v, before[k]) for k, v in FINE.weights.items())
