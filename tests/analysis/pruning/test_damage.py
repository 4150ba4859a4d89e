"""Allocation by sensitivity: measured curves, and how they share a budget."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from analysis.pruning.allocations.sensitivity import least_damage_counts, luc_counts
from analysis.pruning.counting import exact_count
from analysis.pruning.damage import SPARSITIES, loss_damage, output_damage, removal_levels
from tests.analysis.pruning.test_allocation_rules import CONTEXT, IMAGES, MODEL, weights


def outputs_of(module: nn.Module, name: str, weight: Tensor, x: Tensor) -> Tensor:
    """What the layer makes of `x` with this weight and no bias, in float64."""
    layer = copy.deepcopy(module.get_submodule(name))
    layer.weight, layer.bias = nn.Parameter(weight), None
    with torch.no_grad():
        return layer(x).double()


@pytest.mark.parametrize("filters", [False, True])
def test_output_damage_is_the_error_of_that_layer(filters: bool) -> None:
    """The layer's own output with and without, through a copy of the layer."""
    units = weights(2, filters)
    curves = output_damage(CONTEXT, units)
    module, seen = MODEL.module(), dict[str, Tensor]()
    for layer in MODEL.layers:
        module.get_submodule(layer.name).register_forward_pre_hook(
            lambda _, args, name=layer.name: seen.update({name: args[0]})
        )
    with torch.no_grad():
        module(MODEL.architecture.normalise(torch.from_numpy(IMAGES.images)))
    for row, column in itertools.product(range(len(units)), (0, 5, 9)):
        unit, weight = units[row], CONTEXT.weight(units[row].layer)
        count = exact_count(SPARSITIES[column], unit.size)
        gone = torch.zeros(unit.size, dtype=torch.bool)
        gone[torch.sort(unit.scores.reshape(-1), stable=True).indices[:count]] = True
        rows = (-1, *[1] * (weight.ndim - 1))
        pruned = weight.masked_fill(gone.reshape(rows if filters else weight.shape), 0)
        name = unit.layer.name
        whole = outputs_of(module, name, weight, seen[name])
        change = whole - outputs_of(module, name, pruned, seen[name])
        expected = float(change.square().sum() / whole.square().sum())
        assert curves[row, column] == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_loss_damage_is_the_growth_of_the_loss() -> None:
    units = weights(4)
    curves = loss_damage(CONTEXT, units)
    images = MODEL.architecture.normalise(torch.from_numpy(IMAGES.images))
    labels = torch.from_numpy(IMAGES.labels)
    level = removal_levels(units[2])
    pruned = MODEL.module()
    with torch.no_grad():
        dense = nn.functional.cross_entropy(pruned(images), labels)
        pruned.conv3.weight = nn.Parameter(pruned.conv3.weight * (level > 6))
        loss = nn.functional.cross_entropy(pruned(images), labels)
    assert int((level <= 6).sum()) == exact_count(0.8, 864)
    assert curves[2, 6] == pytest.approx(float(loss - dense), abs=1e-5)


def test_damage_leaves_the_module_as_it_was() -> None:
    before = {k: v.clone() for k, v in CONTEXT.module.state_dict().items()}
    loss_damage(CONTEXT, weights())
    output_damage(CONTEXT, weights())
    assert all(torch.equal(v, before[k]) for k, v in CONTEXT.module.state_dict().items())
    assert not any(m._forward_pre_hooks for m in CONTEXT.module.modules())


def test_least_damage_is_the_optimum_on_convex_curves() -> None:
    """Against all ways to reach the budget in steps of the grid, for three layers."""
    rng = np.random.default_rng(0)
    grid = np.array(SPARSITIES)
    curves = np.stack([a * grid**p for a, p in zip([1, 3, 0.5], [2, 3, 1.5], strict=True)])
    curves *= rng.uniform(0.9, 1.1, (3, 1))
    sizes_ = [100, 200, 300]
    counts = [[0, *(exact_count(s, n) for s in SPARSITIES)] for n in sizes_]
    damage = np.hstack([np.zeros((3, 1)), curves])
    for choice in ([5, 3, 6], [2, 2, 9], [7, 6, 1]):
        budget = sum(counts[i][k] for i, k in enumerate(choice))
        found = least_damage_counts(curves, sizes_, budget)
        assert sum(found) == budget
        value = sum(np.interp(found[i], counts[i], damage[i]) for i in range(3))
        best = min(
            damage[0, i] + damage[1, j] + damage[2, k]
            for i, j, k in itertools.product(range(11), repeat=3)
            if counts[0][i] + counts[1][j] + counts[2][k] == budget
        )
        assert value <= best + 1e-12


def test_layers_that_suffer_less_give_more() -> None:
    harmless, harmful = [0.01 * s for s in SPARSITIES], [10 * s for s in SPARSITIES]
    assert least_damage_counts(np.array([harmful, harmless]), [100, 100], 120) == [21, 99]


def test_luc_follows_its_formula() -> None:
    """Means .2 and .8 -> ŝ = 0, 1; and .2, .5, .8 -> ratios (2, 1, 0) / 3 × 3 s."""
    two = np.array([[0.2] * 10, [0.8] * 10])
    assert luc_counts(two, [100, 100], [99, 99], 60) == [60, 0]
    three = np.array([[0.2] * 10, [0.5] * 10, [0.8] * 10])
    assert luc_counts(three, [100] * 3, [99] * 3, 90) == [60, 30, 0]
    # 120 -> (80, 40, 0); 180 -> (120, 60, 0), clipped at 99: the second gives the other 81.
    assert luc_counts(three, [100] * 3, [99] * 3, 180) == [99, 81, 0]
    assert luc_counts(three, [100] * 3, [99] * 3, 250) == [99, 99, 52]
    assert luc_counts(np.ones((2, 10)), [100, 300], [99, 297], 200) == [50, 150]
