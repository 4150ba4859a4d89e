"""Floating-point tensors as numba reads them: half types by their bits, without a converted copy.

A half value is sign and magnitude, in bfloat16 as in float16: the magnitude bits, negated where
the sign bit is set, are integers in the order of the values, both zeros equal. They are compared
as float32, which holds them exactly and which LLVM makes vectors of.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import types
from numba.extending import overload
from torch import Tensor

_INFINITY = {torch.bfloat16: 0x7F80, torch.float16: 0x7C00}


def numbers(tensor: Tensor) -> np.ndarray:
    """The memory of a CPU tensor; int16 bits where its values have half precision."""
    bits = tensor.view(torch.int16) if tensor.dtype in _INFINITY else tensor
    return bits.numpy()


def limit(tensor: Tensor) -> np.floating:
    """What `sortable` makes of infinity; a NaN, and nothing else, is not within it."""
    kind = np.float64 if tensor.dtype == torch.float64 else np.float32
    return kind(_INFINITY.get(tensor.dtype, np.inf))


def sortable(number: Any) -> Any:
    """A number in the order of the values, from one of `numbers` (within compiled code only)."""
    raise NotImplementedError(f"sortable({number!r}) has a meaning in compiled code only")


def _sortable(number: Any) -> Any:
    return _whole if isinstance(number, types.Float) else _half


def _whole(number: Any) -> Any:
    return number


def _half(number: Any) -> Any:
    wide = np.int32(number)
    sign = np.int32(wide >> np.int32(31))
    return np.float32(np.int32(((wide & np.int32(0x7FFF)) ^ sign) - sign))


overload(sortable)(_sortable)
