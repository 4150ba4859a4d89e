"""Start the program: paint first, import the heavy libraries behind it, then open the window."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

if sys.platform == "win32":
    import torch  # noqa: F401 - its DLLs fail to load after Qt's (pytorch#166628)

from PySide6.QtCore import QObject, Qt, Signal, Slot
from PySide6.QtGui import QColor, QFont, QPainter, QPixmap
from PySide6.QtWidgets import QApplication, QMessageBox, QSplashScreen

from analysis.runtime import prepare

if TYPE_CHECKING:
    from app.window import MainWindow

_SPLASH = (440, 200)


class Launch(QObject):
    """Holds the window, and brings errors from anywhere to it."""

    _imported = Signal(object)
    _failed = Signal(object)

    def __init__(self, paths: Sequence[str]) -> None:
        super().__init__()
        self._paths = [str(path) for path in paths]
        self.window: MainWindow | None = None
        self.box: QMessageBox | None = None
        self._splash = QSplashScreen(splash())
        self._imported.connect(self._open)
        self._failed.connect(self._tell)

    def start(self) -> None:
        """Show the splash, and import on a thread while the event loop lives."""
        sys.excepthook = self._on_error
        threading.excepthook = self._on_thread_error
        self._splash.show()
        threading.Thread(target=self._import, name="imports", daemon=True).start()

    def _import(self) -> None:
        try:
            import app.window  # noqa: F401 - torch, numpy and the analyses come with it
        except Exception as error:  # noqa: BLE001 - it is told on the GUI thread
            self._imported.emit(error)
        else:
            self._imported.emit(None)

    @Slot(object)
    def _open(self, error: Exception | None) -> None:
        try:
            if error is not None:
                raise error
            from app.window import MainWindow

            window = MainWindow()
        except Exception as reason:  # noqa: BLE001 - without a window it is told in a box
            self._give_up(reason)
            return
        self.window = window
        self.window.show()
        self._splash.finish(self.window)
        if self._paths:
            self.window.open_paths(self._paths)

    def _give_up(self, error: Exception) -> None:
        sys.__excepthook__(type(error), error, error.__traceback__)
        self._splash.close()
        self.box = QMessageBox(QMessageBox.Icon.Critical, "Espalier", "Espalier cannot start.")
        self.box.setInformativeText(f"{type(error).__name__}: {error}")
        self.box.finished.connect(_exit_with_failure)
        self.box.open()

    def _on_error(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        sys.__excepthook__(kind, error, trace)
        if isinstance(error, KeyboardInterrupt):
            QApplication.quit()
        else:
            self._failed.emit(error)

    def _on_thread_error(self, arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None:
            self._on_error(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)

    @Slot(object)
    def _tell(self, error: BaseException) -> None:
        from app.notifications import message_of

        if self.window is not None:
            self.window.show_message(message_of(error))


def _exit_with_failure() -> None:
    QApplication.exit(1)


def splash() -> QPixmap:
    """The first thing on screen: the name, in the colours of the light theme."""
    pixmap = QPixmap(*_SPLASH)
    pixmap.fill(QColor("#ffffff"))
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    _draw_espalier(painter)
    font = QFont(painter.font())
    font.setPointSizeF(20)
    font.setWeight(QFont.Weight.DemiBold)
    painter.setFont(font)
    painter.setPen(QColor("#1b1f24"))
    area = pixmap.rect().adjusted(176, 56, -16, -80)
    painter.drawText(area, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, "Espalier")
    font.setPointSizeF(9.5)
    font.setWeight(QFont.Weight.Normal)
    painter.setFont(font)
    painter.setPen(QColor("#57606a"))
    area.translate(0, 40)
    text = "Visual analysis of pruned networks"
    painter.drawText(area, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, text)
    painter.end()
    return pixmap


def _draw_espalier(painter: QPainter) -> None:
    """A tree trained flat: a trunk, three tiers of arms, a few of them cut."""
    pen = painter.pen()
    pen.setWidth(3)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    pen.setColor(QColor("#1b1f24"))
    painter.setPen(pen)
    painter.drawLine(92, 40, 92, 160)
    for y, left, right in ((130, 48, 136), (100, 48, 122), (70, 66, 136)):
        painter.drawLine(left, y, right, y)
    pen.setColor(QColor("#aab2bd"))
    pen.setStyle(Qt.PenStyle.DotLine)
    painter.setPen(pen)
    painter.drawLine(126, 100, 138, 100)
    painter.drawLine(48, 70, 60, 70)


def main(paths: Sequence[str] | None = None) -> int:
    """Open the window on studies, data and checkpoints; returns the exit code.

    Without arguments the command line's are used.
    """
    prepare()
    chosen = sys.argv[1:] if paths is None else list(paths)
    existing = QApplication.instance()
    application = existing if isinstance(existing, QApplication) else QApplication(sys.argv[:1])
    application.setApplicationName("Espalier")
    application.setApplicationDisplayName("Espalier")
    launch = Launch(chosen)
    launch.start()
    return application.exec()
