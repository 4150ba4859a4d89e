"""Which units say nothing about their input."""

from __future__ import annotations

import numpy as np
from torch import Tensor

SPREAD = 64
"""Images, evenly spread over the data, that silence is judged on besides the searched ones."""

TOLERANCE = 1e-6
"""Spread, relative to the layer's largest activation, that counts as none: rounding."""


class Range:
    """Least and greatest activation of each unit over everything watched."""

    def __init__(self) -> None:
        self._low: np.ndarray | None = None
        self._high: np.ndarray | None = None
        self._count = 0

    def watch(self, units: Tensor) -> None:
        """Take in activations R,U,*positions."""
        values = units.detach().float().transpose(0, 1).flatten(1).cpu().numpy()
        low, high = values.min(axis=1), values.max(axis=1)
        self._low = low if self._low is None else np.minimum(self._low, low)
        self._high = high if self._high is None else np.maximum(self._high, high)
        self._count += values.shape[1]

    def constant(self) -> np.ndarray:
        """bool U: units that never varied; of a single value, those that are 0."""
        if self._low is None or self._high is None:
            return np.zeros(0, bool)
        if self._count == 1:
            return np.asarray(self._high == 0)
        loudest = max(np.abs(self._low).max(), np.abs(self._high).max())
        return np.asarray(self._high - self._low <= TOLERANCE * loudest)
