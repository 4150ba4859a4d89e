"""SparseGPT through the whole pipeline, against goldens and a loop in numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from analysis.data.dataset import batches
from analysis.errors import ArgumentError
from analysis.pruning import PRESETS, Prune, Recipe, pruned_model, recipe_named
from analysis.pruning.counting import exact_count
from analysis.pruning.criteria.sparsegpt import SparseGPT
from analysis.pruning.sweeps import block_counts, by_pattern, grouped_columns, sweep_layer
from tests.analysis.pruning.toys import (
    ConvNet,
    OneLinear,
    context,
    golden,
    golden_model,
    noise,
    row_images,
    toy,
)

ROW_24 = [0, 0.84481, 0, -0.55992, -0.98386, 0, 0, 0.82573]


def reference(
    weight: np.ndarray, gram: np.ndarray, choose: object, damping: float = 0.01
) -> np.ndarray:
    """Algorithm 1 column by column; `choose(updated weights, U, column)` -> rows that lose it."""
    work = weight.copy()
    damped = gram + damping * gram.diagonal().mean() * np.eye(len(gram))
    upper = np.linalg.cholesky(np.linalg.inv(damped)).T
    for i in range(len(gram)):
        gone = choose(work, upper, i)  # type: ignore[operator]
        error = np.where(gone, work[:, i], 0) / upper[i, i]
        work[:, i + 1 :] -= error[:, None] * upper[i, i + 1 :]
        work[gone, i] = 0
    return work


def test_two_of_four_is_the_golden() -> None:
    model, (weight, inputs) = golden_model(), golden()
    request = Prune(model, recipe_named("sparsegpt-nm"), None, row_images(12))
    pruned = request()
    after = pruned_model(model, pruned, request).weight("fc.weight").numpy()
    error = float(((inputs @ (after - weight).T) ** 2).sum())
    assert error == pytest.approx(178.295143, abs=1e-6)
    np.testing.assert_allclose(after[0], ROW_24, atol=5e-6)
    assert (pruned.audit.asked, pruned.audit.got, int((after == 0).sum())) == (16, 16, 16)
    groups = (after != 0).reshape(4, 2, 4).sum(axis=2)
    assert groups.min() == groups.max() == 2


def test_half_of_one_block_is_the_golden_but_for_its_seventeenth_weight() -> None:
    """The reference removes 17 of 32 (error 91.986892); sixteen cost less."""
    model, (weight, inputs) = golden_model(), golden()
    for sparsity, count in ((0.5, 16), (17 / 32, 17)):
        request = Prune(model, recipe_named("sparsegpt"), sparsity, row_images(12))
        after = pruned_model(model, request(), request).weight("fc.weight").numpy()
        error = float(((inputs @ (after - weight).T) ** 2).sum())
        assert int((after == 0).sum()) == count
        if count == 17:
            assert error == pytest.approx(91.986892, abs=1e-6)
            row = [0, 0, 0, 0, -0.90136, -0.72846, 0, 0.84434]
            np.testing.assert_allclose(after[0], row, atol=5e-6)
        else:
            assert error < 91.986892


def test_eighteen_of_two_blocks_and_other_damping_are_the_goldens() -> None:
    model, (weight, inputs) = golden_model(), golden()
    for settings, count, golden_error in (
        ({"criterion.block": "4"}, 18, 209.188559),
        ({"criterion.damping": "0.1"}, 17, 94.226472),
    ):
        request = Prune(model, recipe_named("sparsegpt", settings), count / 32, row_images(12))
        after = pruned_model(model, request(), request).weight("fc.weight").numpy()
        error = float(((inputs @ (after - weight).T) ** 2).sum())
        assert error == pytest.approx(golden_error, abs=1e-6)


def test_uncorrelated_equal_inputs_make_it_magnitude() -> None:
    model = toy(OneLinear, classes=4, matrix=torch.eye(8, dtype=torch.float64))
    found = {}
    for name in ("sparsegpt", "uniform-magnitude"):
        request = Prune(model, recipe_named(name), 0.5, row_images(8))
        found[name] = pruned_model(model, request(), request).weight("fc.weight")
    torch.testing.assert_close(*found.values(), rtol=1e-14, atol=0)


@pytest.mark.parametrize("name", ["sparsegpt", "sparsegpt-nm"])
def test_layers_of_a_network_lose_what_was_asked(name: str) -> None:
    model = toy(ConvNet)
    images = noise(20, model)
    target = None if name == "sparsegpt-nm" else 0.6
    request = Prune(model, recipe_named(name), target, images)
    pruned = request()
    after = pruned_model(model, pruned, request)
    if target:
        total = sum(layer.parameters for layer in model.layers)
        assert sum(after.zeros.values()) == exact_count(0.6, total)
    magnitude = recipe_named("nm-magnitude" if target is None else "uniform-magnitude")
    plain = Prune(model, magnitude, target, images)
    base = pruned_model(model, plain(), plain)
    x = next(batches(noise(20, model, 1), model.architecture, 20))[0]
    with torch.no_grad():
        goal, ours, other = (m.module()(x) for m in (model, after, base))
    assert (ours - goal).norm() < (other - goal).norm()


def test_grouped_convolutions_are_swept_group_by_group() -> None:
    """Every group of a depthwise layer is a linear layer of its own."""
    model = toy(ConvNet)
    images = noise(9, model)
    where = replace(context(model, images), layers=model.layers[1:2])
    recipe = recipe_named("sparsegpt")
    decision = SparseGPT().decide(where, recipe.structure, recipe.allocation, 0.5)
    seen = {}
    where.module.conv2.register_forward_hook(lambda _, args, out: seen.update(x=args[0]))
    with torch.no_grad():
        where.module(next(batches(images, model.architecture, 9))[0])
    weight = model.weights["conv2.weight"].numpy().reshape(8, 9).astype(np.float64)
    columns = F.unfold(seen["x"], 3, stride=2, padding=1).double().reshape(9, 8, 9, -1)
    counts = np.array(block_counts(torch.zeros(8, 1, 3, 3, dtype=torch.bool), 8, 36, 128)).ravel()
    assert counts.tolist() == [5, 4, 5, 4, 5, 4, 5, 4]
    for group in range(8):
        gram = np.einsum("nip,njp->ij", columns[:, group].numpy(), columns[:, group].numpy())
        lowest: list[int] = []

        def choose(
            work: np.ndarray,
            upper: np.ndarray,
            i: int,
            lowest: list[int] = lowest,
            count: int = int(counts[group]),
        ) -> np.ndarray:
            if i == 0:
                order = np.argsort((work[0] / upper.diagonal()) ** 2, kind="stable")
                lowest.extend(order[:count].tolist())
            return np.array([i in lowest])

        expected = reference(weight[group : group + 1], gram, choose)
        found = decision.updates["conv2.weight"][group].reshape(1, 9).numpy()
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-4)


def test_what_is_left_over_of_a_pattern_makes_up_for_it() -> None:
    """A 2x2 convolution on 7 channels: four in groups, three dense behind them and updated."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(5, 7, 2, 2, generator=generator, dtype=torch.float64)
    x = torch.randn(60, 28, generator=generator, dtype=torch.float64)
    x = x @ torch.randn(28, 28, generator=generator, dtype=torch.float64)
    order, width = grouped_columns((5, 7, 2, 2), 4, torch.arange(7))
    assert width == 16
    assert order[:8].tolist() == [0, 4, 8, 12, 1, 5, 9, 13]  # channels 0..3 at (0,0), then (0,1)
    removed = torch.zeros(weight.shape, dtype=torch.bool)
    removed[0, 5, 1, 1] = removed[2, 0, 0, 0] = True
    gram = (x.T @ x)[None]
    found = sweep_layer(weight * ~removed, gram, removed, 0.01, order, by_pattern(2, 4, width, 8))
    gone: dict[int, np.ndarray] = {}

    def choose(work: np.ndarray, upper: np.ndarray, i: int) -> np.ndarray:
        before = removed.flatten(1)[:, order].numpy()
        if i >= width:
            return before[:, i] & False
        if i % 4 == 0:
            group = slice(i, i + 4)
            scores = (work[:, group] / upper.diagonal()[group]) ** 2
            scores[before[:, group]] = -np.inf
            lowest = np.argsort(scores, axis=1, kind="stable")[:, :2]
            gone.update({i + c: (lowest == c).any(axis=1) for c in range(4)})
        return gone[i]

    rows = (weight * ~removed).flatten(1)[:, order].numpy()
    expected = reference(rows, gram[0][order][:, order].numpy(), choose)
    expected = np.where(removed.flatten(1)[:, order].numpy(), 0, expected)
    np.testing.assert_allclose(found.weight.flatten(1)[:, order], expected, rtol=1e-9, atol=1e-9)
    assert torch.equal(found.weight != 0, found.keep)
    assert bool(found.keep.flatten(1)[:, order[width:]].sum() == 5 * 12 - 1)


