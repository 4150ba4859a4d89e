"""A tour of the window as a user takes it: open, prune, lasso, follow, export, undo, reopen.

Runs offscreen with the rest of the suite; with a display it can be watched:

    xvfb-run -s "-screen 0 1920x1200x24" env QT_QPA_PLATFORM=xcb \
        .venv/bin/python -m pytest tests/app/test_tour.py
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from app.layouts import PRESETS
from app.settings import Settings
from app.views import VIEWS
from app.window import MainWindow
from tests.app.gestures import drag

WAIT = 120_000


def settled(window: MainWindow) -> bool:
    return not window.session.jobs.active() and not window.session._settle.isActive()


@pytest.fixture
def open_window(qtbot, tmp_path):
    windows = []

    def make() -> MainWindow:
        window = MainWindow(Settings.load(tmp_path / "settings.json"))
        window.dialogs.really_close = lambda jobs: True  # nobody is there to answer
        windows.append(window)
        qtbot.addWidget(window)
        window.show()
        return window

    yield make
    for window in windows:
        window.session.jobs.cancel_all()
        qtbot.waitUntil(lambda w=window: not w.session.jobs.active(), timeout=WAIT)
        window.close()


def wait(qtbot, window: MainWindow) -> None:
    qtbot.waitUntil(lambda: settled(window), timeout=WAIT)


def prune(qtbot, window: MainWindow, recipe: str, percent: float) -> str:
    """Prune through the panel, as a user does; returns the new model's key."""
    panel, before = window.panels.prune, set(window.session.documents.models)
    panel.preset.setCurrentIndex(panel.preset.findData(recipe))
    panel.sparsity.setValue(percent)
    QTest.mouseClick(panel.run, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(window.session.documents.models) > len(before), timeout=WAIT)
    wait(qtbot, window)
    (new,) = set(window.session.documents.models) - before
    return new


def lasso_all(window: MainWindow) -> None:
    """Draw a loop with the mouse around everything in the first geometry panel."""
    view = window.session.stage.view("geometry")
    view.bar.set_tool("lasso")
    panel = view.canvas.plots()[0]
    (left, right), (low, high) = panel.box.viewRange()
    turn = np.linspace(0, 2 * math.pi, 24)
    x = (left + right) / 2 + 0.495 * (right - left) * np.cos(turn)
    y = (low + high) / 2 + 0.495 * (high - low) * np.sin(turn)
    drag(panel, list(zip(x, y, strict=True)))


def export_all(qtbot, window: MainWindow, folder: Path) -> None:
    for layout in PRESETS:  # every view is shown once
        window.apply_layout(layout)
        wait(qtbot, window)
    for name in VIEWS:
        for kind in ("svg", "pdf", "png", "csv", "py"):
            window.exporter.save(name, str(folder / f"{name}.{kind}"))
    wait(qtbot, window)


@pytest.mark.slow
def test_a_tour_of_the_window(qtbot, open_window, tmp_path) -> None:
    window = open_window()
    session = window.session
    window.open_paths(["demo:vit", "demo:resnet"])
    qtbot.waitUntil(lambda: len(session.documents.models) == 2, timeout=WAIT)
    wait(qtbot, window)
    assert {m.architecture.name for m in session.documents.listed()} == {
        "demo-resnet",
        "demo-vit",
    }

    resnet = next(m for m in session.documents.listed() if m.architecture.name == "demo-resnet")
    session.pick("model", {resnet.key})
    wait(qtbot, window)
    first = prune(qtbot, window, "global-magnitude", 80)
    second = prune(qtbot, window, "wanda", 80)
    for key in (first, second):
        model = session.documents.models[key]
        assert model.origin is not None
        assert model.origin.base == resnet.key
        assert abs(model.sparsity - 0.8) < 1 / 256_672
        assert session.evaluation(key) is not None

    window.apply_layout("geometry")
    wait(qtbot, window)
    lasso_all(window)
    qtbot.waitUntil(lambda: len(session.selection.state.samples) > 100, timeout=WAIT)
    lassoed = session.selection.state.samples
    wait(qtbot, window)

    window.apply_layout("robustness")
    wait(qtbot, window)
    window.apply_layout("paths")
    wait(qtbot, window)
    searched = session.answers.known("paths")[f"paths:{resnet.key}"].indices
    assert set(searched.tolist()) <= set(lassoed)

    layer = resnet.layers[3].name
    window.apply_layout("sensitivity")
    wait(qtbot, window)
    session.pick("layer", {layer})
    wait(qtbot, window)
    assert session.answers.known("weights")["weights"].layer == layer

    (tmp_path / "figures").mkdir()
    export_all(qtbot, window, tmp_path / "figures")
    for name in VIEWS:
        assert (tmp_path / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert (tmp_path / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        ET.parse(tmp_path / "figures" / f"{name}.svg")
        assert (tmp_path / "figures" / f"{name}.csv").read_text().count("\n") > 2

    here = session.selection.state
    stack = session.selection.undo_stack
    for _ in range(2):
        stack.undo()
    assert session.selection.state != here
    for _ in range(2):
        stack.redo()
    assert session.selection.state == here
    wait(qtbot, window)

    folder = tmp_path / "study"
    session.documents.save_as(str(folder))
    qtbot.waitUntil(lambda: not session.documents.study.is_temporary, timeout=WAIT)
    wait(qtbot, window)
    names = [m.name for m in session.documents.listed()]
    accuracies = [session.evaluation(m.key).accuracy for m in session.documents.listed()]
    window.close()

    again = open_window()
    again.open_paths([str(folder)])
    qtbot.waitUntil(lambda: len(again.session.documents.models) == 4, timeout=WAIT)
    wait(qtbot, again)
    assert [m.name for m in again.session.documents.listed()] == names
    assert [
        again.session.evaluation(m.key).accuracy for m in again.session.documents.listed()
    ] == accuracies
    assert again.session.selection.state.samples == lassoed
    assert again.session.selection.state.layer == layer
    ran = [job for job in again.session.jobs.list if job.title.startswith("Evaluate")]
    assert not ran, "what the study knows is not computed again"
