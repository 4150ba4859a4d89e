"""What stands around the data of a plot on paper: axes, ticks, title, legend and note."""

from __future__ import annotations

import textwrap
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes as Plot
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from app.figures.ink import DASHES, MARKERS
from app.figures.legend import Entry, entries
from app.figures.room import CHARACTER, LONGEST_X, LONGEST_Y, TICK, Room
from app.figures.spec import Axes, Axis, Matrix, Picture, Theme
from app.figures.ticks import crowded, elide, thinning


def draw_frame(ax: Plot, panel: Axes, theme: Theme) -> None:
    ax.set_facecolor(theme.background)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(theme.colour("muted"))
    ax.tick_params(labelsize=TICK, length=2.5, width=0.6, colors=theme.foreground)
    ax.tick_params(color=theme.colour("muted"))
    if not any(isinstance(m, (Matrix, Picture)) for m in panel.marks):
        ax.grid(True, color=theme.grid, lw=0.6, zorder=0)
    ax.set_axisbelow(True)
    for axis, scale in ((panel.x, ax.set_xscale), (panel.y, ax.set_yscale)):
        if axis.log:
            scale("log", nonpositive="mask")
    if panel.y.reversed:
        ax.invert_yaxis()
    if panel.x.reversed:
        ax.invert_xaxis()


def apply_limits(ax: Plot, panel: Axes) -> None:
    """The limits asked for; else what the marks need, which images would otherwise clip."""
    ax.autoscale_view()
    has_image = any(isinstance(m, Matrix) for m in panel.marks)
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


def place_ticks(ax: Plot, panel: Axes, room: Room) -> None:
    if panel.x.ticks is not None:
        texts = [elide(text, LONGEST_X) for _, text in panel.x.ticks]
        spacing = _spacing(panel.x, ax.get_xlim(), room.width)
        turned = crowded([len(t) * CHARACTER * TICK for t in texts], spacing, 3)
        every = thinning(spacing, TICK * 1.35) if turned else 1
        texts = [t if i % every == 0 else "" for i, t in enumerate(texts)]
        ax.set_xticks([v for v, _ in panel.x.ticks], texts)
        if turned:
            for text in ax.get_xticklabels():
                text.set(rotation=45, ha="right", rotation_mode="anchor")
        ax.minorticks_off()
    if panel.y.ticks is not None:
        spacing = _spacing(panel.y, ax.get_ylim(), room.height)
        size = float(np.clip(spacing / 1.2, 5.5, TICK))
        every = thinning(spacing, size * 1.15)
        texts = [
            elide(t, LONGEST_Y) if i % every == 0 else "" for i, (_, t) in enumerate(panel.y.ticks)
        ]
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


def write_titles(ax: Plot, panel: Axes, theme: Theme, room: Room) -> None:
    """Axis labels; above the plot its title and legend, below it the note, broken to its width."""
    ax.set_xlabel(_broken(panel.x.label, room.across, 7.5), size=7.5, color=theme.foreground)
    ax.set_ylabel(_broken(panel.y.label, room.height, 7.5), size=7.5, color=theme.foreground)
    title = _broken(panel.title, room.across, 9.3)
    found = entries(panel)
    if found:
        _legend(ax, found, title, theme, room)
    elif title:
        ax.set_title(title, loc="left", size=8, weight="bold", color=theme.foreground)
    if panel.note:
        ax.annotate(
            _broken(panel.note, room.across, 6.5),
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


def _broken(text: str, width: float, size: float) -> str:
    """Text in lines that fit into `width` points."""
    return "\n".join(textwrap.wrap(text, max(int(width / (CHARACTER * size)), 8))) or text


def _legend(ax: Plot, found: tuple[Entry, ...], title: str, theme: Theme, room: Room) -> None:
    """Above the data, headed by the title; in as many columns as fit."""
    fits = max(int((room.across - 26) / (CHARACTER * TICK)), 6)
    handles = [_handle(replace(e, label=elide(e.label, fits)), theme) for e in found]
    longest = max(len(h.get_label()) for h in handles)
    columns = int(np.clip(room.across / (longest * CHARACTER * TICK + 28), 1, len(handles)))
    legend = ax.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=columns,
        frameon=False,
        fontsize=TICK,
        labelcolor=theme.foreground,
        title=title or None,
        alignment="left",
        borderaxespad=0.2,
        borderpad=0.1,
        handlelength=1.6,
        columnspacing=1.2,
        handletextpad=0.5,
    )
    legend.get_title().set(weight="bold", size=8, color=theme.foreground)


def _handle(entry: Entry, theme: Theme) -> Line2D | Patch:
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
