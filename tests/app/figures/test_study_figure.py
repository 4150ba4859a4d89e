from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from analysis.checkpoints import open_model
from analysis.errors import ArgumentError, InputError
from analysis.study import Study
from app.figures import study_figure
from app.figures.script import as_python
from app.selection import SelectionState
from app.views import VIEWS

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def study(tmp_path: Path):
    with Study.create(tmp_path / "study", "one model") as study:
        study.add_model(open_model("demo:resnet")[0])
        study.set_data("digits", limit=60)
        yield study


def test_the_figure_of_a_study_and_its_script_are_the_same(study: Study, tmp_path: Path) -> None:
    model = study.models()[0]
    options = VIEWS["overview"].state.Options(pareto=False)
    selection = SelectionState(models=(model.key,))
    figure = study_figure(study, "overview", selection, options)
    assert figure.panels
    out = tmp_path / "overview.svg"
    script = as_python(study.folder, "overview", selection, options, out, width_mm=120.0)
    assert "pareto" in script
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert model.name in out.read_text()


def test_unknown_views_options_and_absent_data_are_named(study: Study, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="no view 'nope'"):
        study_figure(study, "nope")
    with pytest.raises(ArgumentError, match="measure"):
        study_figure(study, "overview", options={"measure": "taste"})
    with pytest.raises(ArgumentError, match="selection"):
        study_figure(study, "overview", selection={"colour": 1})
    with Study.create(tmp_path / "empty") as empty, pytest.raises(InputError, match="no data"):
        study_figure(empty, "overview")


def test_asking_for_figures_imports_no_qt_and_no_torch() -> None:
    code = (
        "import sys, app.figures.render;"
        "print(sorted({'torch', 'PySide6', 'pyqtgraph'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
