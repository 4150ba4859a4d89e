"""The data of a study: not copied, but named, with the keys that its results belong to."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from analysis.data.dataset import Data
from analysis.errors import InputError
from analysis.models import Model
from analysis.study.index import Index


@dataclass(frozen=True)
class DataInfo:
    """Which data a study uses, known without opening them; the keys are those of the images."""

    source: str
    seed: int
    limit: int | None
    calibration_size: int
    evaluation: str
    calibration: str


class DataSlot:
    """The data of one study, opened when first asked for."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._open: Data | None = None
        self._lock = threading.Lock()

    def set(self, source: str, data: Data, seed: int, limit: int | None, size: int) -> None:
        with self._lock:
            row = (source, seed, limit, size, data.evaluation.key, data.calibration.key)
            with self._index.transaction() as connection:
                connection.execute("INSERT OR REPLACE INTO data VALUES (1, ?, ?, ?, ?, ?, ?)", row)
            self._open = data

    @property
    def info(self) -> DataInfo | None:
        row = self._index.row("SELECT * FROM data")
        return None if row is None else DataInfo(*tuple(row)[1:])

    def get(self, model: Model | None) -> Data | None:
        """The data, or None when none were chosen; InputError when they are gone or changed."""
        with self._lock:
            info = self.info
            if self._open is None and info is not None:
                self._open = _reopened(info, model)
            return self._open


def resolved(source: str) -> str:
    """A path made absolute, so that the study finds it from any folder; names stay names."""
    return str(Path(source).absolute()) if Path(source).exists() else source


def open_source(
    source: str, seed: int, limit: int | None, calibration_size: int, model: Model | None
) -> Data:
    from analysis.data import open_data

    return open_data(
        source, seed=seed, limit=limit, calibration_size=calibration_size, model=model
    )


def _reopened(info: DataInfo, model: Model | None) -> Data:
    data = open_source(info.source, info.seed, info.limit, info.calibration_size, model)
    if (data.evaluation.key, data.calibration.key) != (info.evaluation, info.calibration):
        raise InputError(
            info.source,
            "The images are not those that the study's results were computed on.",
            "Restore the data, or choose them again to compute with what is there now.",
        )
    return data
