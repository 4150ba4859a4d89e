"""Draw the pictures of the documentation: every layout of the demo study, in both themes.

xvfb-run -s "-screen 0 1920x1200x24" .venv/bin/python docs/take_screenshots.py
QT_QPA_PLATFORM=offscreen .venv/bin/python docs/take_screenshots.py --size 1280x800 --out x
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtWidgets import QApplication

from app.demo import demo_study
from app.layouts import PRESETS
from app.settings import Settings
from app.window import MainWindow

IMAGES = Path(__file__).resolve().parent / "images"
TIMEOUT_MS = 300_000


def settle(window: MainWindow) -> None:
    """Run the event loop until the views have every answer they asked for."""
    loop = QEventLoop()
    quiet = QTimer(interval=400)
    seen = 0

    def check() -> None:
        nonlocal seen
        seen = 0 if window.session.jobs.active() else seen + 1
        if seen >= 3:
            loop.quit()

    quiet.timeout.connect(check)
    quiet.start()
    QTimer.singleShot(TIMEOUT_MS, loop.quit)
    loop.exec()
    quiet.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="1600x1000")
    parser.add_argument("--out", type=Path, default=IMAGES)
    parser.add_argument("--themes", default="light,dark")
    parser.add_argument("--layouts", default=",".join(PRESETS))
    parser.add_argument("--study", type=Path, help="a study to show; the demo study if not given")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    arguments.out.mkdir(parents=True, exist_ok=True)
    application = QApplication([])
    with tempfile.TemporaryDirectory() as folder:
        study = arguments.study
        if study is None:
            study = Path(folder) / "demo"
            demo_study(study).close()
        window = MainWindow(Settings.load(Path(folder) / "settings.json"))
        window.resize(width, height)
        window.show()
        window.open_paths([str(study)])
        for layout in arguments.layouts.split(","):
            window.apply_layout(layout)
            for theme in arguments.themes.split(","):
                window.set_theme(theme)
                settle(window)
                window.notifications.clear()
                settle(window)
                window.grab().save(str(arguments.out / f"{layout}-{theme}.png"))
        window.close()
        application.processEvents()


if __name__ == "__main__":
    main()
