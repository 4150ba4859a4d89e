"""What all corruptions share: bounds, severities, and independence of the batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from analysis.data.corruptions.registry import size_of
from analysis.data.digits import digits_test
from analysis.errors import ArgumentError

RANDOM = ("gaussian_noise", "shot_noise", "impulse_noise")


def pictures(count: int, side: int, channels: int, seed: int = 0) -> np.ndarray:
    """Smooth gradients with a little texture: every grey level occurs."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 200, side)
    base = ramp[None, :, None, None] / 2 + ramp[None, None, :, None] / 2
    texture = rng.integers(0, 56, (count, side, side, channels))
    return (base + texture).astype(np.uint8)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize(("side", "channels"), [(8, 1), (32, 3), (72, 3), (32, 1)])
def test_severity_grows_and_input_stays(name: str, side: int, channels: int) -> None:
    images = pictures(6, side, channels)
    before = images.copy()
    distances = []
    for severity in SEVERITIES:
        changed = corrupt(images, name, severity, 0, np.arange(6))
        assert changed.dtype == np.uint8
        assert changed.shape == images.shape
        distances.append(np.abs(changed.astype(int) - images).mean())
    np.testing.assert_array_equal(images, before)
    assert distances[0] > 0
    assert distances == sorted(distances)


@pytest.mark.parametrize("name", CORRUPTIONS)
@settings(max_examples=10, deadline=None)
@given(st.permutations(range(9)), st.integers(1, 8), st.integers(0, 2**31))
def test_an_image_is_corrupted_alike_in_any_batch(
    name: str, order: list[int], cut: int, seed: int
) -> None:
    images, severity = pictures(9, 8, 1), 1 + seed % 5
    together = corrupt(images, name, severity, seed, np.arange(9))
    indices = np.array(order)
    for part in (indices[:cut], indices[cut:]):
        alone = corrupt(images[part], name, severity, seed, part)
        np.testing.assert_array_equal(alone, together[part])


@pytest.mark.parametrize("name", RANDOM)
def test_randomness_differs_by_image_seed_and_severity(name: str) -> None:
    images = np.full((3, 32, 32, 3), 128, np.uint8)
    some = corrupt(images, name, 3, 0, np.arange(3))
    assert (some[0] != some[1]).any()
    assert (some != corrupt(images, name, 3, 1, np.arange(3))).any()
    where = [corrupt(images, name, s, 0, np.arange(3)) > 128 for s in (4, 5)]
    agree = (where[0] == where[1]).mean()
    assert agree < 0.95, "the same noise, only stronger"


@pytest.mark.parametrize("name", sorted(set(CORRUPTIONS) - set(RANDOM)))
def test_the_others_have_no_randomness(name: str) -> None:
    images = pictures(4, 32, 3)
    first = corrupt(images, name, 3, 0, np.arange(4))
    np.testing.assert_array_equal(first, corrupt(images, name, 3, 7, np.arange(4) + 10))


def test_severity_zero_gives_a_copy() -> None:
    images = pictures(2, 8, 1)
    same = corrupt(images, "contrast", 0, 0, np.arange(2))
    np.testing.assert_array_equal(same, images)
    assert same is not images


def test_no_images_are_no_problem() -> None:
    for name in CORRUPTIONS:
        assert corrupt(np.zeros((0, 8, 8, 1), np.uint8), name, 1, 0, np.arange(0)).shape[0] == 0


def test_every_table_has_five_different_levels() -> None:
    for corruption in CORRUPTIONS.values():
        assert set(corruption.levels) == {"small", "cifar", "imagenet"}
        for levels in corruption.levels.values():
            assert len(set(levels)) == 5


@pytest.mark.parametrize(
    ("side", "size"),
    [(8, "small"), (28, "cifar"), (32, "cifar"), (64, "imagenet"), (224, "imagenet")],
)
def test_tables_by_size(side: int, size: str) -> None:
    assert size_of(np.zeros((1, side, side + 5, 3), np.uint8)) == size


def test_arguments_are_checked() -> None:
    images = pictures(2, 8, 1)
    with pytest.raises(ArgumentError, match="fog_of_war"):
        corrupt(images, "fog_of_war", 1, 0, np.arange(2))
    with pytest.raises(ArgumentError, match="6"):
        corrupt(images, "contrast", 6, 0, np.arange(2))
    with pytest.raises(ArgumentError, match="indices"):
        corrupt(images, "contrast", 1, 0, np.arange(3))
    for bad in (images.astype(float), images[0], np.zeros((2, 8, 8, 2), np.uint8)):
        with pytest.raises(ArgumentError, match="uint8"):
            corrupt(bad, "contrast", 1, 0, np.arange(len(bad)))


def test_a_nearest_neighbour_reads_digits_worse_as_severity_grows() -> None:
    """The scaled tables make sense on real digits: hurt, yet better than chance."""
    data = digits_test().subset(np.arange(300))
    flat = data.images.reshape(300, -1).astype(float)
    for name in ("gaussian_noise", "shot_noise", "impulse_noise", "gaussian_blur"):
        rates = []
        for severity in (1, 3, 5):
            changed = corrupt(data.images, name, severity, 0, np.arange(300))
            query = changed.reshape(300, -1).astype(float)
            distance = ((query[:, None] - flat[None]) ** 2).sum(2)
            np.fill_diagonal(distance, np.inf)
            rates.append((data.labels[distance.argmin(1)] == data.labels).mean())
        assert 0.1 < rates[2] <= rates[0] <= 0.97, (name, rates)
