"""Flags that commands share, and opening what they name."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from analysis.checkpoints import open_model
from analysis.data import check_fits, open_data
from analysis.data.dataset import Data
from analysis.devices import careful, resolve_device
from analysis.models import Model
from analysis.request import Compute, Request
from app.commands.output import Progress

F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R")


@dataclass(frozen=True)
class Common:
    """The common flags of one call."""

    arch: str | None
    device: str
    batch_size: int
    seed: int
    limit: int | None
    as_json: bool

    @property
    def compute(self) -> Compute:
        return Compute(resolve_device(self.device), self.batch_size)

    def models(self, sources: tuple[str, ...]) -> tuple[Model, ...]:
        """Open checkpoints; those that would share a name are called by their sources."""
        models = [self.model(source) for source in sources]
        names = [model.name for model in models]
        return tuple(
            model if names.count(model.name) == 1 else model.renamed(source)
            for model, source in zip(models, sources, strict=True)
        )

    def model(self, source: str) -> Model:
        """Open one checkpoint; what its load report warns of goes to stderr."""
        return opened(source, self.arch)

    def data(self, source: str, models: tuple[Model, ...], calibration_size: int = 256) -> Data:
        """Open data and check that every model can be run on them."""
        data = open_data(
            source,
            seed=self.seed,
            limit=self.limit,
            calibration_size=calibration_size,
            model=models[0],
        )
        for model in models:
            check_fits(model, data.evaluation)
        return data


def opened(source: str, arch: str | None) -> Model:
    """Open one checkpoint; what its load report warns of goes to stderr."""
    model, report = open_model(source, arch=arch)
    for warning in report.warnings:
        click.echo(f"espalier: {source}: {warning}", err=True)
    return model


def run(request: Request[R], report: Progress) -> R:
    """The result of a request; out of memory is handled where it is handled for the window."""
    return careful(request, report)


def data_block(data: Data) -> dict[str, Any]:
    """The `data` entry that tells which images the numbers are of."""
    return {
        "source": data.source,
        "evaluation": len(data.evaluation),
        "calibration": len(data.calibration),
        "shared": data.shared,
    }


def common_options(function: F) -> F:
    """The flags of every command that computes, handed over as `common`."""

    @click.option("--arch", metavar="NAME", help="Architecture, when the file does not tell.")
    @click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
    @click.option(
        "--batch-size", type=click.IntRange(min=1), default=100, show_default=True,
        help="Images at a time.",
    )  # fmt: skip
    @click.option(
        "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True,
        help="Seed of every random choice.",
    )  # fmt: skip
    @click.option(
        "--limit", type=click.IntRange(min=1), metavar="N", help="Evaluate on N images only."
    )
    @json_option
    @functools.wraps(function)
    def wrapper(
        arch: str | None,
        device: str,
        batch_size: int,
        seed: int,
        limit: int | None,
        as_json: bool,
        **rest: Any,
    ) -> Any:
        common = Common(arch, resolve_device(device), batch_size, seed, limit, as_json)
        return function(common=common, **rest)

    return wrapper  # type: ignore[return-value]


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")

checkpoints_argument = click.argument("checkpoints", nargs=-1, required=True, metavar="CKPT...")

data_option = click.option(
    "--data", "data_source", required=True, metavar="D",
    help="digits, an npz or a folder of images.",
)  # fmt: skip

arrays_option = click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE.npz", help="Write the arrays here."
)


def numbers(kind: type[Any]) -> Callable[[Any, Any, str | None], tuple[Any, ...] | None]:
    """A click callback for "0.5,0.7": a tuple of `kind`, or None when the flag is absent."""

    def parse(ctx: click.Context, param: click.Parameter, text: str | None) -> Any:
        if text is None:
            return None
        try:
            return tuple(kind(part) for part in text.split(",") if part.strip())
        except ValueError:
            raise click.BadParameter(f"{text!r} is no list of numbers like 1,2,3.") from None

    return parse
