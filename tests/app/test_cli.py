from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from analysis.checkpoints import open_model
from app.cli import COMMANDS, main
from app.commands.output import jsonable

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ["--data", "digits", "--limit", "60", "--device", "cpu"]
CALLS = {
    "recipes": [],
    "inspect": ["demo:resnet"],
    "prune": ["demo:resnet", "--recipe", "wanda", "--sparsity", "0.5", *DIGITS],
    "evaluate": ["demo:resnet", "demo:vit", *DIGITS],
    "sensitivity": ["demo:resnet", "--sparsities", "0.5,0.9", *DIGITS],
    "geometry": ["demo:resnet", "demo:vit", *DIGITS],
    "paths": ["demo:resnet", "--samples", "0,3", "--steps", "5", "--top", "3", *DIGITS],
    "account": ["demo:resnet", "demo:vit", "--latency", "--repeats", "2", "--batch-size", "2"],
    "sqnr": ["demo:vit", "--bits", "4,8"],
    "robustness": ["demo:resnet", "demo:vit", "--severities", "2,5", *DIGITS],
}


def ask(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    """Run a command with --json, check that stdout is one JSON object, and return it."""
    capsys.readouterr()
    code = main([*map(str, arguments), "--json"])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    assert captured.out.count("\n") == 1
    answer: dict[str, Any] = json.loads(captured.out, parse_constant=pytest.fail)
    return answer


def interpreter(code: str) -> subprocess.CompletedProcess[bytes]:
    """Run code in a fresh interpreter."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False)


def leaves(value: Any, path: str = "") -> Iterator[str]:
    """Key paths of a JSON value: "models[].name"; a list of numbers is a leaf."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for item in value:
            yield from leaves(item, f"{path}[]")
    else:
        yield path


def documented(command: str) -> set[str]:
    text = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
    common, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    section = next(part for part in sections if part.startswith(f"{command}\n"))
    keys = set(re.findall(r"^- `([^`]+)`", section, flags=re.MULTILINE))
    if "data.*" in keys:
        keys = keys - {"data.*"} | set(re.findall(r"^- `(data\.[^`]+)`", common, re.MULTILINE))
    return keys


def check_documented(command: str, answer: dict[str, Any]) -> None:
    keys = documented(command)
    found = set(leaves(answer))
    wild = {key.removesuffix("*") for key in keys if key.endswith(".*")}
    exact = {key for key in keys if not key.endswith(".*")}
    bare = {leaf for leaf in found if not leaf.startswith(tuple(wild))} if wild else found
    assert bare - exact == set()
    assert {key for key in exact if key not in found} - {"parts[].fields"} == set()
    assert all(any(leaf.startswith(prefix) for leaf in found) for prefix in wild)


@pytest.mark.parametrize("command", list(CALLS))
def test_json_holds_exactly_the_documented_keys(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    check_documented(command, ask(capsys, command, *CALLS[command]))


@pytest.mark.parametrize("command", list(CALLS))
def test_without_json_a_table_is_printed(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, *CALLS[command]]) == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) >= 3
    assert "{" not in out


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        assert main([command, "--help"]) == 0
        assert "--json" in capsys.readouterr().out
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(command in out for command in COMMANDS)


def test_evaluate_agrees_with_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    answer = ask(capsys, "evaluate", "demo:resnet", "demo:vit", "--data", "digits")
    resnet, vit = answer["models"]
    assert resnet["accuracy"] >= 0.98
    assert vit["accuracy"] >= 0.97
    assert resnet["n"] == vit["n"] == 450
    assert resnet["agreement"] == 1
    low, high = vit["interval"]
    assert low < vit["accuracy"] < high
    # two models that are right on a and b of the images agree on a + b - 1 of them at least
    assert vit["agreement"] >= resnet["accuracy"] + vit["accuracy"] - 1 - 1e-9


