"""Colours, type and spacing of the window: one set of tokens a theme, and what Qt makes of them.

The plots' tokens (`app.figures.themes`) are the start; the window adds its surfaces and lines.
Contrasts are promised and tested: text on any surface at least 4.5:1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Literal

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QFont, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication, QStyleFactory

from app.figures import themes
from app.figures.spec import Theme

ThemeName = Literal["light", "dark", "high-contrast", "system"]

GRID = 8
"""Spacing unit in pixels: margins and gaps are halves or multiples of it."""

MINIMUM_POINT_SIZE = 9.0


@dataclass(frozen=True)
class Palette:
    """Every colour of one theme.

    Attributes
    ----------
    plot: the theme that figures are drawn with.
    window: behind everything. surface: panels and plots. raised: menus, fields, toasts.
    sunken: wells and group backgrounds. line: hairlines. edge: borders of controls.
    text, muted, faint: three strengths of ink; `faint` is for marks, never for text.
    accent, on_accent: the one colour that asks for action, and text on it.
    tint: background of what is selected. hover: background under the pointer.
    """

    plot: Theme
    window: str
    surface: str
    raised: str
    sunken: str
    line: str
    edge: str
    text: str
    muted: str
    faint: str
    accent: str
    on_accent: str
    tint: str
    hover: str
    positive: str
    negative: str
    warning: str

    @property
    def name(self) -> str:
        return self.plot.name


def _palette(
    plot: Theme, grounds: tuple[str, str, str, str], lines: tuple[str, str], signs: tuple[str, ...]
) -> Palette:
    """A palette around the colours of the plots, so that window and pictures are one surface."""
    window, surface, raised, sunken = grounds
    line, edge = lines
    on_accent, tint, hover = signs
    ink = {name: plot.tokens[name] for name in _SHARED}
    return Palette(
        plot=plot,
        window=window,
        surface=surface,
        raised=raised,
        sunken=sunken,
        line=line,
        edge=edge,
        on_accent=on_accent,
        tint=tint,
        hover=hover,
        text=plot.tokens["ink"],
        **ink,
    )


_SHARED = ("muted", "faint", "accent", "positive", "negative", "warning")

LIGHT = _palette(
    themes.LIGHT,
    ("#f4f5f7", "#ffffff", "#ffffff", "#eceef1"),
    ("#e1e4e8", "#c9ced6"),
    ("#ffffff", "#e3ebfc", "#edeff2"),
)
DARK = _palette(
    themes.DARK,
    ("#131519", "#1a1d22", "#22262c", "#0f1114"),
    ("#2a2e35", "#3d434c"),
    ("#0d1420", "#25324d", "#262a31"),
)
HIGH_CONTRAST = _palette(
    themes.HIGH_CONTRAST,
    ("#000000", "#000000", "#000000", "#000000"),
    ("#ffffff", "#ffffff"),
    ("#000000", "#003c8f", "#2b2b2b"),
)

PALETTES: dict[str, Palette] = {p.name: p for p in (LIGHT, DARK, HIGH_CONTRAST)}

_QSS = Path(__file__).with_name("style.qss")
_ICONS = Path(__file__).with_name("icons")


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two "#rrggbb" colours, 1 to 21 (WCAG 2.1, relative luminance)."""
    lighter, darker = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def resolve(name: ThemeName) -> Palette:
    """The palette of a theme; "system" follows the desktop (light where it does not say)."""
    if name == "system":
        dark = QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark
        return DARK if dark else LIGHT
    return PALETTES[name]


def base_font(font: QFont) -> QFont:
    """The desktop's own font, no smaller than the minimum."""
    chosen = QFont(font)
    chosen.setPointSizeF(max(MINIMUM_POINT_SIZE, font.pointSizeF()))
    return chosen


def style_sheet(palette: Palette) -> str:
    """The style sheet with the palette's colours filled in."""
    colours = {key: value for key, value in vars(palette).items() if key != "plot"}
    check = "check.svg" if contrast(palette.accent, "#ffffff") > 3 else "check-dark.svg"
    template = Template(_QSS.read_text("utf-8"))
    return template.substitute(colours, icons=_ICONS.as_posix(), check=check)


def qt_palette(palette: Palette) -> QPalette:
    """The palette for what the style draws itself."""
    roles = {
        QPalette.ColorRole.Window: palette.window,
        QPalette.ColorRole.WindowText: palette.text,
        QPalette.ColorRole.Base: palette.surface,
        QPalette.ColorRole.AlternateBase: palette.window,
        QPalette.ColorRole.Text: palette.text,
        QPalette.ColorRole.PlaceholderText: palette.muted,
        QPalette.ColorRole.Button: palette.raised,
        QPalette.ColorRole.ButtonText: palette.text,
        QPalette.ColorRole.BrightText: palette.on_accent,
        QPalette.ColorRole.Highlight: palette.tint,
        QPalette.ColorRole.HighlightedText: palette.text,
        QPalette.ColorRole.Link: palette.accent,
        QPalette.ColorRole.LinkVisited: palette.accent,
        QPalette.ColorRole.ToolTipBase: palette.raised,
        QPalette.ColorRole.ToolTipText: palette.text,
        QPalette.ColorRole.Accent: palette.accent,
        QPalette.ColorRole.Light: palette.raised,
        QPalette.ColorRole.Midlight: palette.line,
        QPalette.ColorRole.Mid: palette.edge,
        QPalette.ColorRole.Dark: palette.edge,
        QPalette.ColorRole.Shadow: palette.sunken,
    }
    result = QPalette()
    for role, colour in roles.items():
        result.setColor(role, QColor(colour))
    for role in (
        QPalette.ColorRole.WindowText,
        QPalette.ColorRole.Text,
        QPalette.ColorRole.ButtonText,
    ):
        result.setColor(QPalette.ColorGroup.Disabled, role, QColor(palette.faint))
    return result


def apply(application: QApplication, name: ThemeName) -> Palette:
    """Dress the whole application; returns the palette that `name` means now."""
    palette = resolve(name)
    application.setStyle(QStyleFactory.create("Fusion"))
    application.setFont(base_font(application.font()))
    application.setPalette(qt_palette(palette))
    application.setStyleSheet(style_sheet(palette))
    return palette
