"""Models in a study: dense weights once, masks and updates for each pruned model.

    bases    key of the dense weights -> safetensors object
    models   everything else of a `Model`; masks as an npz of packed bits, updates as safetensors

A pruned model comes back holding the very tensors of its base. A model that cannot come back
(its architecture is unknown here, an object is damaged) is listed in `problems`, and the rest of
the study opens.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from analysis.architectures.architecture import Architecture
from analysis.errors import ArgumentError, InputError
from analysis.masks import Mask
from analysis.models import Model, Origin
from analysis.request import plain
from analysis.study.clock import now
from analysis.study.index import Index
from analysis.study.objects import DamagedObjectError, ObjectStore


@dataclass(frozen=True)
class ModelEntry:
    """What a study knows of a model without loading it.

    `position` decides its colour and marker, for life: 0 is the dense reference.
    """

    key: str
    name: str
    position: int
    base: str
    hidden: bool
    created: str


class ModelTable:
    """The models of one study, loaded once and kept."""

    def __init__(self, index: Index, objects: ObjectStore) -> None:
        self.problems: dict[str, str] = {}
        """Name of each model that cannot be loaded -> why."""
        self._index = index
        self._objects = objects
        self._loaded: dict[str, Model] = {}
        self._bases: dict[str, Mapping[str, Tensor]] = {}
        self._lock = threading.RLock()

    def add(self, model: Model) -> None:
        """Store a model; nothing happens when it is there already."""
        base = model.key if model.origin is None else model.origin.base
        masks = updates = weights = None
        if self._index.row("SELECT 1 FROM models WHERE key = ?", model.key):
            return
        # Objects first, their record after: a killed process leaves no row without its object.
        if not self._index.row("SELECT 1 FROM bases WHERE key = ?", base):
            weights = self._objects.put_tensors(model.weights)
        if model.masks:
            masks = self._objects.put_arrays({k: m.packed for k, m in model.masks.items()})
        if model.updates:
            updates = self._objects.put_tensors(model.updates)
        with self._index.transaction() as connection:
            if weights is not None:
                connection.execute("INSERT OR IGNORE INTO bases VALUES (?, ?)", (base, weights))
            connection.execute(
                _INSERT, _row(model, base, masks, updates, _place(connection, model))
            )
        with self._lock:
            weights_here = self._bases.setdefault(base, model.weights)
            self._loaded[model.key] = _sharing(model, weights_here)

    def all(self) -> tuple[Model, ...]:
        """Every model that can be loaded, in the order they were added."""
        models = []
        with self._lock:
            self.problems.clear()
            for row in self._index.rows("SELECT * FROM models ORDER BY id"):
                try:
                    models.append(self._load(row))
                except (DamagedObjectError, InputError, ValueError, KeyError, TypeError) as error:
                    self.problems[row["name"]] = str(error)
        return tuple(models)

    def entries(self) -> tuple[ModelEntry, ...]:
        query = "SELECT key, name, position, base, hidden, created FROM models ORDER BY id"
        return tuple(
            ModelEntry(
                r["key"], r["name"], r["position"], r["base"], bool(r["hidden"]), r["created"]
            )
            for r in self._index.rows(query)
        )

    def remove(self, key: str) -> None:
        """Forget a model; its weights go when no other model of the study needs them."""
        with self._index.transaction() as connection:
            connection.execute("DELETE FROM models WHERE key = ?", (key,))
            connection.execute("DELETE FROM bases WHERE key NOT IN (SELECT base FROM models)")
            kept = {row["key"] for row in connection.execute("SELECT key FROM bases")}
        with self._lock:
            self._loaded.pop(key, None)
            self._bases = {base: w for base, w in self._bases.items() if base in kept}

    def change(self, key: str, column: str, value: str | int) -> None:
        """Set the name or the hidden flag of a model."""
        with self._index.transaction() as connection:
            connection.execute(f"UPDATE models SET {column} = ? WHERE key = ?", (value, key))

    def _load(self, row: sqlite3.Row) -> Model:
        model = self._loaded.get(row["key"])
        if model is None or model.name != row["name"]:
            model = self._read(row) if model is None else model.renamed(row["name"])
            self._loaded[row["key"]] = model
        return model

    def _read(self, row: sqlite3.Row) -> Model:
        masks = {}
        if row["masks"] is not None:
            packed = self._objects.arrays(row["masks"])
            shapes = json.loads(row["mask_shapes"])
            masks = {name: Mask(packed[name], tuple(shape)) for name, shape in shapes.items()}
        return Model(
            name=row["name"],
            key=row["key"],
            architecture=_architecture(row["architecture"]),
            num_classes=row["num_classes"],
            weights=self._weights(row["base"]),
            masks=masks,
            updates={} if row["updates"] is None else self._objects.tensors(row["updates"]),
            origin=None if row["origin"] is None else Origin(**json.loads(row["origin"])),
            source=row["source"],
            classes=tuple(json.loads(row["classes"])),
        )

    def _weights(self, base: str) -> Mapping[str, Tensor]:
        if base not in self._bases:
            row = self._index.row("SELECT object FROM bases WHERE key = ?", base)
            if row is None:
                raise DamagedObjectError("its dense weights are not in the study")
            self._bases[base] = self._objects.tensors(row["object"])
        return self._bases[base]


_COLUMNS = (
    "key, base, position, name, architecture, num_classes, classes, source, origin, "
    "masks, mask_shapes, updates, created"
)
_INSERT = f"INSERT OR IGNORE INTO models ({_COLUMNS}) VALUES (?{', ?' * 12})"


def _row(
    model: Model, base: str, masks: str | None, updates: str | None, position: int
) -> tuple[Any, ...]:
    shapes = {name: list(mask.shape) for name, mask in model.masks.items()}
    return (
        model.key,
        base,
        position,
        model.name,
        model.architecture.spec,
        model.num_classes,
        json.dumps(list(model.classes)),
        model.source,
        None if model.origin is None else json.dumps(plain(model.origin)),
        masks,
        json.dumps(shapes) if masks else None,
        updates,
        now(),
    )


def _place(connection: sqlite3.Connection, model: Model) -> int:
    """Style position: the first dense model takes 0, any other the lowest free one from 1 on."""
    taken = {row["position"] for row in connection.execute("SELECT position FROM models")}
    if model.is_dense and 0 not in taken:
        return 0
    return next(i for i in range(1, len(taken) + 2) if i not in taken)


def _sharing(model: Model, weights: Mapping[str, Tensor]) -> Model:
    """The model on tensors that are already in memory."""
    return model if model.weights is weights else replace(model, weights=weights)


def _architecture(spec: str) -> Architecture:
    """An entry of the registry, or one with edits (`Architecture.spec`)."""
    from analysis.architectures.registry import from_spec

    try:
        return from_spec(spec)
    except ArgumentError as error:
        raise DamagedObjectError(f"its architecture is not known here: {error}") from error
