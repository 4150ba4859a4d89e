"""Cubic and exponential schedules against published numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import ArgumentError
from analysis.pruning import Prune, recipe_named
from analysis.pruning.schedules.cubic import Cubic
from analysis.pruning.schedules.exponential import Exponential
from tests.analysis.pruning.toys import ConvNet, toy

MODEL = toy(ConvNet)


def test_cubic_from_nothing() -> None:
    """0 -> .9 over 10: t = 1 .2439, 2 .4392, 5 .7875, 8 .8928, 10 .9."""
    targets = Cubic(rounds=10).targets(0.9)
    assert len(targets) == 10
    found = [targets[t - 1] for t in (1, 2, 5, 8, 10)]
    assert found == pytest.approx([0.2439, 0.4392, 0.7875, 0.8928, 0.9])


def test_cubic_from_a_start() -> None:
    """.7 -> .9 over 6, the start itself being the first of seven rounds (oBERT)."""
    expected = [0.7, 0.784259, 0.840741, 0.875, 0.892593, 0.899074, 0.9]
    assert Cubic(rounds=7, start=0.7).targets(0.9) == pytest.approx(expected, abs=5e-7)


def test_a_start_above_what_is_asked_for_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"starts at 0\.7, above the 0\.5"):
        Cubic(start=0.7).targets(0.5)


def test_iterative_magnitude_pruning_takes_a_fifth_each_time() -> None:
    """1 - .8^k: k = 1 .2, 2 .36, 5 .67232, 10 .892626, 15 .964816, 20 .988471."""
    targets = Exponential().targets(0.989)
    found = [targets[k - 1] for k in (1, 2, 5, 10, 15, 20)]
    expected = [0.2, 0.36, 0.67232, 0.892626, 0.964816, 0.988471]
    assert found == pytest.approx(expected, abs=5e-7)
    assert len(targets) == 21


@pytest.mark.parametrize(("sparsity", "rounds"), [(0.0, 1), (0.1, 1), (0.2, 1), (0.36, 2)])
def test_the_number_of_rounds_follows(sparsity: float, rounds: int) -> None:
    assert len(Exponential().targets(sparsity)) == rounds


@given(st.floats(0, 0.999), st.integers(1, 40), st.floats(0, 0.999), st.floats(0.001, 0.9))
def test_targets_rise_to_exactly_what_was_asked(
    sparsity: float, rounds: int, start: float, fraction: float
) -> None:
    cubic = Cubic(rounds=rounds, start=min(start, sparsity)).targets(sparsity)
    assert len(cubic) == rounds
    for targets in (cubic, Exponential(fraction=fraction).targets(sparsity)):
        assert targets[-1] == sparsity
        assert list(targets) == sorted(targets)
        assert targets[0] >= 0


def test_the_first_round_goes_straight_to_the_start() -> None:
    settings = {"schedule.start": "0.6", "schedule.rounds": "3"}
    recipe = recipe_named("gradual-magnitude", settings)
    seen: list[str] = []
    pruned = Prune(MODEL, recipe, 0.8)(lambda step: seen.append(step.message))
    once = Prune(MODEL, recipe_named("uniform-magnitude"), 0.8)()
    assert any("round 3 of 3" in message for message in seen)
    assert [r.got for r in pruned.audit.layers] == [r.got for r in once.audit.layers]