def test_earlier_zeros_stay_and_count() -> None:
    model = toy(ConvNet)
    first = Prune(model, recipe_named("global-magnitude"), 0.4)
    half = pruned_model(model, first(), first)
    for name, target in (("sparsegpt", 0.7), ("sparsegpt-nm", None)):
        request = Prune(half, recipe_named(name), target, noise(12, model))
        pruned = request()
        for parameter, mask in half.masks.items():
            assert not bool((pruned.masks[parameter].keep() & ~mask.keep()).any())
        assert pruned.audit.asked == pruned.audit.got


def test_unread_weights_go_first_and_what_stays_of_them_stays() -> None:
    matrix = torch.from_numpy(golden()[1]).clone()
    matrix[:, 2] = 0
    model = replace(
        golden_model(), architecture=replace(golden_model().architecture, matrix=matrix)
    )
    request = Prune(model, recipe_named("sparsegpt"), 3 / 32, row_images(12))
    after = pruned_model(model, request(), request).weight("fc.weight")
    assert (after == 0).nonzero().tolist() == [[0, 2], [1, 2], [2, 2]]
    torch.testing.assert_close(after[3], model.weights["fc.weight"][3], rtol=1e-14, atol=0)


class Wide(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x.flatten(1))


def test_matrices_that_cannot_be_inverted_are_told() -> None:
    """Two images say little of 64 inputs, and without damping nothing of the rest."""
    model = toy(Wide)
    recipe = recipe_named("sparsegpt", {"criterion.damping": "0"})
    pruned = Prune(model, recipe, 0.5, noise(2, model))()
    assert any(
        note.startswith("fc: the Gram matrix is not positive") for note in pruned.audit.notes
    )
    assert Prune(model, recipe_named("sparsegpt"), 0.5, noise(2, model))().audit.notes == ()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"structure": "filter"}, "does not go with 'Whole filters'"),
        ({"structure": "block"}, "does not go with"),
        ({"allocation": "global"}, "only counts of layers"),
        ({"allocation": "per-row"}, "only counts of layers"),
        ({"structure": "nm", "allocation": "uniform", "recovery": "soft-threshold"}, "overwrite"),
    ],
)
def test_parts_it_cannot_go_with_are_named(parts: dict[str, str], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Recipe.from_json({"criterion": "sparsegpt", **parts})


def test_counts_come_from_any_layer_allocation() -> None:
    model = toy(ConvNet)
    for allocation in ("erk", "uniform"):
        recipe = recipe_named("sparsegpt", {"allocation": allocation, "schedule": "one-shot"})
        plain = recipe_named("uniform-magnitude", {"allocation": allocation})
        ours, theirs = (Prune(model, r, 0.5, noise(9, model))().audit for r in (recipe, plain))
        assert [row.got for row in ours.layers] == [row.got for row in theirs.layers]


def test_scores_alone_are_the_costs_before_any_update() -> None:
    model, (weight, inputs) = golden_model(), golden()
    gram = inputs.T @ inputs
    damped = gram + 0.01 * gram.diagonal().mean() * np.eye(8)
    upper = np.linalg.cholesky(np.linalg.inv(damped)).T
    scores = SparseGPT().scores(context(model, row_images(12)))["fc"].numpy()
    np.testing.assert_allclose(scores, (weight / upper.diagonal()) ** 2, rtol=1e-9)
    assert PRESETS["sparsegpt"].recipe.criterion == SparseGPT()
