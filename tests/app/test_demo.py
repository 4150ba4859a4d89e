from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.errors import InputError
from analysis.evaluate import Evaluate
from analysis.study import Study
from app import demo
from app.cli import main
from app.commands import demo as command
from app.figures import study_figure
from app.selection import SelectionState
from app.views import VIEWS
from tests.app.test_cli import ask, check_documented


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo with one pruned model, run as `espalier demo` without a display."""
    folder = tmp_path_factory.mktemp("demo") / "figures"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "VARIANTS", (demo.FOCUS,))
        patch.setattr(command, "has_display", lambda: False)
        assert main(["demo", "--out", str(folder)]) == 0
    return folder


def test_without_a_display_every_view_is_written(written: Path) -> None:
    for view in VIEWS:
        svg = (written / f"{view}.svg").read_text(encoding="utf-8")
        assert "<svg" in svg
        assert (written / f"{view}.png").read_bytes().startswith(b"\x89PNG")


def test_a_second_run_computes_nothing_anew(
    written: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "VARIANTS", (demo.FOCUS,))
    with Study.open(written / "study") as study:
        before = study.result_keys()
    answer = ask(capsys, "demo", "--out", written)
    with Study.open(written / "study") as study:
        assert study.result_keys() == before
    check_documented("demo", answer)
    assert answer["models"] == ["dense", demo.FOCUS.name]
    assert all(Path(file).is_file() for file in answer["figures"])
    assert len(answer["figures"]) == 2 * len(VIEWS)


def test_figures_of_a_study(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = ask(
        capsys, "figure", written / "study", "overview", "--out", tmp_path / "a.pdf",
        "--width-mm", "90", "--theme", "dark", "--csv", tmp_path / "a.csv",
        "--set", "measure=loss",
    )  # fmt: skip
    check_documented("figure", answer)
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    assert all(Path(file).stat().st_size for file in answer["csv"])
    assert main(["figure", str(written / "study"), "overview", "--out",
                 str(tmp_path / "a.svg"), "--set", "measure=height"]) == 2  # fmt: skip
    assert not (tmp_path / "a.svg").exists()


def test_the_study_is_as_described(tmp_path: Path) -> None:
    with demo.demo_study(tmp_path / "study") as study:
        data = study.data
        assert data is not None
        assert len(data.evaluation) == 450
        models = study.models()
        assert [m.name for m in models] == ["dense", *(v.name for v in demo.VARIANTS)]
        assert [e.position for e in study.entries()] == list(range(len(models)))
        for model, variant in zip(models[1:], demo.VARIANTS, strict=True):
            assert model.sparsity == pytest.approx(variant.sparsity, abs=0.005)
        accuracy = {m.name: study.compute(Evaluate(m, data.evaluation)).accuracy for m in models}
        # each view has something to show: variants differ, and recalibration repairs
        assert accuracy["dense"] >= 0.98
        assert accuracy["global-magnitude 80 %"] > accuracy["wanda 80 %"] + 0.1
        assert accuracy[demo.FOCUS.name] > accuracy["uniform-magnitude 90 %"] + 0.1
        kept = json.loads(json.dumps(study.get_state(demo.SELECTION)))
        state = SelectionState(**kept)
        assert state.focus == models[1 + demo.VARIANTS.index(demo.FOCUS)].key
        assert 10 <= len(state.samples) <= 100
        study.set_state(demo.SELECTION, {**kept, "severity": 5})
        study.rename_model(models[1].key, "mine")
        study.remove_model(models[2].key)
    with demo.demo_study(tmp_path / "study") as again:
        assert again.get_state(demo.SELECTION)["severity"] == 5
        names = [model.name for model in again.models()]
        assert "mine" in names
        assert len(names) == 8
        assert study_figure(again, "overview", again.get_state(demo.SELECTION)).panels


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError):
        demo.demo_study(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
