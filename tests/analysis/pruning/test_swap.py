from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from analysis.errors import ArgumentError, InputError
from analysis.pruning import PRESETS, Prune, Recipe, pruned_model
from analysis.pruning.allocations.global_threshold import Global
from analysis.pruning.cost import JobSize
from analysis.pruning.criteria.swap import Swap
from analysis.pruning.regression import Regression
from analysis.pruning.structures.weight import Weight
from analysis.pruning.transport import exact_plan, transport_plan
from tests.analysis.pruning.toys import ConvNet, context, noise, toy

MODEL = toy(ConvNet)
IMAGES = noise(24, MODEL)
GENERATOR = torch.Generator().manual_seed(1)
G = torch.randn(5, 9, generator=GENERATOR, dtype=torch.float64)
DENSE = torch.randn(9, generator=GENERATOR, dtype=torch.float64)
SHRUNK = DENSE * torch.tensor([1, 0, 1, 0.5, 1, 0, 1, 1, 0.2], dtype=torch.float64)
KEEP = torch.tensor([1, 0, 1, 1, 0, 0, 1, 1, 0], dtype=torch.bool)
IDENTITY = torch.eye(5, dtype=torch.float64) / 5


def regression(ridge: float = 0.3) -> Regression:
    return Regression(G, DENSE, ridge)


def test_with_the_identity_plan_it_is_the_squared_prediction_error() -> None:
    found = regression(1e-300).objective(SHRUNK, IDENTITY)
    assert found == pytest.approx(5 / 2 * float((G @ SHRUNK - G @ DENSE).square().mean()))
    moved = float((SHRUNK - DENSE).square().sum())
    assert regression(0.3).objective(SHRUNK, IDENTITY) == pytest.approx(
        found + 5 / 2 * 0.3 * moved
    )


def test_dense_weights_cost_nothing_under_an_exact_plan() -> None:
    y = regression().outputs
    assert regression().objective(DENSE, exact_plan(y, y)) == 0


@pytest.mark.parametrize("epsilon", [0.0, 0.5])
def test_the_slope_is_the_derivative(epsilon: float) -> None:
    """Against torch's derivative of the definition."""
    problem = regression()
    plan = transport_plan(G @ SHRUNK, problem.outputs, epsilon)
    w = SHRUNK.clone().requires_grad_(True)
    cost = ((G @ w).unsqueeze(1) - (G @ DENSE)).square()
    value = 5 / 2 * (plan * cost).sum() + 5 / 2 * 0.3 * (w - DENSE).square().sum()
    (expected,) = torch.autograd.grad(value, w)
    torch.testing.assert_close(problem.slope(SHRUNK, plan), expected, rtol=1e-8, atol=1e-8)
    assert problem.objective(SHRUNK, plan) == pytest.approx(float(value.detach()))


def test_kept_weights_solve_the_normal_equations() -> None:
    problem = regression()
    plan = transport_plan(G @ SHRUNK, problem.outputs, 0.5)
    target = 5 * plan @ (G @ DENSE)
    some = G[:, KEEP]
    left = some.T @ some + 5 * 0.3 * torch.eye(int(KEEP.sum()), dtype=torch.float64)
    right = some.T @ target + 5 * 0.3 * DENSE[KEEP]
    expected = torch.zeros(9, dtype=torch.float64)
    expected[KEEP] = torch.linalg.solve(left, right)
    torch.testing.assert_close(problem.solve(KEEP, plan), expected, rtol=1e-10, atol=1e-12)


def test_a_safe_step_is_one_over_the_largest_eigenvalue() -> None:
    matrix = G.T @ G + 5 * 0.3 * torch.eye(9, dtype=torch.float64)
    expected = float(torch.linalg.eigvalsh(matrix)[-1])
    assert regression().steepness == pytest.approx(expected)


def objective(weights: dict[str, Tensor], criterion: Swap) -> float:
    """Q with Π = I / n, written out again from the gradients of single shares of the images."""
    problem, _ = criterion._regression(context(MODEL, IMAGES))
    flat = torch.cat([weights[la.parameter].reshape(-1) for la in MODEL.layers])
    error = problem.gradients @ (flat - problem.dense)
    pull = problem.rows * problem.ridge * (flat - problem.dense).square().sum()
    return float(error.square().sum() + pull) / 2


@pytest.mark.parametrize("plan", ["identity", "transport"])
def test_it_reaches_a_lower_objective_than_magnitude(plan: str) -> None:
    criterion = Swap(rows=12, plan=plan, epsilon=0)
    recipe = Recipe(criterion=criterion)
    request = Prune(MODEL, recipe, 0.7, IMAGES)
    ours = pruned_model(MODEL, request(), request)
    request = Prune(MODEL, PRESETS["global-magnitude"].recipe, 0.7)
    theirs = pruned_model(MODEL, request(), request)
    assert sum(ours.zeros.values()) == sum(theirs.zeros.values())
    weights = [{n: m.weight(n) for n in m.weights} for m in (ours, theirs)]
    assert objective(weights[0], criterion) < objective(weights[1], criterion)


def test_more_steps_never_cost() -> None:
    found = []
    for steps in (1, 3, 20):
        criterion = Swap(rows=12, plan="identity", ridge=0.01, steps=steps)
        request = Prune(MODEL, Recipe(criterion=criterion), 0.8, IMAGES)
        model = pruned_model(MODEL, request(), request)
        found.append(objective({n: model.weight(n) for n in model.weights}, criterion))
    assert found[0] >= found[1] >= found[2]
    assert found[0] > found[2]


def test_what_stays_and_what_goes() -> None:
    decision = Swap().decide(context(MODEL, IMAGES), Weight(), Global(), 0.6)
    for layer in MODEL.layers:
        zero = decision.updates[layer.parameter] == 0
        assert torch.equal(zero, ~decision.keep[layer.name])
    assert sum(decision.asked.values()) == round(0.6 * sum(la.parameters for la in MODEL.layers))


def test_removing_nothing_changes_nothing() -> None:
    decision = Swap().decide(context(MODEL, IMAGES), Weight(), Global(), 0.0)
    assert decision.updates == {}


def test_little_memory_makes_fewer_rows_of_more_images() -> None:
    size = sum(layer.parameters for layer in MODEL.layers)
    many, none = Swap(rows=24)._regression(context(MODEL, IMAGES))
    assert (many.rows, none) == (24, ())
    criterion = Swap(rows=24, memory=1)
    assert criterion._affordable(size) > 24
    assert criterion._affordable(1 << 16) == 4
    assert criterion.cost(JobSize(MODEL.layers, {}, 24, 8)).memory == 2 * 4 * 24 * size
    with pytest.raises(ArgumentError, match="two gradients"):
        Swap().decide(context(MODEL, IMAGES.subset(np.arange(1))), Weight(), Global(), 0.5)


def test_rows_are_means_of_their_images() -> None:
    single, _ = Swap(rows=24)._regression(context(MODEL, IMAGES))
    paired, _ = Swap(rows=12)._regression(context(MODEL, IMAGES))
    expected = single.gradients.reshape(12, 2, -1).mean(dim=1)
    torch.testing.assert_close(paired.gradients, expected, rtol=1e-4, atol=1e-6)


def test_gradients_that_are_not_finite_are_named() -> None:
    weights = {k: v * 1e30 if v.ndim > 1 else v for k, v in MODEL.weights.items()}
    with pytest.raises(InputError, match="not finite"):
        Prune(replace(MODEL, weights=weights), Recipe(criterion=Swap()), 0.5, IMAGES)()
