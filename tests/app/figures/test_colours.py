from __future__ import annotations

import numpy as np
import pytest

from app.figures.colours import blend, contrast, limits_of, lut, mapped, point_colours, readable
from app.figures.curves import runs, smooth
from app.figures.emphasis import member, selected
from app.figures.legend import colour_bars, entries
from app.figures.spec import Axes, Axis, Colouring, Points, Theme
from app.figures.themes import LIGHT, THEMES, resolve
from app.figures.ticks import crowded, elide, thinning
from tests.app import samples


@pytest.mark.parametrize("theme", THEMES.values(), ids=str)
def test_every_text_token_can_be_read(theme: Theme) -> None:
    for token in ("ink", "muted", "accent", "positive", "negative", "warning"):
        assert contrast(theme.colour(token), theme.background) >= 4.5, token
    assert contrast(theme.foreground, theme.background) >= 12
    assert resolve(theme.name) is theme


def test_contrast_of_known_pairs() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)  # WCAG's own example
    assert readable("#ffffff") == "#000000"
    assert readable("#00204d") == "#ffffff"
    assert blend("#000000", "#ffffff", 0.25) == "#bfbfbf"


def test_values_meet_the_ends_of_the_map_and_nan_is_transparent() -> None:
    colouring = Colouring("cividis", (-1, 1))
    result = mapped(np.array([-5.0, -1.0, 1.0, 9.0, np.nan]), colouring)
    table = lut("cividis")
    assert (result[:2, :3] == table[0]).all()
    assert (result[2:4, :3] == table[-1]).all()
    assert result[:, 3].tolist() == [255, 255, 255, 255, 0]


def test_limits_of_constant_or_absent_data_have_width() -> None:
    assert limits_of(Colouring(), np.array([2.0, 2.0])) == (1.5, 2.5)
    assert limits_of(Colouring(), np.array([np.nan])) == (0.0, 1.0)


def test_codes_outside_the_palette_are_muted() -> None:
    points = Points(
        np.arange(3.0), np.arange(3.0), codes=np.array([0, 5, -1]), palette=("#ff0000",)
    )
    assert point_colours(points, LIGHT).tolist() == [
        [255, 0, 0],
        [0x57, 0x60, 0x6A],
        [0x57, 0x60, 0x6A],
    ]


def test_membership_of_numbers_and_names() -> None:
    assert member(np.arange(4), frozenset([1, 3, "x"])).tolist() == [False, True, False, True]
    assert member(("a", "b"), frozenset(["b"])).tolist() == [False, True]
    grid = np.array([["a", "b"], ["b", "c"]], dtype=object)
    assert member(grid, frozenset(["b"])).tolist() == [[False, True], [True, False]]


def test_what_is_not_concerned_is_not_dimmed() -> None:
    points = Points(np.arange(2.0), np.arange(2.0), entity="sample", ids=(0, 1))
    assert selected(points, {}) is None
    assert selected(points, {"class": frozenset([1])}) is None
    assert selected(points, {"sample": frozenset()}) is None
    assert selected(points, {"sample": frozenset([9])}).tolist() == [False, False]  # type: ignore[union-attr]


def test_smooth_curves_equal_the_reference_and_break_at_nan() -> None:
    scipy = pytest.importorskip("scipy.interpolate")
    rng = np.random.default_rng(1)
    for count in (3, 4, 9):
        x, y = np.cumsum(rng.uniform(0.2, 2, count)), rng.integers(0, 4, count).astype(float)
        fine_x, fine_y = smooth(x, y)
        np.testing.assert_allclose(fine_y, scipy.PchipInterpolator(x, y)(fine_x), atol=1e-12)
    x, y = np.arange(7.0), np.array([0, 1, 0, np.nan, 1, 0, 1])
    assert np.isnan(smooth(x, y)[0]).sum() == 1
    assert smooth(np.full(2, np.nan), np.zeros(2))[0].size == 0


def test_runs() -> None:
    keep = np.array([True, True, False, True])
    assert runs(keep) == [slice(0, 2), slice(3, 4)]
    assert runs(np.zeros(2, bool)) == []


def test_a_line_and_its_points_share_one_legend_entry() -> None:
    found = entries(samples.overview().panels[0])  # type: ignore[arg-type]
    assert [e.label for e in found] == ["global magnitude", "uniform magnitude", "Wanda", "random"]
    assert [e.marker for e in found] == ["square", "triangle", "diamond", "cross"]
    assert [e.dash for e in found] == ["dash", "dot", "dashdot", "solid"]
    assert entries(Axes(Axis(), Axis())) == ()
    (bar,) = colour_bars(samples.geometry().panels[1])  # type: ignore[arg-type]
    assert bar.limits == (-10, 10)


def test_tick_texts_are_shortened_in_the_middle() -> None:
    assert elide("layer1.0.conv1.weight", 11) == "layer…eight"
    assert elide("short", 11) == "short"
    assert crowded([30, 50], 52, 3)
    assert not crowded([30, 50], 60, 3)
    assert thinning(5, 12) == 3
    assert thinning(12, 12) == 1
