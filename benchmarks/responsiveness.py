"""How late the window answers while it works: a heartbeat on the GUI thread.

A real window prunes, evaluates, embeds and maps sensitivity on the built-in digits (or on your own
checkpoint) while a timer beats every 5 ms. The delay of a beat is how long a click would have had
to wait. Printed and written to benchmarks/results/: median, 95th and 99th percentile and maximum.

    QT_QPA_PLATFORM=offscreen .venv/bin/python benchmarks/responsiveness.py
    .venv/bin/python benchmarks/responsiveness.py model.pth data.npz
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from analysis.runtime import prepare

prepare()

import numpy as np
from PySide6.QtCore import QEventLoop, QObject, Qt, QTimer
from PySide6.QtWidgets import QApplication

from app.settings import Settings
from app.window import MainWindow

RESULTS = Path(__file__).resolve().parent / "results"
BEAT_MS = 5
TARGET_MS = 50.0
RECIPES = ("iterative-snip", "taylor", "wanda", "global-magnitude", "erk-magnitude", "snip")


class Heartbeat(QObject):
    """A precise timer; `delays` are the milliseconds by which its beats came late."""

    def __init__(self) -> None:
        super().__init__()
        self.delays: list[float] = []
        self._last = 0.0
        self._timer = QTimer(self, interval=BEAT_MS, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)

    def start(self) -> None:
        self._last = time.perf_counter()
        self._timer.start()

    def stop(self) -> None:
        self._timer.stop()

    def _beat(self) -> None:
        now = time.perf_counter()
        self.delays.append(max(0.0, 1000 * (now - self._last) - BEAT_MS))
        self._last = now


def settle(window: MainWindow) -> None:
    """Run the event loop until no job is left."""
    loop, idle = QEventLoop(), QTimer(interval=100)
    quiet = 0

    def check() -> None:
        nonlocal quiet
        quiet = 0 if window.session.jobs.active() else quiet + 1
        if quiet > 1:
            loop.quit()

    idle.timeout.connect(check)
    idle.start()
    loop.exec()
    idle.stop()


def measure(window: MainWindow, name: str, act: object) -> dict[str, object]:
    """The heartbeat from the start of `act` until its jobs are done."""
    heart = Heartbeat()
    heart.start()
    started = time.perf_counter()
    act()  # type: ignore[operator]
    settle(window)
    heart.stop()
    late = np.array(heart.delays)
    row = {
        "phase": name,
        "seconds": round(time.perf_counter() - started, 2),
        "beats": len(late),
        **{f"p{q}": round(float(np.percentile(late, q)), 2) for q in (50, 95, 99)},
        "max": round(float(late.max()), 1),
    }
    print(
        "{phase:<34} {seconds:>7.1f} s   p50 {p50:>6.1f}   p95 {p95:>6.1f}   ".format(**row),
        end="",
    )
    print("p99 {p99:>6.1f}   max {max:>7.1f} ms   ({beats} beats)".format(**row))
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", default=["demo:resnet"])
    parser.add_argument("--out", type=Path, default=RESULTS / "responsiveness.json")
    arguments = parser.parse_args()
    application = QApplication([])
    with tempfile.TemporaryDirectory() as folder:
        window = MainWindow(Settings(Path(folder) / "settings.json", theme="light"))
        window.dialogs.really_close = lambda jobs: True
        window.show()
        window.open_paths(arguments.paths)
        settle(window)
        panel = window.panels.prune

        def prune(recipe: str, percent: float) -> None:
            panel.preset.setCurrentIndex(panel.preset.findData(recipe))
            panel.sparsity.setValue(percent)
            panel.start()

        def prune_and_embed() -> None:
            """One recipe after the other; every result is embedded, beside the dense model."""
            window.apply_layout("geometry")
            for recipe in RECIPES[:-1]:
                prune(recipe, 80)
                settle(window)
            prune(RECIPES[-1], 80)

        rows = [
            measure(window, "pruning and embedding", prune_and_embed),
            measure(window, "sensitivity map", lambda: window.apply_layout("sensitivity")),
            measure(window, "paths and embedding", lambda: window.apply_layout("paths")),
            measure(window, "robustness of all models", lambda: window.apply_layout("robustness")),
        ]
        window.close()
        application.processEvents()
    worst = max(float(row["p99"]) for row in rows)  # type: ignore[arg-type]
    print(f"worst 99th percentile {worst:.1f} ms, target below {TARGET_MS:.0f} ms")
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(json.dumps({"target_ms": TARGET_MS, "phases": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
