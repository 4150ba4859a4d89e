"""`espalier demo`: the built-in study in the window, or as figures where there is no display."""

from __future__ import annotations

from pathlib import Path

import click
from platformdirs import user_data_path

from analysis.errors import InputError
from app.commands.options import json_option
from app.commands.output import Progress, emit, progress
from app.commands.window import has_display, open_window
from app.demo import demo_study, write_figures

_FOLDER = Path("espalier-demo")


@click.command("demo")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR",
    help=f"Write the figures here without opening a window (no display: ./{_FOLDER}).",
)  # fmt: skip
@json_option
def command(out: Path | None, as_json: bool) -> None:
    """Open the demo study: a small network on handwritten digits, dense and pruned."""
    if out is None and not as_json and has_display():
        folder = user_data_path("espalier") / "demo"
        with progress() as report:
            demo_study(folder, report).close()
        open_window([str(folder)])
    else:
        _headless(out or _FOLDER, as_json)


def _headless(out: Path, as_json: bool) -> None:
    click.echo(f"Running the demo study and writing its figures into {out.absolute()}", err=True)
    with progress() as report:
        models, files = _run(out, report)
    payload = {"study": (out / "study").absolute(), "models": models, "figures": files}
    lines = [f"study    {payload['study']}", *(f"figure   {file.absolute()}" for file in files)]
    emit(payload, as_json, "\n".join(lines))


def _run(out: Path, report: Progress) -> tuple[list[str], list[Path]]:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = f"Figures cannot be written here ({error.strerror})."
        raise InputError(out, problem, "Choose another folder with --out.") from error
    with demo_study(out / "study", report) as study:
        return [model.name for model in study.models()], write_figures(study, out, report)
