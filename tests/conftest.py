"""Settings that all tests share: an offscreen Qt, two torch threads, the shared data folder."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest

from analysis.runtime import prepare

prepare()

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real checkpoints and images, or a skip with the reason."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the folder ../shared/data with real checkpoints and images is not here")
    return SHARED_DATA
