"""What a job may take at most."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QDoubleSpinBox, QHBoxLayout, QWidget

from analysis.pruning.estimate import Budget

GIB = 1 << 30


class Limits(QWidget):
    """Memory and time; zero stands for what the program finds reasonable."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.memory = _box("60 % of free", " GiB", 4096, "Memory that a job may take at most")
        self.time = _box("any time", " min", 100_000, "Time that a job may take at most")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        for widget in (self.memory, self.time):
            row.addWidget(widget, 1)
            widget.valueChanged.connect(self._edited)

    def budget(self, device: str) -> Budget:
        """The limits as filled in."""
        default = Budget.default(device)
        memory = int(GIB * self.memory.value()) or default.memory_bytes
        return Budget(memory, 60 * self.time.value() or None)

    def _edited(self, value: float) -> None:
        self.changed.emit()


def _box(unset: str, unit: str, most: float, about: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(0, most)
    box.setDecimals(1)
    box.setSuffix(unit)
    box.setSpecialValueText(unset)
    box.setMinimumWidth(64)
    box.setAccessibleName(about)
    box.setToolTip(f"{about}; a job that is estimated above it does not start.")
    return box
