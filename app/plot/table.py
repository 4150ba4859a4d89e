"""A table of a figure: sortable, numbers aligned right, a swatch a row, rows that select."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QSortFilterProxyModel, Qt, Signal
from PySide6.QtGui import (
    QBrush,
    QColor,
    QFont,
    QFontDatabase,
    QGuiApplication,
    QPixmap,
    QResizeEvent,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLabel,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from app.figures.emphasis import identity, selected
from app.figures.spec import Highlights, Table, Theme
from app.figures.tables import cell_text, is_numeric
from app.plot.gestures import mode_from
from app.plot.sameness import same

_SORT = Qt.ItemDataRole.UserRole
Index = Any


class TableModel(QAbstractTableModel):
    """Shows a `Table`; `UserRole` is what a column sorts by."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.table = Table((), ())
        self._theme: Theme | None = None
        self._lit: Any = None
        self._numeric: list[bool] = []

    def show_table(self, table: Table, theme: Theme) -> None:
        self.beginResetModel()
        self.table, self._theme, self._lit = table, theme, None
        self._numeric = [is_numeric(table, c) for c in range(len(table.columns))]
        self.endResetModel()

    def light(self, chosen: Any) -> None:
        """Bool per row, or None."""
        self._lit = chosen
        if self.rowCount() and self.columnCount():
            last = self.index(self.rowCount() - 1, self.columnCount() - 1)
            self.dataChanged.emit(self.index(0, 0), last)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        return 0 if parent.isValid() else len(self.table.rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.table.columns)

    def headerData(self, section: int, orientation: Any, role: int = 0) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self.table.columns[section]
        return self._alignment(section) if role == Qt.ItemDataRole.TextAlignmentRole else None

    def data(self, index: Index, role: int = 0) -> Any:
        row, column = index.row(), index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return cell_text(self.table, row, column)
        if role == _SORT:
            value = self.table.rows[row][column]
            return float("-inf") if value is None and self._numeric[column] else value
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return self._alignment(column)
        if role == Qt.ItemDataRole.DecorationRole and column == 0:
            return self._swatch(row)
        return self._emphasis(row, role)

    def _alignment(self, column: int) -> int:
        side = Qt.AlignmentFlag.AlignRight if self._numeric[column] else Qt.AlignmentFlag.AlignLeft
        return int(side | Qt.AlignmentFlag.AlignVCenter)

    def _swatch(self, row: int) -> QPixmap | None:
        if row >= len(self.table.colours) or not self.table.colours[row] or self._theme is None:
            return None
        pixmap = QPixmap(10, 10)
        pixmap.fill(QColor(self._theme.colour(self.table.colours[row])))
        return pixmap

    def _emphasis(self, row: int, role: int) -> Any:
        if self._theme is None or self._lit is None or not self._lit[row]:
            return None
        if role == Qt.ItemDataRole.BackgroundRole:
            colour = QColor(self._theme.colour("accent"))
            colour.setAlpha(40)
            return QBrush(colour)
        if role == Qt.ItemDataRole.FontRole:
            font = QFont()
            font.setBold(True)
            return font
        return None


class TablePanel(QWidget):
    """Draws a `Table`; a click or Enter on a row picks its id."""

    picked = Signal(str, object, str)
    hovered = Signal(str, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme: Theme | None = None
        self.title = QLabel()
        font = self.title.font()
        font.setPointSizeF(9.5)
        font.setBold(True)
        self.title.setFont(font)
        self.model = TableModel(self)
        self.proxy = QSortFilterProxyModel(self)
        self.proxy.setSourceModel(self.model)
        self.proxy.setSortRole(_SORT)
        self.view = QTableView()
        self.view.setModel(self.proxy)
        self._style_view()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 4, 8, 4)
        layout.setSpacing(4)
        layout.addWidget(self.title)
        layout.addWidget(self.view, 1)
        self.view.clicked.connect(self._pick)
        self.view.activated.connect(self._pick)
        self.view.entered.connect(self._hover)

    def show_table(self, table: Table, theme: Theme) -> None:
        if self._theme == theme and same(self.model.table, table):
            return
        self._theme = theme
        new_columns = self.model.table.columns != table.columns
        self.model.show_table(table, theme)
        self.title.setText(table.title)
        self.title.setVisible(bool(table.title))
        self.title.setStyleSheet(f"color: {theme.foreground};")
        self.view.setAccessibleName(table.title or "Table")
        self.view.setStyleSheet(
            f"QTableView {{ background: {theme.background}; color: {theme.foreground};"
            f" border: none; gridline-color: {theme.grid}; }}"
            f"QHeaderView::section {{ background: {theme.background};"
            f" color: {theme.colour('muted')}; border: none; padding: 3px 8px;"
            f" border-bottom: 1px solid {theme.colour('muted')}; }}"
        )
        if new_columns:
            self.view.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        self._fit_columns()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit_columns()

    def _fit_columns(self) -> None:
        """Columns as wide as their text; the first takes what is left over, if anything is."""
        header, mode = self.view.horizontalHeader(), QHeaderView.ResizeMode
        count = self.model.columnCount()
        needed = sum(
            max(self.view.sizeHintForColumn(c), header.sectionSizeHint(c)) for c in range(count)
        )
        for column in range(count):
            stretch = column == 0 and needed < self.view.viewport().width()
            header.setSectionResizeMode(column, mode.Stretch if stretch else mode.ResizeToContents)

    def highlight(self, highlights: Highlights) -> None:
        self.model.light(selected(self.model.table, highlights))  # type: ignore[arg-type]

    def _style_view(self) -> None:
        font = QFontDatabase.systemFont(QFontDatabase.SystemFont.GeneralFont)
        font.setPointSizeF(max(9.0, font.pointSizeF()))
        self.view.setFont(font)
        self.view.setSortingEnabled(True)
        self.view.setShowGrid(False)
        self.view.setMouseTracking(True)
        self.view.setMinimumHeight(60)
        self.view.setWordWrap(False)
        self.view.verticalHeader().hide()
        self.view.verticalHeader().setDefaultSectionSize(24)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.view.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.view.horizontalHeader().setMinimumSectionSize(64)
        self.view.horizontalHeader().setSortIndicatorClearable(True)

    def _id(self, index: Index) -> int | str | None:
        table, row = self.model.table, self.proxy.mapToSource(index).row()
        if table.entity is None or table.ids is None or not 0 <= row < len(table.ids):
            return None
        return identity(table.ids[row])

    def _pick(self, index: Index) -> None:
        name = self._id(index)
        if name is not None:
            mode = mode_from(QGuiApplication.keyboardModifiers())
            self.picked.emit(self.model.table.entity, frozenset([name]), mode)

    def _hover(self, index: Index) -> None:
        name = self._id(index)
        if name is not None:
            self.hovered.emit(self.model.table.entity, frozenset([name]))
