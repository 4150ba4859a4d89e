"""The models: dense ones, what was pruned from them, and what each can still do."""

from __future__ import annotations

from PySide6.QtCore import (
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QSize,
    Qt,
    Signal,
    Slot,
)
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QInputDialog,
    QMenu,
    QStackedWidget,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeWidget,
    QTreeWidgetItem,
)

from analysis.models import Model
from app.panels.base import EmptyState, percent
from app.panels.swatches import swatch
from app.session import Session
from app.theme import LIGHT, Palette

_ModelIndex = QModelIndex | QPersistentModelIndex
KEY = Qt.ItemDataRole.UserRole
NUMBERS = Qt.ItemDataRole.UserRole + 1
"""The second line of an item: sparsity and accuracy."""


class ModelDelegate(QStyledItemDelegate):
    """A model's name, and under it what it keeps and what it can still do."""

    palette: Palette = LIGHT

    def sizeHint(self, option: QStyleOptionViewItem, index: _ModelIndex) -> QSize:
        return QSize(120, 2 * option.fontMetrics.lineSpacing() + 10)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _ModelIndex) -> None:
        style = option.widget.style() if option.widget is not None else QApplication.style()
        self.initStyleOption(option, index)
        name, option.text = option.text, ""
        style.drawControl(QStyle.ControlElement.CE_ItemViewItem, option, painter, option.widget)
        element = QStyle.SubElement.SE_ItemViewItemText
        place = style.subElementRect(element, option, option.widget)
        place = place.adjusted(4, 0, 0, 0)
        place.setRight(option.rect.right() - 4)
        metrics, height = option.fontMetrics, option.fontMetrics.lineSpacing()
        top = option.rect.top() + (option.rect.height() - 2 * height) // 2
        painter.save()
        painter.setFont(option.font)
        lines = ((name, self.palette.text), (str(index.data(NUMBERS) or ""), self.palette.muted))
        for i, (text, colour) in enumerate(lines):
            painter.setPen(QColor(colour))
            line = QRect(place.left(), top + i * height, place.width(), height)
            text = metrics.elidedText(text, Qt.TextElideMode.ElideMiddle, line.width())
            painter.drawText(line, Qt.AlignmentFlag.AlignVCenter, text)
        painter.restore()


