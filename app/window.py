"""The main window: the grid of views in the middle, panels around it, toolbar and menus."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import QTimer, Slot
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent, QGuiApplication
from PySide6.QtWidgets import QApplication, QMainWindow, QWhatsThis

from app import theme
from app.actions import Action, Actions
from app.arranging import SAVED, Arranger, MakeView, make_view
from app.chips import Status
from app.dialogs import Dialogs
from app.exporting import Exporter
from app.notifications import Message, Notifications
from app.opening import kind_of
from app.palette import CommandPalette
from app.panels.docks import Panels
from app.recent import RecentMenu
from app.session import Session
from app.settings import Settings
from app.toolbar import LayoutBar
from app.user_actions import MENUS, all_actions

SIZE = (1600, 1000)


class MainWindow(QMainWindow):
    """The window on one study. `make_view` builds the views' widgets."""

    def __init__(self, settings: Settings | None = None, make_view: MakeView = make_view) -> None:
        super().__init__()
        self.settings = settings or Settings.load()
        self.session = Session(self)
        self.panels = Panels(self.session, self)
        self.arranger = Arranger(self, self.session, self.panels, self.settings, make_view)
        self.notifications = Notifications(self)
        self.exporter = Exporter(self.session, self)
        self.dialogs = Dialogs(self)
        self.registry = Actions(self, all_actions(self))
        self.commands = CommandPalette(self)
        self._build()
        self._connect()
        self.set_theme(self.settings.theme)
        self._fit_screen()
        self.arranger.reset()
        self._name_window()
        self.setFocus()

    def _build(self) -> None:
        self.setAcceptDrops(True)
        self.setDockNestingEnabled(True)
        self.setCentralWidget(self.arranger.centre)
        self.setStatusBar(Status(self.session, self))
        self.menus = self.registry.fill(self.menuBar(), MENUS)
        self.menuBar().setAccessibleName("Menu bar")
        self.recent = RecentMenu(self.settings, self)
        before = self.registry.qt["file.new"]
        self.menus["File"].insertMenu(before, self.recent)
        self.toolbar = LayoutBar(self.registry, self)
        self.addToolBar(self.toolbar)
        for name, layout in self.arranger.layouts().items():
            if name.startswith(SAVED):
                self._add_saved_layout(name, layout.title)

    def _connect(self) -> None:
        session = self.session
        session.told.connect(self.notifications.show_message)
        self.exporter.done.connect(self.notifications.show_message)
        session.scene_changed.connect(self._name_window)
        session.scene_changed.connect(self.registry.refresh)
        session.evaluated.connect(self.registry.refresh)
        session.restored.connect(self.arranger.restore)
        session.selection.undo_stack.indexChanged.connect(self._history_changed)
        self.arranger.changed.connect(self.registry.refresh)
        self.arranger.export_requested.connect(self._export_requested)
        self.commands.chosen.connect(self.registry.trigger)
        self.panels.asked.connect(self.registry.trigger)
        self.recent.chosen.connect(self._open_recent)
        QGuiApplication.styleHints().colorSchemeChanged.connect(self._system_theme_changed)

    # ---------------------------------------------------------------- opening

    def open_paths(self, paths: Iterable[str]) -> None:
        """Open studies, data and checkpoints, told apart by what they are."""
        sources = [str(path) for path in paths]
        if any(kind_of(source) == "study" for source in sources) and not self._may_leave():
            return
        for source in sources:
            self.settings.opened(source)
        self.session.open_paths(sources)

    def open_as(self, kind: str, source: str) -> None:
        """Open what the user chose as a "study", as "data" or as a "model"."""
        if kind == "study" and not self._may_leave():
            return
        self.settings.opened(source)
        documents = self.session.documents
        ways = {
            "study": documents.open_study,
            "data": documents.open_data,
            "model": documents.open_model,
        }
        ways[kind](source)

    def _may_leave(self) -> bool:
        """Nothing would be stopped or lost, or the user agrees."""
        running = self.session.jobs.active()
        nothing = not running and not self.session.documents.unsaved
        return nothing or self.dialogs.really_close(running)

    def new_study(self) -> None:
        """An empty study; the one that was open stays as it is on disk."""
        if not self._may_leave():
            return
        self.session.remember()
        self.session.documents.new_study()

    def open_demo(self) -> None:
        if self._may_leave():
            self.session.documents.open_demo()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        event.acceptProposedAction()
        urls = event.mimeData().urls()
        self.open_paths(url.toLocalFile() for url in urls if url.isLocalFile())

    @Slot(str)
    def _open_recent(self, source: str) -> None:
        self.open_as(kind_of(source), source)

    # ---------------------------------------------------------------- looks

    def set_theme(self, name: str) -> None:
        """Dress the application, the panels and the views."""
        application = QApplication.instance()
        assert isinstance(application, QApplication)
        palette = theme.apply(application, name)  # type: ignore[arg-type]
        self.panels.set_palette(palette)
        self.session.stage.set_theme(palette.plot)
        if name != self.settings.theme:
            self.settings.theme = name
            self.settings.save()
        self.registry.refresh()

    @Slot()
    def _system_theme_changed(self) -> None:
        if self.settings.theme == "system":
            self.set_theme("system")

    def apply_layout(self, name: str) -> None:
        self.arranger.apply(name)
        self.registry.refresh()

    def save_layout(self, title: str) -> None:
        """Keep the present arrangement under a title, as a layout of its own."""
        name = self.arranger.save(title)
        if f"layout.{name}" not in self.registry.actions:
            self._add_saved_layout(name, title)
        self.apply_layout(name)

    def _add_saved_layout(self, name: str, title: str) -> None:
        def apply() -> None:
            self.apply_layout(name)

        def chosen() -> bool:
            return self.arranger.name == name

        action = Action(f"layout.{name}", title, apply, "Layout", checked=chosen)
        self.menus["Layout"].addAction(self.registry.add(action))
        self.toolbar.add_layout_button(name)

    def _fit_screen(self) -> None:
        room = self.screen().availableSize() if self.screen() else None
        width, height = SIZE
        if (
            room is not None
            and not room.isEmpty()
            and QGuiApplication.platformName() != "offscreen"
        ):
            width, height = min(width, room.width()), min(height, room.height())
        self.resize(width, height)

    @Slot()
    def _name_window(self) -> None:
        study = self.session.documents.study
        name = "Unsaved study" if study.is_temporary else study.name
        self.setWindowTitle(f"{name} – Espalier")

    @Slot()
    def _history_changed(self) -> None:
        stack = self.session.selection.undo_stack
        self.registry.qt["edit.undo"].setText(f"Undo {stack.undoText()}".strip())
        self.registry.qt["edit.redo"].setText(f"Redo {stack.redoText()}".strip())
        self.registry.refresh()

    # ---------------------------------------------------------------- acting

    def open_palette(self) -> None:
        self.registry.refresh()
        self.commands.open(self.registry.available())

    def whats_this(self) -> None:
        QWhatsThis.enterWhatsThisMode()

    def make_permanent(self) -> None:
        """Cut out of the model in focus what is zero as a whole."""
        scene = self.session.scene
        if scene is not None and scene.focus is not None:
            self.session.documents.make_permanent(scene.focus)

    def remove_selected_models(self) -> None:
        self.session.remove_models(self.panels.models.selected())

    @Slot(str, str)
    def _export_requested(self, view: str, kind: str) -> None:
        self.registry.trigger(f"export.{view}.{kind}")

    @Slot(object)
    def show_message(self, message: Message) -> None:
        """Tell the user something; also for errors from outside the window."""
        self.notifications.show_message(message)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Ask once when something would be lost; then stop the jobs and close the study."""
        if not self._may_leave():
            event.ignore()
            return
        self.notifications.clear()
        self.session.close()
        event.accept()
        for timer in self.findChildren(QTimer):
            timer.stop()
