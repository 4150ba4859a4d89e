"""Which panels of a figure a widget has room for."""

from __future__ import annotations

from dataclasses import replace

from app.figures.layout import stretches
from app.figures.spec import Axes, Figure, Panel

AXES_ROOM = (200, 200)
TABLE_ROOM = (240, 90)
"""Least width and height in pixels in which a panel can still be read."""


def fitted(figure: Figure, width: int, height: int) -> Figure:
    """The figure without the panels that would leave too little room for the others.

    Panels of the highest priority number go first; those of the lowest always stay. Rows and
    columns that become empty close up.
    """
    levels = sorted({panel.priority for panel in figure.panels}, reverse=True)
    for level in levels:
        smaller = _without(figure, level)
        if level == levels[-1] or _fits(smaller, width, height):
            return smaller
    return figure


def _without(figure: Figure, level: int) -> Figure:
    kept = [panel for panel in figure.panels if panel.priority <= level]
    if len(kept) == len(figure.panels):
        return figure
    heights, widths = stretches(figure)
    rows = sorted({r for p in kept for r in range(p.row, p.row + p.row_span)})
    columns = sorted({c for p in kept for c in range(p.column, p.column + p.column_span)})
    panels: list[Panel] = [
        replace(
            p,
            row=rows.index(p.row),
            column=columns.index(p.column),
            row_span=sum(p.row <= r < p.row + p.row_span for r in rows),
            column_span=sum(p.column <= c < p.column + p.column_span for c in columns),
        )
        for p in kept
    ]
    # A column that only a wide panel still covers is no column of its own.
    if len({(p.column, p.column_span) for p in panels}) == 1:
        panels = [replace(p, column=0, column_span=1) for p in panels]
        columns = columns[:1]
    return replace(
        figure,
        panels=tuple(panels),
        row_heights=tuple(heights[r] for r in rows),
        column_widths=tuple(widths[c] for c in columns),
    )


def _fits(figure: Figure, width: int, height: int) -> bool:
    heights, widths = stretches(figure)
    for panel in figure.panels:
        least = AXES_ROOM if isinstance(panel, Axes) else TABLE_ROOM
        wide = sum(widths[panel.column : panel.column + panel.column_span]) / sum(widths)
        high = sum(heights[panel.row : panel.row + panel.row_span]) / sum(heights)
        if width * wide < least[0] or height * high < least[1]:
            return False
    return True
