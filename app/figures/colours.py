"""From values and tokens to RGB, the same on screen and on paper. Free of Qt and Matplotlib."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from app.figures.spec import Colouring, Points, Theme


def rgb(colour: str) -> np.ndarray:
    """uint8 (3,) of "#rrggbb"."""
    return np.frombuffer(bytes.fromhex(colour[1:7]), dtype=np.uint8)


def hexadecimal(value: np.ndarray) -> str:
    """ "#rrggbb" of three numbers in 0..255."""
    red, green, blue = (round(float(v)) for v in value)
    return f"#{red:02x}{green:02x}{blue:02x}"


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2): 0 is black, 1 is white."""
    channels = rgb(colour).astype(np.float64) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ np.array([0.2126, 0.7152, 0.0722]))


def contrast(one: str, other: str) -> float:
    """Contrast ratio (WCAG 2.2), 1 to 21."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def blend(colour: str, background: str, amount: float) -> str:
    """`amount` of `colour` laid over `background`."""
    mixed = amount * rgb(colour).astype(np.float64) + (1 - amount) * rgb(background)
    return hexadecimal(mixed)


def readable(background: str) -> str:
    """Black or white, whichever is easier to read on `background`."""
    return "#000000" if luminance(background) > 0.179 else "#ffffff"


@lru_cache(maxsize=64)
def lut(colormap: str) -> np.ndarray:
    """uint8 (256, 3): a colour map of the `cmap` catalogue. ValueError for unknown names."""
    from cmap import Colormap

    table = np.round(np.asarray(Colormap(colormap).lut(256))[:, :3] * 255).astype(np.uint8)
    table.setflags(write=False)
    return table


def limits_of(colouring: Colouring, values: np.ndarray) -> tuple[float, float]:
    """The ends of the map: as given, or the finite range of the values, never of zero width."""
    if colouring.limits is not None:
        low, high = (float(v) for v in colouring.limits)
    else:
        finite = np.asarray(values, dtype=np.float64)
        finite = finite[np.isfinite(finite)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def mapped(values: np.ndarray, colouring: Colouring) -> np.ndarray:
    """uint8 (..., 4): values through the colour map; what is not finite is transparent."""
    values = np.asarray(values, dtype=np.float64)
    low, high = limits_of(colouring, values)
    finite = np.isfinite(values)
    share = (np.where(finite, values, low) - low) / (high - low)
    index = np.clip(np.round(share * 255), 0, 255).astype(np.intp)
    result = np.empty((*values.shape, 4), dtype=np.uint8)
    result[..., :3] = lut(colouring.colormap)[index]
    result[..., 3] = np.where(finite, 255, 0)
    return result


def point_colours(points: Points, theme: Theme) -> np.ndarray:
    """uint8 (N, 3): the colour of every point. Values that are not finite are muted."""
    count = len(points.x)
    if points.values is not None:
        rgba = mapped(points.values, points.colouring or Colouring())
        return np.where(rgba[:, 3:] > 0, rgba[:, :3], rgb(theme.colour("muted")))
    if points.codes is not None and points.palette:
        palette = np.stack([rgb(theme.colour(c)) for c in (*points.palette, "muted")])
        codes = np.asarray(points.codes, dtype=np.intp)
        known = (codes >= 0) & (codes < len(points.palette))
        return palette[np.where(known, codes, len(points.palette))]
    return np.broadcast_to(rgb(theme.colour(points.colour)), (count, 3))
