"""When, and by which code, something was recorded."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from importlib import metadata


def now() -> str:
    """UTC time, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@lru_cache(maxsize=1)
def code_version() -> str:
    """Version of Espalier and of torch, as kept with every result."""
    try:
        own = metadata.version("espalier")
    except metadata.PackageNotFoundError:
        own = "unversioned"  # run from a folder that was never installed
    return f"espalier {own}, torch {metadata.version('torch')}"
