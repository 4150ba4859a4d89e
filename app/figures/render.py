"""Figures on paper: Matplotlib without pyplot, so without any state between two figures."""

from __future__ import annotations

import os
import tempfile
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
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis.errors import ArgumentError
from app.figures.colours import lut
from app.figures.layout import Grid, plan
from app.figures.legend import colour_bars, entries
from app.figures.marks import DASHES, DRAW, MARKERS, Ink
from app.figures.spec import Axes, Axis, Figure, Highlights, Panel, Picture, Theme
from app.figures.table import to_csv
from app.figures.tables import draw_table
from app.figures.themes import LIGHT, resolve
from app.figures.ticks import crowded, elide, thinning

__all__ = ["FORMATS", "draw", "save", "to_csv"]

FORMATS = (".svg", ".pdf", ".png")
_MM = 1 / 25.4
_POINTS = 72 / 25.4
_TICK = 7.0
_CHARACTER = 0.58
"""Mean width of a character, in parts of the font size (DejaVu Sans)."""

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
            for panel in figure.panels:
                _panel(sheet, cells, panel, grid, theme, highlights)
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
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    try:
        with _style():
            sheet.savefig(name, format=form, dpi=dpi, facecolor="auto", metadata=metadata)
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
    return path


def _umask() -> int:
    """The process's umask; it can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _panel(
    sheet: Sheet, cells: Any, panel: Panel, grid: Grid, theme: Theme, highlights: Highlights | None
) -> None:
    place = cells[
        panel.row : panel.row + panel.row_span, panel.column : panel.column + panel.column_span
    ]
    ax = sheet.add_subplot(place)
    width, height = grid.size(panel)
    if not isinstance(panel, Axes):
        draw_table(ax, panel, Ink(theme, highlights, width, height), height)
        return
    inner = (max(width - 24, 10) * _POINTS, max(height - 20, 10) * _POINTS)
    _frame(ax, panel, theme)
    ink = Ink(theme, highlights, *inner)
    for mark in panel.marks:
        DRAW[type(mark)](ax, mark, ink)
    _limits(ax, panel)
    _ticks(ax, panel, inner)
    _titles(ax, panel, theme, inner[0])
    for colouring in colour_bars(panel):
        assert colouring.limits is not None
        mappable = ScalarMappable(Normalize(*colouring.limits), _colormap(colouring.colormap))
        bar = sheet.colorbar(mappable, ax=ax, aspect=28, pad=0.02, fraction=0.05)
        bar.outline.set_visible(False)
        bar.set_label(colouring.label, size=_TICK, color=theme.foreground)
        bar.ax.tick_params(labelsize=_TICK - 0.5, length=2, width=0.6, colors=theme.foreground)


def _colormap(name: str) -> ListedColormap:
    return ListedColormap(lut(name) / 255, name=name)


def _frame(ax: Plot, panel: Axes, theme: Theme) -> None:
    ax.set_facecolor(theme.background)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(theme.colour("muted"))
    ax.tick_params(labelsize=_TICK, length=2.5, width=0.6, colors=theme.foreground)
    ax.tick_params(color=theme.colour("muted"))
    if not any(isinstance(m, Picture) or hasattr(m, "estimated") for m in panel.marks):
        ax.grid(True, color=theme.grid, lw=0.6, zorder=0)
    ax.set_axisbelow(True)
    for axis, scale in ((panel.x, ax.set_xscale), (panel.y, ax.set_yscale)):
        if axis.log:
            scale("log", nonpositive="mask")
    if panel.y.reversed:
        ax.invert_yaxis()
    if panel.x.reversed:
        ax.invert_xaxis()


def _limits(ax: Plot, panel: Axes) -> None:
    """The limits asked for; else what the marks need, which images would otherwise clip."""
    ax.autoscale_view()
    has_image = any(hasattr(m, "estimated") for m in panel.marks)
    if has_image:
        ax.margins(0)
        ax.autoscale_view(tight=True)
    if panel.equal:
        fixed = panel.x.limits is not None and panel.y.limits is not None
        ax.set_aspect("equal", adjustable="box" if fixed else "datalim")
        if not fixed:
            return
    for axis, get, put in (
        (panel.x, ax.get_xlim, ax.set_xlim),
        (panel.y, ax.get_ylim, ax.set_ylim),
    ):
        low, high = sorted(axis.limits or get())
        put(high, low) if axis.reversed else put(low, high)


def _ticks(ax: Plot, panel: Axes, inner: tuple[float, float]) -> None:
    if panel.x.ticks is not None:
        texts = [elide(text, 22) for _, text in panel.x.ticks]
        spacing = _spacing(panel.x, ax.get_xlim(), inner[0])
        turned = crowded([len(t) * _CHARACTER * _TICK for t in texts], spacing, 3)
        every = thinning(spacing, _TICK * 1.35) if turned else 1
        texts = [t if i % every == 0 else "" for i, t in enumerate(texts)]
        ax.set_xticks([v for v, _ in panel.x.ticks], texts)
        if turned:
            for text in ax.get_xticklabels():
                text.set(rotation=45, ha="right", rotation_mode="anchor")
        ax.minorticks_off()
    if panel.y.ticks is not None:
        spacing = _spacing(panel.y, ax.get_ylim(), inner[1])
        size = float(np.clip(spacing / 1.2, 5.5, _TICK))
        every = thinning(spacing, size * 1.15)
        texts = [elide(t, 26) if i % every == 0 else "" for i, (_, t) in enumerate(panel.y.ticks)]
        ax.set_yticks([v for v, _ in panel.y.ticks], texts, size=size)
        ax.minorticks_off()


def _spacing(axis: Axis, limits: tuple[float, float], length: float) -> float:
    """Points between neighbouring ticks."""
    positions = np.sort([v for v, _ in axis.ticks or ()])
    if len(positions) < 2 or limits[0] == limits[1]:
        return length
    if axis.log:
        positions, limits = np.log10(positions), (np.log10(limits[0]), np.log10(limits[1]))
    return float(np.diff(positions).min() / abs(limits[1] - limits[0]) * length)


def _titles(ax: Plot, panel: Axes, theme: Theme, width: float) -> None:
    ax.set_xlabel(panel.x.label, size=7.5, color=theme.foreground)
    ax.set_ylabel(panel.y.label, size=7.5, color=theme.foreground)
    handles = [_handle(e, theme) for e in entries(panel)]
    if handles:
        longest = max(len(h.get_label()) for h in handles)
        columns = int(np.clip(width / (longest * _CHARACTER * _TICK + 26), 1, len(handles)))
        aside = len(handles) > 4 * columns
        legend = ax.legend(
            handles=handles,
            loc="upper left" if aside else "lower left",
            bbox_to_anchor=(1.0, 1.0) if aside else (0.0, 1.0),
            ncols=1 if aside else columns,
            frameon=False,
            fontsize=_TICK,
            labelcolor=theme.foreground,
            title=None if aside else panel.title or None,
            alignment="left",
            borderaxespad=0.2,
            borderpad=0.1,
            handlelength=1.6,
            columnspacing=1.2,
            handletextpad=0.5,
        )
        legend.get_title().set(weight="bold", size=8, color=theme.foreground)
    if panel.title and not (handles and not aside):
        ax.set_title(panel.title, loc="left", size=8, weight="bold", color=theme.foreground)
    if panel.note:
        ax.annotate(
            panel.note,
            (0, 0),
            xycoords=("axes fraction", ax.xaxis.label),
            xytext=(0, -3),
            textcoords="offset points",
            ha="left",
            va="top",
            size=6.5,
            color=theme.colour("muted"),
            annotation_clip=False,
        )


def _handle(entry: Any, theme: Theme) -> Line2D | Patch:
    colour = theme.colour(entry.colour)
    if entry.kind == "area":
        return Patch(color=colour, alpha=entry.opacity, label=entry.label, lw=0)
    return Line2D(
        [],
        [],
        color=colour,
        ls=DASHES[entry.dash] if entry.dash else "none",
        lw=1.2,
        marker=MARKERS[entry.marker] if entry.marker else None,
        ms=4,
        mfc="none" if entry.hollow else colour,
        label=entry.label,
    )
