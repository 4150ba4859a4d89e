"""A test of the window leaves nothing behind: no thread, no running timer, no top-level widget."""

from __future__ import annotations

import gc
import threading

import pytest
from PySide6.QtCore import QEvent, QTimer
from PySide6.QtWidgets import QApplication


def pytest_runtest_makereport(item, call):
    if call.when == "call":
        item.stash[_PASSED] = call.excinfo is None


_PASSED = pytest.StashKey[bool]()


@pytest.fixture(autouse=True)
def nothing_is_left(request):
    """Checked only after a pass: a failed test may well leave things behind."""
    threads = set(threading.enumerate())
    widgets = set(map(id, QApplication.topLevelWidgets())) if QApplication.instance() else set()
    yield
    if not request.node.stash.get(_PASSED, False):
        return
    left = [
        t.name for t in threading.enumerate() if t not in threads and t.name.startswith("jobs")
    ]
    assert not left, f"threads left: {left}"
    application = QApplication.instance()
    if application is None:
        return
    application.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    application.processEvents()
    gc.collect()
    windows = [w for w in QApplication.topLevelWidgets() if id(w) not in widgets and w.isVisible()]
    assert not windows, f"windows left: {windows}"
    timers = [t for w in windows for t in w.findChildren(QTimer) if t.isActive()]
    assert not timers, f"timers left: {timers}"


@pytest.fixture
def jobs(qapp):
    from app.jobs import Jobs

    queue = Jobs()
    yield queue
    assert queue.shutdown(10)
    queue.deleteLater()
