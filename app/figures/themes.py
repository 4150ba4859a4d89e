"""The built-in colour themes, free of Qt; the window's palettes have the same colours.

Every token that text may wear stands at 4.5:1 or more against the background; "faint" is for lines
and marks behind the data and never for text.
"""

from __future__ import annotations

from app.figures.spec import Theme

LIGHT = Theme(
    name="light",
    tokens={
        "ink": "#1b1f24",
        "muted": "#57606a",
        "faint": "#aab2bd",
        "accent": "#2f5fd0",
        "positive": "#1a7f37",
        "negative": "#c2272d",
        "warning": "#8a5a00",
    },
    background="#ffffff",
    foreground="#1b1f24",
    grid="#e1e4e8",
)

DARK = Theme(
    name="dark",
    tokens={
        "ink": "#e6e8eb",
        "muted": "#9da5b0",
        "faint": "#5c6570",
        "accent": "#7aa5ff",
        "positive": "#56c271",
        "negative": "#ff7b78",
        "warning": "#e3b341",
    },
    background="#1a1d22",
    foreground="#e6e8eb",
    grid="#2a2e35",
)

HIGH_CONTRAST = Theme(
    name="high-contrast",
    tokens={
        "ink": "#ffffff",
        "muted": "#f0f0f0",
        "faint": "#b0b0b0",
        "accent": "#ffd60a",
        "positive": "#5dff8b",
        "negative": "#ff9a9a",
        "warning": "#ffd60a",
    },
    background="#000000",
    foreground="#ffffff",
    grid="#4a4a4a",
)

THEMES: dict[str, Theme] = {theme.name: theme for theme in (LIGHT, DARK, HIGH_CONTRAST)}


def resolve(theme: Theme | str) -> Theme:
    """A theme, or the built-in one of that name. Raises KeyError for an unknown name."""
    return theme if isinstance(theme, Theme) else THEMES[theme]
