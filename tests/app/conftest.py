"""A test of the window leaves nothing behind: no thread, no running timer, no top-level widget."""

from __future__ import annotations

import gc
import threading

import pytest
from PySide6.QtCore import QEvent, QTimer
from PySide6.QtWidgets import QApplication

from tests.app.driving import WAIT, answer_yes, settled


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


@pytest.fixture
def window(qtbot, tmp_path):
    from app.settings import Settings
    from app.window import MainWindow
    from tests.app.fakes import FakeView

    window = MainWindow(Settings(tmp_path / "settings.json", theme="light"), make_view=FakeView)
    qtbot.addWidget(window, before_close_func=answer_yes)
    window.show()
    return window


@pytest.fixture
def demo(window, qtbot):
    """The window with the demo network and its digits."""
    window.open_paths(["demo:resnet"])
    qtbot.waitUntil(lambda: window.session.scene is not None and settled(window), timeout=WAIT)
    return window
