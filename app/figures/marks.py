"""Every kind of mark, drawn by Matplotlib."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes as Plot
from matplotlib.collections import PolyCollection

from app.figures.colours import point_colours
from app.figures.curves import smooth
from app.figures.emphasis import DIMMED, selected
from app.figures.heat_map import draw_matrix
from app.figures.ink import DASHES, MARKERS, POINT, STROKE, VECTOR_POINTS, Ink
from app.figures.spec import (
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


def draw_points(ax: Plot, mark: Points, ink: Ink) -> None:
    x, y = np.asarray(mark.x, dtype=float), np.asarray(mark.y, dtype=float)
    finite = np.isfinite(x) & np.isfinite(y)
    if not finite.any():
        return
    colours = point_colours(mark, ink.theme) / 255
    chosen = selected(mark, ink.highlights)

    def cloud(keep: np.ndarray, opacity: float, outline: str | None, order: float) -> None:
        area = (mark.size * POINT * (1.15 if outline else 1.0)) ** 2
        face = "none" if mark.hollow else colours[keep]
        rim = ink.theme.colour("faint") if mark.values is not None else "none"
        edge = outline or (colours[keep] if mark.hollow else rim)
        ax.scatter(
            x[keep],
            y[keep],
            s=area,
            marker=MARKERS[mark.marker],
            facecolors=face,
            edgecolors=edge,
            linewidths=0.9 if mark.hollow or outline else 0.25,
            alpha=opacity,
            zorder=order,
            rasterized=int(keep.sum()) > VECTOR_POINTS,
        )

    if chosen is None:
        cloud(finite, mark.opacity, None, 3)
        return
    cloud(finite & ~chosen, mark.opacity * DIMMED, None, 3)
    if (finite & chosen).any():
        cloud(finite & chosen, 1.0, ink.theme.colour("ink"), 6)


def draw_line(ax: Plot, mark: Line, ink: Ink) -> None:
    x, y = np.asarray(mark.x, dtype=float), np.asarray(mark.y, dtype=float)
    chosen = selected(mark, ink.highlights)
    lit = chosen is not None and bool(chosen.any())
    opacity = mark.opacity if chosen is None or lit else mark.opacity * DIMMED
    width = mark.width * STROKE * (1.4 if lit else 1.0)
    colour = ink.theme.colour(mark.colour)
    order = 5 if lit else 2.5
    if mark.smooth:
        curve = smooth(x, y)
        ax.plot(*curve, color=colour, lw=width, ls=DASHES[mark.dash], alpha=opacity, zorder=order)
    else:
        ax.plot(x, y, color=colour, lw=width, ls=DASHES[mark.dash], alpha=opacity, zorder=order)
    if mark.marker:
        ax.plot(
            x,
            y,
            ls="none",
            marker=MARKERS[mark.marker],
            ms=6.5 * POINT,
            color=colour,
            mec=ink.theme.background,
            mew=0.4,
            alpha=opacity,
            zorder=order + 0.1,
        )


def draw_band(ax: Plot, mark: Band, ink: Ink) -> None:
    colour = ink.theme.colour(mark.colour)
    ax.fill_between(
        np.asarray(mark.x, dtype=float),
        np.asarray(mark.low, dtype=float),
        np.asarray(mark.high, dtype=float),
        color=colour,
        alpha=mark.opacity,
        lw=0,
        zorder=1.5,
    )


def draw_error_bars(ax: Plot, mark: ErrorBars, ink: Ink) -> None:
    x = np.asarray(mark.x, dtype=float)
    low, high = np.asarray(mark.low, dtype=float), np.asarray(mark.high, dtype=float)
    keep = np.isfinite(x) & np.isfinite(low) & np.isfinite(high)
    colour = ink.theme.colour(mark.colour)
    ax.vlines(x[keep], low[keep], high[keep], colors=colour, lw=0.9, zorder=2.6)
    for ends in (low[keep], high[keep]):
        ax.plot(x[keep], ends, ls="none", marker="_", ms=4, mew=0.9, color=colour, zorder=2.6)


def draw_bars(ax: Plot, mark: Bars, ink: Ink) -> None:
    position = np.asarray(mark.position, dtype=float)
    length = np.asarray(mark.length, dtype=float)
    finite = np.isfinite(position) & np.isfinite(length)
    chosen = selected(mark, ink.highlights)
    colour = ink.theme.colour(mark.colour)
    plot: Callable[..., Any] = ax.barh if mark.horizontal else ax.bar
    start = "left" if mark.horizontal else "bottom"

    def draw(keep: np.ndarray, opacity: float, outline: str) -> None:
        plot(
            position[keep],
            length[keep],
            mark.width,
            **{start: mark.base},
            color=colour,
            alpha=opacity,
            edgecolor=outline,
            linewidth=0.8 if outline != "none" else 0,
            zorder=2,
        )

    if chosen is None:
        draw(finite, mark.opacity, "none")
    else:
        draw(finite & ~chosen, mark.opacity * DIMMED, "none")
        draw(finite & chosen, 1.0, ink.theme.colour("ink"))


def draw_rule(ax: Plot, mark: Rule, ink: Ink) -> None:
    colour = ink.theme.colour(mark.colour)
    style = {"color": colour, "lw": 0.9, "ls": DASHES[mark.dash], "zorder": 1.8}
    if not np.isfinite(mark.value):
        return
    if mark.horizontal:
        ax.axhline(mark.value, **style)
        place, where, align = (1.0, mark.value), ax.get_yaxis_transform(), "right"
    else:
        ax.axvline(mark.value, **style)
        place, where, align = (mark.value, 0.995), ax.get_xaxis_transform(), "left"
    if mark.label:
        offset = (-2, 2) if mark.horizontal else (2.5, 0)
        ax.annotate(
            mark.label,
            place,
            xycoords=where,
            xytext=offset,
            textcoords="offset points",
            ha=align,
            va="bottom" if mark.horizontal else "top",
            size=7,
            color=colour,
            zorder=6,
        )


def draw_label(ax: Plot, mark: Label, ink: Ink) -> None:
    if np.isfinite(mark.x) and np.isfinite(mark.y):
        align = {"left": "left", "centre": "center", "right": "right"}[mark.anchor]
        colour = ink.theme.colour(mark.colour)
        ax.update_datalim([(mark.x, mark.y)])
        text = mark.text
        if mark.width is not None:
            low, high = ax.get_xlim()
            room = ink.width * mark.width / max(abs(high - low), 1e-12) / (7 * 0.56)
            half = max(int(room) - 1, 2) // 2
            text = text if len(text) <= room else f"{text[:half]}…{text[-half:]}"
        ax.text(mark.x, mark.y, text, color=colour, ha=align, va="center", size=7, zorder=7)


def draw_picture(ax: Plot, mark: Picture, ink: Ink) -> None:
    pixels = np.asarray(mark.pixels)
    if pixels.size == 0:
        return
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    chosen = selected(mark, ink.highlights)
    lit = chosen is not None and bool(chosen.any())
    top, bottom = (
        (mark.y, mark.y + mark.height)
        if ax.yaxis_inverted()
        else (
            mark.y + mark.height,
            mark.y,
        )
    )
    extent = (mark.x, mark.x + mark.width, bottom, top)
    alpha = 1.0 if chosen is None or lit else DIMMED
    ax.imshow(pixels, extent=extent, aspect="auto", interpolation="nearest", alpha=alpha, zorder=2)
    if lit:
        corners = [(mark.x, mark.y), (mark.x + mark.width, mark.y)]
        corners += [(x, y + mark.height) for x, y in reversed(corners)]
        outline = PolyCollection([corners], facecolor="none", edgecolor=ink.theme.colour("accent"))
        ax.add_collection(outline, autolim=False)


DRAW: dict[type[Mark], Callable[[Plot, Any, Ink], None]] = {
    Points: draw_points,
    Line: draw_line,
    Band: draw_band,
    ErrorBars: draw_error_bars,
    Bars: draw_bars,
    Matrix: draw_matrix,
    Rule: draw_rule,
    Label: draw_label,
    Picture: draw_picture,
}
