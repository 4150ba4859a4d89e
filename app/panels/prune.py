"""The prune form: a recipe, part by part, made from the parts' own fields."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from PySide6.QtCore import Qt, QTimer, Signal, Slot
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSlider,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from analysis.errors import ArgumentError
from analysis.pruning import PRESETS, Recipe
from analysis.pruning.estimate import Estimate
from analysis.pruning.part import KINDS, PARTS, Part
from app.documents import PruneOrder
from app.forms import ModelForm, narrow
from app.panels.base import hint
from app.panels.job_inputs import JobInputs
from app.panels.limits import Limits
from app.panels.recipe_choice import CUSTOM, RecipeCombo
from app.session import Session

SETTLE_MS = 200
"""An estimate is asked for when the form has not changed for so long."""


class PartChooser(QWidget):
    """One kind of part: which one, and its fields."""

    changed = Signal()

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.combo = QComboBox()
        self.combo.setAccessibleName(kind.capitalize())
        narrow(self.combo)
        for name, cls in PARTS[kind].items():
            self.combo.addItem(cls.title, name)
            about = " ".join(filter(None, ((cls.__doc__ or "").split("\n")[0], cls.paper)))
            self.combo.setItemData(self.combo.count() - 1, about, Qt.ItemDataRole.ToolTipRole)
        self._form: ModelForm | None = None
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(6)
        self._layout.addWidget(self.combo)
        self._rebuild()
        self.combo.currentIndexChanged.connect(self._chosen)

    def value(self) -> Part:
        assert self._form is not None
        part = self._form.value()
        assert isinstance(part, Part)
        return part

    def set_value(self, part: Part) -> None:
        blocked = self.combo.blockSignals(True)
        self.combo.setCurrentIndex(max(0, self.combo.findData(part.name)))
        self.combo.blockSignals(blocked)
        self._rebuild()
        if self._form is not None:
            self._form.set_value(part)

    def _chosen(self) -> None:
        self._rebuild()
        self.changed.emit()

    def _rebuild(self) -> None:
        cls = PARTS[self.kind][self.combo.currentData()]
        if self._form is not None:
            self._layout.removeWidget(self._form)
            self._form.hide()
            self._form.deleteLater()
        self._form = ModelForm(cls)
        self._form.changed.connect(self.changed)
        self._layout.addWidget(self._form)
        self._form.setVisible(bool(cls.model_fields))
        self.combo.setToolTip(self.combo.currentData(Qt.ItemDataRole.ToolTipRole) or "")


class PrunePanel(QScrollArea):
    """Recipe, sparsity, seed, and the button."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._showing = False
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.preset = RecipeCombo()
        self.preset.currentIndexChanged.connect(self._preset_chosen)
        self._about = hint()
        self.parts = {kind: PartChooser(kind) for kind in KINDS}
        self._details = QToolButton()
        self.sparsity = QDoubleSpinBox()
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.seed = QSpinBox()
        self.inputs = JobInputs()
        self.limits = Limits()
        self._asked: PruneOrder | None = None
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLE_MS)
        self._settle.timeout.connect(self._ask_estimate)
        self.run = QPushButton("Prune")
        self._reason = hint()
        self._make_numbers()
        self.setWidget(self._make_page())
        for chooser in self.parts.values():
            chooser.changed.connect(self._parts_changed)
        self.inputs.changed.connect(self.refresh)
        self.limits.changed.connect(self.refresh)
        self.sparsity.valueChanged.connect(self.refresh)
        session.documents.estimated.connect(self._show_estimate)
        session.scene_changed.connect(self.refresh)
        self._preset_chosen()

    def recipe(self) -> Recipe:
        """The recipe as filled in. ValueError when its parts do not go together."""
        return Recipe(**{kind: chooser.value() for kind, chooser in self.parts.items()})

    def start(self) -> None:
        """Prune with what is filled in."""
        if self.run.isEnabled():
            self._session.prune(self._order(), self.limits.budget(self._session.compute.device))

    def _order(self) -> PruneOrder:
        """What is filled in. ValueError when the parts do not go together."""
        base, models = self._session.base(), self._session.documents.models
        if base is None:
            raise ArgumentError("there is no model to prune: open a checkpoint")
        fixed = not self.sparsity.isEnabled()
        target = None if fixed else self.sparsity.value() / 100
        recipe = self.recipe()
        wanted = self.inputs.companions() if "companion" in recipe.needs else ()
        others = tuple(models[key] for key in wanted if key in models)
        seed, second = self.seed.value(), self.inputs.contrast
        return PruneOrder(base, recipe, target, seed, others, second)

    @Slot()
    def refresh(self) -> None:
        """Enable the button, or say why not."""
        self._asked = None  # an answer to what was filled in before is late
        reason = self._objection()
        self.run.setEnabled(not reason)
        self._reason.setText(reason or self._promise())
        if not reason:
            self._settle.start()

    @Slot()
    def _ask_estimate(self) -> None:
        """Have the job's time and memory worked out; the answer comes to `_show_estimate`."""
        if self.run.isEnabled():
            documents, compute = self._session.documents, self._session.compute
            self._asked = self._order()
            documents.estimate(self._asked, compute, self.limits.budget(compute.device))

    @Slot(object, object)
    def _show_estimate(self, order: PruneOrder, answer: Estimate | ArgumentError) -> None:
        if order is not self._asked or not self.run.isEnabled():
            return
        if isinstance(answer, ArgumentError):
            self.run.setEnabled(False)
            self._reason.setText(_first_line(answer))
        else:
            self._reason.setText(f"{self._promise()} It takes {answer.text}.")

    def _promise(self) -> str:
        base = self._session.base()
        return f"Starts from {base.name if base else ''}; the result joins the study."

    def _objection(self) -> str:
        try:
            recipe = self.recipe()
        except (ValidationError, ArgumentError) as error:
            return _first_line(error)
        base = self._session.base()
        self._fix_sparsity(recipe)
        self.inputs.show_for(recipe, base, self._session.documents.listed())
        if base is None:
            return "Open a dense checkpoint to prune it."
        if "calibration" in recipe.needs and self._session.documents.data is None:
            return "This recipe looks at calibration images: open data first."
        return recipe.inapplicable(base) or self.inputs.objection(recipe)

    def _fix_sparsity(self, recipe: Recipe) -> None:
        """N:M and the like fix their sparsity: show it, greyed."""
        try:
            fixed: float | None = recipe.structure.resolve(None)
        except ValueError:
            fixed = None
        for widget in (self.sparsity, self.slider):
            widget.setEnabled(fixed is None)
        if fixed is not None:
            self.sparsity.setValue(100 * fixed)

    def _make_numbers(self) -> None:
        self.sparsity.setRange(0, 99.99)
        self.sparsity.setDecimals(2)
        self.sparsity.setSuffix(" %")
        self.sparsity.setValue(80)
        self.sparsity.setAccessibleName("Sparsity in percent")
        self.slider.setRange(0, 999)
        self.slider.setValue(800)
        self.slider.setAccessibleName("Sparsity")
        about = "Fraction of the prunable weights that become zero."
        for widget in (self.sparsity, self.slider):
            widget.setToolTip(about)
            widget.setWhatsThis(about)
        self.seed.setRange(0, 2**31 - 1)
        self.seed.setAccessibleName("Seed")
        self.seed.setToolTip("Seed of every random choice.")
        self.run.setProperty("primary", True)
        self.run.setAccessibleName("Prune with this recipe")
        self.sparsity.valueChanged.connect(self._spun)
        self.slider.valueChanged.connect(self._slid)
        self.run.clicked.connect(self.start)
        self._details.setText("Parts")
        self._details.setCheckable(True)
        self._details.setArrowType(Qt.ArrowType.RightArrow)
        self._details.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._details.setAccessibleName("Show the parts of the recipe")
        self._details.toggled.connect(self._unfold)

    def _make_page(self) -> QWidget:
        page = QWidget()
        page.setObjectName("panel")
        layout = QVBoxLayout(page)
        layout.setContentsMargins(16, 8, 16, 12)
        layout.setSpacing(8)
        layout.addWidget(self.preset)
        layout.addWidget(self._about)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.slider, 1)
        row.addWidget(self.sparsity)
        form = QFormLayout()
        form.setHorizontalSpacing(12)
        form.setVerticalSpacing(8)
        form.addRow(_muted("Sparsity"), row)
        form.addRow(_muted("Seed"), self.seed)
        layout.addLayout(form)
        layout.addWidget(self.inputs)
        layout.addWidget(self._reason)
        layout.addWidget(self._details)
        self._parts_page = QWidget()
        parts = QFormLayout(self._parts_page)
        parts.setContentsMargins(0, 0, 0, 0)
        parts.setHorizontalSpacing(12)
        parts.setVerticalSpacing(8)
        for kind, chooser in self.parts.items():
            parts.addRow(_muted(kind.capitalize()), chooser)
        parts.addRow(_muted("At most"), self.limits)
        self._parts_page.hide()
        layout.addWidget(self._parts_page)
        layout.addWidget(self.run)
        layout.addStretch(1)
        return page

    def _unfold(self, shown: bool) -> None:
        self._parts_page.setVisible(shown)
        self._details.setArrowType(Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow)

    def _preset_chosen(self) -> None:
        preset = self.preset.chosen()
        if preset is None:
            self._about.setText("Any parts that go together.")
            self._details.setChecked(True)
        else:
            self._showing = True
            for kind, part in preset.recipe.parts.items():
                self.parts[kind].set_value(part)
            self._showing = False
            self._about.setText(f"{preset.help} {preset.paper}".strip())
        self.refresh()

    def _parts_changed(self) -> None:
        if self._showing:
            return
        try:
            parts: Any = self.recipe().to_json()
        except (ValidationError, ArgumentError):
            parts = None
        named = next((n for n, p in PRESETS.items() if p.recipe.to_json() == parts), CUSTOM)
        self.preset.show_name(named)
        if named == CUSTOM:
            self._about.setText("Any parts that go together.")
        self.refresh()

    def _spun(self, value: float) -> None:
        blocked = self.slider.blockSignals(True)
        self.slider.setValue(round(10 * value))
        self.slider.blockSignals(blocked)

    def _slid(self, value: int) -> None:
        self.sparsity.setValue(value / 10)


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return str(error.errors()[0]["msg"]).removeprefix("Value error, ")
    return str(error).partition("\n")[0]


def _muted(text: str) -> QLabel:
    label = QLabel(text)
    label.setObjectName("muted")
    return label
