"""Results in a study, found by what they were computed from."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import OrderedDict
from typing import Any

import numpy as np

from analysis.records import pack, unpack
from analysis.request import Request
from analysis.study.clock import code_version, now
from analysis.study.index import Index
from analysis.study.objects import DamagedObjectError, ObjectStore

_MEMORY = 256 << 20
"""Bytes of results that are kept in memory."""


class ResultTable:
    """Results by the key of their request. A damaged one counts as absent and is dropped."""

    def __init__(self, index: Index, objects: ObjectStore) -> None:
        self._index = index
        self._objects = objects
        self._recent: OrderedDict[str, tuple[Any, int]] = OrderedDict()
        self._lock = threading.Lock()

    def record(self, request: Request[Any], result: Any, seconds: float, complete: bool) -> None:
        """Store a result; its arrays are on disk before the row that names them."""
        value, arrays = pack(result)
        name = self._objects.put_arrays(arrays) if arrays else None
        row = (
            request.key,
            type(request).__name__,
            request.version,
            json.dumps(request.parameters, sort_keys=True),
            int(complete),
            json.dumps(value),
            name,
            now(),
            seconds,
            code_version(),
        )
        with self._index.transaction() as connection:
            # a partial result never takes the place of a complete one
            connection.execute(
                "INSERT INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) "
                "DO UPDATE SET complete = excluded.complete, value = excluded.value, "
                "arrays = excluded.arrays, created = excluded.created, "
                "seconds = excluded.seconds, code = excluded.code "
                "WHERE excluded.complete >= results.complete",
                row,
            )
        if complete:
            self._keep(request.key, result, sum(array.nbytes for array in arrays.values()))

    def find(self, key: str, complete: bool = True) -> Any | None:
        """The result of the request with this key, or None."""
        with self._lock:
            if complete and key in self._recent:
                self._recent.move_to_end(key)
                return self._recent[key][0]
        row = self._index.row(
            "SELECT * FROM results WHERE key = ? AND complete = ?", key, int(complete)
        )
        if row is None:
            return None
        try:
            arrays = {} if row["arrays"] is None else self._objects.arrays(row["arrays"])
            value = _unpacked(row, arrays)
        except (DamagedObjectError, ValueError, TypeError, OSError):
            self._drop(row)
            return None
        if complete and value is not None:
            self._keep(key, value, sum(array.nbytes for array in arrays.values()))
        return value

    def provenance(self, key: str) -> dict[str, Any] | None:
        """Analysis, version, parameters, time, seconds and code of a result."""
        row = self._index.row("SELECT * FROM results WHERE key = ?", key)
        if row is None:
            return None
        names = ("analysis", "version", "created", "seconds", "code")
        return {name: row[name] for name in names} | {"parameters": json.loads(row["parameters"])}

    def keys(self, analysis: str | None = None) -> tuple[str, ...]:
        """Keys of the complete results, in the order they were recorded."""
        query = "SELECT key FROM results WHERE complete = 1 AND (?1 IS NULL OR analysis = ?1)"
        return tuple(row["key"] for row in self._index.rows(query + " ORDER BY rowid", analysis))

    def _drop(self, row: sqlite3.Row) -> None:
        with self._index.transaction() as connection:
            # by object as well: another process may have recorded it anew meanwhile
            connection.execute(
                "DELETE FROM results WHERE key = ? AND arrays IS ?", (row["key"], row["arrays"])
            )

    def _keep(self, key: str, value: Any, size: int) -> None:
        with self._lock:
            self._recent[key] = (value, size)
            self._recent.move_to_end(key)
            while sum(kept for _, kept in self._recent.values()) > _MEMORY:
                self._recent.popitem(last=False)


def _unpacked(row: sqlite3.Row, arrays: dict[str, np.ndarray]) -> Any | None:
    """The result, or None when its class is not imported here (a newer Espalier's analysis)."""
    value = json.loads(row["value"])
    try:
        return unpack(value, arrays)
    except KeyError as error:
        if error.args and error.args[0] in _array_names(value):
            raise DamagedObjectError(f"an array is missing: {error}") from error
        return None


def _array_names(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(_array_names, value))
    if not isinstance(value, dict):
        return set()
    if "$array" in value:
        return {value["$array"]}
    return set().union(*map(_array_names, value.values()))