class ModelsPanel(QStackedWidget):
    """A tree by provenance. Check = visible, click = focus. `asked` carries an action's id."""

    asked = Signal(str)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._palette: Palette = LIGHT
        self._sparsity: dict[str, float] = {}
        self._building = False
        self._delegate = ModelDelegate(self)
        self.empty = EmptyState(
            "No models yet",
            "Open a dense checkpoint to prune it, or pruned ones to compare. "
            "You can also drop files on the window.",
            (("file.open-models", "Open checkpoints…"), ("file.demo", "Open the demo study")),
        )
        self.empty.asked.connect(self.asked)
        self.tree = self._make_tree()
        self.addWidget(self.empty)
        self.addWidget(self.tree)
        session.scene_changed.connect(self.rebuild)
        session.evaluated.connect(self._show_numbers)

    def _make_tree(self) -> QTreeWidget:
        tree = QTreeWidget()
        tree.setAccessibleName("Models")
        tree.setHeaderHidden(True)
        tree.setItemDelegate(self._delegate)
        tree.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        tree.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        tree.setIndentation(14)
        tree.setUniformRowHeights(True)
        tree.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        tree.setWhatsThis("Check a model to see it in the views; click it to see its details.")
        tree.itemChanged.connect(self._item_changed)
        tree.itemClicked.connect(self._item_clicked)
        tree.itemActivated.connect(self._item_clicked)
        tree.customContextMenuRequested.connect(self._menu)
        return tree

    def set_palette(self, palette: Palette) -> None:
        self._palette = palette
        self._delegate.palette = palette
        self.rebuild()

    def selected(self) -> list[str]:
        """Keys of the rows that are selected."""
        return [item.data(0, KEY) for item in self.tree.selectedItems()]

    @Slot()
    def rebuild(self) -> None:
        """Show the study's models as they are now."""
        documents = self._session.documents
        models = documents.listed()
        self.setCurrentWidget(self.tree if models else self.empty)
        self._building = True
        self.tree.clear()
        items: dict[str, QTreeWidgetItem] = {}
        for model in sorted(models, key=lambda m: not m.is_dense):
            base = model.origin.base if model.origin is not None else ""
            parent = items.get(base, self.tree)
            items[model.key] = self._item(model, parent)
        self.tree.expandAll()
        focus = self._session.scene.selection.focus if self._session.scene else ""
        if focus in items:
            self.tree.setCurrentItem(items[focus])
        self._building = False
        self._show_numbers()

    def _item(self, model: Model, parent: QTreeWidgetItem | QTreeWidget) -> QTreeWidgetItem:
        item = QTreeWidgetItem(parent, [model.name])
        item.setData(0, KEY, model.key)
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
        shown = model.key in self._session.selection.state.models
        item.setCheckState(0, Qt.CheckState.Checked if shown else Qt.CheckState.Unchecked)
        style = self._session.documents.style(model.key)
        item.setIcon(0, swatch(style, self._palette.plot))
        item.setToolTip(0, f"{model.name}\n{model.architecture.title}\n{model.source}")
        if model.key not in self._sparsity:
            self._sparsity[model.key] = model.sparsity
        return item

    @Slot()
    def _show_numbers(self) -> None:
        self._building = True
        stack = [self.tree.topLevelItem(i) for i in range(self.tree.topLevelItemCount())]
        while stack:
            item = stack.pop()
            stack += [item.child(i) for i in range(item.childCount())]
            self._show_item(item)
        self._building = False

    def _show_item(self, item: QTreeWidgetItem) -> None:
        key = item.data(0, KEY)
        model = self._session.documents.models.get(key)
        if model is None:  # another study is open, and the tree is about to follow
            return
        sparsity = f"{percent(self._sparsity[key])} sparse"
        if model.is_dense:
            sparsity = "made smaller" if model.architecture.edits else "dense"
        evaluation = self._session.evaluation(key)
        if evaluation is None:
            waiting = " · evaluating …" if self._session.documents.data else ""
            item.setData(0, NUMBERS, sparsity + waiting)
            return
        low, high = evaluation.interval
        accuracy = f"{100 * evaluation.accuracy:.1f} % ({100 * low:.1f}–{100 * high:.1f})"
        item.setData(0, NUMBERS, f"{sparsity} · {accuracy}")
        item.setToolTip(
            0,
            f"{model.name}\n{model.architecture.title}\n{model.source}\n"
            f"sparsity {percent(self._sparsity[key], 2)} of the prunable weights\n"
            f"accuracy {percent(evaluation.accuracy, 2)}, 95 % Wilson interval "
            f"{percent(low, 2)} to {percent(high, 2)}, n = {evaluation.n:,}",
        )

    @Slot(QTreeWidgetItem, int)
    def _item_changed(self, item: QTreeWidgetItem, column: int) -> None:
        if not self._building and column == 0:
            visible = item.checkState(0) == Qt.CheckState.Checked
            self._session.set_model_visible(item.data(0, KEY), visible)

    @Slot(QTreeWidgetItem, int)
    def _item_clicked(self, item: QTreeWidgetItem, column: int) -> None:
        key = item.data(0, KEY)
        state = self._session.selection.state
        if len(self.tree.selectedItems()) == 1 and key in state.models and key != state.focus:
            self._session.pick("model", (key,))

    @Slot(QPoint)
    def _menu(self, position: QPoint) -> None:
        item = self.tree.itemAt(position)
        if item is None:
            return
        key = item.data(0, KEY)
        menu = QMenu(self)
        reference = menu.addAction("Compare others with it")
        permanent = menu.addAction("Make permanent")
        permanent.setToolTip("Cut out what is zero as a whole: a smaller network, same outputs.")
        permanent.setEnabled(not self._session.documents.models[key].is_dense)
        rename = menu.addAction("Rename…")
        remove = menu.addAction("Remove")
        chosen = menu.exec(self.tree.viewport().mapToGlobal(position))
        menu.deleteLater()
        if chosen is reference:
            self._session.set_reference(key)
        elif chosen is permanent:
            self._session.documents.make_permanent(self._session.documents.models[key])
        elif chosen is rename:
            self.rename(key)
        elif chosen is remove:
            self._session.remove_models(self.selected() or [key])

    def rename(self, key: str) -> None:
        """Ask for another name."""
        old = self._session.documents.models[key].name
        name, accepted = QInputDialog.getText(self, "Rename model", "Name", text=old)
        if accepted and name.strip():
            self._session.documents.rename(key, name.strip())
