"""What a corruption is, and how pixels become numbers and numbers pixels again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

Family = Literal["noise", "blur", "weather", "digital"]
Size = Literal["small", "cifar", "imagenet"]
Streams = Iterator[np.random.Generator]
Operation = Callable[[np.ndarray, float, Streams], np.ndarray]
"""uint8 N,H,W,C, the severity's parameter and a generator an image -> uint8 N,H,W,C."""


@dataclass(frozen=True, eq=False)
class Corruption:
    """One kind of corruption.

    Attributes
    ----------
    name: as in the benchmarks' file names.
    title: for people.
    family: the paper's group.
    levels: five parameters, mildest first, by size of the image.
    operation: how a parameter is applied.
    """

    name: str
    title: str
    family: Family
    levels: Mapping[Size, tuple[float, ...]]
    operation: Operation


def unit(images: np.ndarray) -> np.ndarray:
    """uint8 -> float64 in 0..1."""
    return images / 255.0


def quantised(values: np.ndarray) -> np.ndarray:
    """Float 0..1 -> uint8, clipped and cut off as in the reference."""
    return np.asarray(np.clip(values, 0.0, 1.0) * 255).astype(np.uint8)
