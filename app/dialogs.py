"""Every question the window asks in a dialog of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, qVersion
from PySide6.QtWidgets import QFileDialog, QInputDialog, QMessageBox

from app.actions import ShortcutsDialog
from app.exporting import FILE_KINDS
from app.opening import CHECKPOINTS

if TYPE_CHECKING:
    from app.jobs import Job
    from app.window import MainWindow

_MODELS = f"Checkpoints ({' '.join('*' + ending for ending in CHECKPOINTS)});;All files (*)"
_DATA = "Data (*.npz *.npy *.gz *ubyte*);;All files (*)"


class Dialogs(QObject):
    """Asks, and hands the answer to the window."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window

    def open_models(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self._window, "Open checkpoints", "", _MODELS)
        for path in paths:
            self._window.open_as("model", path)

    def open_data(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self._window, "Open data", "", _DATA)
        if path:
            self._window.open_as("data", path)

    def open_data_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self._window, "Open data folder")
        if path:
            self._window.open_as("data", path)

    def open_study(self) -> None:
        path = QFileDialog.getExistingDirectory(self._window, "Open study")
        if path:
            self._window.open_as("study", path)

    def save_study(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self._window, "Save study as a folder", "study", "Study folders (*)"
        )
        if path:
            self._window.session.documents.save_as(path)

    def export(self, view: str, kind: str) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self._window, "Export", f"{view}.{kind}", f"{FILE_KINDS[kind]} (*.{kind})"
        )
        if path:
            path = path if path.lower().endswith(f".{kind}") else f"{path}.{kind}"
            self._window.exporter.save(view, path)

    def save_layout(self) -> None:
        name, accepted = QInputDialog.getText(self._window, "Save layout", "Name")
        if accepted and name.strip():
            self._window.save_layout(name.strip())

    def really_close(self, jobs: list[Job]) -> bool:
        """Ask once, naming what would be stopped and what would be lost."""
        lost = self._window.session.documents.unsaved
        texts = []
        if lost:
            names = ", ".join(model.name for model in lost[:6])
            texts.append(
                f"The study is not saved: {names}{' …' if len(lost) > 6 else ''} and all results "
                "would be lost. Go back and press Ctrl+S to keep them."
            )
        if jobs:
            titles = "\n".join(f"• {job.title}" for job in jobs[:12])
            texts.append(f"These jobs would be stopped; what is finished is kept.\n{titles}")
        box = QMessageBox(self._window)
        box.setIcon(QMessageBox.Icon.Question)
        box.setWindowTitle("Leave this study")
        box.setText("Leave this study?")
        box.setInformativeText("\n\n".join(texts))
        leave = box.addButton(
            "Discard and leave" if lost else "Stop and leave",
            QMessageBox.ButtonRole.DestructiveRole,
        )
        back = box.addButton("Go back", QMessageBox.ButtonRole.RejectRole)
        box.setDefaultButton(back)
        box.setEscapeButton(back)
        box.exec()
        chosen = box.clickedButton() is leave
        box.deleteLater()
        return chosen

    def shortcuts(self) -> None:
        dialog = ShortcutsDialog(self._window.registry.actions.values(), self._window)
        dialog.exec()
        dialog.deleteLater()

    def about(self) -> None:
        import torch

        QMessageBox.about(
            self._window,
            "About Espalier",
            "<h3>Espalier 0.1.0</h3><p>Visual analysis of pruned neural networks.</p>"
            f"<p>Qt {qVersion()}, PyTorch {torch.__version__}, "
            f"computing on {self._window.session.compute.device}. Apache-2.0.</p>",
        )
