"""The index of a study: one SQLite file, its schema, and how old schemas become new ones."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from analysis.errors import InputError

APPLICATION_ID = 0x45535041
"""Marks the file as ours ("ESPA"), so that no other program's database is taken for a study."""

BUSY_MILLISECONDS = 30_000
"""How long a write waits for another process that is writing."""

_SCHEMA_1 = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE bases (key TEXT PRIMARY KEY, object TEXT NOT NULL) STRICT;
CREATE TABLE models (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    base TEXT NOT NULL REFERENCES bases (key),
    position INTEGER NOT NULL UNIQUE,
    name TEXT NOT NULL,
    architecture TEXT NOT NULL,
    num_classes INTEGER NOT NULL,
    classes TEXT NOT NULL,
    source TEXT NOT NULL,
    origin TEXT,
    masks TEXT,
    mask_shapes TEXT,
    updates TEXT,
    hidden INTEGER NOT NULL DEFAULT 0,
    created TEXT NOT NULL
) STRICT;
CREATE TABLE results (
    key TEXT PRIMARY KEY,
    analysis TEXT NOT NULL,
    version INTEGER NOT NULL,
    parameters TEXT NOT NULL,
    complete INTEGER NOT NULL,
    value TEXT NOT NULL,
    arrays TEXT,
    created TEXT NOT NULL,
    seconds REAL NOT NULL,
    code TEXT NOT NULL
) STRICT;
CREATE INDEX results_analysis ON results (analysis);
CREATE TABLE data (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    source TEXT NOT NULL,
    seed INTEGER NOT NULL,
    sample_limit INTEGER,
    calibration_size INTEGER NOT NULL,
    evaluation TEXT NOT NULL,
    calibration TEXT NOT NULL
) STRICT;
CREATE TABLE state (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""


def _to_1(connection: sqlite3.Connection) -> None:
    for statement in _SCHEMA_1.split(";\n"):
        if statement.strip():
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


MIGRATORS: tuple[Callable[[sqlite3.Connection], None], ...] = (_to_1,)
"""Migrator i brings schema i to schema i + 1; the newest schema is `len(MIGRATORS)`."""


class Index:
    """Connections to one study.sqlite, shared by all threads of this process.

    There are two, each behind its lock: a reader never waits for a commit to reach the disk, so
    the window can look things up while a worker records. WAL lets other processes join.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._write_lock = threading.RLock()
        self._read_lock = threading.Lock()
        try:
            self._writer = self._connect()
            try:
                _prepare(self._writer, path)
                self._reader = self._connect()
            except BaseException:
                self._writer.close()
                raise
        except sqlite3.OperationalError as error:
            raise InputError(
                path,
                f"The study cannot be opened ({error}).",
                "Check that its folder can be written and that no other program holds it.",
            ) from error
        except sqlite3.DatabaseError as error:
            raise InputError(
                path,
                f"The index of the study cannot be read ({error}).",
                "Restore it from a backup, or delete study.sqlite to start the study anew.",
            ) from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path,
            timeout=BUSY_MILLISECONDS / 1000,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """All rows of a query."""
        with self._read_lock:
            return self._reader.execute(query, values).fetchall()

    def row(self, query: str, *values: Any) -> sqlite3.Row | None:
        """The first row of a query, or None."""
        rows = self.rows(query, *values)
        return rows[0] if rows else None

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: all of it happens, or nothing."""
        with self._write_lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise
            self._writer.execute("COMMIT")

    def objects_used(self) -> set[str]:
        """Names of all objects that a row refers to."""
        rows = self.rows(
            "SELECT object FROM bases UNION SELECT masks FROM models "
            "UNION SELECT updates FROM models UNION SELECT arrays FROM results"
        )
        return {row[0] for row in rows if row[0] is not None}

    def move_to(self, path: Path) -> None:
        """Copy the index over the one at `path` and go on there; other threads notice nothing."""
        with self._write_lock, self._read_lock:
            target = sqlite3.connect(path)
            try:
                self._writer.backup(target)
            finally:
                target.close()
            old, self.path = (self._writer, self._reader), path
            self._writer, self._reader = self._connect(), self._connect()
            for connection in old:
                connection.close()

    def close(self) -> None:
        with self._write_lock, self._read_lock:
            self._reader.close()
            self._writer.close()


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Check that the file is a study's index, and bring its schema up to date."""
    version = _pragma(connection, "user_version")
    empty = not connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
    if not empty and _pragma(connection, "application_id") != APPLICATION_ID:
        raise InputError(
            path, "This is another program's database.", "Choose a folder that Espalier saved."
        )
    if version > len(MIGRATORS):
        raise InputError(
            path,
            f"The study has schema {version}, newer than this Espalier knows ({len(MIGRATORS)}).",
            "Open it with the newer Espalier that wrote it.",
        )
    if not empty:
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise sqlite3.DatabaseError(str(verdict))
    connection.execute("PRAGMA journal_mode = WAL")
    if version < len(MIGRATORS):
        _migrate(connection)


def _migrate(connection: sqlite3.Connection) -> None:
    """All missing steps in one transaction; another process may have been faster."""
    connection.execute("BEGIN EXCLUSIVE")
    try:
        for step in range(_pragma(connection, "user_version"), len(MIGRATORS)):
            MIGRATORS[step](connection)
            connection.execute(f"PRAGMA user_version = {step + 1}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
