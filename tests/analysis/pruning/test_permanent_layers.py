"""Merged convolutions and factored layers: the same outputs from fewer numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from analysis.checkpoints import open_model, write_pruned
from analysis.errors import ArgumentError
from analysis.models import Model
from analysis.pruning import Prune, Recipe, pruned_model, recipe_named
from analysis.pruning.accounting import Account
from analysis.pruning.low_rank import numerical_ranks
from analysis.pruning.permanent import make_permanent
from tests.analysis.pruning.test_depth import Plain
from tests.analysis.pruning.toys import noise, toy


def logits(model: Model, seed: int = 3) -> torch.Tensor:
    shape = (16, *model.architecture.input_shape)
    x = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return model.module()(x)


def low_rank(model: Model, matrix: str, sparsity: float) -> Model:
    recipe = Recipe.from_json(
        {
            "criterion": "magnitude",
            "structure": {"name": "rank", "matrix": matrix},
            "allocation": "uniform",
        }
    )
    request = Prune(model, recipe, sparsity)
    return pruned_model(model, request(), request)


def test_a_linear_run_becomes_one_convolution() -> None:
    model = toy(Plain)
    images = noise(40, model)
    recipe = recipe_named("depth-dp", {"allocation.resource": "macs"})
    request = Prune(model, recipe, 0.5, images)
    linear = pruned_model(model, request(), request)
    smaller = make_permanent(linear).model
    torch.testing.assert_close(logits(smaller), logits(linear), rtol=0, atol=1e-5)
    before, after = (Account(m)() for m in (model, smaller))
    assert after.macs <= 0.5 * before.macs + 8 * 8 * 5  # but for the classifier and rounding
    assert len(smaller.layers) < len(model.layers)


@pytest.mark.parametrize("matrix", ["NC", "VH"])
@pytest.mark.parametrize("demo", ["demo:resnet", "demo:vit"])
def test_layers_of_low_rank_become_two(demo: str, matrix: str, tmp_path: Path) -> None:
    model = open_model(demo)[0]
    cut = low_rank(model, matrix, 0.4)
    found = make_permanent(cut)
    assert found.difference < 1e-4
    before, after = (Account(m)() for m in (model, found.model))
    assert after.parameters < before.parameters
    path = write_pruned(found.model, tmp_path / "smaller.safetensors", {})
    again, report = open_model(path)
    assert again.key == found.model.key
    assert report.missing == ()
    assert torch.equal(logits(again), logits(found.model))
    name = next(e.module for e in found.edits)
    first, second = (again.weights[f"{name}.{i}.weight"] for i in (0, 1))
    weight = cut.weight(f"{name}.weight")
    assert first.numel() + second.numel() <= 0.75 * weight.numel()
    form = "NC" if first.shape[1:] == weight.shape[1:] else "VH"
    assert len(first) == int(numerical_ranks(weight, form).sum())  # type: ignore[arg-type]


def test_full_ranks_stay_one_layer() -> None:
    model = open_model("demo:resnet")[0]
    whole = replace(low_rank(model, "NC", 0.0), origin=None)
    with pytest.raises(ArgumentError, match="nothing can be cut out"):
        make_permanent(whole)
