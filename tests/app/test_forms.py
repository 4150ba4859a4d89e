from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from PySide6.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QSpinBox

from app.forms import ModelForm


class Settings(BaseModel):
    rounds: int = Field(3, ge=1, le=20, title="Rounds", description="How often to prune.")
    keep: float = Field(0.1, ge=0, lt=1, description="Fraction kept in every layer.")
    method: Literal["pca", "umap"] = "umap"
    scale: bool = True
    limit: int | None = Field(5, ge=0)
    shares: tuple[float, ...] = (0.5, 0.25)


@pytest.fixture
def form(qtbot):
    form = ModelForm(Settings)
    qtbot.addWidget(form)
    return form


def test_the_form_shows_the_defaults(form):
    assert form.value() == Settings()


def test_each_field_has_its_widget_range_and_help(form):
    rounds = form.field("rounds")
    assert isinstance(rounds, QSpinBox)
    assert (rounds.minimum(), rounds.maximum()) == (1, 20)
    assert rounds.whatsThis() == rounds.toolTip() == "How often to prune."
    assert rounds.accessibleName() == "Rounds"
    keep = form.field("keep")
    assert isinstance(keep, QDoubleSpinBox)
    assert keep.minimum() == 0
    assert keep.maximum() < 1
    assert isinstance(form.field("method"), QComboBox)
    assert isinstance(form.field("scale"), QCheckBox)
    assert all(form.field(name).accessibleName() for name in Settings.model_fields)


def test_an_edit_is_announced_and_setting_is_not(form, qtbot):
    with qtbot.waitSignal(form.changed):
        form.field("rounds").setValue(7)
    assert form.value().rounds == 7
    with qtbot.assertNotEmitted(form.changed):
        form.set_value(Settings(method="pca"))
    assert form.value() == Settings(method="pca")


@given(
    st.builds(
        Settings,
        rounds=st.integers(1, 20),
        keep=st.integers(0, 999).map(lambda n: n / 1000),
        method=st.sampled_from(["pca", "umap"]),
        scale=st.booleans(),
        limit=st.integers(0, 10**6),
        shares=st.lists(st.sampled_from([0.5, 0.25, 1.0]), max_size=3).map(tuple),
    )
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_set_is_what_is_read(form, value):
    form.set_value(value)
    assert form.value() == value
