"""Which packages an import pulls in, seen in fresh interpreters."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
QT = {"PySide6", "shiboken6", "pyqtgraph"}


def modules_of(*packages: str) -> list[str]:
    """All modules below these packages, the packages themselves included."""
    found = list(packages)
    for package in packages:
        folder = ROOT / package
        found += [m.name for m in pkgutil.walk_packages([str(folder)], f"{package}.")]
    return found


def fresh(code: str, *arguments: str) -> list[str]:
    """What the code prints as JSON, run in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True, text=True, cwd=ROOT, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer: list[str] = json.loads(done.stdout)
    return answer


IMPORT_ALL = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""

# Our own modules are forgotten between two imports, the libraries stay: each module is the first
# one of ours to be imported, without paying for torch each time.
IMPORT_EACH_ALONE = """
import importlib, json, sys, traceback
failed = []
for name in sys.argv[1:]:
    for other in [m for m in sys.modules if m.split(".")[0] in ("analysis", "kernels")]:
        del sys.modules[other]
    try:
        importlib.import_module(name)
    except Exception:
        failed.append(name + ": " + traceback.format_exc(limit=-1))
print(json.dumps(failed))
"""


def test_analysis_and_kernels_know_no_window() -> None:
    loaded = fresh(IMPORT_ALL, *modules_of("analysis", "kernels"))
    assert "torch" in loaded
    assert not QT & set(loaded)


def test_every_module_of_analysis_and_kernels_can_be_imported_first() -> None:
    modules = modules_of("analysis", "kernels")
    assert "analysis.models" in modules
    assert fresh(IMPORT_EACH_ALONE, *modules) == []


@pytest.mark.parametrize("module", ["app.cli", "app.commands"])
def test_the_command_line_starts_without_qt_and_torch(module: str) -> None:
    loaded = set(fresh(IMPORT_ALL, module))
    assert not loaded & (QT | {"torch", "numba", "sklearn", "umap", "matplotlib"})


def test_figures_are_drawn_without_qt() -> None:
    loaded = set(fresh(IMPORT_ALL, "app.figures"))
    assert not QT & loaded
