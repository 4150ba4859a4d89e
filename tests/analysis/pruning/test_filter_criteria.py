"""Criteria that look at the weights of whole filters: norms, FPGM, slimming, splines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from analysis.checkpoints import open_model
from analysis.errors import ArgumentError, InputError
from analysis.masks import Mask
from analysis.models import Model
from analysis.pruning import PRESETS, Prune, Recipe, pruned_model, recipe_named
from analysis.pruning.criteria import fpgm
from analysis.pruning.criteria.bn_gamma import BatchNormScale
from analysis.pruning.criteria.filter_norm import FilterNorm
from analysis.pruning.criteria.fpgm import Fpgm, distance_sums
from analysis.pruning.criteria.spline import Spline, drop_order, folded, redundancies
from tests.analysis.pruning.toys import ConvNet, context, toy


def trained_looking() -> Model:
    """BatchNorm scales, shifts, statistics and biases away from their initial values."""
    model, generator = toy(ConvNet), torch.Generator().manual_seed(1)
    for name, tensor in model.weights.items():
        if tensor.dtype == torch.float32 and ("bn" in name or name.endswith("bias")):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return model


MODEL = trained_looking()


def without_filter(model: Model, layer: str, filters: list[int]) -> Model:
    keep = torch.ones(model.weights[f"{layer}.weight"].shape, dtype=torch.bool)
    keep[filters] = False
    return replace(model, masks={**model.masks, f"{layer}.weight": Mask.from_keep(keep)})


def run(recipe: Recipe, sparsity: float, model: Model = MODEL) -> tuple[Model, dict[str, int]]:
    request = Prune(model, recipe, sparsity)
    pruned = request()
    rows = {row.name: row.asked for row in pruned.audit.layers}
    return pruned_model(model, pruned, request), rows


# Norms.


@pytest.mark.parametrize("p", [1, 2])
def test_norms_of_filters_and_neurons(p: int) -> None:
    scores = FilterNorm(p=p).scores(context(MODEL))
    for layer in MODEL.layers:
        weight = MODEL.weights[layer.parameter].flatten(1).numpy()
        np.testing.assert_allclose(
            scores[layer.name], np.linalg.norm(weight, ord=p, axis=1), rtol=1e-6
        )


def test_removed_weights_count_as_nothing() -> None:
    half = run(PRESETS["uniform-magnitude"].recipe, 0.5)[0]
    found = FilterNorm(p=1).scores(context(half))["conv3"]
    kept = MODEL.weights["conv3.weight"] * half.masks["conv3.weight"].keep()
    np.testing.assert_allclose(found, kept.abs().sum(dim=(1, 2, 3)), rtol=1e-6)


@pytest.mark.parametrize(("preset", "p"), [("filter-l1", 1), ("filter-l2", 2)])
def test_presets_go_by_the_same_norms(preset: str, p: int) -> None:
    parts = {"criterion": {"name": "filter-norm", "p": p}, "structure": "filter"}
    recipe = Recipe.from_json({**parts, "allocation": "uniform"})
    assert run(recipe, 0.5)[0].key == run(PRESETS[preset].recipe, 0.5)[0].key


# FPGM.


def test_the_published_distances() -> None:
    rows = torch.tensor([[1.0, 0], [0, 1], [1, 1], [4, 4]])
    found = distance_sums(rows, torch.ones(4, dtype=torch.bool))
    np.testing.assert_allclose(found, [7.4142, 7.4142, 6.2426, 14.2426], atol=5e-5)
    assert int(found.argmin()) == 2


def test_distances_by_hand_in_small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fpgm, "_CHUNK", 30)
    scores = Fpgm().scores(context(MODEL))["conv3"]
    rows = MODEL.weights["conv3.weight"].flatten(1).double().numpy()
    expected = [sum(np.linalg.norm(a - b) for b in rows) for a in rows]
    np.testing.assert_allclose(scores, expected, rtol=1e-8)


def test_removed_filters_are_no_neighbours() -> None:
    scores = Fpgm().scores(context(without_filter(MODEL, "conv3", [1, 4])))["conv3"]
    rows = MODEL.weights["conv3.weight"].flatten(1).double().numpy()
    left = [i for i in range(12) if i not in (1, 4)]
    expected = [sum(np.linalg.norm(rows[i] - rows[j]) for j in left) for i in left]
    np.testing.assert_allclose(scores[left], expected, rtol=1e-8)


def test_copies_of_a_filter_are_alike() -> None:
    weight = MODEL.weights["conv3.weight"].flatten(1)
    doubled = torch.cat([weight, weight])
    found = distance_sums(doubled, torch.ones(24, dtype=torch.bool))
    torch.testing.assert_close(found[:12], found[12:], rtol=1e-8, atol=0)
    expected = 2 * distance_sums(weight, torch.ones(12, dtype=torch.bool))
    torch.testing.assert_close(found[:12], expected, rtol=1e-8, atol=0)


# Slimming.


def test_scales_of_the_norms_that_read_the_layers() -> None:
    weights = {**MODEL.weights, "bn1.weight": -MODEL.weights["bn1.weight"]}
    scores = BatchNormScale().scores(context(replace(MODEL, weights=weights)))
    assert set(scores) == {"conv1", "conv3"}
    assert torch.equal(scores["conv1"], MODEL.weights["bn1.weight"])
    assert torch.equal(scores["conv3"], MODEL.weights["bn3.weight"])


def test_layers_without_a_scale_keep_their_filters_and_the_others_give_more() -> None:
    after, asked = run(recipe_named("slimming", {"allocation.min_keep": "0"}), 0.5)
    assert asked == {"conv1": asked["conv1"], "conv2": 0, "conv3": 14 - asked["conv1"]} | {
        "hidden": 0, "fc": 0
    }  # fmt: skip
    scales = torch.cat([MODEL.weights["bn1.weight"], MODEL.weights["bn3.weight"]])
    gone = torch.cat(
        [(after.weight(f"{n}.weight").flatten(1) == 0).all(dim=1) for n in ("conv1", "conv3")]
    )
    assert int(gone.sum()) == 14
    assert scales[gone].max() < scales[~gone].min()


def test_the_user_is_told_of_layers_without_a_score() -> None:
    notes = Prune(MODEL, PRESETS["slimming"].recipe, 0.25)().audit.notes
    assert notes == ("conv2: the criterion gives its filters no score; they stay, and others go",)


def test_what_earlier_prunings_took_from_them_counts() -> None:
    once = without_filter(MODEL, "conv2", [0, 1, 2])
    after, asked = run(PRESETS["slimming"].recipe, 0.5, once)
    assert asked["conv2"] == 3
    assert asked["conv1"] + asked["conv3"] == 11
    assert int((after.weight("conv2.weight").flatten(1) == 0).all(dim=1).sum()) == 3


def test_more_than_has_a_score_is_refused() -> None:
    recipe = recipe_named("slimming", {"allocation": "uniform"})
    assert sum(run(recipe, 0.7)[1].values()) == 20
    with pytest.raises(ArgumentError, match=r"21 filters are to go, but .* only 20 a score"):
        run(recipe, 0.75)


def test_every_layer_keeps_a_channel() -> None:
    weights = {**MODEL.weights, "bn1.weight": MODEL.weights["bn1.weight"] / 100}
    asked = run(PRESETS["slimming"].recipe, 0.6, replace(MODEL, weights=weights))[1]
    assert asked["conv1"] == 7


def test_networks_without_norms_are_told_so() -> None:
    vit = open_model("demo:vit")[0]
    assert "no BatchNorm" in BatchNormScale().inapplicable(vit)
    with pytest.raises(ArgumentError, match="no BatchNorm"):
        Prune(vit, PRESETS["slimming"].recipe, 0.5)()
    assert BatchNormScale().inapplicable(MODEL) == ""
    with pytest.raises(ArgumentError, match="no BatchNorm"):
        BatchNormScale().scores(replace(context(MODEL), layers=MODEL.layers[1:2]))


class Plain(nn.Module):
    """Its BatchNorm reads the image, not a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.conv, self.fc = nn.BatchNorm2d(1), nn.Conv2d(1, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.relu(self.conv(self.norm(x))).mean(dim=(2, 3)))


