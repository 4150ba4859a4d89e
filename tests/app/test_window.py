from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QCheckBox,
    QComboBox,
    QHeaderView,
    QLineEdit,
    QPushButton,
    QScrollBar,
    QSplitter,
    QToolButton,
    QWidget,
)

from app.layouts import PANELS, PRESETS
from app.settings import Settings
from app.views import VIEWS
from tests.app.driving import WAIT, prune, settled

INTERACTIVE = (
    QPushButton, QToolButton, QComboBox, QAbstractSpinBox, QCheckBox, QLineEdit,
    QAbstractItemView, QAbstractSlider, QSplitter,
)  # fmt: skip


def test_an_empty_window_says_what_to_do_and_draws_nothing(window):
    assert window.panels.models.currentWidget() is window.panels.models.empty
    assert window.panels.data.currentWidget() is window.panels.data.empty
    assert not window.panels.prune.run.isEnabled()
    assert window.session.scene is None


def test_every_interactive_widget_has_a_name(demo):
    for name in PRESETS:
        demo.apply_layout(name)
    unnamed = [
        widget
        for widget in demo.findChildren(QWidget)
        if isinstance(widget, INTERACTIVE)
        and not isinstance(widget, QScrollBar | QHeaderView)
        and not widget.parent().inherits("QComboBoxPrivateContainer")
        and not widget.objectName().startswith("qt_")
        and not (widget.accessibleName() or getattr(widget, "text", str)())
    ]
    assert not unnamed


def test_a_demo_model_brings_its_data_and_is_evaluated(demo):
    (model,) = demo.session.documents.listed()
    assert demo.session.scene.focus is model
    assert demo.session.evaluation(model.key).accuracy > 0.98
    scene, answers, busy = demo.arranger.view("overview").shown[-1]
    assert (scene.models, busy) == ((model,), None)
    assert list(answers) == [f"evaluate:{model.key}"]


def test_pruning_adds_a_model_that_undo_takes_out_and_redo_brings_back(demo, qtbot):
    key = prune(demo, qtbot)
    session = demo.session
    assert session.documents.models[key].sparsity == pytest.approx(0.5, abs=1e-4)
    assert session.evaluation(key) is not None
    tree = demo.panels.models.tree
    assert tree.topLevelItem(0).childCount() == 1
    demo.registry.trigger("edit.undo")
    qtbot.waitUntil(lambda: settled(demo), timeout=WAIT)
    assert key not in [model.key for model in session.documents.listed()]
    demo.registry.trigger("edit.redo")
    qtbot.waitUntil(lambda: settled(demo), timeout=WAIT)
    assert session.scene.focus.key == key
    session.remove_models([key])
    qtbot.waitUntil(lambda: settled(demo), timeout=WAIT)
    assert len(session.scene.models) == 1
    demo.registry.trigger("edit.undo")
    qtbot.waitUntil(lambda: len(session.scene.models) == 2, timeout=WAIT)


def test_a_pick_in_one_view_reaches_every_view_and_panel(demo, qtbot):
    view = demo.arranger.view("overview")
    with qtbot.waitSignal(demo.session.scene_changed):
        view.picked.emit("sample", frozenset({3, 1}), "replace")
    assert demo.session.selection.state.samples == (1, 3)
    assert demo.arranger.view("weights").shown[-1][0].selection.samples == (1, 3)
    assert demo.panels.samples.model.rowCount() == 2
    assert ("Selected", "2 of 450") in dict(demo.panels.inspector.sections())["Images"]
    with qtbot.waitSignal(demo.session.scene_changed):
        view.picked.emit("sample", frozenset({7}), "add")
    with qtbot.waitSignal(demo.session.scene_changed):
        view.picked.emit("layer", frozenset({"conv1"}), "replace")
    assert demo.session.selection.state.layer == "conv1"
    demo.registry.trigger("edit.undo")
    demo.registry.trigger("edit.undo")
    assert demo.session.selection.state.samples == (1, 3)


def test_hover_rings_in_every_visible_view_and_computes_nothing(demo):
    before = len(demo.session.jobs.list)
    demo.arranger.view("overview").hovered.emit("sample", frozenset({4}))
    assert demo.arranger.view("weights").rings == [("sample", frozenset({4}))]
    assert len(demo.session.jobs.list) == before


def test_selecting_by_what_the_models_say(demo, qtbot):
    key = prune(demo, qtbot, "uniform-magnitude", 60)
    session = demo.session
    demo.registry.trigger("select.wrong")
    wrong = session.selection.state.samples
    assert len(wrong) == int((~session.evaluation(key).correct).sum()) > 0
    demo.registry.trigger("select.losses")
    assert set(session.selection.state.samples) <= set(wrong)
    demo.registry.trigger("select.none")
    demo.registry.trigger("select.invert")
    assert len(session.selection.state.samples) == 450
    demo.registry.trigger("select.nothing")
    assert session.selection.state.samples == ()


