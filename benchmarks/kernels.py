"""The speed that the kernels claim, each beside its peer or physical limit, in one run.

    python -m benchmarks.kernels [--out benchmarks/results]

Prints every bar as a ratio and writes the table as Markdown. Run it on an idle machine: on two
cores anything else shows. The process allocates as the program does (analysis/runtime.py), peers
included.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import platform
from pathlib import Path

from analysis.runtime import prepare

prepare()

import torch

from benchmarks import bars
from benchmarks.bars.bar import Bar

ROOT = Path(__file__).resolve().parent.parent


def measured() -> list[Bar]:
    """The rows of every module of `benchmarks.bars` that has some."""
    found: list[Bar] = []
    for module in sorted(pkgutil.iter_modules(bars.__path__), key=lambda m: m.name):
        rows = getattr(importlib.import_module(f"benchmarks.bars.{module.name}"), "rows", None)
        for bar in rows() if rows else ():
            print(line(bar), flush=True)
            found.append(bar)
    return found


def line(bar: Bar) -> str:
    verdict = "met" if bar.met else "MISSED"
    return (
        f"| {bar.what} | {bar.against} | {bar.ours:.4g} {bar.unit} | {bar.theirs:.4g} {bar.unit} "
        f"| {bar.ratio:.3g}× | {bar.target:g}× | {verdict} | {bar.note} |"
    )


def page(found: list[Bar]) -> str:
    return "\n".join(
        [
            "# Kernels against their peers",
            "",
            f"CPU: {platform.machine()}, {torch.get_num_threads()} threads, torch "
            f"{torch.__version__.partition('+')[0]}. Medians of one process; above 1 we are "
            "faster (or smaller), and 0.5 against a floor is twice the floor.",
            "",
            "| what | against | ours | theirs | ratio | target | | note |",
            "|---|---|---|---|---|---|---|---|",
            *map(line, found),
            "",
            "Made by `python -m benchmarks.kernels`.",
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Kernels against their peers.")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    text = page(measured())
    (options.out / "kernels.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
