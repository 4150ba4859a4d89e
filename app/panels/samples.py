"""The samples: thumbnails of the selection, or of everything while nothing is selected."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QModelIndex, QSignalBlocker, Qt, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QListView,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from analysis.evaluate import Evaluation
from app.panels.base import percent
from app.panels.thumbnails import INDEX, LINES, Answer, SampleDelegate, SampleModel
from app.scene import Scene
from app.selection import SelectMode
from app.session import Session
from app.theme import LIGHT, Palette

ORDERS = ("flips first", "smallest margin", "least confident", "by index")


class SamplesPanel(QWidget):
    """Clicking an image selects it everywhere: Ctrl toggles, Shift adds, Alt subtracts."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._palette: Palette = LIGHT
        self._shown: tuple[object, ...] = ()
        self.order = QComboBox()
        self.order.setAccessibleName("Order of the images")
        self.order.addItems(ORDERS)
        self.order.setToolTip(
            "Flips: images that the reference and the focused model disagree on."
        )
        self.order.currentIndexChanged.connect(self.refresh)
        self._count = QLabel()
        self._count.setObjectName("muted")
        self._count.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.model = SampleModel(self)
        self.list = QListView()
        self._delegate = SampleDelegate(self.list)
        self._set_up_list()
        row = QHBoxLayout()
        row.setContentsMargins(16, 8, 12, 0)
        row.addWidget(self._count, 1)
        row.addWidget(self.order)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 4)
        layout.setSpacing(4)
        layout.addLayout(row)
        layout.addWidget(self.list, 1)
        session.scene_changed.connect(self.refresh)
        session.evaluated.connect(self.refresh)

    def _set_up_list(self) -> None:
        self.list.setAccessibleName("Images")
        self.list.setModel(self.model)
        self.list.setItemDelegate(self._delegate)
        self.list.setViewMode(QListView.ViewMode.IconMode)
        self.list.setResizeMode(QListView.ResizeMode.Adjust)
        self.list.setMovement(QListView.Movement.Static)
        self.list.setUniformItemSizes(True)
        self.list.setLayoutMode(QListView.LayoutMode.Batched)
        self.list.setBatchSize(200)
        self.list.setMouseTracking(True)
        self.list.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.list.clicked.connect(self._clicked)
        self.list.activated.connect(self._clicked)
        self.list.entered.connect(self._entered)

    def set_palette(self, palette: Palette) -> None:
        self._palette = palette
        self._delegate.palette = palette
        self._shown = ()
        self.refresh()

    @Slot()
    def refresh(self) -> None:
        """Show the selection in the chosen order; nothing happens when nothing of it changed."""
        scene = self._session.scene
        evaluations = self._evaluations(scene)
        state = scene.selection if scene else None
        asked = (
            scene.evaluation if scene else None,
            state.samples if state else (),
            (state.models, state.reference, state.focus) if state else (),
            tuple(evaluations),
            self.order.currentIndex(),
        )
        if asked == self._shown:
            return
        self._shown = asked
        with QSignalBlocker(self.list):
            self._fill(scene, evaluations)

    def _fill(self, scene: Scene | None, evaluations: dict[str, Evaluation]) -> None:
        if scene is None:
            none = np.zeros((0, 1, 1, 1), np.uint8)
            self.model.show(none, str, np.zeros(0, np.int64), lambda index: ())
            self._count.setText("No images yet")
            return
        chosen = scene.samples if len(scene.samples) else np.arange(len(scene.evaluation))
        rows = ordered(chosen, ORDERS[self.order.currentIndex()], self._pair(scene, evaluations))
        data = scene.evaluation
        answers = _Answers(scene, evaluations, self._palette)
        self._delegate.lines = max(1, min(len(evaluations), LINES))
        self.model.show(data.images, lambda i: data.classes[data.labels[i]], rows, answers)
        kind = "selected" if len(scene.samples) else "images"
        self._count.setText(f"{len(rows):,} {kind}")

    def _evaluations(self, scene: Scene | None) -> dict[str, Evaluation]:
        if scene is None:
            return {}
        found = {model.key: self._session.evaluation(model.key) for model in scene.models}
        return {key: value for key, value in found.items() if value is not None}

    def _pair(
        self, scene: Scene, evaluations: dict[str, Evaluation]
    ) -> tuple[Evaluation | None, Evaluation | None]:
        reference = scene.reference.key if scene.reference else ""
        focus = scene.focus.key if scene.focus else ""
        before = evaluations.get(reference) or self._session.evaluation(reference)
        return before, evaluations.get(focus)

    @Slot(QModelIndex)
    def _clicked(self, index: QModelIndex) -> None:
        sample = index.data(INDEX)
        mode = mode_of(QGuiApplication.keyboardModifiers())
        self._session.pick("sample", (sample,), mode)

    @Slot(QModelIndex)
    def _entered(self, index: QModelIndex) -> None:
        self._session.selection.hover("sample", (index.data(INDEX),))


def ordered(
    rows: np.ndarray, order: str, pair: tuple[Evaluation | None, Evaluation | None]
) -> np.ndarray:
    """The indices `rows` in an order; what an order cannot tell apart stays by index."""
    before, after = pair
    if order == "by index" or after is None:
        return rows
    if order == "flips first":
        if before is None or before.n != after.n:
            return rows
        lost = before.correct[rows] & ~after.correct[rows]
        won = ~before.correct[rows] & after.correct[rows]
        other = before.predictions[rows] != after.predictions[rows]
        rank = np.select([lost, won, other], [0, 1, 2], 3)
        return rows[np.argsort(rank, kind="stable")]
    if order == "smallest margin":
        return rows[np.argsort(margins(after)[rows], kind="stable")]
    return rows[np.argsort(after.confidence[rows], kind="stable")]


def margins(evaluation: Evaluation) -> np.ndarray:
    """N: logit of the true class minus the largest other logit; negative = misclassified."""
    logits = evaluation.logits.astype(np.float64)
    index = np.arange(evaluation.n)
    true = logits[index, evaluation.labels].copy()
    logits[index, evaluation.labels] = -np.inf
    return np.asarray(true - logits.max(axis=1))


def mode_of(modifiers: Qt.KeyboardModifier) -> SelectMode:
    """The selection mode that the keys held down stand for."""
    shift = bool(modifiers & Qt.KeyboardModifier.ShiftModifier)
    if modifiers & Qt.KeyboardModifier.AltModifier:
        return "intersect" if shift else "subtract"
    if modifiers & Qt.KeyboardModifier.ControlModifier:
        return "toggle"
    return "add" if shift else "replace"


class _Answers:
    """index -> each visible model's answer."""

    def __init__(self, scene: Scene, evaluations: dict[str, Evaluation], palette: Palette) -> None:
        self._scene = scene
        self._evaluations = evaluations
        self._palette = palette

    def __call__(self, index: int) -> tuple[Answer, ...]:
        answers = []
        for model in self._scene.models:
            evaluation = self._evaluations.get(model.key)
            if evaluation is None or index >= evaluation.n:
                continue
            correct = bool(evaluation.correct[index])
            name = self._scene.evaluation.classes[evaluation.predictions[index]]
            confidence = percent(float(evaluation.confidence[index]), 0)
            colour = self._palette.plot.colour(self._scene.styles[model.key].colour)
            text = f"{'' if correct else '✗ '}{name} {confidence}"
            answers.append(Answer(model.name, colour, text, correct))
        return tuple(answers)
