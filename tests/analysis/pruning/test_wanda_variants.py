"""Wanda block by block, and by equal mass."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from analysis.architectures.architecture import PrunableLayer
from analysis.checkpoints import open_model
from analysis.data import open_data
from analysis.data.dataset import batches
from analysis.errors import ArgumentError
from analysis.pruning import Prune, pruned_model, recipe_named
from analysis.pruning.allocations.per_row_mass import PerRowMass, mass_shares
from analysis.pruning.counting import exact_count, shared_counts
from analysis.pruning.parts import LayerUnits
from tests.analysis.pruning.toys import ConvNet, context, golden, noise, toy


def by_hand(module: torch.nn.Module, names: list[list[str]], x: Tensor, sparsity: float) -> None:
    """Blocks in order: the inputs of all layers of a block, then its masks."""
    sizes = [
        module.get_submodule(name).weight[0].numel()
        for block in names
        for name in block
        for _ in module.get_submodule(name).weight
    ]
    counts, row = shared_counts(sizes, sparsity), 0
    for block in names:
        seen: dict[str, Tensor] = {}
        handles = [
            module.get_submodule(name).register_forward_hook(
                lambda _, args, out, name=name, seen=seen: seen.update({name: args[0]})
            )
            for name in block
        ]
        module(x)
        for handle in handles:
            handle.remove()
        for name in block:
            layer = module.get_submodule(name)
            inputs = seen[name].double()
            if isinstance(layer, torch.nn.Conv2d):
                columns = F.unfold(inputs, layer.kernel_size, 1, layer.padding, layer.stride)
                norms = columns.square().sum(dim=(0, 2)).sqrt()
            else:
                norms = inputs.reshape(-1, inputs.shape[-1]).square().sum(dim=0).sqrt()
            weight = layer.weight.detach().clone()
            scores = (weight.flatten(1).abs() * norms.to(weight)).numpy()
            for out in range(len(weight)):
                order = np.argsort(scores[out], kind="stable")[: counts[row]]
                weight.view(len(weight), -1)[out, order] = 0
                row += 1
            layer.weight = torch.nn.Parameter(weight, requires_grad=False)


@pytest.mark.parametrize("demo", ["demo:resnet", "demo:vit"])
def test_block_by_block_equals_a_loop_by_hand(demo: str) -> None:
    model = open_model(demo)[0]
    images = open_data("digits", model=model).calibration.sample(32, 0)
    request = Prune(model, recipe_named("wanda-sequential"), 0.55, images)
    pruned = request()
    after = pruned_model(model, pruned, request)
    total = sum(layer.parameters for layer in model.layers)
    assert pruned.audit.got == sum(after.zeros.values()) == exact_count(0.55, total)
    blocks: dict[str, list[str]] = {}
    for layer in model.layers:
        pieces = layer.name.split(".")
        digits = [i for i, piece in enumerate(pieces[:-1]) if piece.isdigit()]
        key = ".".join(pieces[: digits[-1] + 1]) if digits else layer.name
        if "shortcut" in pieces:
            key = ".".join(pieces[:2])
        blocks.setdefault(key, []).append(layer.name)
    module = model.module()
    x = next(batches(images, model.architecture, 32))[0]
    with torch.no_grad():
        by_hand(module, list(blocks.values()), x, 0.55)
    for layer in model.layers:
        expected = module.get_parameter(layer.parameter)
        differing = int((after.weight(layer.parameter) != expected).sum())
        assert differing <= 2, layer.name  # sums of float32 squares end in another bit at most


def test_block_by_block_sees_pruned_inputs() -> None:
    model = open_model("demo:vit")[0]
    images = open_data("digits", model=model).calibration.sample(16, 0)
    one, turn = (
        Prune(model, recipe_named(name), 0.6, images)() for name in ("wanda", "wanda-sequential")
    )
    names = [layer.parameter for layer in model.layers]
    same = [bool((one.masks[n].packed == turn.masks[n].packed).all()) for n in names]
    assert same[0]  # nothing is pruned before the first layer
    assert not all(same)


def reference_variant(scores: np.ndarray, sparsity: float) -> np.ndarray:
    """`--use_variant` of the code of Wanda: bisection of alpha, then all up to its mass."""
    ordered = np.sort(scores, axis=1, kind="stable")
    mass, whole = ordered.cumsum(axis=1), scores.sum(axis=1, keepdims=True)

    def mask(alpha: float) -> np.ndarray:
        number = (mass <= whole * alpha).sum(axis=1)
        threshold = ordered[np.arange(len(ordered)), number - 1]
        return (scores <= threshold[:, None]) & (number > 0)[:, None]

    alpha, low, high = 0.4, 0.0, 0.8
    while abs(mask(alpha).mean() - sparsity) > 1e-3 and high - low >= 1e-3:
        low, high = (low, alpha) if mask(alpha).mean() > sparsity else (alpha, high)
        alpha = (low + high) / 2
    return mask(alpha)


@pytest.mark.parametrize("sparsity", [0.3, 0.5, 0.7])
def test_equal_mass_is_the_references_at_its_own_count(sparsity: float) -> None:
    scores = np.random.default_rng(0).lognormal(size=(40, 90))
    expected = reference_variant(scores, sparsity)
    unit = LayerUnits(PrunableLayer("l", "linear", scores.shape), torch.from_numpy(scores))
    (found,) = PerRowMass().remove(context(toy(ConvNet)), [unit], expected.mean())
    np.testing.assert_array_equal(found.numpy(), expected)
    assert abs(expected.mean() - sparsity) < 2e-3


def test_mass_shares_of_small_rows() -> None:
    gone = float("-inf")
    scores = torch.tensor([[1.0, 3, 0, 4], [0, 0, 0, 0], [gone, 2, gone, 6]])
    assert mass_shares(scores).tolist() == [
        [0.125, 0.5, 0, 1], [0, 0, 0, 0], [gone, 0.25, gone, 1]
    ]  # fmt: skip
    with pytest.raises(ArgumentError, match="not negative"):
        mass_shares(-scores.nan_to_num(neginf=0))


def test_equal_mass_through_prune_is_exact_and_uneven() -> None:
    model = toy(ConvNet)
    request = Prune(model, recipe_named("wanda-variant"), 0.5, noise(12, model))
    after = pruned_model(model, request(), request)
    rows = (after.weight("conv3.weight") == 0).flatten(1).sum(dim=1)
    assert len(set(rows.tolist())) > 1
    again = Prune(after, recipe_named("wanda-variant"), 0.75, noise(12, model))
    total = sum(layer.parameters for layer in model.layers)
    assert again().audit.got == exact_count(0.75, total)


def test_the_golden_rows_lose_the_same_mass() -> None:
    weight, inputs = golden()
    scores = np.abs(weight) * np.linalg.norm(inputs, axis=0)
    unit = LayerUnits(PrunableLayer("l", "linear", (4, 8)), torch.from_numpy(scores))
    (gone,) = PerRowMass().remove(context(toy(ConvNet)), [unit], 0.5)
    assert int(gone.sum()) == 16
    lost = np.where(gone.numpy(), scores, 0).sum(axis=1) / scores.sum(axis=1)
    kept = np.where(gone.numpy(), np.inf, scores).min(axis=1) / scores.sum(axis=1)
    assert lost.max() <= (lost + kept).min()  # one alpha lies between them for all rows