def test_a_norm_that_reads_no_layer_is_of_no_use() -> None:
    assert "no BatchNorm" in BatchNormScale().inapplicable(toy(Plain))


def test_shares_are_not_told_layer_by_layer() -> None:
    with pytest.raises(ArgumentError, match="not in whole filters"):
        recipe_named("filter-l1", {"schedule": "layer-by-layer"})


# Splines.


def test_redundancy_of_pairs_by_hand() -> None:
    weight, bias = torch.tensor([[1.0, 0], [0, 2], [-3, 3], [0, 0]]), torch.tensor([0.0, 1, 3, 3])
    found = redundancies(weight.double(), bias.double(), 0.05)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(
        found[0], [0, 1 + 0.05, 1 - half + 0.15, 1 + 0.15], rtol=1e-12, atol=1e-12
    )
    np.testing.assert_allclose(found[1, 2:], [1 - half + 0.1, 1 + 0.1], rtol=1e-12)


@pytest.mark.parametrize(("name", "norm"), [("conv1", "bn1"), ("conv2", ""), ("conv3", "bn3")])
def test_folding_gives_the_outputs_of_layer_and_norm(name: str, norm: str) -> None:
    where = context(MODEL)
    layer = next(layer for layer in MODEL.layers if layer.name == name)
    weight, bias = folded(where, layer, norm)
    conv = where.module.get_submodule(name)
    x = torch.randn(2, conv.in_channels, 8, 8, generator=torch.Generator().manual_seed(0))
    found = F.conv2d(
        x.double(), weight.reshape(layer.shape), bias, conv.stride, conv.padding, 1, conv.groups
    )
    with torch.no_grad():
        out = conv(x)
        expected = where.module.get_submodule(norm)(out) if norm else out
    torch.testing.assert_close(found.float(), expected, rtol=1e-4, atol=1e-5)


