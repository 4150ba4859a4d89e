"""The corruptions by name, and how one is applied to a batch.

Parameters depend on the size of the image, since a blur that a photograph bears erases a digit:

    small      shorter side below 20: ImageNet-C's noise, brightness and compression (a strong
               signal bears them), CIFAR-10-C's contrast, blur and pixelation scaled to 8 pixels
    cifar      20 to 63: CIFAR-10-C's table
    imagenet   64 and more: ImageNet-C's table

Random numbers come from one Philox stream an image, keyed by seed, corruption, severity and the
image's index in its dataset: an image is corrupted alike in whatever batch it comes.
"""

from __future__ import annotations

import hashlib

import numpy as np

from analysis.data.corruptions.blur import GAUSSIAN_BLUR
from analysis.data.corruptions.corruption import Corruption, Size, Streams
from analysis.data.corruptions.digital import BRIGHTNESS, CONTRAST, JPEG_COMPRESSION, PIXELATE
from analysis.data.corruptions.noise import GAUSSIAN_NOISE, IMPULSE_NOISE, SHOT_NOISE
from analysis.errors import ArgumentError

SEVERITIES = (1, 2, 3, 4, 5)

CORRUPTIONS: dict[str, Corruption] = {
    corruption.name: corruption
    for corruption in (
        GAUSSIAN_NOISE,
        SHOT_NOISE,
        IMPULSE_NOISE,
        GAUSSIAN_BLUR,
        BRIGHTNESS,
        CONTRAST,
        PIXELATE,
        JPEG_COMPRESSION,
    )
}
"""In the benchmarks' order: noise, blur, weather, digital."""


def corrupt(
    images: np.ndarray, name: str, severity: int, seed: int, indices: np.ndarray
) -> np.ndarray:
    """Corrupt a batch.

    Parameters
    ----------
    images: uint8, N,H,W,C with one or three channels; left as it is.
    severity: 1 (mild) to 5; 0 gives the images back unchanged.
    indices: N, each image's position in its dataset; decides its random numbers.

    Returns uint8, N,H,W,C. Values between grey levels are cut off, not rounded, as in the
    reference (`np.uint8(x * 255)`). Raises ArgumentError for an unknown corruption or severity
    and for images or indices of another shape.
    """
    if name not in CORRUPTIONS:
        raise ArgumentError(
            f"There is no corruption {name!r}; there are {', '.join(CORRUPTIONS)}."
        )
    if severity not in (0, *SEVERITIES):
        raise ArgumentError(f"A severity lies between 1 and 5, not {severity}.")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        raise ArgumentError("Images to corrupt must be uint8 N,H,W,C with one or three channels.")
    if np.shape(indices) != images.shape[:1]:
        raise ArgumentError(f"{len(images)} images need as many indices.")
    if severity == 0 or len(images) == 0:
        return images.copy()
    corruption = CORRUPTIONS[name]
    level = corruption.levels[size_of(images)][severity - 1]
    return corruption.operation(images, level, streams(name, severity, seed, indices))


def size_of(images: np.ndarray) -> Size:
    """Which table of parameters suits images N,H,W,C."""
    side = min(images.shape[1:3])
    return "small" if side < 20 else "cifar" if side < 64 else "imagenet"


def streams(name: str, severity: int, seed: int, indices: np.ndarray) -> Streams:
    """One generator an image: Philox keyed by (hash of seed, corruption and severity; index)."""
    content = hashlib.sha256(f"{seed}/{name}/{severity}".encode()).digest()
    high = int.from_bytes(content[:8], "little")
    for index in indices:
        yield np.random.Generator(np.random.Philox(key=(int(index) << 64) | high))
