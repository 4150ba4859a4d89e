"""Opening the window from the command line: the only place here that leads to Qt."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

import click

from analysis.errors import InputError


def has_display() -> bool:
    """Whether a window could be seen here."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def open_window(paths: Sequence[str]) -> None:
    """Run the window on paths until it closes; InputError when there is no display."""
    if not (has_display() or os.environ.get("QT_QPA_PLATFORM")):
        raise InputError(
            "display",
            "There is none, so no window can be opened.",
            "Set DISPLAY, or use the commands: espalier --help.",
        )
    from app.launch import main as launch

    # Qt's event loop would not come back to Python for a handler of ours
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    code = launch(list(paths))
    if code:
        raise click.exceptions.Exit(int(code))
