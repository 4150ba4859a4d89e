"""What cameras and files do: brightness, contrast, pixelation, compression."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from analysis.data.corruptions.corruption import Corruption, Streams, quantised, unit

LEAST_PIXELS = 3
"""Shortest side that pixelation leaves."""


def brightness(images: np.ndarray, level: float, streams: Streams) -> np.ndarray:
    """HSV value + level; the value of a grey pixel is the pixel itself.

    Red, green and blue are proportional to the value at fixed hue and saturation, so the pixel is
    scaled; a black one, which has neither, becomes grey.
    """
    x = unit(images)
    value = x.max(axis=3, keepdims=True)
    brighter = np.clip(value + level, 0.0, 1.0)
    scaled = np.divide(x, value, out=np.ones_like(x), where=value > 0)
    return quantised(scaled * brighter)


def contrast(images: np.ndarray, level: float, streams: Streams) -> np.ndarray:
    """(x - mean) * level + mean, with the mean of each image's channel."""
    x = unit(images)
    mean = x.mean(axis=(1, 2), keepdims=True)
    return quantised((x - mean) * level + mean)


def pixelate(images: np.ndarray, level: float, streams: Streams) -> np.ndarray:
    """Shrink to int(level * side) by area averages, then enlarge again (Pillow's BOX)."""
    height, width = images.shape[1:3]
    small = (max(LEAST_PIXELS, int(width * level)), max(LEAST_PIXELS, int(height * level)))
    box = Image.Resampling.BOX
    return _by_image(images, lambda im: im.resize(small, box).resize((width, height), box))


def jpeg_compression(images: np.ndarray, level: float, streams: Streams) -> np.ndarray:
    """Saved as JPEG of quality `level` and read again (Pillow)."""

    def saved(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=int(level))
        return Image.open(file)

    return _by_image(images, saved)


def _by_image(images: np.ndarray, edit: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    grey = images.shape[3] == 1
    edited = np.empty_like(images)
    for index, pixels in enumerate(images):
        image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if grey else pixels))
        edited[index] = np.asarray(edit(image)).reshape(pixels.shape)
    return edited


BRIGHTNESS = Corruption(
    "brightness",
    "Brightness",
    "weather",
    {
        "small": (0.1, 0.2, 0.3, 0.4, 0.5),
        "cifar": (0.05, 0.1, 0.15, 0.2, 0.3),
        "imagenet": (0.1, 0.2, 0.3, 0.4, 0.5),
    },
    brightness,
)
CONTRAST = Corruption(
    "contrast",
    "Contrast",
    "digital",
    {
        "small": (0.75, 0.5, 0.4, 0.3, 0.15),
        "cifar": (0.75, 0.5, 0.4, 0.3, 0.15),
        "imagenet": (0.4, 0.3, 0.2, 0.1, 0.05),
    },
    contrast,
)
PIXELATE = Corruption(
    "pixelate",
    "Pixelation",
    "digital",
    {
        # On 8 pixels: 7, 6, 5, 4 and 3 of them.
        "small": (0.9, 0.75, 0.63, 0.5, 0.38),
        "cifar": (0.95, 0.9, 0.85, 0.75, 0.65),
        "imagenet": (0.6, 0.5, 0.4, 0.3, 0.25),
    },
    pixelate,
)
JPEG_COMPRESSION = Corruption(
    "jpeg_compression",
    "JPEG compression",
    "digital",
    {
        "small": (25, 18, 15, 10, 7),
        "cifar": (80, 65, 58, 50, 40),
        "imagenet": (25, 18, 15, 10, 7),
    },
    jpeg_compression,
)
