"""Settings that all tests share: an offscreen Qt, two torch threads, the shared data folder."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest
from hypothesis import settings

from analysis.runtime import prepare

prepare()

import torch  # noqa: E402 - prepare() comes before torch

if not torch.cuda.is_available():
    # Triton's interpreter, on CPU tensors. It is chosen when triton is first imported, which torch
    # does for some of its own modules: so here, before any test is collected.
    os.environ.setdefault("TRITON_INTERPRET", "1")

# The gate judges the same examples every time; elsewhere every run looks for new ones.
settings.register_profile("gate", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("gate")

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real checkpoints and images, or a skip with the reason."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the folder ../shared/data with real checkpoints and images is not here")
    return SHARED_DATA
