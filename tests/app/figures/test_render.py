from __future__ import annotations

from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from PIL import Image

from analysis.errors import ArgumentError
from app.figures.render import draw, save
from app.figures.spec import Axes, Axis, Figure, Points
from app.figures.themes import DARK, LIGHT
from tests.app import samples

SVG = "{http://www.w3.org/2000/svg}"


def texts(path: Path) -> str:
    return " ".join("".join(e.itertext()) for e in ElementTree.parse(path).iter(f"{SVG}text"))


@pytest.mark.parametrize("name", samples.ALL)
def test_labels_of_an_svg_are_text(name: str, tmp_path: Path) -> None:
    figure = samples.ALL[name]()
    found = texts(save(figure, tmp_path / "a.svg"))
    assert figure.title in found
    for panel in figure.panels:
        assert panel.title in found
        if isinstance(panel, Axes):
            for word in (panel.x.label, panel.y.label, panel.note):
                assert word in found
        else:
            assert all(column in found for column in panel.columns)
    assert figure.message in found


def test_the_same_figure_gives_the_same_bytes(tmp_path: Path) -> None:
    for ending in ("svg", "pdf"):
        one = save(samples.overview(), tmp_path / f"a.{ending}").read_bytes()
        other = save(samples.overview(), tmp_path / f"b.{ending}").read_bytes()
        assert one == other
        assert b"/FontFile2" in one or ending == "svg"


def test_width_and_resolution_are_those_asked_for(tmp_path: Path) -> None:
    path = save(samples.overview(), tmp_path / "a.png", width_mm=127, dpi=100)
    with Image.open(path) as image:
        assert image.width == 500
    root = ElementTree.parse(save(samples.overview(), tmp_path / "a.svg", width_mm=127)).getroot()
    assert float(root.attrib["width"].removesuffix("pt")) == pytest.approx(360)


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("bad", [False, True])
def test_every_mark_is_drawn_whatever_its_data(count: int, bad: bool) -> None:
    for mark in samples.every_mark(count, bad):
        for highlights in (None, {"sample": frozenset([0]), "layer": frozenset(["a"])}):
            sheet = draw(samples.single(mark), highlights=highlights)
            sheet.savefig(BytesIO(), format="svg")


def test_large_clouds_are_pictures_inside_the_vector_frame(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random(6_000)
    big = save(samples.single(Points(x, x)), tmp_path / "a.svg").read_text()
    small = save(samples.single(Points(x[:100], x[:100])), tmp_path / "b.svg").read_text()
    assert "<image" in big
    assert "<image" not in small


def test_highlight_dims_what_is_not_selected() -> None:
    figure = samples.single(
        Points(np.arange(4.0), np.arange(4.0), entity="sample", ids=(0, 1, 2, 3))
    )
    clouds = [
        c
        for c in draw(figure, highlights={"sample": frozenset([2])}).axes[0].collections
        if isinstance(c, PathCollection)
    ]
    assert [c.get_alpha() for c in clouds] == [0.25, 1.0]
    assert [len(c.get_offsets()) for c in clouds] == [3, 1]
    plain = draw(figure, highlights={"class": frozenset([2])}).axes[0].collections
    assert [c.get_alpha() for c in plain if isinstance(c, PathCollection)] == [1.0]


def test_reversed_and_logarithmic_axes_and_their_limits() -> None:
    axes = Axes(
        Axis("x", limits=(1, 100), log=True),
        Axis("y", limits=(0, 5), reversed=True),
        (Points(np.array([1.0, 10.0]), np.array([1.0, 2.0])),),
    )
    plot = draw(Figure("", (axes,))).axes[0]
    assert plot.get_xscale() == "log"
    assert plot.get_xlim() == (1, 100)
    assert plot.get_ylim() == (5, 0)


def test_legends_and_titles_lie_outside_the_data(tmp_path: Path) -> None:
    sheet = draw(samples.overview())
    plot = sheet.axes[0]
    assert plot.get_legend().get_window_extent().y0 >= plot.get_window_extent().y1 - 1


def test_nothing_is_cut_off_at_the_edges() -> None:
    for theme in (LIGHT, DARK):
        for figure in (samples.paths(), samples.sensitivity(), samples.geometry()):
            sheet = draw(figure, theme)
            box = sheet.get_tightbbox()
            assert box.x0 >= -0.05
            assert box.y0 >= -0.05
            assert box.x1 <= sheet.get_figwidth() + 0.05
            assert box.y1 <= sheet.get_figheight() + 0.05


def test_an_empty_figure_shows_its_message(tmp_path: Path) -> None:
    assert "Open a checkpoint" in texts(save(samples.empty(), tmp_path / "a.svg"))


def test_a_dark_figure_has_a_dark_background(tmp_path: Path) -> None:
    with Image.open(save(samples.overview(), tmp_path / "a.png", dpi=40, theme=DARK)) as image:
        assert image.convert("RGB").getpixel((1, 1)) == (0x1A, 0x1D, 0x22)
        assert len(image.convert("RGB").getcolors(1 << 20) or []) > 50


def test_wrong_endings_and_sizes_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="ends in"):
        save(samples.empty(), tmp_path / "a.gif")
    with pytest.raises(ArgumentError, match="dpi"):
        save(samples.empty(), tmp_path / "a.png", dpi=0)
    with pytest.raises(ArgumentError, match="width_mm"):
        save(samples.empty(), tmp_path / "a.png", width_mm=1)
    assert list(tmp_path.iterdir()) == []
