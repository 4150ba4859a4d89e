"""`espalier figure`: a view of a study as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from analysis.errors import ArgumentError
from analysis.study import Study
from app.commands.options import json_option
from app.commands.output import emit, progress, writable
from app.demo import SELECTION
from app.figures import study_figure
from app.figures.render import save
from app.figures.table import to_csv
from app.views import VIEWS


@click.command("figure")
@click.argument("study", type=click.Path(path_type=Path))
@click.argument("view", type=click.Choice(list(VIEWS)))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="FILE.svg|.pdf|.png"
)
@click.option("--width-mm", type=click.FloatRange(20, 2000), default=180.0, show_default=True)
@click.option("--dpi", type=click.IntRange(30, 2400), default=300, show_default=True)
@click.option("--theme", type=click.Choice(["light", "dark"]), default="light", show_default=True)
@click.option("--csv", type=click.Path(path_type=Path), help="Write the data behind it as well.")
@click.option("--set", "settings", multiple=True, metavar="OPTION=VALUE", help="A view's option.")
@json_option
def command(
    study: Path,
    view: str,
    out: Path,
    width_mm: float,
    dpi: int,
    theme: str,
    csv: Path | None,
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write VIEW of STUDY as it was last looked at; what is missing is computed first."""
    writable(out, ".svg", ".pdf", ".png")
    if csv is not None:
        writable(csv)
    options = _options(settings)
    with Study.open(study) as opened, progress() as report:
        chosen = {**opened.get_state(f"options:{view}", {}), **options}
        drawn = study_figure(opened, view, opened.get_state(SELECTION), chosen, report)
        save(drawn, out, width_mm=width_mm, dpi=dpi, theme=theme)
        tables = () if csv is None else to_csv(drawn, csv)
    payload = {"study": study, "view": view, "title": drawn.title, "out": out, "csv": tables}
    emit(payload, as_json, f"{drawn.title} written to {out}")


def _options(settings: tuple[str, ...]) -> dict[str, Any]:
    pairs = [setting.partition("=") for setting in settings]
    if not all(equals for _, equals, _ in pairs):
        raise ArgumentError("--set: write it as option=value.")
    return {name: value for name, _, value in pairs}
