"""A table panel, drawn by Matplotlib."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes as Plot
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path

from app.figures.emphasis import selected
from app.figures.ink import Ink
from app.figures.spec import Table
from app.figures.ticks import elide

_LINE = 4.3
"""Height of a row in mm."""
_LONGEST = 44
_SIZE = 7.0

Columns = tuple[list[float], list[float], float]
"""Left and right edges of the columns in axes fractions, and the font size."""


def cell_text(table: Table, row: int, column: int) -> str:
    """A cell as it is shown: numbers by the column's format, nothing as a dash."""
    value = table.rows[row][column]
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return "–"
    form = table.formats[column] if column < len(table.formats) else ""
    if isinstance(value, str) or not form:
        return str(value)
    return format(value, form)


def is_numeric(table: Table, column: int) -> bool:
    values = [row[column] for row in table.rows if row[column] is not None]
    return bool(values) and not any(isinstance(v, str) for v in values)


def draw_table(ax: Plot, table: Table, ink: Ink) -> None:
    """Header, hairlines and rows; what does not fit is counted in a last line."""
    ax.set_axis_off()
    ax.set(xlim=(0, 1), ylim=(0, 1))
    if table.title:
        ax.set_title(table.title, loc="left", weight="bold", size=8, color=ink.theme.foreground)
    height_mm = ink.height / 72 * 25.4
    room = max(1, int((height_mm - 10) / _LINE) - 1)
    shown = len(table.rows) if len(table.rows) <= room else max(room - 1, 1)
    step = min(1 / (shown + 1 + (shown < len(table.rows))), _LINE / max(height_mm - 9, _LINE))
    texts = [[cell_text(table, r, c) for c in range(len(table.columns))] for r in range(shown)]
    lefts, rights, size = _columns(table, texts, ink.width)
    _header(ax, table, (lefts, rights, size), step, ink)
    chosen = selected(table, ink.highlights)  # type: ignore[arg-type]
    for row, cells in enumerate(texts):
        y = 1 - (row + 1.5) * step
        lit = chosen is not None and bool(chosen[row])
        if lit:
            colour = ink.theme.colour("accent")
            ax.add_patch(
                Rectangle((0, y - step / 2), rights[-1], step, fc=colour, alpha=0.15, lw=0)
            )
        if row < len(table.colours) and table.colours[row]:
            colour = ink.theme.colour(table.colours[row])
            ax.scatter([0.01], [y], s=22, marker="s", color=colour, clip_on=False)
        for column, text in enumerate(cells):
            _write(ax, table, column, elide(text, _LONGEST), (lefts, rights, size), y, ink, lit)
    if shown < len(table.rows):
        rest = f"… {len(table.rows) - shown} more rows"
        y = 1 - (shown + 1.5) * step
        ax.text(lefts[0], y, rest, size=7, color=ink.theme.colour("muted"), va="center")


def _columns(
    table: Table, texts: list[list[str]], width: float
) -> tuple[list[float], list[float], float]:
    """Left and right edges of the columns, as wide as their longest text, and the font size."""
    widest = [
        max(_text_width(elide(t, _LONGEST)) for t in [name, *(row[column] for row in texts)])
        for column, name in enumerate(table.columns)
    ]
    gap, indent = 12.0, 12.0 if table.colours else 0.0
    needed = sum(widest) + gap * max(len(widest) - 1, 0) + indent
    shrink = min(1.0, width * 0.96 / max(needed, 1.0))
    # What is left over goes between the columns, but a narrow table is not torn apart.
    spare = max(min(width * 0.96 - needed, 40.0 * max(len(widest) - 1, 0)), 0.0)
    gap = gap * shrink + spare / max(len(widest) - 1, 1)
    lefts, rights, x = [], [], indent
    for size in widest:
        lefts.append(x / width)
        rights.append((x + size * shrink) / width)
        x += size * shrink + gap
    return lefts, rights, _SIZE * shrink


def _text_width(text: str) -> float:
    """Points that a text takes, in bold, which selected rows are set in."""
    font = FontProperties(family="DejaVu Sans", size=_SIZE, weight="bold")
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width)


def _header(ax: Plot, table: Table, columns: Columns, step: float, ink: Ink) -> None:
    lefts, rights, size = columns
    for column, name in enumerate(table.columns):
        right = is_numeric(table, column)
        x = rights[column] if right else lefts[column]
        ax.text(
            x,
            1 - step * 0.5,
            elide(name, _LONGEST),
            size=size,
            color=ink.theme.colour("muted"),
            ha="right" if right else "left",
            va="center",
        )
    ax.plot(
        [0, rights[-1] if rights else 1],
        [1 - step] * 2,
        color=ink.theme.colour("muted"),
        lw=0.6,
        clip_on=False,
    )


def _write(
    ax: Plot,
    table: Table,
    column: int,
    text: str,
    columns: Columns,
    y: float,
    ink: Ink,
    lit: bool,
) -> None:
    right, (lefts, rights, size) = is_numeric(table, column), columns
    ax.text(
        rights[column] if right else lefts[column],
        y,
        text,
        size=size,
        color=ink.theme.foreground,
        weight="bold" if lit else "normal",
        ha="right" if right else "left",
        va="center",
    )
