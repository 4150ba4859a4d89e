"""The data: where they come from, how many, and whether calibration shares them."""

from __future__ import annotations

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import (
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from app.panels.base import EmptyState
from app.session import Session

_SHARED = "Calibration images are among the evaluation images: numbers may flatter the recipe."
_ROWS = ("Source", "Evaluation", "Calibration", "Image", "Classes")


class DataPanel(QStackedWidget):
    """What the numbers are computed on. `asked` carries an action's id."""

    asked = Signal(str)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.empty = EmptyState(
            "No data yet",
            "An npz with images and labels, or a folder with one folder of images a class.",
            (("file.open-data", "Open data file…"), ("file.open-data-folder", "Open folder…")),
        )
        self.empty.asked.connect(self.asked)
        self._values = {name: QLabel() for name in _ROWS}
        self._warning = QLabel(_SHARED)
        self._warning.setObjectName("warningText")
        self._warning.setWordWrap(True)
        self.addWidget(self.empty)
        self.addWidget(self._make_page())
        session.scene_changed.connect(self.refresh)

    def _make_page(self) -> QWidget:
        page = QWidget()
        form = QFormLayout()
        form.setHorizontalSpacing(16)
        form.setVerticalSpacing(4)
        for name, value in self._values.items():
            label = QLabel(name)
            label.setObjectName("muted")
            value.setWordWrap(True)
            form.addRow(label, value)
        row = QHBoxLayout()
        row.setSpacing(8)
        for action, text in (
            ("file.open-data", "Open file…"),
            ("file.open-data-folder", "Open folder…"),
        ):
            button = QPushButton(text)
            button.setObjectName(action)
            button.setAccessibleName(f"Other data: {text.lower()}")
            button.clicked.connect(self._ask)
            row.addWidget(button)
        row.addStretch(1)
        layout = QVBoxLayout(page)
        layout.setContentsMargins(16, 8, 16, 12)
        layout.setSpacing(8)
        layout.addLayout(form)
        layout.addWidget(self._warning)
        layout.addLayout(row)
        layout.addStretch(1)
        return page

    @Slot()
    def refresh(self) -> None:
        data = self._session.documents.data
        self.setCurrentIndex(0 if data is None else 1)
        if data is None:
            return
        height, width, channels = data.evaluation.images.shape[1:]
        classes = data.evaluation.classes
        shown = ", ".join(classes[:6]) + (", …" if len(classes) > 6 else "")
        self._values["Source"].setText(data.source)
        self._values["Evaluation"].setText(f"{len(data.evaluation):,} images")
        self._values["Calibration"].setText(f"{len(data.calibration):,} images")
        self._values["Image"].setText(f"{height} × {width} × {channels}")
        self._values["Classes"].setText(f"{len(classes)}: {shown}")
        self._warning.setVisible(data.shared)

    def _ask(self) -> None:
        sender = self.sender()
        if sender is not None:
            self.asked.emit(sender.objectName())
