"""Brightness, contrast, pixelation and compression against closed forms and colorsys."""

from __future__ import annotations

import colorsys
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from analysis.data.corruptions import corrupt
from analysis.data.corruptions.digital import pixelate
from tests.analysis.data.corruptions.test_registry import pictures

COLOUR = st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))


@settings(max_examples=60, deadline=None)
@given(COLOUR, st.integers(1, 5))
def test_brightness_is_added_to_the_hsv_value(colour: tuple[int, int, int], severity: int) -> None:
    images = np.full((1, 32, 32, 3), colour, np.uint8)
    level = (0.05, 0.1, 0.15, 0.2, 0.3)[severity - 1]
    h, s, v = colorsys.rgb_to_hsv(*(c / 255 for c in colour))
    expected = 255 * np.array(colorsys.hsv_to_rgb(h, s, min(1.0, v + level)))
    got = corrupt(images, "brightness", severity, 0, np.arange(1))[0, 5, 7]
    assert np.abs(got - (expected - 0.5)).max() <= 0.5 + 1e-6


def test_brightness_of_grey_is_added_to_the_pixel() -> None:
    images = np.arange(0, 256, 4, dtype=np.uint8).reshape(1, 8, 8, 1)
    got = corrupt(images, "brightness", 3, 0, np.arange(1))
    expected = np.minimum(images / 255 + 0.3, 1) * 255
    assert np.abs(got - (expected - 0.5)).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("side", [8, 32])
def test_contrast_shrinks_towards_the_mean_of_each_channel(side: int) -> None:
    images = pictures(3, side, 3)
    for severity, level in enumerate((0.75, 0.5, 0.4, 0.3, 0.15), 1):
        got = corrupt(images, "contrast", severity, 0, np.arange(3))
        for image, after in zip(images.astype(float), got, strict=True):
            for channel in range(3):
                mean = image[..., channel].mean()
                expected = mean + level * (image[..., channel] - mean)
                assert np.abs(after[..., channel] - (expected - 0.5)).max() <= 0.5 + 1e-6


def test_pixelation_by_two_is_the_mean_of_blocks() -> None:
    images = pictures(4, 8, 1)
    got = pixelate(images, 0.5, iter(()))
    means = images.reshape(4, 4, 2, 4, 2, 1).mean((2, 4))
    expected = means.repeat(2, 1).repeat(2, 2)
    assert np.abs(got - expected).max() <= 1  # Pillow rounds after each axis


@pytest.mark.parametrize(
    ("side", "widths"),
    [(8, (7, 6, 5, 4, 3)), (32, (30, 28, 27, 24, 20)), (100, (60, 50, 40, 30, 25))],
)
def test_pixelation_leaves_the_stated_number_of_pixels(side: int, widths: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    for severity, width in enumerate(widths, 1):
        got = corrupt(images, "pixelate", severity, 0, np.arange(1))[0]
        small = Image.fromarray(images[0]).resize((width, width), Image.Resampling.BOX)
        big = small.resize((side, side), Image.Resampling.BOX)
        np.testing.assert_array_equal(got, np.asarray(big))


@pytest.mark.parametrize("channels", [1, 3])
def test_compression_is_a_jpeg_of_the_stated_quality(channels: int) -> None:
    images = pictures(2, 32, channels)
    for severity, quality in enumerate((80, 65, 58, 50, 40), 1):
        got = corrupt(images, "jpeg_compression", severity, 0, np.arange(2))
        for image, after in zip(images, got, strict=True):
            file = io.BytesIO()
            Image.fromarray(image.squeeze()).save(file, "JPEG", quality=quality)
            expected = np.asarray(Image.open(file)).reshape(image.shape)
            np.testing.assert_array_equal(after, expected)
            assert 0 < np.abs(after.astype(int) - image).mean() < 25
