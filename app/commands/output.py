"""What commands write: one JSON object or a table on stdout, progress on stderr."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import click
import numpy as np

from analysis.errors import ArgumentError, InputError
from analysis.request import Step

_BROKEN_PIPE = 141
"""What a shell reports for a program that a closed pipe ended (128 + SIGPIPE)."""


def jsonable(value: Any) -> Any:
    """Plain JSON values of results: arrays become lists, NaN and infinity become null."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return jsonable(value.tolist())
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def emit(payload: Mapping[str, Any], as_json: bool, text: str) -> None:
    """Write the JSON object, or else the text, to stdout."""
    line = json.dumps(jsonable(payload), allow_nan=False) if as_json else text
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # the reader has seen enough; keep the interpreter's last flush quiet as well
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(_BROKEN_PIPE) from None


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Aligned columns: text to the left, numbers (given as formatted text) to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    texts = [
        all(isinstance(row[i], str) and not _is_number(row[i]) for row in rows)
        for i in range(len(columns))
    ]

    def line(values: Sequence[str]) -> str:
        parts = (
            value.ljust(width) if text else value.rjust(width)
            for value, width, text in zip(values, widths, texts, strict=True)
        )
        return "  ".join(parts).rstrip()

    return "\n".join([line(columns), *map(line, cells)])


def percent(value: float | None, digits: int = 2) -> str:
    return "" if value is None or math.isnan(value) else f"{100 * value:.{digits}f} %"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _is_number(text: str) -> bool:
    head = text.split(" ")[0].replace(",", "")
    try:
        float(head)
    except ValueError:
        return False
    return True


class Progress:
    """The `report` of a command: one line that updates on a terminal, else a line now and then."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._pause = 0.1 if self._terminal else 10.0
        self._started = self._shown = time.monotonic()
        self._written = False

    def __call__(self, step: Step) -> None:
        now = time.monotonic()
        if now - self._shown < self._pause:
            return
        self._shown = now
        share = f" · {step.done / step.total:.0%}" if step.total > 1 else ""
        line = f"{step.message or 'working'}{share} · {now - self._started:.0f} s"
        if not self._terminal:
            click.echo(line, file=self._stream)
            return
        width = shutil.get_terminal_size().columns - 1
        self._stream.write(f"\r{line[:width]:<{width}}")
        self._stream.flush()
        self._written = True

    def clear(self) -> None:
        """Take the updating line away."""
        if self._written:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r{'':<{width}}\r")
            self._stream.flush()
            self._written = False


@contextlib.contextmanager
def progress() -> Iterator[Progress]:
    """Progress on stderr; whatever a library prints meanwhile goes there as well."""
    shown = Progress()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield shown
    finally:
        shown.clear()


def writable(path: Path, *suffixes: str) -> Path:
    """Check, before anything is computed, that a file can be written there."""
    if suffixes and path.suffix.lower() not in suffixes:
        raise ArgumentError(f"{path}: the name must end in {' or '.join(suffixes)}.")
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise InputError(path, "A file cannot be written there.", "Name a file in a folder.")
    return path


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """Write an npz, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.npz")
    try:
        np.savez_compressed(temporary, **{k: np.asarray(v) for k, v in arrays.items()})
        temporary.replace(path)
    except OSError as error:
        problem = f"The arrays could not be written ({error.strerror})."
        raise InputError(path, problem, "Make room or choose another place.") from error
    finally:
        temporary.unlink(missing_ok=True)
    return path
