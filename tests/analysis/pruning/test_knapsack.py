"""Knapsack: published toy, brute force, and the budget of computation in a job."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import ArgumentError
from analysis.pruning import Prune, Recipe, pruned_model, recipe_named
from analysis.pruning import knapsack as solvers
from analysis.pruning.allocations.knapsack import Knapsack
from analysis.pruning.macs import layer_macs
from analysis.pruning.parts import LayerUnits
from tests.analysis.pruning.toys import ConvNet, context, noise, toy

GONE = float("-inf")
MODEL = toy(ConvNet)
IMAGES = noise(12, MODEL)
CONTEXT = context(MODEL, batch_size=4)
MACS = layer_macs(MODEL.architecture, 3)


def test_greedy_and_exact_of_the_reference() -> None:
    values, costs = np.array([60.0, 100, 120]), [10, 20, 30]
    greedy = solvers.greedy(values, np.array(costs, dtype=float), 50)
    exact = solvers.exact(values, costs, 50)
    assert (values[greedy].sum(), values[exact].sum()) == (160, 220)
    assert greedy.tolist() == [True, True, False]
    assert exact.tolist() == [False, True, True]


ITEMS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 12)), min_size=1, max_size=9)


@settings(max_examples=200, deadline=None)
@given(ITEMS, st.integers(0, 60), st.integers(1, 7))
def test_exact_is_the_best_and_nothing_exceeds_the_capacity(
    items: list[tuple[int, int]], capacity: int, unit: int
) -> None:
    values = np.array([float(v) for v, _ in items])
    costs = np.array([c * unit for _, c in items])
    capacity *= unit
    best = max(
        sum(values[list(chosen)])
        for n in range(len(items) + 1)
        for chosen in itertools.combinations(range(len(items)), n)
        if sum(costs[list(chosen)]) <= capacity
    )
    exact = solvers.exact(values, list(costs), capacity)
    greedy = solvers.greedy(values, costs.astype(float), capacity)
    assert costs[exact].sum() <= capacity
    assert costs[greedy].sum() <= capacity
    assert values[greedy].sum() <= values[exact].sum() == best


@settings(max_examples=100, deadline=None)
@given(ITEMS, st.floats(0, 60))
def test_greedy_is_the_plain_loop(items: list[tuple[int, int]], capacity: float) -> None:
    values = np.array([float(v) for v, _ in items])
    costs = np.array([float(c) for _, c in items])
    density = [v / c if c else float("inf") for v, c in zip(values, costs, strict=True)]
    kept, left = np.zeros(len(items), dtype=bool), capacity
    for i in sorted(range(len(items)), key=lambda i: -density[i]):
        if costs[i] <= left:
            kept[i], left = True, left - costs[i]
    assert solvers.greedy(values, costs, capacity).tolist() == kept.tolist()


def test_a_table_that_is_too_large_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"table of 1,000 units × .* choose the greedy"):
        solvers.exact(np.ones(1000), [10_007 + i for i in range(1000)], 9_000_000)


def test_nothing_may_be_negative() -> None:
    with pytest.raises(ArgumentError, match="negative"):
        solvers.greedy(np.array([-1.0]), np.array([1.0]), 1)


def filters(seed: int = 0) -> list[LayerUnits]:
    generator = torch.Generator().manual_seed(seed)
    layers = [la for la in MODEL.layers if la.kind == "conv"]
    return [LayerUnits(la, torch.rand(la.shape[0], generator=generator)) for la in layers]


def kept_macs(units: list[LayerUnits], masks: list[torch.Tensor]) -> float:
    return sum(
        float((~m).sum()) * MACS[u.layer.name] / u.size for u, m in zip(units, masks, strict=True)
    )


@pytest.mark.parametrize("solution", ["greedy", "exact"])
@settings(max_examples=25, deadline=None)
@given(sparsity=st.floats(0, 0.8), seed=st.integers(0, 100))
def test_the_computation_asked_for_is_not_exceeded(
    solution: str, sparsity: float, seed: int
) -> None:
    units = filters(seed)
    total = sum(MACS[unit.layer.name] for unit in units)
    allocation = Knapsack.model_validate({"solution": solution})
    masks = allocation.remove(CONTEXT, units, sparsity)
    kept = kept_macs(units, masks)
    assert kept <= total * (1 - sparsity) * (1 + 1e-12)
    largest = max(MACS[unit.layer.name] / unit.size for unit in units)
    if solution == "greedy":  # the cheapest filter that is out would not fit any more
        assert kept > total * (1 - sparsity) - largest
    assert all(int((~mask).sum()) >= 1 for mask in masks)


def test_exact_is_worth_at_least_as_much_as_greedy() -> None:
    units = filters(7)

    def worth(solution: str) -> float:
        allocation = Knapsack.model_validate({"solution": solution})
        masks = allocation.remove(CONTEXT, units, 0.55)
        return sum(float(u.scores[~m].sum()) for u, m in zip(units, masks, strict=True))

    assert worth("exact") >= worth("greedy")


def test_weights_cost_their_output_positions() -> None:
    """conv1: 64 positions a weight; conv3: 16; hidden and fc: 1."""
    units = [LayerUnits(la, torch.ones(la.shape)) for la in MODEL.layers]
    prices = Knapsack()._prices(CONTEXT, units)
    assert prices.tolist() == [64, 16, 16, 1, 1]
    masks = Knapsack().remove(CONTEXT, units, 0.5)
    assert not bool(masks[3].any() | masks[4].any())  # equal scores: cheap weights stay
    assert kept_macs(units, masks) <= 0.5 * sum(MACS.values())


def test_costs_that_a_structure_counted_go_before_the_layers_own() -> None:
    units = [LayerUnits(MODEL.layers[0], torch.rand(8), macs=5.0)]
    assert Knapsack()._prices(CONTEXT, units).tolist() == [5]


def test_what_is_gone_stays_gone_and_the_best_of_each_layer_stays() -> None:
    units = filters(1)
    dead = [LayerUnits(u.layer, u.scores.clone()) for u in units]
    dead[0].scores[:6] = GONE
    masks = Knapsack(min_keep=2).remove(CONTEXT, dead, 0.7)
    assert bool(masks[0][:6].all())
    assert [int((~mask).sum()) >= 2 for mask in masks] == [True] * 3
    for unit, mask in zip(dead, masks, strict=True):
        assert not bool(mask[unit.scores.argmax()])


def test_what_cannot_be_met_is_refused() -> None:
    with pytest.raises(ArgumentError, match="min_keep=8 alone takes"):
        Knapsack(min_keep=8).remove(CONTEXT, filters(), 0.9)
    signed = [LayerUnits(MODEL.layers[0], torch.linspace(-1, 1, 8))]
    with pytest.raises(ArgumentError, match="some are negative"):
        Knapsack().remove(CONTEXT, signed, 0.5)


def test_measured_time_as_the_resource() -> None:
    units = filters(3)
    allocation = Knapsack(resource="latency", solution="exact")
    masks = allocation.remove(CONTEXT, units, 0.5)
    assert 0 < sum(int(mask.sum()) for mask in masks) < sum(u.size for u in units)


def test_a_job_removes_what_the_computation_demands() -> None:
    recipe = recipe_named("knapsack-macs")
    request = Prune(MODEL, recipe, 0.5, IMAGES)
    pruned = request()
    after = pruned_model(MODEL, pruned, request)
    convs = [la for la in MODEL.layers if la.kind == "conv"]
    kept = sum(
        MACS[la.name] * float(after.keep(la).flatten(1).any(dim=1).sum()) / la.shape[0]
        for la in convs
    )
    assert kept <= 0.5 * sum(MACS[la.name] for la in convs)
    assert pruned.audit.unit == "filters"
    assert pruned.audit.got == pruned.audit.asked > 0


def test_masks_are_nested_over_rounds() -> None:
    parts = {
        "criterion": "magnitude",
        "structure": "filter",
        "allocation": "knapsack",
        "schedule": {"name": "cubic", "rounds": 3},
    }
    audit = Prune(MODEL, Recipe.from_json(parts), 0.6)().audit
    assert audit.got == audit.asked > 0
