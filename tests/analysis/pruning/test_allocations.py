from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from analysis.architectures.architecture import PrunableLayer
from analysis.errors import ArgumentError
from analysis.pruning.allocations.erk import Erk, erk_densities
from analysis.pruning.allocations.global_threshold import Global
from analysis.pruning.allocations.per_row import PerRow
from analysis.pruning.allocations.uniform import Uniform
from analysis.pruning.counting import exact_count
from analysis.pruning.parts import Allocation, LayerUnits
from tests.analysis.pruning.toys import ConvNet, context, toy

GONE = float("-inf")
CONTEXT = context(toy(ConvNet))
ALL: list[Allocation] = [Global(), Global(min_keep=2), Uniform(), PerRow(), Erk()]


def layer(name: str, scores: Tensor) -> LayerUnits:
    kind = "conv" if scores.ndim == 4 else "linear"
    return LayerUnits(PrunableLayer(name, kind, tuple(scores.shape)), scores)  # type: ignore[arg-type]


def random_layers(seed: int) -> list[LayerUnits]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(6, 2, 3, 3), (4, 6, 1, 1), (3, 17), (1, 3)]
    return [
        layer(f"l{i}", torch.randint(0, 50, shape, generator=generator).float())
        for i, shape in enumerate(shapes)
    ]


def sizes(masks: list[Tensor]) -> list[int]:
    return [int(mask.sum()) for mask in masks]


@pytest.fixture
def two_layers() -> list[LayerUnits]:
    """A = (.01 … .04), B = (.5, .6, … 1.2), the toy of Global MP."""
    small = torch.tensor([[0.01, 0.02, 0.03, 0.04]])
    return [layer("A", small), layer("B", torch.arange(5, 13).reshape(1, 8) / 10)]


def test_global_threshold_empties_the_small_layer(two_layers: list[LayerUnits]) -> None:
    a, b = Global().remove(CONTEXT, two_layers, 0.5)
    assert bool(a.all())
    assert (~b).tolist() == [[False, False, True, True, True, True, True, True]]


def test_min_keep_moves_the_budget_to_the_others(two_layers: list[LayerUnits]) -> None:
    a, b = Global(min_keep=1).remove(CONTEXT, two_layers, 0.5)
    assert (~a).tolist() == [[False, False, False, True]]
    assert (~b).tolist() == [[False, False, False, True, True, True, True, True]]


def test_layers_smaller_than_min_keep_stay_whole(two_layers: list[LayerUnits]) -> None:
    assert sizes(Global(min_keep=5).remove(CONTEXT, two_layers, 0.25)) == [0, 3]


def test_an_impossible_min_keep_is_refused(two_layers: list[LayerUnits]) -> None:
    with pytest.raises(ArgumentError, match="min_keep=5"):
        Global(min_keep=5).remove(CONTEXT, two_layers, 0.5)


def test_min_keep_is_the_best_choice_within_its_bound() -> None:
    """Against all ways to spend the budget over three layers, the least total score is removed."""
    units = [
        layer(name, torch.tensor([values]))
        for name, values in [("a", [1.0, 2, 3]), ("b", [2.5, 2.6, 9]), ("c", [0.1, 5, 6, 7])]
    ]
    budget, most = 5, [2, 2, 3]
    cost = [[sum(sorted(u.scores[0].tolist())[:k]) for k in range(u.size + 1)] for u in units]
    best = min(
        cost[0][i] + cost[1][j] + cost[2][budget - i - j]
        for i in range(most[0] + 1)
        for j in range(most[1] + 1)
        if 0 <= budget - i - j <= most[2]
    )
    masks = Global(min_keep=1).remove(CONTEXT, units, 0.5)
    removed = sum(float(u.scores[m].sum()) for u, m in zip(units, masks, strict=True))
    assert sum(sizes(masks)) == budget
    assert removed == pytest.approx(best)


def test_uniform_takes_the_lowest_of_each_layer(two_layers: list[LayerUnits]) -> None:
    a, b = Uniform().remove(CONTEXT, two_layers, 0.5)
    assert a.tolist() == [[True, True, False, False]]
    assert b.tolist() == [[True] * 4 + [False] * 4]


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.55, 0.9])
def test_rows_are_within_one_of_their_share(sparsity: float) -> None:
    units = random_layers(3)
    for unit, mask in zip(units, PerRow().remove(CONTEXT, units, sparsity), strict=True):
        rows = mask.flatten(1)
        assert np.all(np.abs(rows.sum(1).numpy() - sparsity * rows.shape[1]) < 1)
        for scores, gone in zip(unit.scores.flatten(1), rows, strict=True):
            if 0 < int(gone.sum()) < len(gone):
                assert scores[gone].max() <= scores[~gone].min()


def test_erk_densities_of_the_reference() -> None:
    shapes = [(64, 3, 3, 3), (128, 64, 3, 3), (256, 128, 3, 3), (10, 256)]
    counts = [int(np.prod(shape)) for shape in shapes]
    densities = erk_densities(shapes, counts, 0.1 * sum(counts))
    np.testing.assert_allclose(densities, [1, 0.150741, 0.074229, 1], atol=5e-7)


def test_erk_counts_follow_its_densities() -> None:
    shapes = [(64, 3, 3, 3), (128, 64, 3, 3), (256, 128, 3, 3), (10, 256)]
    units = [layer(str(i), torch.rand(shape)) for i, shape in enumerate(shapes)]
    removed = np.array(sizes(Erk().remove(CONTEXT, units, 0.9)))
    counts = np.array([unit.size for unit in units])
    assert removed.sum() == exact_count(0.9, int(counts.sum()))
    np.testing.assert_allclose(1 - removed / counts, [1, 0.150741, 0.074229, 1], atol=2e-5)


def test_erk_without_sparsity_keeps_everything() -> None:
    assert sizes(Erk().remove(CONTEXT, random_layers(0), 0.0)) == [0, 0, 0, 0]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(ALL), st.floats(0, 0.9), st.integers(0, 100))
def test_totals_are_exact(allocation: Allocation, sparsity: float, seed: int) -> None:
    units = random_layers(seed)
    masks = allocation.remove(CONTEXT, units, sparsity)
    assert [m.shape for m in masks] == [u.scores.shape for u in units]
    assert sum(sizes(masks)) == exact_count(sparsity, sum(u.size for u in units))


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(ALL), st.sampled_from(ALL), st.floats(0, 0.8), st.floats(0, 0.1), st.integers()
)
def test_what_is_gone_stays_gone(
    first: Allocation, second: Allocation, sparsity: float, more: float, seed: int
) -> None:
    units = random_layers(seed % 1000)
    gone = first.remove(CONTEXT, units, sparsity)
    again = [
        LayerUnits(u.layer, u.scores.masked_fill(g, GONE))
        for u, g in zip(units, gone, strict=True)
    ]
    masks = second.remove(CONTEXT, again, sparsity + more)
    assert all(bool((m | ~g).all()) for m, g in zip(masks, gone, strict=True))
    assert sum(sizes(masks)) == exact_count(sparsity + more, sum(u.size for u in units))
