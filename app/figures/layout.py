"""How large a figure and each of its panels are on paper, in millimetres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.figures.spec import Axes, Figure, Matrix, Panel

TALLEST = 245.0
"""A page's worth."""


@dataclass(frozen=True)
class Grid:
    """Stretch factors of the grid, and the figure's size in mm."""

    rows: tuple[float, ...]
    columns: tuple[float, ...]
    width: float
    height: float

    def size(self, panel: Panel) -> tuple[float, float]:
        """Width and height in mm of the cells that a panel covers."""
        columns = self.columns[panel.column : panel.column + panel.column_span]
        rows = self.rows[panel.row : panel.row + panel.row_span]
        return (
            self.width * sum(columns) / sum(self.columns),
            self.height * sum(rows) / sum(self.rows),
        )


def stretches(figure: Figure) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Row and column stretch factors, filled up with 1 to the extent of the panels."""
    rows = max((p.row + p.row_span for p in figure.panels), default=1)
    columns = max((p.column + p.column_span for p in figure.panels), default=1)
    heights = tuple(figure.row_heights[:rows]) + (1.0,) * (rows - len(figure.row_heights))
    widths = tuple(figure.column_widths[:columns])
    return heights, widths + (1.0,) * (columns - len(figure.column_widths))


def plan(figure: Figure, width: float, height: float | None) -> Grid:
    """The grid of a figure `width` mm wide; without `height`, as tall as its content asks for."""
    rows, columns = stretches(figure)
    if height is not None:
        return Grid(rows, columns, width, height)
    if not figure.panels:
        return Grid(rows, columns, width, 50.0)
    wanted = np.zeros(len(rows))
    for panel in figure.panels:
        spanned = columns[panel.column : panel.column + panel.column_span]
        need = _wanted(panel, width * sum(spanned) / sum(columns)) / panel.row_span
        part = slice(panel.row, panel.row + panel.row_span)
        wanted[part] = np.maximum(wanted[part], need)
    if figure.row_heights:
        wanted = _proportioned(wanted, np.asarray(rows), _table_rows(figure, len(rows)))
    rows, total = tuple(wanted / wanted.max()), float(wanted.sum())
    title = 7.0 if figure.title else 0.0
    return Grid(rows, columns, width, min(total + title, TALLEST))


def _proportioned(wanted: np.ndarray, shares: np.ndarray, tables: np.ndarray) -> np.ndarray:
    """Rows of plots in the given proportions; rows of tables as tall as their text."""
    plots = ~tables
    if not plots.any():
        return wanted
    unit = float((wanted[plots] / shares[plots]).max())
    unit = min(unit, 1.6 * float(wanted[plots].sum() / shares[plots].sum()))
    return np.where(tables, wanted, unit * shares)


def _table_rows(figure: Figure, rows: int) -> np.ndarray:
    """Which rows hold tables and nothing else."""
    found = np.ones(rows, dtype=bool)
    for panel in figure.panels:
        if isinstance(panel, Axes):
            found[panel.row : panel.row + panel.row_span] = False
    return found


def _wanted(panel: Panel, width: float) -> float:
    """Height in mm that a panel of this width looks well in."""
    if not isinstance(panel, Axes):
        return float(np.clip(12 + 4.4 * (len(panel.rows) + 1), 24, 110))
    extra = 13.0 + (4.0 if panel.note else 0.0) + (4.5 if panel.legend else 0.0)
    if panel.equal:
        return min(width * 0.92, 110.0) + extra * 0.5
    cells = max((m.values.shape[0] for m in panel.marks if isinstance(m, Matrix)), default=0)
    if cells:
        return float(np.clip(4.2 * cells, 32, 120)) + extra
    return float(np.clip(0.58 * width, 38, 72)) + extra
