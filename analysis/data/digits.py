"""The built-in data: scikit-learn's 1,797 real handwritten digits, split once and for all."""

from __future__ import annotations

from functools import cache

import numpy as np

from analysis.data.dataset import Dataset

CLASSES = tuple("0123456789")
MEAN = (0.3053,)
STD = (0.3758,)
"""Of the training pixels scaled to 0..1; what the demo models are normalised with."""
TEST_SIZE = 450


@cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 1797,8,8,1 (the 17 grey levels 0..16 spread over 0..255) and int64 labels."""
    from sklearn.datasets import load_digits

    loaded = load_digits()
    images = np.round(loaded.images * (255 / 16)).astype(np.uint8)[..., None]
    return images, loaded.target.astype(np.int64)


@cache
def _split() -> tuple[np.ndarray, np.ndarray]:
    """Indices of the 1,347 training and the 450 test images, each in ascending order."""
    from sklearn.model_selection import train_test_split

    labels = _digits()[1]
    train, test = train_test_split(
        np.arange(len(labels)), test_size=TEST_SIZE, random_state=0, stratify=labels
    )
    return np.sort(train), np.sort(test)


def digits_train() -> Dataset:
    """1,347 images of 8 x 8 x 1; the demo models were trained on these."""
    images, labels = _digits()
    return Dataset("digits (train)", images, labels, CLASSES).subset(_split()[0])


def digits_test() -> Dataset:
    """450 images of 8 x 8 x 1, stratified by class; never used to train or choose anything."""
    images, labels = _digits()
    return Dataset("digits (test)", images, labels, CLASSES).subset(_split()[1])
