"""Blur."""

from __future__ import annotations

import numpy as np

from analysis.data.corruptions.corruption import Corruption, Streams, quantised, unit


def gaussian_blur(images: np.ndarray, level: float, streams: Streams) -> np.ndarray:
    """Gaussian of sigma `level` pixels, cut at 4 sigma, edge pixels repeated (scikit-image's)."""
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(unit(images), (0, level, level, 0), mode="nearest", truncate=4.0)
    return quantised(np.asarray(blurred))


GAUSSIAN_BLUR = Corruption(
    "gaussian_blur",
    "Gaussian blur",
    "blur",
    {
        "small": (0.3, 0.45, 0.6, 0.75, 0.9),
        "cifar": (0.4, 0.6, 0.7, 0.8, 1.0),
        "imagenet": (1.0, 2.0, 3.0, 4.0, 6.0),
    },
    gaussian_blur,
)
