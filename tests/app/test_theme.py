from __future__ import annotations

import pytest
from PySide6.QtGui import QFont

from app import theme

PALETTES = list(theme.PALETTES.values())


def test_contrast_is_that_of_wcag():
    assert theme.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert theme.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("palette", PALETTES, ids=lambda p: p.name)
def test_text_is_readable_on_every_surface(palette):
    for ink in (palette.text, palette.muted):
        for ground in ("window", "surface", "raised", "sunken", "hover"):
            assert theme.contrast(ink, getattr(palette, ground)) >= 4.5, (ink, ground)
    assert theme.contrast(palette.text, palette.tint) >= 4.5
    assert theme.contrast(palette.on_accent, palette.accent) >= 4.5
    for ink in (palette.accent, palette.positive, palette.negative, palette.warning):
        assert theme.contrast(ink, palette.surface) >= 4.5, ink


@pytest.mark.parametrize("palette", PALETTES, ids=lambda p: p.name)
def test_the_style_sheet_is_complete(palette):
    sheet = theme.style_sheet(palette)
    assert "$" not in sheet
    assert palette.accent in sheet


@pytest.mark.parametrize("palette", PALETTES, ids=lambda p: p.name)
def test_the_plot_theme_resolves_every_token(palette):
    for token in ("ink", "muted", "faint", "accent", "positive", "negative", "warning"):
        assert palette.plot.colour(token).startswith("#")


def test_text_is_never_below_nine_points(qapp):
    small = QFont()
    small.setPointSizeF(6)
    assert theme.base_font(small).pointSizeF() == 9


def test_apply_dresses_the_application(qapp):
    assert theme.apply(qapp, "dark").name == "dark"
    assert qapp.palette().window().color().name() == theme.DARK.window
    assert theme.apply(qapp, "system").name == "light"  # an offscreen desktop has no preference
