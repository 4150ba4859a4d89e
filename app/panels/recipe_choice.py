"""Choosing a published recipe: a list in families, and custom ones at its end."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QComboBox

from analysis.pruning import PRESETS, Preset
from app.forms import narrow

CUSTOM = "custom"


class RecipeCombo(QComboBox):
    """All presets under the headings of their families; the data of an item is its name."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Recipe")
        narrow(self)
        family = ""
        for preset in PRESETS.values():
            if preset.family != family:
                family = preset.family
                self._add_heading(family)
            self.addItem(preset.title, preset.name)
            about = f"{preset.help} {preset.paper}".strip()
            self.setItemData(self.count() - 1, about, Qt.ItemDataRole.ToolTipRole)
        self._add_heading("Your own")
        self.addItem("Custom", CUSTOM)
        self.show_name("global-magnitude")

    def chosen(self) -> Preset | None:
        """The preset, or None for a custom recipe."""
        return PRESETS.get(self.currentData() or CUSTOM)

    def show_name(self, name: str) -> None:
        """Show a preset, or CUSTOM, without telling anybody."""
        blocked = self.blockSignals(True)
        self.setCurrentIndex(max(0, self.findData(name)))
        self.blockSignals(blocked)

    def _add_heading(self, text: str) -> None:
        items = self.model()
        assert isinstance(items, QStandardItemModel)
        heading = QStandardItem(text)
        heading.setFlags(Qt.ItemFlag.NoItemFlags)
        font = heading.font()
        font.setBold(True)
        heading.setFont(font)
        items.appendRow(heading)
