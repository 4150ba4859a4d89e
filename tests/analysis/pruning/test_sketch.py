from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.architectures.architecture import PrunableLayer
from analysis.errors import ArgumentError
from analysis.pruning import PRESETS, Prune, Recipe, pruned_model
from analysis.pruning.allocations.sketch import Sketch, gumbel_keys
from analysis.pruning.counting import exact_count
from analysis.pruning.parts import LayerUnits
from tests.analysis.pruning.toys import ConvNet, context, toy

MODEL = toy(ConvNet)
DRAWS = 20_000


def inclusion(scores: list[float], keep: int) -> np.ndarray:
    """P(kept) of each unit when units are drawn one after the other, over all orders of draws."""
    found = np.zeros(len(scores))
    for draw in itertools.permutations(range(len(scores)), keep):
        probability, left = 1.0, math.fsum(scores)
        for unit in draw:
            probability *= scores[unit] / left
            left -= scores[unit]
        found[list(draw)] += probability
    return found


def units(*scores: torch.Tensor) -> list[LayerUnits]:
    return [
        LayerUnits(PrunableLayer(f"layer{i}", "linear", tuple(s.shape)), s)
        for i, s in enumerate(scores)
    ]


def test_the_published_inclusion_probabilities_are_those_of_successive_draws() -> None:
    golden = [0.2345, 0.4413, 0.6083, 0.7159]
    np.testing.assert_allclose(inclusion([1, 2, 3, 4], 2), golden, atol=1e-4)


@pytest.mark.parametrize(
    ("scores", "keep"), [([1, 2, 3, 4], 2), ([1, 1, 1, 10], 1), ([0.1, 5, 2, 2, 0.5], 3)]
)
def test_draws_have_the_exact_inclusion_probabilities(scores: list[float], keep: int) -> None:
    generator = torch.Generator().manual_seed(0)
    keys = gumbel_keys(torch.tensor(scores).expand(DRAWS, -1), generator)
    kept = np.bincount(keys.topk(keep, dim=1).indices.reshape(-1), minlength=len(scores)) / DRAWS
    expected = inclusion(scores, keep)
    error = np.sqrt(expected * (1 - expected) / DRAWS)
    assert (np.abs(kept - expected) < 4 * error).all()


def test_the_allocation_draws_over_all_layers_together() -> None:
    """The golden scores as two layers: 600 seeds are within sampling error."""
    where = context(MODEL)
    split = units(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]))
    kept = np.zeros(4)
    for seed in range(600):
        masks = Sketch().remove(replace(where, seed=seed), split, 0.5)
        assert sum(int(mask.sum()) for mask in masks) == 2
        kept += 1 - torch.cat(masks).numpy()
    expected = inclusion([1, 2, 3, 4], 2)
    error = np.sqrt(expected * (1 - expected) / 600)
    assert (np.abs(kept / 600 - expected) < 4 * error).all()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 1.0, 2.0, 5e-320, math.inf, -math.inf]), min_size=1),
    st.floats(0, 0.99),
    st.integers(0, 9),
)
def test_counts_are_exact_and_what_is_gone_goes_before_zeros_and_these_before_all_else(
    values: list[float], sparsity: float, seed: int
) -> None:
    scores = torch.tensor(values, dtype=torch.float64)
    mask = Sketch().remove(context(MODEL, seed=seed), units(scores), sparsity)[0]
    assert int(mask.sum()) == exact_count(sparsity, len(values))
    rank = [0 if v == -math.inf else 1 if v == 0 else 3 if v == math.inf else 2 for v in values]
    gone = [r for r, m in zip(rank, mask.tolist(), strict=True) if m]
    kept = [r for r, m in zip(rank, mask.tolist(), strict=True) if not m]
    assert not gone or not kept or max(gone) <= min(kept)


def test_zeros_go_by_chance_and_not_by_position() -> None:
    mask = Sketch().remove(context(MODEL), units(torch.zeros(1000), torch.zeros(1000)), 0.5)
    assert 400 < int(mask[0].sum()) < 600


def test_a_negative_score_is_no_probability() -> None:
    with pytest.raises(ArgumentError, match="some are negative"):
        Sketch().remove(context(MODEL), units(torch.tensor([1.0, -1.0])), 0.5)


def test_rounds_of_equal_scores_come_to_the_same_mask_as_one() -> None:
    rounds = {"name": "iterative", "rounds": 3, "spacing": "linear"}
    parts = {"criterion": "magnitude", "allocation": "sketch"}
    keys = {}
    for schedule in ("one-shot", rounds):
        request = Prune(MODEL, Recipe.from_json({**parts, "schedule": schedule}), 0.7, seed=2)
        keys[str(schedule)] = pruned_model(MODEL, request(), request).key
    assert len(set(keys.values())) == 1


def test_seeds_differ_and_the_ambient_generator_is_not_used() -> None:
    state = torch.random.get_rng_state()
    recipe = PRESETS["sketch-magnitude"].recipe
    requests = [Prune(MODEL, recipe, 0.5, seed=seed) for seed in (0, 1)]
    one, two = (pruned_model(MODEL, request(), request) for request in requests)
    assert one.key != two.key
    assert torch.equal(state, torch.random.get_rng_state())
    kept = one.masks["conv3.weight"].keep()
    weight = MODEL.weights["conv3.weight"].abs()
    assert weight[kept].mean() > 1.2 * weight[~kept].mean()
