"""Figures out of the window: files, clipboard, scripts. Drawing happens on the worker thread."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal, Slot
from PySide6.QtGui import QGuiApplication, QImage

from analysis.errors import InputError
from analysis.request import Report
from app.figures.spec import Figure, Highlights
from app.jobs import URGENT, Job
from app.notifications import Message, message_of
from app.session import Session
from app.views import VIEWS

FILE_KINDS = {
    "svg": "SVG",
    "pdf": "PDF",
    "png": "PNG",
    "csv": "Data as CSV",
    "py": "Python script",
}
COPY_KINDS = {"copy-image": "image", "copy-data": "data", "copy-python": "Python"}
WIDTH_MM, DPI = 180.0, 300


class Exporter(QObject):
    """Exports the figure that a view shows now. `done(message)` tells how it went."""

    done = Signal(object)

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._mine: dict[Job, str] = {}
        session.jobs.finished.connect(self._finish)
        session.jobs.failed.connect(self._fail)

    def figure(self, view: str) -> Figure | None:
        """The figure with everything that is known; None while there is nothing to show."""
        scene = self._session.scene
        widget = self._session.stage.view(view)
        if scene is None or widget is None:
            return None
        answers = self._session.answers.known(view)
        figure: Figure = VIEWS[view].state.figure(scene, widget.options, answers)
        return figure if figure.panels else None

    def save(self, view: str, path: str, width_mm: float = WIDTH_MM, dpi: int = DPI) -> Job | None:
        """Write the view to a file; the ending decides the format."""
        if path.endswith(".py"):
            try:
                with _writing(path):
                    Path(path).write_text(self.script(view), "utf-8")
            except InputError as error:
                self.done.emit(message_of(error))
            else:
                self.done.emit(Message("success", f"Saved {path}."))
            return None
        figure, highlights = self.figure(view), self._highlights()
        if figure is None:
            self.done.emit(Message("warning", f"{VIEWS[view].title} shows nothing yet."))
            return None

        def work(report: Report) -> str:
            from app.figures import render  # Matplotlib is heavy: imported when it is needed

            with _writing(path):
                if path.endswith(".csv"):
                    written = render.to_csv(figure, path)
                    return f"Saved {', '.join(map(str, written))}."
                kept = render.save(figure, path, width_mm=width_mm, dpi=dpi, highlights=highlights)
                return f"Saved {kept}."

        return self._run(f"Export {Path(path).name}", work)

    def copy(self, view: str, kind: str) -> None:
        """Put the view on the clipboard as an image, as data (TSV) or as a Python script."""
        figure, highlights = self.figure(view), self._highlights()
        if figure is None:
            self.done.emit(Message("warning", f"{VIEWS[view].title} shows nothing yet."))
        elif kind == "copy-python":
            QGuiApplication.clipboard().setText(self.script(view))
            self.done.emit(Message("success", "The script is on the clipboard."))
        elif kind == "copy-data":
            from app.figures.table import to_tsv

            QGuiApplication.clipboard().setText(to_tsv(figure))
            self.done.emit(Message("success", "The data are on the clipboard."))
        else:
            self._run("Copy image", lambda report: _image(figure, highlights))

    def script(self, view: str) -> str:
        """A script on the public API that draws the view's figure from the study."""
        from app.figures.script import as_python

        widget = self._session.stage.view(view)
        study = self._session.documents.study
        name = f"{view}.svg"
        state = self._session.selection.state
        return as_python(study.folder, view, state, widget.options, name)

    def _highlights(self) -> Highlights:
        scene = self._session.scene
        return {} if scene is None else scene.highlights

    def _run(self, title: str, work: Any) -> Job:
        job = self._session.jobs.submit(work, title=title, priority=URGENT)
        self._mine[job] = title
        return job

    @Slot(object, object)
    def _finish(self, job: Job, result: object) -> None:
        if self._mine.pop(job, None) is None:
            return
        if isinstance(result, bytes):
            QGuiApplication.clipboard().setImage(QImage.fromData(result))
            result = "The image is on the clipboard."
        self.done.emit(Message("success", str(result)))

    @Slot(object, object)
    def _fail(self, job: Job, error: Exception) -> None:
        if self._mine.pop(job, None) is not None:
            self.done.emit(message_of(error, job.title))


@contextmanager
def _writing(path: str) -> Iterator[None]:
    """A place that cannot be written is the user's to change."""
    try:
        yield
    except OSError as error:
        problem = f"It cannot be written ({error.strerror})."
        raise InputError(path, problem, "Choose another place.") from error


def _image(figure: Figure, highlights: Highlights) -> bytes:
    from app.figures import render

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figure.png"
        return render.save(figure, path, dpi=200, highlights=highlights).read_bytes()
