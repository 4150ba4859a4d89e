"""Values of half precision from their bits, one at a time, from a table of all of them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from numba import types
from numba.extending import overload


@cache
def table(dtype: torch.dtype) -> np.ndarray:
    """float32 value of every bit pattern of a half type; one entry, not read, for other types."""
    if dtype.itemsize != 2:
        return np.zeros(1, np.float32)
    patterns = torch.arange(1 << 16, dtype=torch.int32).to(torch.int16)
    return patterns.view(dtype).float().numpy()


def decoded(number: Any, table: Any) -> Any:
    """A value as float64 from one of `sortable.numbers` (within compiled code only)."""
    raise NotImplementedError(f"decoded({number!r}) has a meaning in compiled code only")


def _decoded(number: Any, table: Any) -> Any:
    return _whole if isinstance(number, types.Float) else _half


def _whole(number: Any, table: Any) -> Any:
    return np.float64(number)


def _half(number: Any, table: Any) -> Any:
    return np.float64(table[np.int64(number) & 0xFFFF])


overload(decoded)(_decoded)
