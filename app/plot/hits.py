"""What lies under the pointer or inside a region, in pixels. Plain NumPy, free of Qt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.figures.curves import smooth
from app.figures.emphasis import as_objects, identity
from app.figures.spec import Axes, Bars, Entity, Line, Matrix, Picture, Points
from app.plot.regions import inside_polygon

REACH = 9.0
"""How near, in pixels, the pointer must be to a point; lines need 6."""


@dataclass(frozen=True)
class Frame:
    """From data to pixels: logarithm where the axis has one, then scale and offset."""

    x_scale: float
    x_offset: float
    y_scale: float
    y_offset: float
    x_log: bool = False
    y_log: bool = False

    def x(self, values: Any) -> np.ndarray:
        return axis_values(values, self.x_log) * self.x_scale + self.x_offset

    def y(self, values: Any) -> np.ndarray:
        return axis_values(values, self.y_log) * self.y_scale + self.y_offset


def axis_values(values: Any, log: bool) -> np.ndarray:
    """Values as positions along an axis: log10 (NaN where there is none) or as they are."""
    array = np.asarray(values, dtype=np.float64)
    if not log:
        return array
    return np.log10(np.where(array > 0, array, np.nan))


@dataclass(frozen=True)
class Hit:
    """The item under the pointer, and the place (pixels) of its centre."""

    mark: int
    item: int
    entity: Entity | None
    id: int | str | None
    hint: str
    x: float
    y: float


def nearest(axes: Axes, frame: Frame, x: float, y: float) -> Hit | None:
    """Top-most item at pixel (x, y): points before lines before areas; None = nothing there."""
    best: Hit | None = None
    distance = np.inf
    for hit, far in _point_hits(axes, frame, x, y):
        if far < distance:
            best, distance = hit, far
    return best or _line_hit(axes, frame, x, y) or _area_hit(axes, frame, x, y)


def inside(axes: Axes, frame: Frame, polygon: np.ndarray) -> dict[Entity, frozenset[int | str]]:
    """Ids inside a polygon (pixels) by entity; entities of the axes that have none map to nothing.

    Points, bars, pictures and cells count with their centres, a line with any of its vertices.
    """
    found: dict[Entity, frozenset[int | str]] = {}
    for mark in axes.marks:
        entity = getattr(mark, "entity", None)
        ids = getattr(mark, "ids", None)
        if entity is None or ids is None:
            continue
        x, y, names = _centres(mark, frame)
        chosen = names[inside_polygon(x, y, polygon)]
        ids_in = frozenset(identity(v) for v in chosen.tolist() if v is not None)
        found[entity] = found.get(entity, frozenset()) | ids_in
    return found


def _centres(mark: Any, frame: Frame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixel positions and ids of the items of a mark."""
    if isinstance(mark, Points):
        names = mark.ids if isinstance(mark.ids, np.ndarray) else as_objects(mark.ids or ())
        return frame.x(mark.x), frame.y(mark.y), names
    if isinstance(mark, Line):
        names = as_objects([mark.ids[0]] * len(mark.x))  # type: ignore[index]
        return frame.x(mark.x), frame.y(mark.y), names
    if isinstance(mark, Bars):
        middle = mark.base + np.asarray(mark.length, dtype=np.float64) / 2
        x, y = (middle, mark.position) if mark.horizontal else (mark.position, middle)
        return frame.x(x), frame.y(y), as_objects(mark.ids or ())
    if isinstance(mark, Matrix):
        rows, columns = np.indices(np.shape(mark.values))
        filled = np.isfinite(np.asarray(mark.values, dtype=np.float64)).ravel()
        assert mark.ids is not None
        names = np.asarray(mark.ids, dtype=object).ravel()[filled]
        return frame.x(columns.ravel()[filled]), frame.y(rows.ravel()[filled]), names
    x, y = mark.x + mark.width / 2, mark.y + mark.height / 2
    return frame.x([x]), frame.y([y]), as_objects(mark.ids[:1])


def _point_hits(axes: Axes, frame: Frame, x: float, y: float) -> Iterator[tuple[Hit, float]]:
    """The nearest point of each cloud from the top-most down, with its distance."""
    for index in reversed(range(len(axes.marks))):
        mark = axes.marks[index]
        if not isinstance(mark, Points) or len(mark.x) == 0:
            continue
        if mark.ids is None and mark.hints is None:
            continue
        px, py = frame.x(mark.x), frame.y(mark.y)
        square = (px - x) ** 2 + (py - y) ** 2
        square = np.where(np.isfinite(square), square, np.inf)
        item = int(np.argmin(square))
        far = float(np.sqrt(square[item]))
        if far <= max(REACH, mark.size / 2 + 1):
            yield _hit(mark, index, item, float(px[item]), float(py[item])), far


