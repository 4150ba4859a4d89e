"""The folder of a study: which folders are one, which may become one, and failing disks."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from analysis.errors import InputError

INDEX = "study.sqlite"
OBJECTS = "objects"


def is_study(folder: Path) -> bool:
    return (folder / INDEX).is_file()


def existing(folder: str | os.PathLike[str]) -> Path:
    """The folder of a study, given it or its study.sqlite; InputError when there is none."""
    path = Path(folder).absolute()
    path = path.parent if path.name == INDEX else path
    if not is_study(path):
        problem = "There is no study here." if path.exists() else "There is no such folder."
        raise InputError(path, problem, "Choose a folder that Espalier saved.")
    return path


def empty(folder: str | os.PathLike[str]) -> Path:
    """A new or empty folder; InputError when it holds anything or cannot be made."""
    path = Path(folder).absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
        occupied = any(path.iterdir())
    except OSError as error:
        raise InputError(
            path, f"No study can be made here ({error.strerror}).", "Choose another folder."
        ) from error
    if occupied:
        raise InputError(
            path, "The folder is not empty and is no study.", "Choose a new or empty folder."
        )
    return path


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """A disk that is full or gone becomes an InputError that says so."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        raise InputError(
            folder,
            f"The study could not be written ({error}).",
            "Make room there or save the study elsewhere.",
        ) from error
