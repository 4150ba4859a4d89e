from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from analysis.pruning.transport import exact_plan, sinkhorn, squared_cost, transport_plan

NUMBERS = st.lists(st.floats(-5, 5).map(lambda v: round(v, 3)), min_size=1, max_size=9)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_sorting_solves_the_assignment_problem(data: st.DataObject) -> None:
    x = data.draw(NUMBERS)
    y = data.draw(st.lists(st.floats(-5, 5), min_size=len(x), max_size=len(x)))
    one, two = torch.tensor(x, dtype=torch.float64), torch.tensor(y, dtype=torch.float64)
    cost = squared_cost(one, two)
    rows, columns = linear_sum_assignment(cost.numpy())
    best = cost.numpy()[rows, columns].mean()
    assert float((exact_plan(one, two) * cost).sum()) == pytest.approx(best, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(NUMBERS, st.sampled_from([0.0, 0.5, 5.0, 100.0]), st.integers(0, 3))
def test_margins_are_uniform(x: list[float], epsilon: float, seed: int) -> None:
    one = torch.tensor(x, dtype=torch.float64)
    noise = torch.randn(len(x), generator=torch.Generator().manual_seed(seed))
    plan = transport_plan(one, one + noise, epsilon)
    uniform = torch.full((len(x),), 1 / len(x), dtype=torch.float64)
    torch.testing.assert_close(plan.sum(dim=0), uniform, rtol=1e-9, atol=0)
    torch.testing.assert_close(plan.sum(dim=1), uniform, rtol=1e-9, atol=0)
    assert bool((plan >= 0).all())


def test_equal_numbers_cost_nothing_when_epsilon_vanishes() -> None:
    x = torch.tensor([0.3, -1.0, 2.0, 2.0])
    assert torch.equal(transport_plan(x, x, 0), torch.eye(4, dtype=torch.float64) / 4)
    distinct = torch.tensor([0.3, -1.0, 2.0])
    costs = [
        float((transport_plan(distinct, distinct, e) * squared_cost(distinct, distinct)).sum())
        for e in (1.0, 0.1, 0.01)
    ]
    assert costs[0] > costs[1] > costs[2]
    assert costs[2] < 1e-12


def test_infinite_entropy_spreads_evenly() -> None:
    cost = squared_cost(torch.arange(5.0), torch.arange(5.0) ** 2)
    expected = torch.full((5, 5), 1 / 25, dtype=torch.float64)
    torch.testing.assert_close(sinkhorn(cost, 1e12), expected, rtol=1e-8, atol=0)


@pytest.mark.parametrize("epsilon", [0.02, 0.3, 4.0])
def test_two_points_have_a_closed_form(epsilon: float) -> None:
    """By symmetry of the margins Π = [[a, b], [b, a]] with a / b = exp(-(C11+C22-C12-C21)/2ε)."""
    cost = squared_cost(torch.tensor([0.1, 0.9]), torch.tensor([0.0, 1.3]))
    odds = math.exp(-float(cost[0, 0] + cost[1, 1] - cost[0, 1] - cost[1, 0]) / (2 * epsilon))
    a = odds / (1 + odds) / 2
    expected = np.array([[a, 0.5 - a], [0.5 - a, a]])
    np.testing.assert_allclose(sinkhorn(cost, epsilon).numpy(), expected, rtol=1e-7, atol=1e-14)


def test_sinkhorn_is_optimal_by_its_own_conditions() -> None:
    """log Π + C / ε is a sum of a row term and a column term: all its 2 x 2 minors vanish."""
    generator = torch.Generator().manual_seed(0)
    cost = torch.rand(6, 6, generator=generator, dtype=torch.float64)
    potential = sinkhorn(cost, 0.2).log() + cost / 0.2
    minors = potential - potential[:1] - potential[:, :1] + potential[0, 0]
    assert float(minors.abs().max()) < 1e-6


def test_margins_are_uniform_even_where_the_iteration_was_cut_short() -> None:
    cost = squared_cost(torch.arange(6.0), torch.arange(6.0) ** 2)
    plan = sinkhorn(cost, 0.05, most=2)
    for dim in (0, 1):
        uniform = torch.full((6,), 1 / 6, dtype=torch.float64)
        torch.testing.assert_close(plan.sum(dim=dim), uniform, rtol=1e-12, atol=0)


def test_bad_input_is_refused() -> None:
    x = torch.zeros(3)
    with pytest.raises(ValueError, match="equally many"):
        transport_plan(x, torch.zeros(2), 0.1)
    with pytest.raises(ValueError, match="epsilon"):
        transport_plan(x, x, -1)
