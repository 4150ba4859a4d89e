"""The starter's decisions: when to install, which package holds a library, what it runs."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

STARTER = Path(__file__).resolve().parent.parent / "run.py"
POSIX = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX system")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """run.py as a module, with its checkout and environment in a temporary folder."""
    spec = importlib.util.spec_from_file_location("starter", STARTER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    environment = tmp_path / ".venv"
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", environment)
    monkeypatch.setattr(module, "STAMP", environment / "installed")
    monkeypatch.setattr(module, "UNFINISHED", environment / "unfinished")
    monkeypatch.setattr(module, "NO_APT", environment / "no-apt")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "constraints.txt").write_text("torch==2.13.0\n")
    return module


def pretend_environment(run: ModuleType) -> None:
    for name in ("python", "espalier"):
        path = run.program(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    run.STAMP.write_text(run.stamp())


class Calls:
    """Stands in for `call`: remembers commands, answers by a function of the command."""

    def __init__(self, run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commands: list[list[str]] = []
        self.codes: dict[str, int] = {}
        monkeypatch.setattr(run, "call", self)

    def __call__(self, command: list[str]) -> int:
        self.commands.append(command)
        return next((c for word, c in self.codes.items() if word in " ".join(command)), 0)


@pytest.fixture
def calls(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(run, monkeypatch)


@pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt"])
def test_another_requirement_asks_for_another_installation(run: ModuleType, changed: str) -> None:
    pretend_environment(run)
    assert run.installed()
    (run.ROOT / changed).write_text("something else\n")
    assert not run.installed()


def test_a_moved_checkout_asks_for_another_installation(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = run.stamp()
    moved = run.ROOT / "moved"
    moved.mkdir()
    for name in ("pyproject.toml", "constraints.txt"):
        (moved / name).write_bytes((run.ROOT / name).read_bytes())
    monkeypatch.setattr(run, "ROOT", moved)
    assert run.stamp() != before


@POSIX
def test_another_python_under_the_environment_asks_for_another_installation(
    run: ModuleType,
) -> None:
    pretend_environment(run)
    python = run.program("python")
    (python.parent / "python3.99").touch()
    python.unlink()
    python.symlink_to("python3.99")
    assert not run.installed()


def test_a_missing_program_asks_for_another_installation(run: ModuleType) -> None:
    pretend_environment(run)
    run.program("espalier").unlink()
    assert not run.installed()


def test_an_installation_is_torch_first_then_all_under_the_constraints(
    run: ModuleType, calls: Calls
) -> None:
    pretend_environment(run)
    run.STAMP.unlink()
    assert run.install()
    pips = [c[c.index("install") + 1 :] for c in calls.commands if "install" in c]
    constraints = ["-c", str(run.ROOT / "constraints.txt")]
    assert pips == [[*constraints, "torch"], [*constraints, "-e", f"{run.ROOT}[dev]"]]
    assert run.installed()
    assert not run.UNFINISHED.exists()


@pytest.mark.parametrize(("code", "half_done"), [(1, False), (-9, True), (137, True)])
def test_a_failed_installation_is_not_stamped(
    run: ModuleType, calls: Calls, code: int, half_done: bool
) -> None:
    pretend_environment(run)
    calls.codes = {"pip --disable": code}
    assert not run.install()
    assert not run.installed()
    assert run.UNFINISHED.exists() == half_done


def test_what_a_killed_installation_left_is_made_anew(run: ModuleType, calls: Calls) -> None:
    pretend_environment(run)
    run.UNFINISHED.touch()
    assert run.make_environment()
    assert calls.commands == [[sys.executable, "-m", "venv", "--clear", str(run.VENV)]]


def test_a_usable_environment_is_kept(run: ModuleType, calls: Calls) -> None:
    pretend_environment(run)
    assert run.make_environment()
    assert not any("venv" in command for command in calls.commands)


def test_every_library_has_a_package(run: ModuleType) -> None:
    names = ["libGL.so.1", "libglib-2.0.so.0", "libxcb-icccm.so.4"]
    assert run.packages_for(names) == [
        ("libgl1",),
        ("libglib2.0-0t64", "libglib2.0-0"),
        ("libxcb-icccm4",),
    ]
    assert not set(run.OFFSCREEN) & set(run.DISPLAY)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sonames of Linux")
def test_missing_libraries_are_those_the_linker_does_not_find(run: ModuleType) -> None:
    assert run.missing({"libc.so.6": ("libc6",), "libno-such.so.1": ("x",)}) == ["libno-such.so.1"]


def pretend_apt(run: ModuleType, monkeypatch: pytest.MonkeyPatch, known: set[str]) -> None:
    monkeypatch.setattr(run.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(run, "choose", lambda names: next((n for n in names if n in known), None))


def test_apt_installs_the_name_that_the_release_knows(
    run: ModuleType, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_apt(run, monkeypatch, {"libglib2.0-0", "libgl1"})
    monkeypatch.setattr(run, "privilege", list)
    assert run.apt_install([("libglib2.0-0t64", "libglib2.0-0"), ("libgl1",)])
    (command,) = calls.commands
    assert command[-2:] == ["libglib2.0-0", "libgl1"]
    assert "--no-install-recommends" in command


def test_apt_updates_its_lists_only_when_a_package_is_not_in_them(
    run: ModuleType, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_apt(run, monkeypatch, set())
    monkeypatch.setattr(run, "privilege", lambda: ["sudo", "-n"])
    assert not run.apt_install([("libgl1",)])
    assert [command[-1] for command in calls.commands] == ["update"]
    assert calls.commands[0][:2] == ["sudo", "-n"]


def test_without_rights_the_exact_command_is_said_and_not_run(
    run: ModuleType,
    calls: Calls,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pretend_apt(run, monkeypatch, {"libgl1", "libegl1"})
    monkeypatch.setattr(run, "privilege", lambda: None)
    assert not run.apt_install([("libgl1",), ("libegl1",)])
    assert "sudo apt-get install libgl1 libegl1" in capsys.readouterr().err
    assert calls.commands == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sonames of Linux")
def test_what_apt_could_not_do_is_tried_again_only_by_setup(
    run: ModuleType, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    pretend_environment(run)
    monkeypatch.setattr(run, "missing", lambda libraries: ["libGL.so.1"])
    monkeypatch.setattr(run, "apt_install", lambda packages: asked.append(packages))
    run.system_libraries(again=False)
    run.system_libraries(again=False)
    assert len(asked) == 1
    run.system_libraries(again=True)
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ([], ["espalier", "demo"]),
        (["evaluate", "demo:resnet"], ["espalier", "evaluate", "demo:resnet"]),
        (["test", "-k", "x"], ["python", "-m", "pytest", "-k", "x"]),
    ],
)
def test_what_is_run(
    run: ModuleType,
    calls: Calls,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    command: list[str],
) -> None:
    monkeypatch.chdir(run.ROOT)
    pretend_environment(run)
    monkeypatch.setattr(run, "system_libraries", lambda again: None)
    monkeypatch.setattr(run, "replace_by", lambda started: started)
    started = run.main(arguments)
    assert started == [str(run.program(command[0])), *command[1:]]


def test_the_tests_get_triton_once(run: ModuleType, calls: Calls) -> None:
    run.for_tests()
    assert len(calls.commands) == 1  # it is there
    calls.codes["find_spec"] = 1
    run.for_tests()
    assert calls.commands[-1][-4:] == [
        "install",
        "-c",
        str(run.ROOT / "constraints.txt"),
        "triton",
    ]


def test_an_old_python_is_told_so(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run.sys, "version_info", (3, 10, 4))
    assert run.main(["setup"]) == 1
    assert "needs Python 3.11" in capsys.readouterr().err


@POSIX
def test_the_exit_code_and_stdout_belong_to_the_program(tmp_path: Path) -> None:
    # A copy of the starter beside an environment that is stamped as installed.
    for name in ("pyproject.toml", "constraints.txt", "run.py"):
        (tmp_path / name).write_bytes((STARTER.parent / name).read_bytes())
    binaries = tmp_path / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "python").symlink_to(sys.executable)
    (binaries / "espalier").write_text('#!/bin/sh\necho "$@"\nexit 3\n')
    (binaries / "espalier").chmod(0o755)
    prepare = (
        "import run; run.STAMP.write_text(run.stamp());"
        "run.NO_APT.write_text(chr(10).join(run.missing({**run.OFFSCREEN, **run.DISPLAY})))"
    )
    subprocess.run([sys.executable, "-c", prepare], cwd=tmp_path, check=True)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "run.py"), "inspect", "a file"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (3, "inspect a file\n")
