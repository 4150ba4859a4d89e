"""Channel permutations against all of them, and against the gains found by sorting."""

from __future__ import annotations

import itertools

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kernels.cpu.permutation import Gains
from kernels.nm import nm_keep
from kernels.permutation import Permutation, _Gains, search, search_reference


def magnitudes(rows: int, columns: int, seed: int) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)).abs()


def kept_sum(scores: np.ndarray, n: int, m: int) -> float:
    """NumPy's sort of every complete group, and the rest whole."""
    whole = scores.shape[1] // m * m
    groups = np.sort(scores[:, :whole].reshape(len(scores), whole // m, m), axis=2)
    return float(groups[..., m - n :].sum() + scores[:, whole:].sum())


def check(found: Permutation, scores: Tensor, n: int, m: int) -> None:
    columns = scores.shape[1]
    assert sorted(found.order.tolist()) == list(range(columns))
    whole = columns // m * m
    assert found.order[whole:].tolist() == list(range(whole, columns))
    permuted = scores[:, found.order].double()
    assert found.kept == pytest.approx(float(permuted[nm_keep(permuted, n, m)].sum()), rel=1e-12)
    assert found.kept == pytest.approx(kept_sum(permuted.numpy(), n, m), rel=1e-12)
    assert found.before == pytest.approx(kept_sum(scores.double().numpy(), n, m), rel=1e-12)
    assert found.before <= found.kept <= found.bound * (1 + 1e-12)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 7),
    st.integers(0, 23),
    st.sampled_from([(2, 4), (1, 4), (3, 4), (1, 2), (4, 8)]),
    st.integers(0, 99),
)
def test_an_order_keeps_what_it_says(
    rows: int, columns: int, pattern: tuple[int, int], seed: int
) -> None:
    scores = magnitudes(rows, columns, seed)
    check(search(scores, *pattern, seed=seed, sweeps=12), scores, *pattern)


@settings(max_examples=12, deadline=None)
@given(st.sampled_from([(2, 4), (1, 4), (1, 2), (2, 3)]), st.integers(0, 99))
def test_swaps_are_those_of_the_reference(pattern: tuple[int, int], seed: int) -> None:
    """On integers, whose sums are exact: ties and order of swaps are then the same too."""
    scores = torch.randint(0, 9, (5, 13), generator=torch.Generator().manual_seed(seed)).float()
    found, expected = (
        search(scores, *pattern, seed, 8),
        search_reference(scores, *pattern, seed, 8),
    )
    assert found.order.tolist() == expected.order.tolist()
    assert (found.kept, found.before, found.bound) == (
        expected.kept,
        expected.before,
        expected.bound,
    )


@pytest.mark.parametrize("pattern", [(2, 4), (1, 4), (3, 4), (3, 6)])
def test_gains_stay_right_as_columns_move(pattern: tuple[int, int]) -> None:
    columns = magnitudes(9, 24, 1).double().numpy()
    fast, plain = Gains(columns, *pattern), _Gains(columns, *pattern)
    generator = np.random.default_rng(0)
    order = np.arange(24)
    for _ in range(4):
        gain, partner = fast.partners()
        expected, best = plain.partners()
        np.testing.assert_allclose(gain, expected, atol=1e-12)
        np.testing.assert_array_equal(partner, best)
        assert fast.kept() == pytest.approx(plain.kept(), rel=1e-13)
        j, k = generator.choice(24, 2, replace=False)
        order[[j, k]] = order[[k, j]]
        fast.move(order)
        plain.move(order)


def test_gains_beyond_one_tile() -> None:
    columns = magnitudes(70, 200, 2).double().numpy()
    gain, partner = Gains(columns, 2, 4).partners()
    before = kept_sum(columns, 2, 4)
    for j in range(0, 200, 37):
        order = np.arange(200)
        order[[j, partner[j]]] = order[[partner[j], j]]
        assert gain[j] == pytest.approx(kept_sum(columns[:, order], 2, 4) - before, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_two_groups_reach_the_best_of_all_partitions(seed: int) -> None:
    scores = magnitudes(6, 8, seed)
    array = scores.double().numpy()
    best = 0.0
    for others in itertools.combinations(range(1, 8), 3):
        first = [0, *others]
        order = first + [k for k in range(8) if k not in first]
        best = max(best, kept_sum(array[:, order], 2, 4))
    assert search(scores, 2, 4, seed=0, sweeps=100).kept == pytest.approx(best, rel=1e-12)


def test_a_planted_order_is_found() -> None:
    """Large columns side by side: apart, everything that matters can be kept."""
    scores = torch.rand(16, 16, generator=torch.Generator().manual_seed(0)) * 0.01
    scores[:, :8] += 1
    found = search(scores, 2, 4)
    places = found.order.reshape(4, 4)
    assert ((places < 8).sum(dim=1) == 2).all()
    assert found.efficacy == pytest.approx(1.0)


@pytest.mark.parametrize("uniform", [False, True])
def test_more_is_won_than_by_the_published_stripe_search(uniform: bool) -> None:
    """apex, permutation_tests: 35.5 % on 64 x 128 (default 2852, stripes of 8: 2920)."""
    scores = magnitudes(64, 128, 0)
    if uniform:
        scores = torch.rand(64, 128, generator=torch.Generator().manual_seed(0))
    found = search(scores, 2, 4, sweeps=30)
    check(found, scores, 2, 4)
    assert found.efficacy > 0.40


def test_the_search_is_the_same_every_time_and_on_every_number_of_threads() -> None:
    scores, before = magnitudes(20, 160, 3), numba.get_num_threads()
    found = []
    try:
        for threads in (1, before):
            numba.set_num_threads(threads)
            found.append(search(scores, 2, 4, seed=5, sweeps=40).order.tolist())
    finally:
        numba.set_num_threads(before)
    assert found[0] == found[1]
    state = torch.get_rng_state()
    search(scores, 2, 4, seed=6, sweeps=3)
    assert torch.equal(state, torch.get_rng_state())


def test_nothing_to_swap() -> None:
    for scores in (magnitudes(3, 7, 0), torch.ones(4, 12), torch.zeros(2, 0), torch.zeros(0, 8)):
        found = search(scores, 2, 4, sweeps=5)
        assert (found.kept, found.efficacy) == (found.before, 0.0)
    half = search(magnitudes(4, 16, 0).to(torch.bfloat16), 2, 4, sweeps=5)
    assert half.kept >= half.before


def test_what_cannot_be_searched_is_refused() -> None:
    for scores in (torch.zeros(4), torch.full((1, 8), float("inf")), torch.full((1, 8), np.nan)):
        with pytest.raises(ValueError, match="finite"):
            search(scores, 2, 4)
    with pytest.raises(ValueError, match="no pattern"):
        search(torch.zeros(2, 8), 4, 4)
