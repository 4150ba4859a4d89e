"""Counts by bucket on the CPU: a parallel histogram of every layer."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
from torch import Tensor

from kernels.cpu.chunks import chunks_of, keys_of, readable
from kernels.cpu.passes import histogram
from kernels.cpu.select import refuse_nan


def histograms(scores: Sequence[Tensor], magnitude: bool) -> np.ndarray:
    """int64 (layers, 2^16): how many scores of each layer lie in each bucket."""
    counts = np.zeros((len(scores), 1 << 16), np.int64)
    values = readable(scores)
    for i, value in enumerate(values):
        chunks, keys = chunks_of([value]), keys_of(value.dtype, magnitude)
        refuse_nan(chunks, keys)
        shift = 16 if chunks.like.itemsize == 4 else 0
        slices = min(numba.get_num_threads(), max(1, chunks.lengths.size))
        counts[i] = histogram(chunks, keys, shift, 0, slices)
    return counts
