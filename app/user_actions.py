"""The table of everything the user can do; `app.actions` makes menus and palette of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from analysis.evaluate import flips
from app.actions import Action
from app.exporting import COPY_KINDS, FILE_KINDS
from app.layouts import PRESETS
from app.views import VIEWS

if TYPE_CHECKING:
    from app.window import MainWindow

MENUS = ("File", "Edit", "Select", "View", "Layout", "Jobs", "Help")
THEMES = {
    "light": "Light",
    "dark": "Dark",
    "high-contrast": "High contrast",
    "system": "As the system",
}


def all_actions(window: MainWindow) -> list[Action]:
    """Every action of the window, in the order of the menus."""
    return [
        *_file(window),
        *_edit(window),
        *_select(window),
        *_view(window),
        *_export(window),
        *_layout(window),
        *_jobs_and_help(window),
    ]


def _file(w: MainWindow) -> list[Action]:
    return [
        Action("file.open-models", "Open checkpoints…", w.dialogs.open_models, "File", ("Ctrl+O",),
               help="Add dense or pruned checkpoints to the study."),
        Action("file.open-data", "Open data file…", w.dialogs.open_data, "File", ("Ctrl+D",),
               help="Images and labels to evaluate on, in an npz file."),
        Action("file.open-data-folder", "Open data folder…", w.dialogs.open_data_folder, "File",
               help="A folder of images, one folder a class."),
        Action("file.demo", "Open the demo study", w.open_demo, "File",
               help="A small network on handwritten digits, dense and pruned by four recipes."),
        Action("file.new", "New study", w.new_study, "File", ("Ctrl+N",), section=1,
               help="Start with an empty study."),
        Action("file.open-study", "Open study…", w.dialogs.open_study, "File", ("Ctrl+Shift+O",),
               section=1, help="Continue a study that was saved."),
        Action("file.save-as", "Save study as…", w.dialogs.save_study, "File", ("Ctrl+S",),
               section=1, help="Copy the study to a folder and go on there."),
        Action("file.quit", "Quit", w.close, "File", ("Ctrl+Q",), section=3),
    ]  # fmt: skip


def _edit(w: MainWindow) -> list[Action]:
    stack = w.session.selection.undo_stack
    return [
        Action("edit.undo", "Undo", stack.undo, "Edit", ("Ctrl+Z",), stack.canUndo),
        Action("edit.redo", "Redo", stack.redo, "Edit", ("Ctrl+Shift+Z", "Ctrl+Y"), stack.canRedo),
        Action("edit.remove-models", "Remove the selected models", w.remove_selected_models,
               "Edit", (), partial(_models_selected, w), section=1,
               help="Take the models selected in the tree out of the study's lists."),
        Action("edit.palette", "Command palette", w.open_palette, "Edit", ("Ctrl+Shift+P",),
               section=2, help="Find any command by typing a few letters of it."),
    ]  # fmt: skip


def _select(w: MainWindow) -> list[Action]:
    pick = SampleSelections(w)
    has, flips_known = pick.possible, pick.flips_known
    return [
        Action("select.all", "All images", pick.all, "Select", ("Ctrl+A",), has),
        Action("select.none", "No images", pick.none, "Select", ("Ctrl+Shift+A",), has),
        Action("select.invert", "Invert", pick.invert, "Select", ("Ctrl+Shift+I",), has),
        Action("select.wrong", "Misclassified by the focused model", pick.wrong, "Select",
               ("Ctrl+M",), pick.evaluated, section=1),
        Action("select.losses", "Lost against the reference", pick.losses, "Select",
               ("Ctrl+L",), flips_known, section=1,
               help="Images that the reference gets right and the focused model wrong."),
        Action("select.wins", "Won against the reference", pick.wins, "Select",
               ("Ctrl+Shift+L",), flips_known, section=1,
               help="Images that the reference gets wrong and the focused model right."),
        Action("select.nothing", "Clear the selection", pick.clear, "Select", ("Ctrl+Shift+C",),
               section=2, help="No images, classes, layer, units or corruption."),
    ]  # fmt: skip


def _view(w: MainWindow) -> list[Action]:
    actions = [
        Action(f"theme.{name}", title, partial(w.set_theme, name), "View/Theme",
               checked=_is(lambda: w.settings.theme, name))
        for name, title in THEMES.items()
    ]  # fmt: skip
    actions += [
        Action(f"panel.{name}", dock.windowTitle(), dock.toggleViewAction().trigger, "View/Panels",
               checked=dock.toggleViewAction().isChecked)
        for name, dock in w.panels.docks.items()
    ]  # fmt: skip
    actions += [
        Action(f"view.{name}", f"Show {entry.title}", partial(w.arranger.open_view, name), "View",
               (f"Ctrl+{number}",), help=entry.help)
        for number, (name, entry) in enumerate(VIEWS.items(), 1)
    ]  # fmt: skip
    actions.append(
        Action("view.recompute", "Recompute", w.session.recompute, "View", ("F5",), section=1,
               help="Try again what failed or was cancelled.")
    )  # fmt: skip
    return actions


def _export(w: MainWindow) -> list[Action]:
    actions = []
    for name, entry in VIEWS.items():
        menu = f"File/Export {entry.title}"
        shown = partial(_shown, w, name)
        actions += [
            Action(f"export.{name}.{kind}", f"{title}…",
                   partial(w.dialogs.export, name, kind), menu, enabled=shown,
                   section=2, help=f"Save {entry.title} as {title}.")
            for kind, title in FILE_KINDS.items()
        ]  # fmt: skip
        actions += [
            Action(f"export.{name}.{kind}", f"Copy {title}",
                   partial(w.exporter.copy, name, kind), menu, enabled=shown,
                   section=3, help=f"Put {entry.title} on the clipboard.")
            for kind, title in COPY_KINDS.items()
        ]  # fmt: skip
    return actions


def _layout(w: MainWindow) -> list[Action]:
    actions = [
        Action(f"layout.{name}", layout.title, partial(w.apply_layout, name), "Layout",
               (f"Alt+{number}",), checked=_is(lambda: w.arranger.name, name))
        for number, (name, layout) in enumerate(PRESETS.items(), 1)
    ]  # fmt: skip
    return [
        *actions,
        Action("layout.reset", "Reset layout", w.arranger.reset, "Layout", ("Ctrl+Shift+R",),
               section=1, help="Put every view and panel back where the preset has it."),
        Action("layout.save", "Save layout…", w.dialogs.save_layout, "Layout", section=1,
               help="Keep the views and panels as they are now, under a name."),
    ]  # fmt: skip


def _jobs_and_help(w: MainWindow) -> list[Action]:
    busy = partial(_busy, w)
    return [
        Action("prune.run", "Prune", w.panels.prune.start, "Jobs", ("Ctrl+Return",),
               w.panels.prune.run.isEnabled, help="Prune with the recipe in the form."),
        Action("models.permanent", "Make the model in focus permanent", w.make_permanent, "Jobs",
               ("Ctrl+Shift+Return",), partial(_pruned_in_focus, w),
               help="Cut out channels, neurons, heads and blocks that are zero as a whole: a "
               "smaller network with the same outputs."),
        Action("jobs.cancel", "Cancel the running job", w.panels.jobs.cancel_selected, "Jobs",
               ("Ctrl+.",), busy),
        Action("jobs.cancel-all", "Cancel all jobs", w.session.jobs.cancel_all, "Jobs", (), busy),
        Action("help.shortcuts", "Shortcuts", w.dialogs.shortcuts, "Help", ("?",)),
        Action("help.whats-this", "What's this?", w.whats_this, "Help", ("Shift+F1",),
               help="Click anything to read what it is."),
        Action("help.about", "About Espalier", w.dialogs.about, "Help"),
    ]  # fmt: skip


def _is(current: Callable[[], str], name: str) -> Callable[[], bool]:
    return lambda: current() == name


def _shown(w: MainWindow, view: str) -> bool:
    return w.session.scene is not None and view in w.arranger.centre.views


def _busy(w: MainWindow) -> bool:
    return bool(w.session.jobs.active())


def _pruned_in_focus(w: MainWindow) -> bool:
    scene = w.session.scene
    return bool(scene and scene.focus and not scene.focus.is_dense)


def _models_selected(w: MainWindow) -> bool:
    return bool(w.panels.models.selected())


class SampleSelections:
    """Selecting images by what the models say of them."""

    def __init__(self, window: MainWindow) -> None:
        self._session = window.session

    def possible(self) -> bool:
        return self._session.scene is not None

    def evaluated(self) -> bool:
        scene = self._session.scene
        return bool(scene and scene.focus and self._session.evaluation(scene.focus.key))

    def flips_known(self) -> bool:
        scene = self._session.scene
        if not self.evaluated() or scene is None or scene.reference is None:
            return False
        return self._session.evaluation(scene.reference.key) is not None

    def all(self) -> None:
        self._set(np.arange(self._count()), "Select all images")

    def none(self) -> None:
        self._set(np.zeros(0, int), "Select no images")

    def invert(self) -> None:
        chosen = self._session.selection.state.samples
        self._set(np.setdiff1d(np.arange(self._count()), chosen), "Invert the selection")

    def wrong(self) -> None:
        scene = self._session.scene
        evaluation = self._session.evaluation(scene.focus.key) if scene and scene.focus else None
        if evaluation is not None:
            self._set(np.flatnonzero(~evaluation.correct), "Select misclassified images")

    def wins(self) -> None:
        self._set(self._flips()[0], "Select won images")

    def losses(self) -> None:
        self._set(self._flips()[1], "Select lost images")

    def clear(self) -> None:
        self._session.change(
            "Clear the selection",
            samples=(), classes=(), layer="", units=(), corruption="", severity=0,
        )  # fmt: skip

    def _count(self) -> int:
        scene = self._session.scene
        return len(scene.evaluation) if scene else 0

    def _flips(self) -> tuple[np.ndarray, np.ndarray]:
        scene = self._session.scene
        none = np.zeros(0, int)
        if scene is None or scene.reference is None or scene.focus is None:
            return none, none
        before = self._session.evaluation(scene.reference.key)
        after = self._session.evaluation(scene.focus.key)
        return flips(before, after) if before and after else (none, none)

    def _set(self, rows: np.ndarray, text: str) -> None:
        self._session.change(text, samples=tuple(int(i) for i in rows))
