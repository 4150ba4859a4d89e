"""Which range of the axes shows everything. Plain NumPy, free of Qt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from app.figures.spec import (
    Axes,
    Axis,
    Band,
    Bars,
    ErrorBars,
    Label,
    Line,
    Mark,
    Matrix,
    Picture,
    Points,
    Rule,
)
from app.plot.hits import axis_values

Range = tuple[float, float]


def bounds(axes: Axes) -> tuple[Range, Range]:
    """Ranges of x and y as axis positions (log10 on log axes): limits asked for, else the data's.

    Data get 4 % of room on each side; heat maps and pictures end where their cells end.
    """
    spans = [span for mark in axes.marks for span in _spans(mark)]
    tight = any(isinstance(m, Matrix) for m in axes.marks)
    room = 0.0 if tight else 0.04
    return (
        _range(axes.x, [x for x, _ in spans], room),
        _range(axes.y, [y for _, y in spans], room),
    )


def _range(axis: Axis, values: list[Any], room: float) -> Range:
    if axis.limits is not None:
        ends = axis_values(sorted(axis.limits), axis.log)
        if np.isfinite(ends).all() and ends[1] > ends[0]:
            return float(ends[0]), float(ends[1])
    places = [axis_values(v, axis.log).ravel() for v in values]
    finite = np.concatenate([np.empty(0), *places])
    finite = finite[np.isfinite(finite)]
    if finite.size == 0:
        return (0.0, 1.0)
    low, high = float(finite.min()), float(finite.max())
    if high - low <= max(abs(low), abs(high), 1e-300) * 1e-12:
        half = max(abs(low) * 0.05, 0.5)
        return low - half, high + half
    pad = (high - low) * room
    return low - pad, high + pad


def _spans(mark: Mark) -> Iterator[tuple[Any, Any]]:
    """Pairs of x and y values that must be seen; an empty list stands for no demand."""
    if isinstance(mark, (Points, Line)):
        yield mark.x, mark.y
    elif isinstance(mark, (Band, ErrorBars)):
        yield mark.x, mark.low
        yield mark.x, mark.high
    elif isinstance(mark, Bars):
        position = np.asarray(mark.position, dtype=np.float64)
        edges = np.concatenate([position - mark.width / 2, position + mark.width / 2])
        ends = np.append(np.asarray(mark.length, dtype=np.float64) + mark.base, mark.base)
        if position.size:
            yield (ends, edges) if mark.horizontal else (edges, ends)
    elif isinstance(mark, Matrix):
        rows, columns = np.shape(mark.values)
        if rows and columns:
            yield (-0.5, columns - 0.5), (-0.5, rows - 0.5)
    elif isinstance(mark, Picture):
        yield (mark.x, mark.x + mark.width), (mark.y, mark.y + mark.height)
    elif isinstance(mark, Label):
        yield mark.x, mark.y
    elif isinstance(mark, Rule):
        yield ([], mark.value) if mark.horizontal else (mark.value, [])
