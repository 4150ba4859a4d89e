"""Noise: every channel of every pixel on its own."""

from __future__ import annotations

import numpy as np

from analysis.data.corruptions.corruption import Corruption, Streams, quantised, unit


def gaussian_noise(images: np.ndarray, level: float, streams: Streams) -> np.ndarray:
    """x + N(0, level)."""
    noise = [stream.standard_normal(images.shape[1:]) for stream in streams]
    return quantised(unit(images) + level * np.stack(noise))


def shot_noise(images: np.ndarray, level: float, streams: Streams) -> np.ndarray:
    """Poisson(x * level) / level: fewer photons are noisier."""
    expected = unit(images) * level
    counts = [stream.poisson(x) for x, stream in zip(expected, streams, strict=False)]
    return quantised(np.stack(counts) / level)


def impulse_noise(images: np.ndarray, level: float, streams: Streams) -> np.ndarray:
    """A fraction `level` of the values becomes black or white, half each (scikit-image's s&p)."""
    chance = np.stack([stream.random(images.shape[1:]) for stream in streams])
    noisy = np.where(chance < level / 2, np.uint8(255), images)
    return np.where((chance >= level / 2) & (chance < level), np.uint8(0), noisy)


GAUSSIAN_NOISE = Corruption(
    "gaussian_noise",
    "Gaussian noise",
    "noise",
    {
        "small": (0.08, 0.12, 0.18, 0.26, 0.38),
        "cifar": (0.04, 0.06, 0.08, 0.09, 0.10),
        "imagenet": (0.08, 0.12, 0.18, 0.26, 0.38),
    },
    gaussian_noise,
)
SHOT_NOISE = Corruption(
    "shot_noise",
    "Shot noise",
    "noise",
    {
        "small": (60, 25, 12, 5, 3),
        "cifar": (500, 250, 100, 75, 50),
        "imagenet": (60, 25, 12, 5, 3),
    },
    shot_noise,
)
IMPULSE_NOISE = Corruption(
    "impulse_noise",
    "Impulse noise",
    "noise",
    {
        "small": (0.03, 0.06, 0.09, 0.17, 0.27),
        "cifar": (0.01, 0.02, 0.03, 0.05, 0.07),
        "imagenet": (0.03, 0.06, 0.09, 0.17, 0.27),
    },
    impulse_noise,
)
