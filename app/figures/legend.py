"""Legend and colour bars of a plot, worked out once for both renderers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from app.figures.colours import limits_of
from app.figures.spec import Axes, Band, Bars, Colouring, Dash, Line, Marker, Matrix, Panel, Points


@dataclass(frozen=True)
class Entry:
    """One line of a legend; a line and points of the same label are one entry."""

    label: str
    colour: str
    kind: Literal["marks", "area"] = "marks"
    dash: Dash | None = None
    marker: Marker | None = None
    hollow: bool = False
    opacity: float = 1.0


def entries(axes: Axes) -> tuple[Entry, ...]:
    """Legend of `axes`, in the order of its marks; empty when it asks for none."""
    found: dict[str, Entry] = {}
    if not axes.legend:
        return ()
    for mark in axes.marks:
        label = getattr(mark, "label", "")
        if not label or not isinstance(mark, (Points, Line, Bars, Band)):
            continue
        if isinstance(mark, Band) and label in found:
            continue
        entry = _entry(mark)
        known = found.get(label)
        if known is not None and known.kind == "marks":
            entry = replace(
                known,
                dash=known.dash or entry.dash,
                marker=known.marker or entry.marker,
                hollow=known.hollow or entry.hollow,
            )
        found[label] = entry
    return tuple(found.values())


def _entry(mark: Points | Line | Bars | Band) -> Entry:
    if isinstance(mark, (Bars, Band)):
        return Entry(mark.label, mark.colour, "area", opacity=mark.opacity)
    if isinstance(mark, Line):
        return Entry(mark.label, mark.colour, dash=mark.dash, marker=mark.marker)
    colour = "muted" if mark.values is not None else mark.colour
    if mark.codes is not None and mark.palette and mark.values is None:
        present = np.unique(np.asarray(mark.codes))
        one = len(present) == 1 and 0 <= int(present[0]) < len(mark.palette)
        colour = mark.palette[int(present[0])] if one else "muted"
    return Entry(mark.label, colour, marker=mark.marker, hollow=mark.hollow)


def colour_bars(axes: Axes) -> tuple[Colouring, ...]:
    """The distinct colourings of `axes`, each with its limits filled in."""
    found: dict[tuple[str, str, tuple[float, float]], Colouring] = {}
    for mark in axes.marks:
        if isinstance(mark, (Matrix, Points)) and mark.colouring is not None:
            values = mark.values
            if values is None or np.size(values) == 0:
                continue
            colouring = replace(mark.colouring, limits=limits_of(mark.colouring, values))
            assert colouring.limits is not None
            found[colouring.colormap, colouring.label, colouring.limits] = colouring
    return tuple(found.values())


def shared_bars(panels: tuple[Panel, ...]) -> tuple[tuple[Colouring, ...], ...]:
    """Colour bars of each panel; where plots of a row share one, the last of them shows it."""
    own = [colour_bars(p) if isinstance(p, Axes) else () for p in panels]

    def repeated(index: int, bar: Colouring) -> bool:
        row, column = panels[index].row, panels[index].column
        return any(
            (p.row, p.row_span) == (row, panels[index].row_span)
            and p.column > column
            and any(_look(bar) == _look(other) for other in bars)
            for p, bars in zip(panels, own, strict=True)
        )

    return tuple(
        tuple(bar for bar in bars if not repeated(index, bar)) for index, bars in enumerate(own)
    )


def _look(bar: Colouring) -> tuple[object, ...]:
    return bar.colormap, bar.label, bar.limits
