from __future__ import annotations

import pytest

from analysis.pruning.schedules.iterative import Iterative
from analysis.pruning.schedules.one_shot import OneShot


def test_one_shot_has_one_target() -> None:
    assert OneShot().targets(0.8) == (0.8,)


def test_exponential_densities_of_the_reference() -> None:
    """Density .01 in 5 rounds: .398107 .158489 .063096 .025119 .01."""
    targets = Iterative(rounds=5, spacing="exponential").targets(0.99)
    expected = [0.398107, 0.158489, 0.063096, 0.025119, 0.01]
    assert [1 - t for t in targets] == pytest.approx(expected, abs=5e-7)


def test_linear_steps_are_equal() -> None:
    targets = Iterative(rounds=4, spacing="linear").targets(0.8)
    assert targets == pytest.approx((0.2, 0.4, 0.6, 0.8))


@pytest.mark.parametrize("spacing", ["linear", "exponential"])
@pytest.mark.parametrize("rounds", [1, 7])
def test_the_last_target_is_exactly_what_was_asked(spacing: str, rounds: int) -> None:
    targets = Iterative.model_validate({"rounds": rounds, "spacing": spacing}).targets(0.9)
    assert len(targets) == rounds
    assert targets[-1] == 0.9
    assert list(targets) == sorted(targets)
