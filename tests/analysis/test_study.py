from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from analysis.architectures import ARCHITECTURES
from analysis.errors import InputError
from analysis.masks import Mask
from analysis.models import Model, Origin
from analysis.records import record
from analysis.request import Cancelled, Report, Request, Step, digest, silent
from analysis.study import Study
from analysis.study.index import MIGRATORS
from tests.analysis.study_worker import MakeNoise, Noise

ROOT = Path(__file__).resolve().parents[2]


@record
@dataclass(frozen=True, eq=False)
class Box:
    """Holds anything that a result may hold."""

    content: Any


@dataclass(frozen=True, eq=False)
class MakeBox(Request[Box]):
    number: int = 0

    def __call__(self, report: Report = silent) -> Box:
        report(Step(0, 1))
        return Box(np.full(3, self.number))


def equal(a: Any, b: Any) -> bool:
    """Same types, values and arrays (NaN equals NaN)."""
    if isinstance(a, Box):
        return isinstance(b, Box) and equal(a.content, b.content)
    if isinstance(a, np.ndarray):
        same = isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape
        return bool(same and a.tobytes() == b.tobytes())
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[k], b[k]) for k in a)
    return type(a) is type(b) and (a == b or (a != a and b != b))


def dense_model(seed: int = 0, name: str = "dense") -> Model:
    architecture = ARCHITECTURES["demo-resnet"]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        weights = architecture.build(architecture.num_classes).state_dict()
    key = digest([name, {k: v.numpy() for k, v in weights.items()}])
    return Model(name, key, architecture, architecture.num_classes, weights, classes=("0", "1"))


def pruned_model(base: Model, seed: int, updates: bool = True) -> Model:
    generator = torch.Generator().manual_seed(seed)
    masks = {
        layer.parameter: Mask.from_keep(torch.rand(layer.shape, generator=generator) > 0.8)
        for layer in base.layers
    }
    bias = next(name for name in base.weights if name.endswith("bias"))
    return replace(
        base,
        name=f"pruned {seed}",
        key=digest([base.key, masks]),
        masks=masks,
        updates={bias: torch.zeros_like(base.weights[bias])} if updates else {},
        origin=Origin(base.key, {"criterion": {"name": "random"}}, 0.8, seed, "calibration"),
    )


@pytest.fixture
def study(tmp_path: Path) -> Any:
    with Study.create(tmp_path / "study", "A study") as made:
        yield made


def reopened(study: Study) -> Study:
    study.close()
    return Study.open(study.folder)


nested = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | arrays.arrays(
        st.sampled_from(["<f4", "<f8", "i1", "<i8", "?", "u1", "<f2"]),
        arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    ),
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=4) | st.integers(0, 9), inner, max_size=3)
        | inner.map(Box)
    ),
    max_leaves=8,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=nested, number=st.integers())
def test_any_nested_result_comes_back_equal(study: Study, content: Any, number: int) -> None:
    request = MakeBox(number)
    study.record(request, Box(content))
    # another table: what is found comes from the disk, not from the memory of the first
    with Study.open(study.folder) as other:
        assert equal(other.find(request.key), Box(content))


def test_arrays_under_keys_that_look_alike_stay_apart(study: Study) -> None:
    content = {
        1: np.zeros(2),
        "1": np.ones(2),
        "a": {"b": np.full(2, 3.0)},
        "a][b": np.full(2, 4.0),
    }
    study.record(MakeBox(), Box(content))
    with Study.open(study.folder) as other:
        assert equal(other.find(MakeBox().key), Box(content))


def test_objects_that_need_pickle_are_refused(study: Study) -> None:
    with pytest.raises(TypeError):
        study.record(MakeBox(), Box(np.array([object()])))
    assert study.find(MakeBox().key) is None


