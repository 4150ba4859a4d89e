"""Labelled images in memory, and deterministic subsets of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from analysis.architectures.architecture import Architecture


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Labelled images.

    Attributes
    ----------
    name: what the user calls it, with the split: "digits (test)".
    images: uint8, N,H,W,C.
    labels: int64, N.
    classes: a name for each label.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, {len(self)} images)"

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def key(self) -> str:
        """Sha-256 over images, labels and their shape (not over the names)."""
        content = hashlib.sha256(repr(self.images.shape).encode())
        content.update(np.ascontiguousarray(self.images).data)
        content.update(np.ascontiguousarray(self.labels, dtype=np.int64).data)
        return content.hexdigest()

    def subset(self, indices: np.ndarray, name: str = "") -> Dataset:
        return Dataset(name or self.name, self.images[indices], self.labels[indices], self.classes)

    def sample(self, count: int, seed: int) -> Dataset:
        """`count` images without replacement, in their original order; all if there are fewer."""
        if count >= len(self):
            return self
        chosen = np.random.default_rng(seed).choice(len(self), count, replace=False)
        return self.subset(np.sort(chosen), f"{self.name}, {count} images, seed {seed}")


@dataclass(frozen=True, eq=False)
class Data:
    """What `--data` names: images to evaluate on and images to calibrate with.

    `shared` says that both come from the same images, which a reader of the numbers must know.
    """

    source: str
    evaluation: Dataset
    calibration: Dataset
    shared: bool


def batches(
    data: Dataset, architecture: Architecture, batch_size: int, device: str = "cpu"
) -> Iterator[tuple[Tensor, Tensor]]:
    """Normalised float32 N,C,H,W images and int64 labels, in order, on `device`."""
    for start in range(0, len(data), batch_size):
        part = slice(start, start + batch_size)
        images = torch.from_numpy(np.ascontiguousarray(data.images[part])).to(device)
        labels = torch.from_numpy(np.ascontiguousarray(data.labels[part], dtype=np.int64))
        yield architecture.normalise(images), labels.to(device)
