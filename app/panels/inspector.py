"""The inspector: what is selected, in numbers."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QGridLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from analysis.evaluate import agreement, flips
from analysis.models import Model
from analysis.pruning import recipe_label
from app.panels.base import hint, percent, section
from app.scene import Scene
from app.session import Session

Rows = list[tuple[str, str]]
Section = tuple[str, Rows]


class InspectorPanel(QScrollArea):
    """Sections of names and values, rebuilt when the selection has settled."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._shown: list[Section] | None = None
        self._sparsity: dict[str, float] = {}
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName("Inspector")
        session.scene_changed.connect(self.refresh)
        session.evaluated.connect(self.refresh)
        self.refresh()

    @Slot()
    def refresh(self) -> None:
        sections = self.sections()
        if sections != self._shown:
            self._shown = sections
            self.setWidget(_page(sections))

    def sections(self) -> list[Section]:
        """What is shown: titles with rows of (name, value)."""
        scene = self._session.scene
        if scene is None or scene.focus is None:
            return []
        sections = [self._model(scene, scene.focus)]
        state = scene.selection
        if state.layer:
            sections += self._layer(scene, state.layer)
        if state.units:
            sections.append(("Units", [("Selected", _some(state.units))]))
        if len(state.samples) == 1:
            sections.append(self._sample(scene, state.samples[0]))
        elif state.samples:
            sections.append(self._samples(scene))
        if state.corruption:
            rows = [
                ("Name", state.corruption.replace("_", " ")),
                ("Severity", str(state.severity)),
            ]
            sections.append(("Corruption", rows))
        return sections

    def _model(self, scene: Scene, model: Model) -> Section:
        total = sum(layer.parameters for layer in model.layers)
        sparsity = self._sparsity.setdefault(model.key, model.sparsity)
        rows: Rows = [
            ("Architecture", model.architecture.title),
            ("Prunable weights", f"{total:,} in {len(model.layers)} layers"),
            ("Sparsity", f"{percent(sparsity, 2)} of them"),
        ]
        rows += self._account(model)
        evaluation = self._session.evaluation(model.key)
        if evaluation is not None:
            low, high = evaluation.interval
            interval = f"{100 * low:.1f} to {100 * high:.1f}"
            rows += [
                (
                    "Accuracy",
                    f"{percent(evaluation.accuracy, 2)} ({interval}, n = {evaluation.n:,})",
                ),
                ("Loss", f"{evaluation.loss:.4f} nats"),
                ("ECE, 15 bins", percent(evaluation.ece(), 2)),
            ]
            rows += self._against_reference(scene, model)
        if model.origin is not None:
            rows += [
                ("Recipe", recipe_label(model.origin.recipe)),
                ("Seed", str(model.origin.seed)),
            ]
        rows.append(("Source", model.source))
        return model.name, [(name, value) for name, value in rows if value]

    def _account(self, model: Model) -> Rows:
        found = self._session.accounting(model.key)
        if found is None:
            return []
        sizes = found.bytes
        rows = [
            ("Parameters", f"{found.parameters:,}"),
            ("Multiply-adds", f"{_short(found.macs)} an image"),
            ("Size", f"{_size(sizes.dense)} dense"),
        ]
        if found.zeros:
            kept = found.macs_nonzero / found.macs if found.macs else 0.0
            rows[1] = (rows[1][0], f"{rows[1][1]}, {percent(kept)} of them not with a zero")
            best = f"{_size(sizes.bitmask)} as bitmask, {_size(sizes.csr)} as CSR"
            rows[2] = (rows[2][0], f"{rows[2][1]}, {best}")
        return rows

    def _against_reference(self, scene: Scene, model: Model) -> Rows:
        if scene.reference is None or scene.reference.key == model.key:
            return []
        before = self._session.evaluation(scene.reference.key)
        after = self._session.evaluation(model.key)
        if before is None or after is None or before.n != after.n:
            return []
        wins, losses = flips(before, after)
        change = 100 * (after.accuracy - before.accuracy)
        return [
            (f"Against {scene.reference.name}", f"{change:+.2f} points"),
            ("Agreement", percent(agreement(before, after), 2)),
            ("Won, lost", f"{len(wins):,} images won, {len(losses):,} lost"),
        ]

    def _layer(self, scene: Scene, name: str) -> list[Section]:
        model = scene.focus
        layer = (
            next((known for known in model.layers if known.name == name), None) if model else None
        )
        if model is None or layer is None:
            return []
        zeros = layer.parameters - int(torch.count_nonzero(model.weight(layer.parameter)))
        rows = [
            ("Kind", {"conv": "convolution", "linear": "linear"}[layer.kind]),
            ("Shape", " × ".join(map(str, layer.shape))),
            ("Weights", f"{layer.parameters:,}"),
            ("Zeros", f"{zeros:,} ({percent(zeros / layer.parameters, 2)})"),
        ]
        return [(f"Layer {name}", rows)]

    def _sample(self, scene: Scene, index: int) -> Section:
        data = scene.evaluation
        rows = [("Label", data.classes[data.labels[index]])]
        for model in scene.models:
            evaluation = self._session.evaluation(model.key)
            if evaluation is not None:
                answer = data.classes[evaluation.predictions[index]]
                sign = "✓" if evaluation.correct[index] else "✗"
                confidence = percent(float(evaluation.confidence[index]))
                rows.append((model.name, f"{sign} {answer}, {confidence}"))
        return f"Image {index:,}", rows

    def _samples(self, scene: Scene) -> Section:
        chosen = scene.samples
        rows = [("Selected", f"{len(chosen):,} of {len(scene.evaluation):,}")]
        for model in scene.models:
            evaluation = self._session.evaluation(model.key)
            if evaluation is not None:
                right = int(evaluation.correct[chosen].sum())
                rows.append((model.name, f"{right:,} right, {len(chosen) - right:,} wrong"))
        return "Images", rows