def test_prune_counts_what_the_file_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.safetensors"
    answer = ask(
        capsys, "prune", "demo:resnet", "--recipe", "global-magnitude", "--sparsity", 0.8,
        "--out", out, *DIGITS,
    )  # fmt: skip
    assert answer["zeros"] == round(0.8 * answer["parameters"])
    assert answer["sparsity"] == answer["zeros"] / answer["parameters"]
    model, _ = open_model(out)
    for layer in answer["layers"]:
        weight = model.weights[f"{layer['name']}.weight"]
        assert layer["zeros"] == int((weight == 0).sum())
        assert tuple(layer["shape"]) == tuple(weight.shape)
    inspected = ask(capsys, "inspect", out)
    assert inspected["layers"] == answer["layers"]
    assert inspected["sparsity"] == answer["sparsity"]
    # largest magnitudes survive: nothing removed is larger than anything kept
    dense, _ = open_model("demo:resnet")
    kept = torch.cat([model.weights[la.parameter].abs().flatten() for la in dense.layers])
    whole = torch.cat([dense.weights[la.parameter].abs().flatten() for la in dense.layers])
    assert whole[kept == 0].max() <= kept[kept > 0].min()
    evaluated = ask(capsys, "evaluate", out, *DIGITS)
    assert evaluated["models"][0]["accuracy"] == answer["pruned"]["accuracy"]


def test_nm_recipes_need_no_sparsity(capsys: pytest.CaptureFixture[str]) -> None:
    answer = ask(capsys, "prune", "demo:vit", "--recipe", "nm-magnitude", *DIGITS)
    assert answer["asked"] == 0.5


def test_settings_and_other_calibration_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = np.random.default_rng(0).integers(0, 255, (40, 8, 8, 1), dtype=np.uint8)
    np.savez(tmp_path / "noise.npz", images=images, labels=np.arange(40) % 10)
    answer = ask(
        capsys, "prune", "demo:resnet", "--recipe", "global-magnitude", "--sparsity", "0.9",
        "--set", "allocation.min_keep=16", "--set", "recovery=bn-recalibration",
        "--calibration", tmp_path / "noise.npz", "--calibration-size", "20", *DIGITS,
    )  # fmt: skip
    assert answer["parts"]["allocation"]["min_keep"] == 16
    assert answer["parts"]["recovery"]["name"] == "bn-recalibration"
    assert answer["data"]["calibration"] == 20
    assert answer["data"]["calibration_source"] == str(tmp_path / "noise.npz")
    assert answer["data"]["shared"] is False
    assert all(la["parameters"] - la["zeros"] >= 16 for la in answer["layers"])


