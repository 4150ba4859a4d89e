"""The status bar: what is selected, as chips that clear it; the device; what runs."""

from __future__ import annotations

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QStatusBar, QWidget

from app.jobs import Job
from app.selection import SelectionState
from app.session import Session

CLEARED = {
    "samples": {"samples": ()},
    "classes": {"classes": ()},
    "layer": {"layer": "", "units": ()},
    "units": {"units": ()},
    "corruption": {"corruption": "", "severity": 0},
}
"""What a click on a chip sets, by field."""


def chip_texts(state: SelectionState, classes: tuple[str, ...] = ()) -> dict[str, str]:
    """What the chips say, by field; fields with nothing selected are left out."""
    texts = {}
    if state.samples:
        texts["samples"] = f"{len(state.samples):,} image{'s' * (len(state.samples) > 1)}"
    if state.classes:
        names = [classes[i] if i < len(classes) else str(i) for i in state.classes]
        texts["classes"] = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
    if state.layer:
        texts["layer"] = state.layer
    if state.units:
        texts["units"] = f"{len(state.units)} unit{'s' * (len(state.units) > 1)}"
    if state.corruption:
        texts["corruption"] = f"{state.corruption.replace('_', ' ')} {state.severity}"
    return texts


class Status(QStatusBar):
    """Chips on the right, the running job and the device beside them."""

    cleared = Signal(str)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.setSizeGripEnabled(False)
        self._chips: dict[str, QPushButton] = {}
        row = QWidget()
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 2, 8, 2)
        layout.setSpacing(6)
        for field in CLEARED:
            chip = QPushButton()
            chip.setObjectName("chip")
            chip.setProperty("field", field)
            chip.setAccessibleName(f"Clear the selected {field}")
            chip.clicked.connect(self._clear)
            chip.hide()
            layout.addWidget(chip)
            self._chips[field] = chip
        self._job = QLabel()
        self._device = QLabel(session.compute.device.upper())
        self._device.setToolTip("Where models are computed")
        layout.addSpacing(8)
        layout.addWidget(self._job)
        layout.addWidget(self._device)
        self.addPermanentWidget(row)
        session.selection.changed.connect(self._show_chips)
        session.jobs.changed.connect(self._show_job)

    @Slot(object, object)
    def _show_chips(self, old: SelectionState, new: SelectionState) -> None:
        data = self._session.documents.data
        texts = chip_texts(new, data.evaluation.classes if data is not None else ())
        for field, chip in self._chips.items():
            chip.setVisible(field in texts)
            chip.setText(f"{texts.get(field, '')}  ✕")

    @Slot(object)
    def _show_job(self, job: Job) -> None:
        active = self._session.jobs.active()
        running = [job for job in active if job.state == "running"]
        if not running:
            self._job.setText("")
            return
        more = f", {len(active) - 1} more" if len(active) > 1 else ""
        self._job.setText(f"{running[-1].title} {100 * running[-1].fraction:.0f} %{more}")

    def _clear(self) -> None:
        sender = self.sender()
        if sender is not None:
            field = sender.property("field")
            self._session.change(f"Clear {field}", **CLEARED[field])
