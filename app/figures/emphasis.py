"""Which items of a mark are selected: one answer for the screen and for paper."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from app.figures.spec import Highlights, Mark

DIMMED = 0.25
"""What remains of an unselected mark's opacity while others are selected."""


def selected(mark: Mark, highlights: Highlights | None) -> np.ndarray | None:
    """Bool array shaped like the mark's `ids`; None when the selection does not concern it."""
    entity, ids = getattr(mark, "entity", None), getattr(mark, "ids", None)
    if entity is None or ids is None or not highlights:
        return None
    wanted = highlights.get(entity)
    return member(ids, wanted) if wanted else None


def member(ids: Iterable[Any], wanted: frozenset[int | str]) -> np.ndarray:
    """Which of `ids` are among `wanted`, in the shape of `ids`."""
    if isinstance(ids, np.ndarray) and ids.dtype.kind in "iu":
        numbers = [w for w in wanted if isinstance(w, int)]
        return np.isin(ids, np.asarray(numbers, dtype=np.int64))
    array = ids if isinstance(ids, np.ndarray) else as_objects(ids)
    flat = [item in wanted for item in array.ravel().tolist()]
    return np.asarray(flat, dtype=bool).reshape(array.shape)


def as_objects(ids: Iterable[Any]) -> np.ndarray:
    """1-d object array of ids, whatever they are."""
    items = list(ids)
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def identity(value: Any) -> int | str:
    """An id as a plain int or str (arrays hand out NumPy scalars)."""
    return int(value) if isinstance(value, (int, np.integer)) else str(value)