def _hit(mark: Any, index: int, item: int, x: float, y: float, hint: str = "") -> Hit:
    ids, hints = mark.ids, getattr(mark, "hints", None)
    name = identity(ids[item]) if ids is not None and item < len(ids) else None
    if hints is not None and item < len(hints):
        hint = str(hints[item])
    return Hit(index, item, mark.entity, name, hint or getattr(mark, "label", ""), x, y)


def _line_hit(axes: Axes, frame: Frame, x: float, y: float) -> Hit | None:
    for index in reversed(range(len(axes.marks))):
        mark = axes.marks[index]
        if not isinstance(mark, Line) or not mark.ids or len(mark.x) == 0:
            continue
        xs, ys = smooth(mark.x, mark.y) if mark.smooth else (mark.x, mark.y)
        if _distance(frame.x(xs), frame.y(ys), x, y) <= max(6.0, mark.width / 2 + 2):
            return _hit(mark, index, 0, x, y)
    return None


def _distance(xs: np.ndarray, ys: np.ndarray, x: float, y: float) -> float:
    """Distance of a point to a polyline; segments with a NaN end do not count."""
    if len(xs) == 1:
        return float(np.nan_to_num(np.hypot(xs[0] - x, ys[0] - y), nan=np.inf))
    dx, dy = np.diff(xs), np.diff(ys)
    length = dx * dx + dy * dy
    with np.errstate(invalid="ignore", divide="ignore"):
        along = ((x - xs[:-1]) * dx + (y - ys[:-1]) * dy) / np.where(length > 0, length, 1)
    along = np.clip(along, 0, 1)
    far = np.hypot(xs[:-1] + along * dx - x, ys[:-1] + along * dy - y)
    return float(np.nanmin(far)) if np.isfinite(far).any() else np.inf


def _area_hit(axes: Axes, frame: Frame, x: float, y: float) -> Hit | None:
    for index in reversed(range(len(axes.marks))):
        mark = axes.marks[index]
        hit = None
        if isinstance(mark, Picture):
            hit = _picture_hit(mark, index, frame, x, y)
        elif isinstance(mark, Bars):
            hit = _bar_hit(mark, index, frame, x, y)
        elif isinstance(mark, Matrix):
            hit = _cell_hit(mark, index, frame, x, y)
        if hit is not None:
            return hit
    return None


def _picture_hit(mark: Picture, index: int, frame: Frame, x: float, y: float) -> Hit | None:
    left, right = np.sort(frame.x([mark.x, mark.x + mark.width]))
    top, bottom = np.sort(frame.y([mark.y, mark.y + mark.height]))
    if left <= x <= right and top <= y <= bottom and (mark.ids or mark.hint):
        return _hit(mark, index, 0, (left + right) / 2, (top + bottom) / 2, mark.hint)
    return None


def _bar_hit(mark: Bars, index: int, frame: Frame, x: float, y: float) -> Hit | None:
    """The bar whose lane holds the pointer, drawn or not: a bar of length 0 can be clicked too."""
    if len(mark.position) == 0 or (mark.ids is None and mark.hints is None):
        return None
    along, across = (x, y) if mark.horizontal else (y, x)
    place, run = (frame.y, frame.x) if mark.horizontal else (frame.x, frame.y)
    position = np.asarray(mark.position, dtype=np.float64)
    edges = np.sort(
        np.stack([place(position - mark.width / 2), place(position + mark.width / 2)]), 0
    )
    ends = np.stack([np.full(len(position), mark.base), mark.base + np.asarray(mark.length)])
    ends = np.sort(run(ends), 0)
    within = (edges[0] <= across) & (across <= edges[1])
    within &= (ends[0] - 4 <= along) & (along <= ends[1] + 4)
    for item in np.flatnonzero(within)[::-1]:
        return _hit(mark, index, int(item), x, y)
    return None


def _cell_hit(mark: Matrix, index: int, frame: Frame, x: float, y: float) -> Hit | None:
    rows, columns = np.shape(mark.values)
    column = round((x - frame.x_offset) / frame.x_scale) if frame.x_scale else -1
    row = round((y - frame.y_offset) / frame.y_scale) if frame.y_scale else -1
    if not (0 <= row < rows and 0 <= column < columns):
        return None
    value = mark.values[row, column]
    if not np.isfinite(value):
        return None
    name = identity(mark.ids[row, column]) if mark.ids is not None else None
    label = mark.colouring.label
    hint = f"{label + ' ' if label else ''}{value:.4g}"
    if mark.hints is not None:
        hint = str(mark.hints[row, column])
    if mark.estimated is not None and mark.estimated[row, column]:
        hint += " (estimated)"
    place = float(frame.x(column)), float(frame.y(row))
    return Hit(index, row * columns + column, mark.entity, name, hint, *place)