def test_a_study_comes_back_as_it_was_left(demo, qtbot, tmp_path):
    key = prune(demo, qtbot)
    demo.session.pick("sample", (5, 8))
    demo.apply_layout("paths")
    demo.session.documents.save_as(str(tmp_path / "kept"))
    qtbot.waitUntil(lambda: settled(demo), timeout=WAIT)
    demo.session.remember()
    demo.session.documents.new_study()
    assert demo.session.documents.models == {}
    qtbot.waitUntil(lambda: demo.session.scene is None, timeout=WAIT)
    demo.open_paths([str(tmp_path / "kept")])
    qtbot.waitUntil(lambda: demo.session.scene is not None and settled(demo), timeout=WAIT)
    assert demo.session.selection.state.samples == (5, 8)
    assert demo.session.scene.focus.key == key
    assert demo.arranger.name == "paths"
    assert "kept" in demo.windowTitle()


@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_show_their_views_and_panels(window, name):
    window.registry.trigger(f"layout.{name}")
    assert window.arranger.centre.views == PRESETS[name].views
    shown = [panel for panel, dock in window.panels.docks.items() if not dock.isHidden()]
    assert set(shown) == set(PRESETS[name].panels) <= set(PANELS)
    assert all(window.arranger.view(view).isVisible() for view in PRESETS[name].views)


def test_a_layout_can_be_saved_changed_and_reset(window, tmp_path):
    window.arranger.open_view("robustness")
    assert window.arranger.centre.views == ("overview", "weights", "robustness")
    window.panels.docks["samples"].close()
    window.save_layout("Mine")
    window.apply_layout("paths")
    window.registry.trigger("layout.saved.Mine")
    assert window.arranger.centre.views == ("overview", "weights", "robustness")
    assert window.panels.docks["samples"].isHidden()
    assert "Mine" in Settings.load(tmp_path / "settings.json").layouts
    window.arranger.centre.close_view("overview")
    window.arranger.centre.toggle_enlarged("weights")
    assert window.arranger.centre.views == ("weights",)
    window.arranger.reset()
    assert window.arranger.centre.views == ("overview", "weights", "robustness")


def test_bad_input_is_told_and_the_study_stays(demo, qtbot, tmp_path):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no checkpoint")
    demo.open_paths([str(broken), str(tmp_path / "missing.npz")])
    qtbot.waitUntil(lambda: len(demo.notifications.toasts()) == 2, timeout=WAIT)
    texts = " ".join(toast.message.text for toast in demo.notifications.toasts())
    assert "broken.safetensors" in texts
    assert "missing.npz" in texts
    assert len(demo.session.documents.listed()) == 1
    assert demo.session.scene is not None


def digits_npz(path, count):
    from analysis.data import open_data

    data = open_data("digits", limit=count).evaluation
    np.savez(path, images=data.images, labels=data.labels)
    return str(path)


def test_a_cell_leaves_the_reference_to_follow_the_focus(demo, qtbot):
    state = demo.session.selection.state
    assert state.reference == ""
    view = demo.arranger.view("robustness")
    view.picked.emit("cell", frozenset({f"gaussian_noise:3:{state.focus}"}), "replace")
    assert demo.session.selection.state.corruption == "gaussian_noise"
    assert demo.session.selection.state.reference == ""


def test_a_demo_model_leaves_the_data_that_were_opened_with_it(window, qtbot, tmp_path):
    window.open_paths(["demo:resnet", digits_npz(tmp_path / "mine.npz", 40)])
    qtbot.waitUntil(lambda: window.session.scene is not None and settled(window), timeout=WAIT)
    assert window.session.documents.study.data_info.source.endswith("mine.npz")
    assert len(window.session.scene.evaluation) == 40


def test_a_model_dropped_with_a_study_opens_into_it(demo, qtbot, tmp_path):
    demo.session.documents.save_as(str(tmp_path / "kept"))
    qtbot.waitUntil(lambda: settled(demo), timeout=WAIT)
    demo.new_study()
    demo.open_paths([str(tmp_path / "kept"), "demo:vit"])
    qtbot.waitUntil(lambda: len(demo.session.documents.listed()) == 2, timeout=WAIT)
    assert demo.session.documents.study.folder == tmp_path / "kept"


def test_a_place_that_cannot_be_written_is_told_and_no_fault_of_ours(demo, qtbot, tmp_path):
    for kind in ("py", "csv", "svg"):
        demo.exporter.save("overview", str(tmp_path / "missing" / f"overview.{kind}"))
    qtbot.waitUntil(lambda: len(demo.notifications.toasts()) == 3, timeout=WAIT)
    for toast in demo.notifications.toasts():
        assert "cannot be written (No such file or directory)" in toast.message.text
        assert not toast.message.details


