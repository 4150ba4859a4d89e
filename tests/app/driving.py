"""Driving the window from a test: waiting until it has settled, pruning through the form."""

from __future__ import annotations

WAIT = 60_000


def settled(window):
    return not window.session.jobs.active() and not window.session._settle.isActive()


def answer_yes(window):
    """A job may still run when a test ends: closing must not wait for a person."""
    window.dialogs.really_close = lambda jobs: True


def prune(window, qtbot, recipe="global-magnitude", sparsity=50):
    panel = window.panels.prune
    count = len(window.session.documents.models)
    panel.preset.setCurrentIndex(panel.preset.findData(recipe))
    panel.sparsity.setValue(sparsity)
    panel.start()
    qtbot.waitUntil(
        lambda: len(window.session.documents.models) > count and settled(window), timeout=WAIT
    )
    return window.session.selection.state.focus