@pytest.mark.parametrize("command", ["sensitivity", "geometry", "paths", "robustness"])
def test_arrays_agree_with_the_json(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "arrays.npz"
    answer = ask(capsys, command, *CALLS[command], "--out", out)
    assert answer["out"] == str(out)
    assert [path.name for path in tmp_path.iterdir()] == ["arrays.npz"]
    with np.load(out, allow_pickle=False) as arrays:
        if command == "sensitivity":
            assert arrays["0/accuracy"].tolist() == answer["accuracy"]
            assert arrays["0/layers"].tolist() == answer["layers"]
        elif command == "geometry":
            for i, row in enumerate(answer["models"]):
                assert arrays[f"{i}/features"].shape == (row["n"], row["dimensions"])
                assert arrays[f"{i}/embedding"].shape == (row["n"], 2)
                assert arrays[f"{i}/norm"].mean() == pytest.approx(row["mean_norm"])
                # the published identity: logit = |W_c| |x| cos(angle) + b
                lengths = np.linalg.norm(arrays[f"{i}/weight"], axis=1)
                cosine = np.cos(arrays[f"{i}/angle"])
                logits = arrays[f"{i}/norm"][:, None] * lengths * cosine + arrays[f"{i}/bias"]
                np.testing.assert_allclose(logits, arrays[f"{i}/logits"], atol=1e-3)
        elif command == "paths":
            for row in answer["paths"]:
                place = f"0/sample {row['sample']}"
                assert arrays[f"{place}/units"][0].tolist() == row["units"]
        else:
            for cell in answer["cells"]:
                m = [row["model"] for row in answer["summary"]].index(cell["model"])
                c = answer["corruptions"].index(cell["corruption"])
                s = answer["severities"].index(cell["severity"])
                right = arrays["predictions"][m, c, s] == arrays["labels"]
                assert right.mean() == pytest.approx(cell["accuracy"])


def test_class_paths_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    answer = ask(
        capsys, "paths", "demo:vit", "--per-class", "1", "--steps", "3", "--data", "digits",
        "--device", "cpu",
    )  # fmt: skip
    assert [row["class"] for row in answer["paths"]] == list(range(10))
    assert all(row["sample"] is None and row["n"] == 1 for row in answer["paths"])
    assert all(row["units"] == [best[0] for best in row["top"]] for row in answer["paths"])


def test_models_of_one_name_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = []
    for folder, sparsity in (("a", 0.1), ("b", 0.2)):
        (tmp_path / folder).mkdir()
        files.append(tmp_path / folder / "net.safetensors")
        ask(
            capsys, "prune", "demo:resnet", "--recipe", "random", "--sparsity", sparsity,
            "--out", files[-1], *DIGITS,
        )  # fmt: skip
    answer = ask(capsys, "evaluate", *files, *DIGITS)
    assert [row["name"] for row in answer["models"]] == [str(file) for file in files]


PRUNE = ["prune", "demo:resnet", "--recipe", "wanda", "--data", "digits"]


@pytest.mark.parametrize(
    "arguments",
    [
        [*PRUNE, "--sparsity", "1"],
        [*PRUNE, "--sparsity", "-0.1"],
        [*PRUNE, "--sparsity", "nan"],
        [*PRUNE, "--sparsity", "much"],
        [*PRUNE],
        [*PRUNE, "--sparsity", "0.5", "--set", "allocation"],
        [*PRUNE, "--sparsity", "0.5", "--set", "allocation.nothing=1"],
        [*PRUNE, "--sparsity", "0.5", "--out", "a.txt"],
        ["prune", "demo:resnet", "--recipe", "magic", "--sparsity", "0.5", "--data", "digits"],
        ["evaluate", "demo:resnet"],
        ["evaluate", "--data", "digits"],
        ["evaluate", "demo:resnet", "--data", "digits", "--device", "abacus"],
        ["evaluate", "demo:resnet", "--data", "digits", "--limit", "0"],
        ["evaluate", "demo:resnet", "--data", "digits", "--arch", "alexnet-2031"],
        ["sensitivity", "demo:resnet", "--data", "digits", "--sparsities", "0.5,x"],
        ["sensitivity", "demo:resnet", "--data", "digits", "--sparsities", "1.5"],
        ["robustness", "demo:resnet", "--data", "digits", "--corruptions", "weather"],
        ["paths", "demo:resnet", "--data", "digits", "--samples", "450"],
        ["figure", "study", "nothing", "--out", "a.svg"],
        ["figure", "study", "overview", "--out", "a.docx"],
        ["prun", "demo:resnet"],
        ["--nothing"],
    ],
)
def test_wrong_arguments_exit_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.strip()
    assert "Traceback" not in captured.err


def test_unusable_input_exits_with_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.pt").touch()
    (tmp_path / "text.safetensors").write_text("weights, honestly")
    (tmp_path / "folder").mkdir()
    np.savez(tmp_path / "big.npz", images=np.zeros((3, 32, 32, 3), np.uint8), labels=[0, 1, 2])
    np.savez(tmp_path / "many.npz", images=np.zeros((3, 8, 8, 1), np.uint8), labels=[0, 1, 77])
    good = tmp_path / "good.safetensors"
    ask(capsys, *PRUNE, "--sparsity", "0.5", "--limit", "20", "--out", good)
    (tmp_path / "cut.safetensors").write_bytes(good.read_bytes()[:-1000])
    unusable = [
        *([command, tmp_path / name, "--data", "digits"]
          for command in ("evaluate", "geometry")
          for name in ("absent.pt", "empty.pt", "text.safetensors", "cut.safetensors", "folder")),
        *(["evaluate", "demo:resnet", "--data", tmp_path / name]
          for name in ("absent.npz", "empty.pt", "folder", "big.npz", "many.npz")),
        ["inspect", tmp_path / "text.safetensors"],
        ["evaluate", "demo:nothing", "--data", "digits"],
        ["figure", tmp_path / "absent", "overview", "--out", tmp_path / "a.svg"],
        ["figure", tmp_path / "folder", "overview", "--out", tmp_path / "a.svg"],
        [*PRUNE, "--sparsity", "0.5", "--out", tmp_path / "absent" / "a.safetensors"],
        [tmp_path / "absent.pt"],
    ]  # fmt: skip
    for arguments in unusable:
        json_flag = [] if len(arguments) == 1 else ["--json"]
        assert main([*map(str, arguments), *json_flag]) == 3, arguments
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("espalier: "), captured.err
        assert "Traceback" not in captured.err


def test_our_own_faults_exit_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise RuntimeError("a wheel came off")

    monkeypatch.setattr("app.commands.inspect.inspect", broken)
    assert main(["inspect", "demo:resnet", "--json"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "a wheel came off" in captured.err
    assert "fault of Espalier" in captured.err


def test_nothing_heavy_is_imported_before_a_command_needs_it() -> None:
    code = (
        "import sys, app.cli; app.cli.main(['--help'])\n"
        "heavy = {'torch', 'PySide6', 'pyqtgraph', 'matplotlib', 'sklearn', 'numpy'}\n"
        "sys.exit(bool(heavy & set(sys.modules)))"
    )
    assert interpreter(code).returncode == 0


def test_commands_never_import_qt() -> None:
    code = (
        "import sys\nfrom importlib import import_module\nfrom app.cli import COMMANDS\n"
        "for name in COMMANDS: import_module(f'app.commands.{name}')\n"
        "sys.exit(any(m.split('.')[0] in ('PySide6', 'pyqtgraph') for m in sys.modules))"
    )
    assert interpreter(code).returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_cancelled_command_exits_with_4(sent: signal.Signals, tmp_path: Path) -> None:
    """The signal goes out when the command itself says that it computes."""
    code = (
        "import os, signal, sys, app.cli, app.commands.evaluate as e\n"
        "def stuck(request, report):\n"
        "    os.write(2, b'computing\\n')\n"
        "    while True: signal.pause()\n"
        "e.run = stuck\n"
        "sys.exit(app.cli.main(['evaluate', 'demo:resnet', '--data', 'digits', '--json']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    with process:
        assert process.stderr.readline() == b"computing\n"
        process.send_signal(sent)
        out, err = process.communicate()
    assert process.returncode == 4
    assert out == b""
    assert err.strip() == b"espalier: cancelled"


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes")
def test_a_closed_pipe_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        finished = subprocess.run(
            [sys.executable, "-m", "app.cli", "recipes"],
            cwd=ROOT,
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert finished.stderr == ""
    assert finished.returncode == 141


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="there always is a display")
def test_without_a_display_no_window_is_tried() -> None:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    }
    finished = subprocess.run(
        [sys.executable, "-m", "app.cli", "demo:resnet"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 3
    assert "no window" in finished.stderr


def test_json_knows_no_nan() -> None:
    value = {"a": np.array([1.0, np.nan]), "b": (np.int64(3), float("inf")), "c": Path("x")}
    assert jsonable(value) == {"a": [1.0, None], "b": [3, None], "c": "x"}


@pytest.mark.slow
def test_a_published_checkpoint_at_80_percent(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = shared_data / "checkpoints/cifar_resnet_akamaster/resnet20-12fca82f.th"
    answer = ask(
        capsys, "prune", checkpoint, "--recipe", "global-magnitude", "--sparsity", "0.8",
        "--data", shared_data / "cifar10/test_10k.npz", "--out", tmp_path / "a.safetensors",
        "--batch-size", "250",
    )  # fmt: skip
    # 91.73 % is what the data's README gives for this file on these images
    assert answer["dense"]["accuracy"] == pytest.approx(0.9173, abs=1e-9)
    assert answer["dense"]["n"] == 10_000
    assert answer["zeros"] == round(0.8 * 268_336)
    inspected = ask(capsys, "inspect", tmp_path / "a.safetensors")
    assert inspected["layers"] == answer["layers"]
