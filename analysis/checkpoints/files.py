"""Write files so that a crash leaves the old file or the new one, never half of one."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from analysis.errors import InputError


def write_whole(path: Path, content: bytes) -> None:
    """Write to a temporary name in the same folder, fsync, rename, fsync the folder.

    Raises InputError when the folder is missing or full or may not be written to.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        problem = f"It cannot be written ({error.strerror})."
        raise InputError(path, problem, "Choose another folder.") from error


def _sync_folder(folder: Path) -> None:
    """Make the rename durable, where the system lets a folder be opened (not on Windows)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