def _short(number: float) -> str:
    """12.3 M, 456 k."""
    for unit, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= scale:
            return f"{_three(number / scale)} {unit}"
    return f"{number:.0f}"


def _size(count: int) -> str:
    """Bytes in binary units."""
    for unit, scale in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= scale:
            return f"{_three(count / scale)} {unit}"
    return f"{count} B"


def _three(number: float) -> str:
    """Three digits, and more where that many stand before the point."""
    return f"{number:.3g}" if number < 999.5 else f"{number:,.0f}"


def _some(names: Iterable[str], limit: int = 6) -> str:
    listed = list(names)
    more = f", {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + more


def _page(sections: list[Section]) -> QWidget:
    page = QWidget()
    page.setObjectName("panel")
    layout = QVBoxLayout(page)
    layout.setContentsMargins(16, 8, 16, 12)
    layout.setSpacing(6)
    if not sections:
        layout.addWidget(hint("Select a model, a layer, a unit or images to see their numbers."))
    for i, (title, rows) in enumerate(sections):
        if i:
            layout.addSpacing(8)
        heading = section(title)
        heading.setWordWrap(True)
        layout.addWidget(heading)
        layout.addLayout(_grid(rows))
    layout.addStretch(1)
    return page


def _grid(rows: Rows) -> QGridLayout:
    grid = QGridLayout()
    grid.setHorizontalSpacing(12)
    grid.setVerticalSpacing(3)
    grid.setColumnStretch(1, 1)
    for i, (name, value) in enumerate(rows):
        label = QLabel(name)
        label.setObjectName("muted")
        label.setFixedWidth(112)
        label.setWordWrap(True)
        text = QLabel(value)
        text.setWordWrap(True)
        text.setTextFormat(Qt.TextFormat.PlainText)
        text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        grid.addWidget(label, i, 0, Qt.AlignmentFlag.AlignTop)
        grid.addWidget(text, i, 1, Qt.AlignmentFlag.AlignTop)
    return grid
