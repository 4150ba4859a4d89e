"""What some recipes need besides one model and its calibration images."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from analysis.models import Model
from analysis.pruning import Recipe

KEY = Qt.ItemDataRole.UserRole


class JobInputs(QWidget):
    """Other models and other images, shown only while the recipe asks for them."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.contrast = ""
        """Source of the second images, as `open_data` takes it."""
        self.models = QListWidget()
        self.models.setAccessibleName("Other models that the recipe looks at")
        self.models.setToolTip("A fine-tuned model needs its base; signal-to-noise other seeds.")
        self.models.setMaximumHeight(96)
        self.models.itemChanged.connect(self._edited)
        self._models_label = QLabel("Compare with")
        self._models_label.setObjectName("muted")
        self._source = QLabel()
        self._source.setWordWrap(True)
        self._choose = QPushButton("Second images…")
        self._choose.setAccessibleName("Choose the second set of images")
        self._choose.setToolTip("A folder with one folder a class: what must not be cut.")
        self._choose.clicked.connect(self._ask)
        self._second = QWidget()
        row = QHBoxLayout(self._second)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(self._choose)
        row.addWidget(self._source, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self._models_label)
        layout.addWidget(self.models)
        layout.addWidget(self._second)

    def companions(self) -> tuple[str, ...]:
        """Keys of the ticked models."""
        items = (self.models.item(i) for i in range(self.models.count()))
        return tuple(i.data(KEY) for i in items if i.checkState() == Qt.CheckState.Checked)

    def show_for(self, recipe: Recipe, base: Model | None, models: list[Model]) -> None:
        """Show what the recipe asks for; offer the dense models of the same architecture."""
        wants_models = "companion" in recipe.needs
        wants_images = "contrast" in recipe.needs
        for widget in (self._models_label, self.models):
            widget.setVisible(wants_models)
        self._second.setVisible(wants_images)
        self.setVisible(wants_models or wants_images)
        if wants_models:
            self._offer(base, models)
            self.models.setVisible(self.models.count() > 0)
            self._models_label.setVisible(self.models.count() > 0)

    def objection(self, recipe: Recipe) -> str:
        """What is still missing; "" when nothing is."""
        if "companion" in recipe.needs and not self.companions():
            if self.models.count() == 0:
                return "This recipe compares models: open another one of the same architecture."
            return "Tick the models that this one is compared with."
        if "contrast" in recipe.needs and not self.contrast:
            return "This recipe sets two sets of images against each other: choose the second."
        return ""

    def _offer(self, base: Model | None, models: list[Model]) -> None:
        offered = [
            model
            for model in models
            if base is not None
            and model.is_dense
            and model.key != base.key
            and model.architecture.key == base.architecture.key
        ]
        if [model.key for model in offered] == self._offered():
            return
        ticked = set(self.companions())
        self.models.blockSignals(True)
        self.models.clear()
        for model in offered:
            item = QListWidgetItem(model.name, self.models)
            item.setData(KEY, model.key)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            on = model.key in ticked or len(offered) == 1
            item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)
        self.models.blockSignals(False)

    def _offered(self) -> list[str]:
        return [self.models.item(i).data(KEY) for i in range(self.models.count())]

    def _edited(self, item: QListWidgetItem) -> None:
        self.changed.emit()

    def _ask(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Second set of images", self.contrast)
        if folder:
            self.contrast = folder
            self._source.setText(folder)
            self.changed.emit()
