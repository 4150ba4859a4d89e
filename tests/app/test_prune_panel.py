from __future__ import annotations

import pytest
import torch
from PySide6.QtCore import Qt

from analysis.models import Model
from analysis.pruning import PRESETS
from analysis.pruning.accounting import Account
from tests.app.driving import WAIT, prune, settled


def choose(window, recipe):
    panel = window.panels.prune
    panel.preset.setCurrentIndex(panel.preset.findData(recipe))
    return panel


def test_recipes_stand_under_the_headings_of_their_families(demo):
    combo = demo.panels.prune.preset
    model = combo.model()
    headings = [
        combo.itemText(i)
        for i in range(combo.count())
        if not model.item(i).flags() & Qt.ItemFlag.ItemIsSelectable
    ]
    assert headings == [*dict.fromkeys(p.family for p in PRESETS.values()), "Your own"]
    assert all(combo.findData(name) > 0 for name in PRESETS)


def test_what_a_job_takes_is_told_before_it_starts(demo, qtbot):
    panel = choose(demo, "wanda")
    qtbot.waitUntil(lambda: "about" in panel._reason.text(), timeout=WAIT)
    assert panel.run.isEnabled()
    assert not demo.session.jobs.active()  # estimates are not listed


def test_a_job_above_the_limit_does_not_start(demo, qtbot):
    panel = choose(demo, "wanda")
    panel.limits.memory.setValue(0.1)
    panel.limits.time.setValue(0)
    qtbot.waitUntil(lambda: "about" in panel._reason.text(), timeout=WAIT)
    assert panel.run.isEnabled() == ("may be taken" not in panel._reason.text())
    choose(demo, "synflow")
    panel.limits.memory.setValue(0)
    panel.limits.time.setValue(0.1)
    panel.parts["schedule"].set_value(
        panel.parts["schedule"].value().model_copy(update={"rounds": 1000})
    )
    panel.refresh()
    qtbot.waitUntil(lambda: "may be taken" in panel._reason.text(), timeout=WAIT)
    assert not panel.run.isEnabled()


def test_a_recipe_that_cannot_be_used_says_why(demo):
    panel = choose(demo, "head-l1")
    assert not panel.run.isEnabled()
    assert "no heads" in panel._reason.text()


def test_a_recipe_that_compares_models_asks_for_another(demo, qtbot):
    panel = choose(demo, "dare")
    assert not panel.run.isEnabled()
    assert "open another one" in panel._reason.text()
    assert panel.inputs.isVisibleTo(panel)
    base = demo.session.base()
    generator = torch.Generator().manual_seed(0)
    weights = {
        name: tensor + 0.001 * torch.randn(tensor.shape, generator=generator)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in base.weights.items()
    }
    other = Model("base", "other-key", base.architecture, base.num_classes, weights)
    documents = demo.session.documents
    documents._added((documents.study, documents.study.add_model(other), None, ()))
    demo.session.pick("model", (base.key,))
    qtbot.waitUntil(lambda: settled(demo), timeout=WAIT)
    panel.refresh()
    assert panel.inputs.companions() == ("other-key",)
    assert panel.run.isEnabled()
    key = prune(demo, qtbot, "dare", 50)
    assert documents.models[key].updates


@pytest.mark.parametrize("recipe", ["channel-l1"])
def test_a_pruned_model_can_be_made_permanent(demo, qtbot, recipe):
    key = prune(demo, qtbot, recipe, 50)
    documents = demo.session.documents
    masked, count = documents.models[key], len(documents.models)
    demo.registry.trigger("models.permanent")
    qtbot.waitUntil(lambda: len(documents.models) > count and settled(demo), timeout=WAIT)
    smaller = documents.models[demo.session.selection.state.focus]
    assert smaller.name == f"{masked.name} (permanent)"
    assert smaller.is_dense
    before, after = (Account(m)() for m in (masked, smaller))
    assert after.parameters < 0.8 * before.parameters
    one, two = (demo.session.evaluation(m.key) for m in (masked, smaller))
    assert one.accuracy == two.accuracy


def test_single_zeros_cannot_be_made_permanent_and_the_window_says_why(demo, qtbot):
    prune(demo, qtbot, "nm-magnitude", 50)
    told = []
    demo.session.told.connect(told.append)
    demo.registry.trigger("models.permanent")
    qtbot.waitUntil(lambda: bool(told) and settled(demo), timeout=WAIT)
    assert "no speed-up" in told[0].text
