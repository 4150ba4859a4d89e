"""Noise against the moments that its definition gives."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.data.corruptions import CORRUPTIONS, corrupt

GREY = np.full((40, 32, 32, 3), 128, np.uint8)
COUNT = GREY.size
CIFAR = range(1, 6)


def noisy(name: str, severity: int, value: int = 128) -> np.ndarray:
    return corrupt(np.full_like(GREY, value), name, severity, 3, np.arange(40)) / 255


@pytest.mark.parametrize("severity", CIFAR)
def test_gaussian_noise_has_the_stated_deviation(severity: int) -> None:
    level = (0.04, 0.06, 0.08, 0.09, 0.10)[severity - 1]
    difference = noisy("gaussian_noise", severity) - 128 / 255
    # Cutting off takes half a grey level on average and adds the variance of one level.
    assert difference.mean() == pytest.approx(-0.5 / 255, abs=5 * level / np.sqrt(COUNT))
    expected = np.sqrt(level**2 + 1 / (12 * 255**2))
    assert difference.std() == pytest.approx(expected, rel=5 / np.sqrt(2 * COUNT))


@pytest.mark.parametrize("severity", CIFAR)
def test_shot_noise_has_poisson_variance(severity: int) -> None:
    level = (500, 250, 100, 75, 50)[severity - 1]
    values = noisy("shot_noise", severity, 102)  # x = 0.4
    deviation = np.sqrt(0.4 / level)
    assert values.mean() == pytest.approx(0.4 - 0.5 / 255, abs=0.3 / 255 + 5 * deviation / 350)
    assert values.std() == pytest.approx(deviation, rel=0.03)


def test_black_has_no_shot_noise() -> None:
    assert not noisy("shot_noise", 5, 0).any()


@pytest.mark.parametrize("severity", CIFAR)
def test_impulse_noise_replaces_the_stated_fraction(severity: int) -> None:
    level = (0.01, 0.02, 0.03, 0.05, 0.07)[severity - 1]
    values = noisy("impulse_noise", severity)
    within = 5 * np.sqrt(level / 2 / COUNT)
    assert (values == 1).mean() == pytest.approx(level / 2, abs=within)
    assert (values == 0).mean() == pytest.approx(level / 2, abs=within)
    untouched = (values != 0) & (values != 1)
    assert (values[untouched] == 128 / 255).all()


def test_noise_is_independent_between_channels_and_neighbours() -> None:
    values = noisy("gaussian_noise", 5) - 128 / 255
    for a, b in (
        (values[..., 0], values[..., 1]),
        (values[:, 1:], values[:, :-1]),
        (values[:, :, 1:], values[:, :, :-1]),
        (values[1:], values[:-1]),
    ):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 5 / np.sqrt(a.size)


def test_the_tables_are_the_published_ones() -> None:
    assert CORRUPTIONS["gaussian_noise"].levels["imagenet"] == (0.08, 0.12, 0.18, 0.26, 0.38)
    assert CORRUPTIONS["shot_noise"].levels["imagenet"] == (60, 25, 12, 5, 3)
    assert CORRUPTIONS["impulse_noise"].levels["imagenet"] == (0.03, 0.06, 0.09, 0.17, 0.27)
