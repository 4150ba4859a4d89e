"""Heat maps, drawn by Matplotlib: cells, hatches, texts and outlines."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes as Plot
from matplotlib.collections import PolyCollection

from app.figures.colours import hexadecimal, limits_of, mapped, readable
from app.figures.emphasis import selected
from app.figures.ink import Ink
from app.figures.spec import Matrix


def draw_matrix(ax: Plot, mark: Matrix, ink: Ink) -> None:
    values = np.asarray(mark.values, dtype=float)
    if values.size == 0:
        return
    rows, columns = values.shape
    extent = (-0.5, columns - 0.5, rows - 0.5, -0.5)
    ax.imshow(
        mapped(values, mark.colouring),
        extent=extent,
        aspect="auto",
        interpolation="nearest",
        origin="upper",
        zorder=1,
    )
    if mark.estimated is not None and np.any(mark.estimated):
        _hatch(ax, np.asarray(mark.estimated, dtype=bool) & np.isfinite(values), mark, ink)
    if mark.text is not None:
        _cell_texts(ax, values, mark, ink)
    chosen = selected(mark, ink.highlights)
    if chosen is not None:
        for colour, width in ((ink.theme.background, 2.4), (ink.theme.colour("ink"), 1.2)):
            _cells(ax, chosen, facecolor="none", edgecolor=colour, linewidth=width, zorder=4)


def _cells(ax: Plot, where: np.ndarray, **style: Any) -> None:
    """Rectangles over the True cells; a run within a row is one rectangle."""
    boxes = []
    for row, line in enumerate(where):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(np.int8), [0]])))
        for start, stop in zip(edges[::2] - 0.5, edges[1::2] - 0.5, strict=True):
            top, bottom = row - 0.5, row + 0.5
            boxes.append([(start, top), (stop, top), (stop, bottom), (start, bottom)])
    if boxes:
        ax.add_collection(PolyCollection(boxes, **style), autolim=False)


def _hatch(ax: Plot, where: np.ndarray, mark: Matrix, ink: Ink) -> None:
    """Diagonals over the cells that are not exact; light on dark cells and dark on light ones."""
    values = np.asarray(mark.values, dtype=float)
    low, high = limits_of(mark.colouring, values)
    middle = hexadecimal(mapped(np.array([(low + high) / 2]), mark.colouring)[0, :3])
    _cells(
        ax,
        where,
        facecolor="none",
        edgecolor=readable(middle) + "70",
        hatch="//////",
        linewidth=0.0,
        zorder=2,
    )


def _cell_texts(ax: Plot, values: np.ndarray, mark: Matrix, ink: Ink) -> None:
    assert mark.text is not None
    rows, columns = values.shape
    longest = max((len(str(t)) for t in mark.text.ravel()), default=0)
    size = min(7.0, ink.height / rows * 0.62, ink.width / columns / max(longest, 1) / 0.66)
    if size < 4.6 or longest == 0:
        return
    colours = mapped(values, mark.colouring)
    for (row, column), text in np.ndenumerate(mark.text):
        if text:
            cell = colours[row, column]
            colour = readable(hexadecimal(cell[:3])) if cell[3] else ink.theme.colour("muted")
            ax.text(column, row, text, size=size, color=colour, ha="center", va="center", zorder=3)
