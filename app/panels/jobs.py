"""The jobs: what runs, how far it is, how long it takes, and the button to stop it."""

from __future__ import annotations

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QRectF,
    Qt,
    QTimer,
    Slot,
)
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QStackedLayout,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from app.jobs import Job, Jobs
from app.panels.base import tool
from app.theme import LIGHT, Palette

COLUMNS = ("Job", "Stage", "Progress", "Done", "Rate", "Time left", "State")
PROGRESS = 2
FRACTION = Qt.ItemDataRole.UserRole
_SETTLE_MS = 100
_ModelIndex = QModelIndex | QPersistentModelIndex


class JobModel(QAbstractTableModel):
    """Running and waiting jobs first, then those that are over, newest first."""

    def __init__(self, jobs: Jobs, parent: QObject) -> None:
        super().__init__(parent)
        self._jobs = jobs
        self.rows: list[Job] = []

    def rowCount(self, parent: _ModelIndex = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: _ModelIndex = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> object:
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section]
        return None

    def data(self, index: _ModelIndex, role: int = 0) -> object:
        if not index.isValid() or index.row() >= len(self.rows):
            return None
        job = self.rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return "" if index.column() == PROGRESS else texts(job)[index.column()]
        if role == FRACTION:
            return 1.0 if job.state == "done" else job.fraction
        if role == Qt.ItemDataRole.ToolTipRole:
            return str(job.error) if job.error is not None else job.title
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return ", ".join(filter(None, texts(job)))
        return None

    def refresh(self) -> None:
        """Follow the list of jobs."""
        over = [job for job in reversed(self._jobs.list) if not job.active]
        running = sorted(self._jobs.active(), key=lambda job: job.state != "running")
        rows = [*running, *over]
        if rows != self.rows:
            self.beginResetModel()
            self.rows = rows
            self.endResetModel()
        elif rows:
            self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, len(COLUMNS) - 1))


class ProgressDelegate(QStyledItemDelegate):
    """A thin bar."""

    palette: Palette = LIGHT

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _ModelIndex) -> None:
        super().paint(painter, option, index)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        bar = QRectF(option.rect.adjusted(6, 0, -6, 0))
        bar = QRectF(bar.left(), bar.center().y() - 2, bar.width(), 4)
        painter.setBrush(QColor(self.palette.line))
        painter.drawRoundedRect(bar, 2, 2)
        fraction = float(index.data(FRACTION) or 0)
        if fraction > 0:
            painter.setBrush(QColor(self.palette.accent))
            painter.drawRoundedRect(QRectF(bar.left(), bar.top(), bar.width() * fraction, 4), 2, 2)
        painter.restore()


class JobsPanel(QWidget):
    """The table, with Cancel and Clear."""

    def __init__(self, jobs: Jobs) -> None:
        super().__init__()
        self._jobs = jobs
        self.model = JobModel(jobs, self)
        self.table = QTableView()
        self._bars = ProgressDelegate(self.table)
        self._set_up_table()
        self._nothing = QLabel(
            "Nothing runs. Pruning, maps and embeddings show their progress here."
        )
        self._nothing.setObjectName("hint")
        self._nothing.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.stop = tool("Cancel", "Cancel the selected jobs, or the running one")
        self.stop.clicked.connect(self.cancel_selected)
        self.clear = tool("Clear", "Remove finished jobs from the list")
        self.clear.clicked.connect(self._clear)
        buttons = QVBoxLayout()
        buttons.setContentsMargins(8, 8, 8, 8)
        buttons.addWidget(self.stop)
        buttons.addWidget(self.clear)
        buttons.addStretch(1)
        self._pages = QStackedLayout()
        self._pages.addWidget(self._nothing)
        self._pages.addWidget(self.table)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(self._pages, 1)
        layout.addLayout(buttons)
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SETTLE_MS)
        self._settle.timeout.connect(self.refresh)
        jobs.added.connect(self._changed)
        jobs.changed.connect(self._changed)
        self.refresh()

    def set_palette(self, palette: Palette) -> None:
        self._bars.palette = palette
        self.table.viewport().update()

    def cancel_selected(self) -> None:
        """Cancel the selected jobs; with none selected, the running one."""
        rows = {index.row() for index in self.table.selectionModel().selectedRows()}
        chosen = [self.model.rows[row] for row in rows if self.model.rows[row].active]
        running = [job for job in self._jobs.active() if job.state == "running"]
        for job in chosen or running[-1:]:
            self._jobs.cancel(job)

    @Slot()
    def refresh(self) -> None:
        self.model.refresh()
        self._pages.setCurrentIndex(1 if self.model.rows else 0)
        self.stop.setEnabled(bool(self._jobs.active()))
        self.clear.setEnabled(len(self._jobs.list) > len(self._jobs.active()))

    def _clear(self) -> None:
        self._jobs.clear_finished()
        self.refresh()

    @Slot(object)
    def _changed(self, job: Job) -> None:
        if not self._settle.isActive():
            self._settle.start()

    def _set_up_table(self) -> None:
        table = self.table
        table.setAccessibleName("Jobs")
        table.setModel(self.model)
        table.setItemDelegateForColumn(PROGRESS, self._bars)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setShowGrid(False)
        table.setWordWrap(False)
        table.setTabKeyNavigation(False)
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(26)
        header = table.horizontalHeader()
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column, width in enumerate((0, 150, 110, 104, 72, 84, 104)):
            if width:
                table.setColumnWidth(column, width)


def texts(job: Job) -> tuple[str, ...]:
    """What each column says."""
    step = job.step
    done = f"{step.done:,} / {step.total:,}" if step.total else ""
    rate = f"{job.rate:.3g} /s" if job.active and job.rate else ""
    left = duration(job.seconds_left) if job.seconds_left is not None else ""
    state = "stopping" if job.stopping and job.active else job.state
    if not job.active and job.seconds:
        state = f"{state}, {duration(job.seconds)}"
    return job.title, step.message, "", done, rate, left, state


def duration(seconds: float) -> str:
    """A time span with its unit: "0.4 s", "12 s", "3 min 05 s", "1 h 12 min"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