def drop_by_brute_force(distances: np.ndarray, sizes: np.ndarray, present: list[int]) -> list[int]:
    left, order = list(present), []
    while len(left) > 1:
        pairs = [(distances[i, j], i, j) for i in left for j in left if i < j]
        _, i, j = min(pairs)
        gone = j if sizes[j] < sizes[i] else i
        left.remove(gone)
        order.append(gone)
    return order + left


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(0, 1000), st.booleans())
def test_units_are_dropped_as_a_search_over_all_pairs_drops_them(
    count: int, seed: int, ties: bool
) -> None:
    rng = np.random.default_rng(seed)
    raw = rng.integers(0, 3, (count, count)) if ties else rng.random((count, count))
    distances = (raw + raw.T).astype(float)
    sizes = rng.integers(0, 2, count).astype(float) if ties else rng.random(count)
    present = rng.random(count) < 0.8
    found = drop_order(distances, sizes, present)
    expected = drop_by_brute_force(distances, sizes, list(np.flatnonzero(present)))
    assert found.tolist() == expected


def test_of_two_equal_filters_the_weaker_one_goes_first() -> None:
    weights = {k: v.clone() for k, v in MODEL.weights.items()}
    weights["conv2.weight"][5] = -2 * weights["conv2.weight"][3]
    weights["conv2.bias"][5] = weights["conv2.bias"][3]
    scores = Spline().scores(context(replace(MODEL, weights=weights)))["conv2"]
    assert int(scores.argmin()) == 3
    assert sorted((scores * 8).tolist()) == list(range(1, 9))


def test_rounds_drop_what_one_round_drops() -> None:
    recipe = PRESETS["spline"].recipe
    rounds = recipe_named(
        "spline", {"schedule": "iterative", "schedule.rounds": "3", "schedule.spacing": "linear"}
    )
    assert run(rounds, 0.6)[0].key == run(recipe, 0.6)[0].key


@pytest.mark.parametrize("name", ["fpgm", "spline"])
def test_weights_too_large_are_named(name: str) -> None:
    weights = {k: v * torch.inf if "conv3" in k else v for k, v in MODEL.weights.items()}
    with pytest.raises(InputError, match="scores of conv3 are NaN"):
        run(PRESETS[name].recipe, 0.5, replace(MODEL, weights=weights))
