"""Blur against an explicit convolution."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from analysis.data.corruptions import corrupt
from tests.analysis.data.corruptions.test_registry import pictures


def explicit(image: np.ndarray, sigma: float) -> np.ndarray:
    """One channel H,W: sampled Gaussian of radius int(4 sigma + .5), edges repeated."""
    radius = int(4 * sigma + 0.5)
    kernel = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    kernel /= kernel.sum()
    for axis in (0, 1):
        padded = np.pad(image, [(radius, radius) if a == axis else (0, 0) for a in (0, 1)], "edge")
        image = np.apply_along_axis(np.convolve, axis, padded, kernel, "valid")
    return image


@pytest.mark.parametrize(
    ("side", "sigmas"),
    [
        (8, (0.3, 0.45, 0.6, 0.75, 0.9)),
        (32, (0.4, 0.6, 0.7, 0.8, 1.0)),
        (72, (1.0, 2.0, 3.0, 4.0, 6.0)),
    ],
)
def test_blur_is_the_gaussian_convolution(side: int, sigmas: tuple[float, ...]) -> None:
    images = pictures(2, side, 3)
    for severity, sigma in enumerate(sigmas, 1):
        blurred = corrupt(images, "gaussian_blur", severity, 0, np.arange(2))
        for image, got in zip(images, blurred, strict=True):
            for channel in range(3):
                expected = explicit(image[..., channel] / 255, sigma) * 255
                assert np.abs(got[..., channel] - (expected - 0.5)).max() < 0.5 + 1e-6


def test_blur_equals_scipy_image_by_image() -> None:
    images = pictures(3, 32, 3)
    blurred = corrupt(images, "gaussian_blur", 5, 0, np.arange(3))
    for image, got in zip(images, blurred, strict=True):
        expected = gaussian_filter(image / 255, (1, 1, 0), mode="nearest", truncate=4)
        np.testing.assert_array_equal(got, np.uint8(np.clip(expected, 0, 1) * 255))
