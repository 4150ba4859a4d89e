"""Colours, type and spacing of the window: one set of tokens a theme, and what Qt makes of them.

The same tokens colour the plots (`Palette.plot`), so the window and its pictures are one surface.
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
    window: behind everything. surface: panels and plots. raised: menus, fields, toasts.
    sunken: wells and group backgrounds. line: hairlines. edge: borders of controls.
    text, muted, faint: three strengths of ink; `faint` is for marks, never for text.
    accent, on_accent: the one colour that asks for action, and text on it.
    tint: background of what is selected. hover: background under the pointer.
    """

    name: str
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
    def plot(self) -> Theme:
        """The theme that figures are drawn with."""
        tokens = {
            "ink": self.text,
            "muted": self.muted,
            "faint": self.faint,
            "accent": self.accent,
            "positive": self.positive,
            "negative": self.negative,
            "warning": self.warning,
        }
        return Theme(self.name, tokens, self.surface, self.text, self.line)


LIGHT = Palette(
    name="light",
    window="#f4f5f7",
    surface="#ffffff",
    raised="#ffffff",
    sunken="#eceef1",
    line="#e1e4e8",
    edge="#c9ced6",
    text="#1b1f24",
    muted="#57606a",
    faint="#aab2bd",
    accent="#2f5fd0",
    on_accent="#ffffff",
    tint="#e3ebfc",
    hover="#edeff2",
    positive="#1a7f37",
    negative="#c2272d",
    warning="#8a5a00",
)

DARK = Palette(
    name="dark",
    window="#131519",
    surface="#1a1d22",
    raised="#22262c",
    sunken="#0f1114",
    line="#2a2e35",
    edge="#3d434c",
    text="#e6e8eb",
    muted="#9da5b0",
    faint="#5c6570",
    accent="#7aa5ff",
    on_accent="#0d1420",
    tint="#25324d",
    hover="#262a31",
    positive="#56c271",
    negative="#ff7b78",
    warning="#e3b341",
)

HIGH_CONTRAST = Palette(
    name="high-contrast",
    window="#000000",
    surface="#000000",
    raised="#000000",
    sunken="#000000",
    line="#ffffff",
    edge="#ffffff",
    text="#ffffff",
    muted="#f0f0f0",
    faint="#b0b0b0",
    accent="#ffd60a",
    on_accent="#000000",
    tint="#003c8f",
    hover="#2b2b2b",
    positive="#5dff8b",
    negative="#ff9a9a",
    warning="#ffd60a",
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
    colours = {key: value for key, value in vars(palette).items() if key != "name"}
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