def test_models_come_back_on_shared_base_tensors(study: Study) -> None:
    base = dense_model()
    variants = [pruned_model(base, seed) for seed in (1, 2)]
    for model in (base, *variants):
        study.add_model(model)
    study.add_model(base)
    again = reopened(study)
    models = again.models()
    assert [m.key for m in models] == [base.key, *(v.key for v in variants)]
    assert all(m.weights is models[0].weights for m in models)
    for before, after in zip((base, *variants), models, strict=True):
        assert (after.name, after.origin, after.classes) == (
            before.name,
            before.origin,
            before.classes,
        )
        assert after.sparsity == before.sparsity
        ours, theirs = before.state_dict(), after.state_dict()
        assert list(ours) == list(theirs) or set(ours) == set(theirs)
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        assert {n: t.dtype for n, t in ours.items()} == {n: t.dtype for n, t in theirs.items()}
        after.module()
    again.close()


def test_a_pruned_model_brings_its_base_weights(study: Study) -> None:
    base = dense_model()
    pruned = pruned_model(base, 1)
    study.add_model(pruned)
    study.add_model(base)
    assert study.position(pruned.key) == 1
    assert study.position(base.key) == 0
    study.remove_model(base.key)
    again = reopened(study)
    (kept,) = again.models()
    assert all(torch.equal(kept.weights[n], base.weights[n]) for n in base.weights)
    again.close()


def test_positions_are_for_life_and_never_shared(study: Study) -> None:
    base = dense_model()
    models = [base, *(pruned_model(base, seed) for seed in (1, 2, 3))]
    for model in models:
        study.add_model(model)
    assert [e.position for e in study.entries()] == [0, 1, 2, 3]
    study.remove_model(models[2].key)
    assert [e.position for e in study.entries()] == [0, 1, 3]
    other = dense_model(5, "another dense")
    study.add_model(other)
    assert study.position(other.key) == 2
    study.rename_model(other.key, "ViT")
    study.hide_model(other.key)
    again = reopened(study)
    entry = again.entries()[-1]
    assert (entry.name, entry.hidden, entry.position) == ("ViT", True, 2)
    assert again.model(other.key).name == "ViT"
    again.close()


def test_a_model_that_cannot_be_read_is_named_and_skipped(study: Study) -> None:
    base, other = dense_model(), dense_model(5, "other")
    for model in (base, pruned_model(base, 1), other):
        study.add_model(model)
    study.close()
    with sqlite3.connect(study.folder / "study.sqlite") as connection:
        row = connection.execute("SELECT object FROM bases WHERE key = ?", (base.key,)).fetchone()
    connection.close()
    damage(study.folder / "objects" / row[0])
    with Study.open(study.folder) as again:
        assert [m.name for m in again.models()] == ["other"]
        assert set(again.problems) == {"dense", "pruned 1"}
    with sqlite3.connect(study.folder / "study.sqlite") as connection:
        connection.execute("UPDATE models SET architecture = 'alexnet-2031'")
    connection.close()
    with Study.open(study.folder) as again:
        assert again.models() == ()
        assert "alexnet-2031" in again.problems["other"]


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["flipped bit", "cut", "empty", "deleted"])
def test_a_damaged_object_is_an_absent_result(study: Study, how: str) -> None:
    broken, whole = MakeNoise(1), MakeNoise(2)
    study.compute(broken)
    study.compute(whole)
    arrays_of = dict(study._index.rows("SELECT key, arrays FROM results"))
    path = study.folder / "objects" / arrays_of[broken.key]
    again = reopened(study)
    if how == "flipped bit":
        damage(path)
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:100])
    elif how == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
    assert again.find(broken.key) is None
    assert again.result_keys() == (whole.key,)
    assert again.compute(broken).seed == 1
    again.close()
    with Study.open(study.folder) as third:
        assert np.array_equal(third.find(broken.key).values, broken().values)
        assert third.find(whole.key).seed == 2


