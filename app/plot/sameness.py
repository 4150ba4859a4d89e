"""Whether two marks or tables show the same, so that drawing again can be left out."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np


def same(one: Any, other: Any) -> bool:
    """Equal field by field; arrays by content, NaN equal to NaN."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return _same_array(one, other)
    if dataclasses.is_dataclass(one):
        fields = dataclasses.fields(one)
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in fields)
    if isinstance(one, tuple):
        if len(one) != len(other):
            return False
        try:
            return bool(one == other)
        except ValueError:  # arrays inside
            return all(same(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


def _same_array(one: np.ndarray, other: np.ndarray) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return bool(np.array_equal(one, other, equal_nan=one.dtype.kind == "f"))
