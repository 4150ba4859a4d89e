"""Blocks: tiles of the flattened weight matrix, counted exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import ArgumentError
from analysis.models import Model
from analysis.pruning import Prune, Pruned, Recipe, pruned_model, recipe_named
from analysis.pruning.counting import exact_count
from analysis.pruning.structures.block import Block
from tests.analysis.pruning.toys import ConvNet, noise, toy

MODEL = toy(ConvNet)


def run(recipe: Recipe, sparsity: float, model: Model = MODEL) -> tuple[Model, Pruned]:
    request = Prune(model, recipe, sparsity, noise(6, MODEL))
    pruned = request()
    return pruned_model(model, pruned, request), pruned


def tiles_of(matrix: np.ndarray, rows: int, columns: int) -> list[np.ndarray]:
    high, wide = matrix.shape
    return [
        matrix[i : i + rows, j : j + columns]
        for i in range(0, high, rows)
        for j in range(0, wide, columns)
    ]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.integers(1, 7), st.floats(0, 0.95))
def test_exactly_the_weakest_tiles_go(rows: int, columns: int, sparsity: float) -> None:
    settings_ = {"structure.rows": str(rows), "structure.columns": str(columns)}
    after, pruned = run(recipe_named("block-magnitude", settings_), sparsity)
    scores, gone = [], []
    for layer in MODEL.layers:
        dense = MODEL.weights[layer.parameter].flatten(1).abs().numpy()
        kept = after.keep(layer).flatten(1).numpy()
        for score, keep in zip(
            tiles_of(dense, rows, columns), tiles_of(kept, rows, columns), strict=True
        ):
            assert keep.all() or not keep.any()
            scores.append(float(score.sum()))
            gone.append(not keep.any())
    budget = exact_count(sparsity, len(scores))
    assert (pruned.audit.unit, pruned.audit.asked, pruned.audit.got) == ("blocks", budget, budget)
    assert sum(gone) == budget
    if 0 < budget < len(scores):
        weakest = max(s for s, g in zip(scores, gone, strict=True) if g)
        assert weakest <= min(s for s, g in zip(scores, gone, strict=True) if not g) + 1e-5


def test_single_weights_are_blocks_of_one() -> None:
    ones = {"structure.rows": "1", "structure.columns": "1"}
    assert (
        run(recipe_named("block-magnitude", ones), 0.6)[0].key
        == run(recipe_named("global-magnitude"), 0.6)[0].key
    )


@pytest.mark.parametrize("allocation", ["uniform", "erk", "per-row", "global"])
def test_zeros_of_earlier_prunings_stay(allocation: str) -> None:
    sparse, _ = run(recipe_named("global-magnitude"), 0.3)
    recipe = recipe_named("block-magnitude", {"allocation": allocation})
    after, pruned = run(recipe, 0.5, sparse)
    for name, mask in sparse.masks.items():
        assert not bool((after.masks[name].keep() & ~mask.keep()).any())
    structure = Block()
    whole = sum(structure.removed_units(after.keep(layer)) for layer in after.layers)
    assert whole == pruned.audit.got == pruned.audit.asked


def test_rounds_are_nested_and_layer_by_layer_is_refused() -> None:
    recipe = recipe_named("block-magnitude", {"schedule": "iterative"})
    assert run(recipe, 0.7)[0].key == run(recipe_named("block-magnitude"), 0.7)[0].key
    with pytest.raises(ArgumentError, match="not in blocks"):
        recipe_named("block-magnitude", {"schedule": "layer-by-layer", "allocation": "uniform"})


def test_edge_tiles_hold_what_is_left() -> None:
    structure = Block(rows=2, columns=4)
    values = torch.arange(15.0).reshape(3, 5)
    assert structure.tiles(values).tolist() == [[0 + 1 + 2 + 3 + 5 + 6 + 7 + 8, 13], [46, 14]]
    spread = structure.spread(torch.tensor([[True, False], [False, True]]), (3, 5))
    assert spread.int().tolist() == [[1, 1, 1, 1, 0], [1, 1, 1, 1, 0], [0, 0, 0, 0, 1]]
