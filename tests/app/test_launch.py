from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from app.launch import Launch, splash

WAIT = 60_000


@pytest.fixture
def launch(qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr("app.settings.platformdirs.user_config_path", lambda name: tmp_path / name)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    launch = Launch([])
    yield launch
    if launch.window is not None:
        launch.window.close()
        launch.window.deleteLater()
    launch._splash.close()


def test_the_window_opens_after_the_imports_and_shows_errors(launch, qtbot, capsys):
    launch.start()
    qtbot.waitUntil(lambda: bool(launch.window or launch.box), timeout=WAIT)
    assert launch.box is None, launch.box.informativeText()
    assert launch.window.isVisible()
    error = RuntimeError("from anywhere")
    sys.excepthook(RuntimeError, error, None)
    qtbot.waitUntil(lambda: bool(launch.window.notifications.toasts()), timeout=WAIT)
    assert "from anywhere" in launch.window.notifications.toasts()[0].message.text


def test_a_start_that_fails_is_told(launch, qtbot, monkeypatch):
    monkeypatch.setattr(launch, "_import", lambda: launch._imported.emit(ImportError("no torch")))
    launch.start()
    qtbot.waitUntil(lambda: launch.box is not None, timeout=WAIT)
    assert "no torch" in launch.box.informativeText()
    launch.box.finished.disconnect()
    launch.box.close()
    launch.box.deleteLater()


def test_the_splash_is_painted(qapp):
    image = splash().toImage()
    colours = {image.pixelColor(x, y).name() for x in range(0, 440, 2) for y in range(0, 200, 2)}
    assert {"#ffffff", "#1b1f24"} <= colours


def test_the_first_paint_needs_no_heavy_library():
    code = (
        "import sys, app.launch; print(*({'torch', 'matplotlib', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