def test_compute_looks_up_what_is_known(study: Study) -> None:
    calls = []
    first = study.compute(MakeBox(7), calls.append)
    assert study.compute(MakeBox(7), calls.append) is first
    assert len(calls) == 1
    known = study.provenance(MakeBox(7).key)
    assert known is not None
    assert (known["analysis"], known["parameters"], known["version"]) == (
        "MakeBox",
        {"number": 7},
        1,
    )
    assert known["seconds"] >= 0
    assert "torch" in known["code"]


def test_a_cancelled_computation_records_nothing(study: Study) -> None:
    def stop(step: Step) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        study.compute(MakeBox(1), stop)
    assert study.result_keys() == ()


def test_partial_results_never_hide_or_replace_complete_ones(study: Study) -> None:
    request = MakeBox(3)
    study.record(request, Box("half"), complete=False)
    assert study.find(request.key) is None
    assert study.find_partial(request.key).content == "half"
    study.record(request, Box("whole"))
    study.record(request, Box("late half"), complete=False)
    again = reopened(study)
    assert again.find(request.key).content == "whole"
    assert again.find_partial(request.key) is None
    again.close()


def test_state_name_and_data_survive(study: Study) -> None:
    study.set_state("selection", {"models": ["a"], "severity": 3})
    data = study.set_data("digits", seed=3, limit=50, calibration_size=20)
    assert (len(data.evaluation), len(data.calibration)) == (50, 20)
    study.name = "Renamed"
    again = reopened(study)
    assert again.get_state("selection") == {"models": ["a"], "severity": 3}
    assert again.get_state("nothing", 5) == 5
    assert again.name == "Renamed"
    assert again.data is not None
    assert again.data.evaluation.key == data.evaluation.key
    again.close()


def test_missing_data_are_an_error_only_when_asked_for(study: Study, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (12, 8, 8, 1), dtype=np.uint8)
    path = tmp_path / "images.npz"
    np.savez(path, images=images, labels=np.arange(12) % 3)
    study.set_data(path)
    study.close()
    path.unlink()
    with Study.open(study.folder) as again:
        assert again.data_info is not None
        assert again.data_info.source == str(path)
        with pytest.raises(InputError):
            _ = again.data
    np.savez(path, images=images[::-1], labels=np.arange(12) % 3)
    with Study.open(study.folder) as again, pytest.raises(InputError, match="not those"):
        _ = again.data


def test_save_as_takes_everything_and_leaves_nothing_behind(tmp_path: Path) -> None:
    study = Study.temporary()
    old = study.folder
    base = dense_model()
    study.add_model(base)
    study.add_model(pruned_model(base, 1))
    study.compute(MakeNoise(1))
    study.set_state("layout", [1, 2])
    study.save_as(tmp_path / "kept")
    assert not old.exists()
    assert not study.is_temporary
    study.compute(MakeNoise(2))
    study.close()
    with Study.open(tmp_path / "kept") as again:
        assert again.name == "kept"
        assert [m.name for m in again.models()] == ["dense", "pruned 1"]
        assert [again.find(MakeNoise(i).key).seed for i in (1, 2)] == [1, 2]
        assert again.get_state("layout") == [1, 2]
        with pytest.raises(InputError):
            Study.temporary().save_as(again.folder)


def test_an_unsaved_study_goes_with_the_window() -> None:
    study = Study.temporary()
    study.close()
    assert not study.folder.exists()


def test_garbage_is_what_nothing_refers_to(study: Study) -> None:
    base = dense_model()
    study.add_model(base)
    study.compute(MakeNoise(1))
    study.compute(MakeNoise(2))
    assert study.collect_garbage(older_than=-1) == 0
    study.remove_model(base.key)
    assert study.collect_garbage() == 0
    assert study.collect_garbage(older_than=-1) == 1
    again = reopened(study)
    assert all(again.find(MakeNoise(i).key) is not None for i in (1, 2))
    again.close()


