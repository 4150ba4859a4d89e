"""What a picture shows, as plain data: drawn by pyqtgraph on screen and by Matplotlib on paper.

A `Figure` is a grid of panels; a panel is either `Axes` holding a few kinds of marks, or a
`Table`. Marks that stand for something selectable carry `entity` and `ids`: clicking or lassoing
them selects those ids, and highlighting draws them in full colour while the others are dimmed.

Colours are "#rrggbb" or a token that each renderer resolves in its theme: "ink" (the dense
model), "muted", "faint", "accent", "positive", "negative", "warning".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Entity = Literal["sample", "class", "layer", "unit", "model", "cell"]
"""ids: sample = int index; class = int; layer = str name; unit = "layer:index" str;
model = str key; cell = "corruption:severity:model key" str."""

Marker = Literal["circle", "square", "triangle", "diamond", "cross", "star", "plus"]
Dash = Literal["solid", "dash", "dot", "dashdot"]


@dataclass(frozen=True, eq=False)
class Colouring:
    """Values on a colour map. `limits` are the ends of the map; None = the data's own range."""

    colormap: str = "cividis"
    limits: tuple[float, float] | None = None
    label: str = ""


@dataclass(frozen=True, eq=False)
class Points:
    """A cloud. Colour is one `colour`, or `palette[codes]`, or `values` through `colouring`."""

    x: np.ndarray
    y: np.ndarray
    colour: str = "ink"
    codes: np.ndarray | None = None
    palette: tuple[str, ...] = ()
    values: np.ndarray | None = None
    colouring: Colouring | None = None
    marker: Marker = "circle"
    size: float = 6.0
    hollow: bool = False
    opacity: float = 1.0
    label: str = ""
    entity: Entity | None = None
    ids: tuple[int | str, ...] | np.ndarray | None = None
    hints: tuple[str, ...] | None = None
    """Tooltip of each point."""


@dataclass(frozen=True, eq=False)
class Line:
    """A polyline; NaN in x or y breaks it. `ids` (one id) makes the whole line selectable."""

    x: np.ndarray
    y: np.ndarray
    colour: str = "ink"
    width: float = 1.5
    dash: Dash = "solid"
    marker: Marker | None = None
    opacity: float = 1.0
    smooth: bool = False
    """Draw a monotone curve through the vertices (neuron paths)."""
    label: str = ""
    entity: Entity | None = None
    ids: tuple[int | str, ...] | None = None


@dataclass(frozen=True, eq=False)
class Band:
    """Area between two curves."""

    x: np.ndarray
    low: np.ndarray
    high: np.ndarray
    colour: str = "ink"
    opacity: float = 0.2
    label: str = ""


@dataclass(frozen=True, eq=False)
class ErrorBars:
    """Vertical intervals."""

    x: np.ndarray
    low: np.ndarray
    high: np.ndarray
    colour: str = "ink"


@dataclass(frozen=True, eq=False)
class Bars:
    """Bars from `base` of length `length` at `position` (centre), `width` wide."""

    position: np.ndarray
    length: np.ndarray
    width: float = 0.8
    base: float = 0.0
    horizontal: bool = False
    colour: str = "ink"
    opacity: float = 1.0
    label: str = ""
    entity: Entity | None = None
    ids: tuple[int | str, ...] | None = None
    hints: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class Matrix:
    """Heat map: cell (r, c) is the unit square centred at x = c, y = r. NaN cells stay empty.

    `estimated` (same shape, bool) marks cells that are not exact yet: drawn hatched.
    `text` (same shape, str) is written into the cells where they are large enough.
    `ids` (same shape, object) names each cell.
    """

    values: np.ndarray
    colouring: Colouring
    estimated: np.ndarray | None = None
    text: np.ndarray | None = None
    entity: Entity | None = None
    ids: np.ndarray | None = None
    hints: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Rule:
    """A straight line across the axes."""

    value: float
    horizontal: bool = True
    colour: str = "muted"
    dash: Dash = "dash"
    label: str = ""


@dataclass(frozen=True, eq=False)
class Label:
    """Text at a place in data coordinates."""

    x: float
    y: float
    text: str
    colour: str = "muted"
    anchor: Literal["left", "centre", "right"] = "centre"
    width: float | None = None
    """Room along x, in data units; a longer text loses its middle."""


@dataclass(frozen=True, eq=False)
class Picture:
    """An RGB (H,W,3) or grey (H,W) uint8 picture filling the rectangle x, y, width, height."""

    pixels: np.ndarray
    x: float
    y: float
    width: float
    height: float
    entity: Entity | None = None
    ids: tuple[int | str, ...] | None = None
    hint: str = ""


Mark = Points | Line | Band | ErrorBars | Bars | Matrix | Rule | Label | Picture


@dataclass(frozen=True, eq=False)
class Axis:
    label: str = ""
    limits: tuple[float, float] | None = None
    ticks: tuple[tuple[float, str], ...] | None = None
    """Positions and texts; None = chosen by the renderer; () = none."""
    reversed: bool = False
    log: bool = False


@dataclass(frozen=True, eq=False)
class Axes:
    """One plot. `row`, `column` and spans place it in the figure's grid."""

    x: Axis
    y: Axis
    marks: tuple[Mark, ...] = ()
    title: str = ""
    note: str = ""
    """One line under the plot: n, intervals, trustworthiness, what is estimated."""
    legend: bool = False
    equal: bool = False
    """Same scale on both axes (embeddings)."""
    row: int = 0
    column: int = 0
    row_span: int = 1
    column_span: int = 1
    priority: int = 0
    """Panels of higher numbers are left out first where a window has no room for all."""


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of text and numbers; numbers sort as numbers and are shown with `formats`."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float | None, ...], ...]
    formats: tuple[str, ...] = ()
    """A format specification a column ("", ".2f", ",d"); empty = as it is."""
    colours: tuple[str, ...] = ()
    """A swatch colour a row, or empty."""
    title: str = ""
    entity: Entity | None = None
    ids: tuple[int | str, ...] | None = None
    row: int = 0
    column: int = 0
    row_span: int = 1
    column_span: int = 1
    priority: int = 0


Panel = Axes | Table


@dataclass(frozen=True, eq=False)
class Figure:
    """A grid of panels. `message` alone (no panels) is an empty state: what to do next."""

    title: str
    panels: tuple[Panel, ...] = ()
    message: str = ""
    row_heights: tuple[float, ...] = ()
    column_widths: tuple[float, ...] = ()
    """Stretch factors; empty = equal."""


Highlights = Mapping[Entity, frozenset[int | str]]
"""Selected ids by entity; an entity that is absent or empty dims nothing."""


@dataclass(frozen=True)
class Theme:
    """Colours that tokens resolve to."""

    name: str
    tokens: Mapping[str, str] = field(default_factory=dict)
    background: str = "#ffffff"
    foreground: str = "#1b1f24"
    grid: str = "#d8dde3"

    def colour(self, value: str) -> str:
        """'#rrggbb' of a token or of a colour that already is one."""
        return value if value.startswith("#") else self.tokens[value]
