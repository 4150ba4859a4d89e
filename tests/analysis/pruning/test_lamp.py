from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.pruning import PRESETS, Prune, pruned_model
from analysis.pruning.criteria.lamp import Lamp, lamp
from tests.analysis.pruning.toys import ConvNet, context, toy


def by_definition(weight: np.ndarray) -> np.ndarray:
    """w_u² / Σ w_v² over the v that follow u in a stable order by magnitude, term by term."""
    squares = weight.reshape(-1).astype(np.float64) ** 2
    scores = np.zeros_like(squares)
    for u in range(len(squares)):
        tail = sum(squares[v] for v in range(len(squares)) if (squares[v], v) >= (squares[u], u))
        scores[u] = squares[u] / tail if tail else 0
    return scores.reshape(weight.shape)


def test_the_published_example() -> None:
    found = lamp(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    np.testing.assert_allclose(found, [0.033333, 0.137931, 0.36, 1], atol=5e-7)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0, -1, 1, 2, -2, 3, 0.5, 1e-3]), min_size=1, max_size=12))
def test_scores_are_their_definition_ties_and_zeros_included(values: list[float]) -> None:
    weight = np.array(values, dtype=np.float64)
    np.testing.assert_allclose(lamp(torch.from_numpy(weight)), by_definition(weight), rtol=1e-12)


def test_of_equal_weights_the_first_goes_first() -> None:
    np.testing.assert_allclose(lamp(torch.tensor([2.0, -2, 2])), [1 / 3, 1 / 2, 1])


def test_order_is_that_of_the_magnitudes_and_scale_does_not_matter() -> None:
    weight = toy(ConvNet).weights["conv3.weight"]
    order = torch.argsort(weight.abs().reshape(-1), stable=True)
    assert torch.equal(torch.argsort(lamp(weight).reshape(-1), stable=True), order)
    torch.testing.assert_close(lamp(weight * 1e-20), lamp(weight))


def test_the_largest_weight_of_every_layer_has_a_score_of_one() -> None:
    scores = Lamp().scores(context(toy(ConvNet)))
    assert {float(found.max()) for found in scores.values()} == {1.0}
    assert {found.dtype for found in scores.values()} == {torch.float32}


def test_zeros_have_no_score_and_change_no_other() -> None:
    assert lamp(torch.zeros(2, 2)).tolist() == [[0, 0], [0, 0]]
    found = lamp(torch.tensor([0.0, 1, 0, 2]))
    np.testing.assert_allclose(found, [0, 1 / 5, 0, 1])


@pytest.mark.parametrize("sparsity", [0.9, 0.99])
def test_no_layer_dies(sparsity: float) -> None:
    model = toy(ConvNet)
    scaled = {
        name: value * (1e-3 if name.startswith("conv2") else 1)
        for name, value in model.weights.items()
    }
    weak = toy(ConvNet, state=scaled)
    request = Prune(weak, PRESETS["lamp"].recipe, sparsity)
    after = pruned_model(weak, request(), request)
    assert all(after.zeros[layer.name] < layer.parameters for layer in weak.layers)