def test_folders_that_are_no_study_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        Study.open(tmp_path / "nothing")
    with pytest.raises(InputError, match="no study"):
        Study.open(tmp_path)
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        Study.create(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(InputError):
        Study.create(tmp_path / "thesis.txt")


@pytest.mark.parametrize(
    "content", [b"no database at all" * 300, b"SQLite format 3\0" + b"\7" * 5000]
)
def test_a_damaged_index_says_what_to_do(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "study.sqlite").write_bytes(content)
    with pytest.raises(InputError, match="backup"):
        Study.open(tmp_path)


def test_foreign_and_newer_databases_are_left_alone(study: Study, tmp_path: Path) -> None:
    study.close()
    path = study.folder / "study.sqlite"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {len(MIGRATORS) + 1}")
    connection.close()
    with pytest.raises(InputError, match="newer"):
        Study.open(study.folder)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    connection = sqlite3.connect(foreign / "study.sqlite")
    connection.execute("CREATE TABLE photos (id)")
    connection.close()
    with pytest.raises(InputError, match="another program"):
        Study.open(foreign)


def test_a_creation_that_was_killed_is_completed(tmp_path: Path) -> None:
    (tmp_path / "study.sqlite").touch()
    with Study.open(tmp_path) as study:
        study.compute(MakeBox(1))
        assert len(study.result_keys()) == 1


def test_threads_read_and_write_at_once(study: Study) -> None:
    failures: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for seed in range(first, first + 12):
                study.compute(MakeNoise(seed % 15))
                study.set_state(f"thread {first}", seed)
                for key in study.result_keys():
                    assert isinstance(study.find(key), Noise)
        except BaseException as error:  # noqa: BLE001 - reported by the main thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(4 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(study.result_keys()) == 15


def test_two_studies_share_a_folder(study: Study) -> None:
    with Study.open(study.folder) as other:
        study.compute(MakeNoise(1))
        other.compute(MakeNoise(2))
        assert other.find(MakeNoise(1).key).seed == 1
        assert study.find(MakeNoise(2).key).seed == 2


def test_a_killed_process_leaves_the_study_whole(study: Study) -> None:
    """SIGKILL at random moments of a recording process; what it called recorded is there."""
    study.close()
    chance = random.Random(0)
    recorded: list[int] = []
    for round_ in range(4):
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.analysis.study_worker",
                study.folder,
                str(1000 * round_),
            ],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert process.stdout is not None
        with process, process.stdout:
            assert process.stdout.readline() == b"ready\n"
            for _ in range(chance.randrange(1, 25)):
                recorded.append(int(process.stdout.readline()))
            # spin for a moment of unknown length, so that the kill lands anywhere within a step
            for _ in range(chance.randrange(200_000)):
                pass
            process.kill()
            recorded.extend(map(int, process.stdout.read().split()))
        check_whole(study.folder, recorded)


def check_whole(folder: Path, recorded: list[int]) -> None:
    connection = sqlite3.connect(folder / "study.sqlite")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    names = [row[0] for row in connection.execute("SELECT arrays FROM results")]
    connection.close()
    assert all((folder / "objects" / name).is_file() for name in names)
    with Study.open(folder) as study:
        for seed in recorded:
            found = study.find(MakeNoise(seed).key)
            assert found is not None
            assert found.seed == seed
        for key in study.result_keys():
            result = study.find(key)
            expected = MakeNoise(result.seed)()
            assert np.array_equal(result.values, expected.values)
            assert all(map(np.array_equal, result.nested, expected.nested))
        assert len(study.result_keys()) == len(names) >= len(recorded)


def test_other_threads_go_on_while_the_study_moves(tmp_path: Path) -> None:
    errors: list[Exception] = []
    over = threading.Event()
    study = Study.temporary()

    def use() -> None:
        while not over.is_set():
            try:
                study.find("nothing")
                study.set_state("a", 1)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is wrong
                errors.append(error)

    threads = [threading.Thread(target=use) for _ in range(3)]
    for thread in threads:
        thread.start()
    for i in range(8):
        study.save_as(tmp_path / str(i))
    over.set()
    for thread in threads:
        thread.join()
    study.close()
    assert not errors