def test_other_data_forget_the_selected_images(demo, qtbot, tmp_path):
    demo.session.pick("sample", (3, 5))
    demo.open_paths([digits_npz(tmp_path / "mine.npz", 40)])
    qtbot.waitUntil(lambda: len(demo.session.scene.evaluation) == 40, timeout=WAIT)
    qtbot.waitUntil(lambda: settled(demo), timeout=WAIT)
    assert demo.session.selection.state.samples == ()
    assert not demo.session.selection.undo_stack.canUndo()


def test_a_removed_model_does_not_refuse_other_data(demo, qtbot, tmp_path):
    images = np.zeros((4, 32, 32, 3), np.uint8)
    np.savez(tmp_path / "colour.npz", images=images, labels=np.arange(4))
    (model,) = demo.session.documents.listed()
    demo.session.remove_models([model.key])
    demo.open_paths([str(tmp_path / "colour.npz")])
    qtbot.waitUntil(lambda: len(demo.session.documents.data.evaluation) == 4, timeout=WAIT)
    assert not demo.notifications.toasts()


def test_files_are_dropped_on_the_window(window, qtbot, monkeypatch):
    opened = []
    monkeypatch.setattr(window.session, "open_paths", opened.extend)
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile("/data/a.safetensors"), QUrl("https://example.org/b")])
    event = QDropEvent(
        QPointF(5, 5), Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )  # fmt: skip
    window.dropEvent(event)
    assert opened == ["/data/a.safetensors"]
    assert window.settings.recent == ["/data/a.safetensors"]


def test_closing_with_running_jobs_asks_once_and_lists_them(window, qtbot, monkeypatch):
    from analysis.request import Step

    def endless(report):
        while True:
            report(Step(0, 1))

    job = window.session.jobs.submit(endless, title="Endless")
    asked = []
    monkeypatch.setattr(window.dialogs, "really_close", lambda jobs: bool(asked.append(jobs)))
    assert not window.close()
    assert asked == [[job]]
    monkeypatch.setattr(window.dialogs, "really_close", lambda jobs: True)
    assert window.close()
    assert job.state == "cancelled"


def test_themes_reach_application_and_views(window):
    window.registry.trigger("theme.dark")
    assert QApplication.palette().window().color().name() == "#131519"
    assert window.registry.qt["theme.dark"].isChecked()
    assert Settings.load(window.settings.path).theme == "dark"
    window.registry.trigger("theme.light")


def test_exports_write_files_and_fill_the_clipboard(demo, qtbot, tmp_path):
    for kind in ("svg", "pdf", "png", "csv", "py"):
        with qtbot.waitSignal(demo.exporter.done, timeout=WAIT) as told:
            demo.exporter.save("overview", str(tmp_path / f"overview.{kind}"))
        assert told.args[0].severity == "success", told.args[0]
        assert (tmp_path / f"overview.{kind}").stat().st_size > 100
    for kind in ("copy-image", "copy-data", "copy-python"):
        with qtbot.waitSignal(demo.exporter.done, timeout=WAIT) as told:
            demo.registry.trigger(f"export.overview.{kind}")
        assert told.args[0].severity == "success", told.args[0]
    assert "study_figure" in QApplication.clipboard().text()


def test_chips_show_the_selection_and_clear_it(demo):
    demo.session.pick("layer", ("conv1",))
    status = demo.statusBar()
    chip = status._chips["layer"]
    assert chip.isVisible()
    assert chip.text().startswith("conv1")
    chip.click()
    assert demo.session.selection.state.layer == ""
    assert not chip.isVisible()


def test_every_action_has_a_title_and_shortcuts_are_unique(window):
    shortcuts = [keys for action in window.registry.actions.values() for keys in action.shortcuts]
    assert len(shortcuts) == len(set(shortcuts))
    assert all(action.title for action in window.registry.actions.values())
    assert {f"view.{name}" for name in VIEWS} <= set(window.registry.actions)


def test_an_unsaved_study_is_not_lost_without_a_question(demo, qtbot, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(demo.dialogs, "really_close", lambda jobs: bool(asked.append(jobs)))
    prune(demo, qtbot)
    study = demo.session.documents.study
    demo.close()
    demo.new_study()
    demo.open_demo()
    assert len(asked) == 3
    assert demo.isVisible()
    assert demo.session.documents.study is study
    demo.session.documents.save_as(str(tmp_path / "kept"))
    qtbot.waitUntil(lambda: not study.is_temporary and settled(demo), timeout=WAIT)
    assert demo.session.documents.unsaved == []
    demo.close()
    assert not demo.isVisible()
