"""Figures on paper: Matplotlib without pyplot, so without any state between two figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes as Plot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure as Sheet

from analysis.errors import ArgumentError
from app.figures.colours import lut
from app.figures.files import whole
from app.figures.frame import apply_limits, draw_frame, place_ticks, write_titles
from app.figures.ink import Ink
from app.figures.layout import Grid, plan
from app.figures.legend import shared_bars
from app.figures.marks import DRAW
from app.figures.room import TICK, room_of
from app.figures.spec import Axes, Colouring, Figure, Highlights, Panel, Theme
from app.figures.table import to_csv
from app.figures.tables import draw_table
from app.figures.themes import LIGHT, resolve

__all__ = ["FORMATS", "draw", "save", "to_csv"]

FORMATS = (".svg", ".pdf", ".png")
_MM = 1 / 25.4
_POINTS = 72 / 25.4

_STYLE: Mapping[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.linewidth": 0.7,
    "svg.fonttype": "none",
    "svg.hashsalt": "espalier",
    "pdf.fonttype": 42,
    "hatch.linewidth": 0.5,
    "mathtext.default": "regular",
    "axes.unicode_minus": True,
    "path.simplify": True,
}


@contextmanager
def _style() -> Iterator[None]:
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def draw(
    figure: Figure,
    theme: Theme | str = LIGHT,
    width_mm: float = 180.0,
    height_mm: float | None = None,
    highlights: Highlights | None = None,
) -> Sheet:
    """Draw `figure` with Matplotlib, `width_mm` wide and as tall as its content asks for."""
    if not 20 <= width_mm <= 2000:
        raise ArgumentError(f"width_mm is {width_mm:g}, but must lie between 20 and 2000")
    theme = resolve(theme)
    grid = plan(figure, width_mm, height_mm)
    with _style():
        sheet = Sheet(figsize=(grid.width * _MM, grid.height * _MM), layout="constrained")
        FigureCanvasAgg(sheet)
        sheet.set_facecolor(theme.background)
        sheet.get_layout_engine().set(w_pad=0.05, h_pad=0.05, wspace=0.03, hspace=0.03)
        if figure.title:
            sheet.suptitle(
                figure.title, x=0.01, ha="left", size=9, weight="bold", color=theme.foreground
            )
        if figure.panels:
            cells = sheet.add_gridspec(
                len(grid.rows),
                len(grid.columns),
                height_ratios=grid.rows,
                width_ratios=grid.columns,
            )
            bars = shared_bars(figure.panels)
            for panel, own in zip(figure.panels, bars, strict=True):
                _panel(sheet, cells, panel, own, grid, theme, highlights)
        else:
            sheet.text(
                0.5, 0.45, figure.message, ha="center", va="center", color=theme.colour("muted")
            )
        # Texts and hatches keep some settings only until they are first laid out.
        sheet.draw_without_rendering()
    return sheet


def save(
    figure: Figure,
    path: str | Path,
    *,
    width_mm: float = 180.0,
    height_mm: float | None = None,
    dpi: int = 300,
    theme: Theme | str = LIGHT,
    highlights: Highlights | None = None,
) -> Path:
    """Write `figure` as SVG, PDF or PNG, by the ending of `path`; the same figure, the same bytes.

    Texts stay texts (SVG) or embedded TrueType (PDF). The file appears complete or not at all.
    Raises ArgumentError for another ending or a resolution outside 30..2400 dpi.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise ArgumentError(f"{path.name}: a figure ends in {', '.join(FORMATS)}")
    if not 30 <= dpi <= 2400:
        raise ArgumentError(f"dpi is {dpi}, but must lie between 30 and 2400")
    sheet = draw(figure, theme, width_mm, height_mm, highlights)
    form = path.suffix.lower()[1:]
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None, "ModDate": None}}.get(form)
    with whole(path) as draft, _style():
        sheet.savefig(draft, format=form, dpi=dpi, facecolor="auto", metadata=metadata)
    return path


def _panel(
    sheet: Sheet,
    cells: Any,
    panel: Panel,
    bars: tuple[Colouring, ...],
    grid: Grid,
    theme: Theme,
    highlights: Highlights | None,
) -> None:
    place = cells[
        panel.row : panel.row + panel.row_span, panel.column : panel.column + panel.column_span
    ]
    ax = sheet.add_subplot(place)
    width, height = (_POINTS * size for size in grid.size(panel))
    if not isinstance(panel, Axes):
        draw_table(ax, panel, Ink(theme, highlights, width, height))
        return
    room = room_of(panel, width, height, len(bars))
    draw_frame(ax, panel, theme)
    for mark in panel.marks:
        DRAW[type(mark)](ax, mark, Ink(theme, highlights, room.width, room.height))
    apply_limits(ax, panel)
    place_ticks(ax, panel, room)
    write_titles(ax, panel, theme, room)
    for colouring in bars:
        _colour_bar(sheet, ax, colouring, theme, room.height)


def _colour_bar(sheet: Sheet, ax: Plot, colouring: Colouring, theme: Theme, height: float) -> None:
    """A slim bar as tall as the plot."""
    assert colouring.limits is not None
    mappable = ScalarMappable(Normalize(*colouring.limits), _colormap(colouring.colormap))
    aspect = float(np.clip(height / 5.5, 8, 120))
    bar = sheet.colorbar(mappable, ax=ax, aspect=aspect, pad=0.02, fraction=0.08)
    bar.outline.set_visible(False)
    bar.set_label(colouring.label, size=TICK, color=theme.foreground)
    bar.ax.tick_params(labelsize=TICK - 0.5, length=2, width=0.6, colors=theme.foreground)


def _colormap(name: str) -> ListedColormap:
    return ListedColormap(lut(name) / 255, name=name)
