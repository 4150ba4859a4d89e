"""An analysis is a request that can be called.

A request is a frozen dataclass that holds everything its computation needs. Calling it with one
callback, `report`, returns a frozen result. `report(Step(...))` is all that an analysis knows of
its caller: it carries progress and partial results out, and raises `Cancelled` when nobody wants
the answer any more. So a worker thread, the command line and a test run the same object:

    >>> evaluation = Evaluate(model, data)()                       # doctest: +SKIP
    >>> evaluation = Evaluate(model, data)(lambda step: print(step.done))  # doctest: +SKIP

`request.key` names the result by what it is computed from (models, data, parameters and the
version of the analysis); the study stores results under it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from pydantic import BaseModel

R = TypeVar("R")


class Cancelled(Exception):  # noqa: N818 - it is no error
    """Raised by `report` inside an analysis when its answer is no longer wanted."""


@dataclass(frozen=True)
class Step:
    """Progress of a request: `done` of `total` steps, what it does now, and what it has so far."""

    done: int
    total: int
    message: str = ""
    partial: object | None = None


Report = Callable[[Step], None]


def silent(step: Step) -> None:
    """The report of a caller who only wants the result."""


def part_of(report: Report, index: int, count: int, stage: str) -> Report:
    """The report of stage `index` of `count`: its steps become thousandths of the whole."""

    def staged(step: Step) -> None:
        fraction = (index + step.done / max(step.total, 1)) / count
        report(Step(int(1000 * fraction), 1000, stage + step.message, step.partial))

    return staged


@dataclass(frozen=True)
class Compute:
    """Where and in what portions to compute; never part of a result's key."""

    device: str = "cpu"
    batch_size: int = 100


def compute_field() -> Any:
    """The `compute` field of a request: excluded from its key."""
    return field(default=Compute(), metadata={"key": False})


@dataclass(frozen=True, eq=False)
class Request(Generic[R]):
    """Base of all analyses. Subclasses are `@dataclass(frozen=True, eq=False)`."""

    version: ClassVar[int] = 1
    """Raise when the same parameters give another result than before."""

    def __call__(self, report: Report = silent) -> R:
        raise NotImplementedError

    @property
    def title(self) -> str:
        """One line for the list of jobs."""
        return type(self).__name__

    @property
    def parameters(self) -> dict[str, Any]:
        """Everything that decides the result, as plain JSON values."""
        return {
            f.name: plain(getattr(self, f.name))
            for f in dataclasses.fields(self)
            if f.metadata.get("key", True)
        }

    @property
    def key(self) -> str:
        """Content key of the result: sha-256 over analysis, version and parameters."""
        return digest([type(self).__name__, self.version, self.parameters])


def plain(value: Any) -> Any:
    """Reduce a field to JSON values; models, data and arrays become their content keys."""
    if hasattr(value, "key") and isinstance(value.key, str):
        return value.key
    if isinstance(value, BaseModel):
        return {"type": type(value).__name__, **value.model_dump(mode="json")}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, np.ndarray):
        content = np.ascontiguousarray(value)
        head = f"{content.dtype.str}{content.shape}".encode()
        return hashlib.sha256(head + content.tobytes()).hexdigest()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted(plain(v) for v in value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"{type(value).__name__} has no place in a request")


def digest(value: Any) -> str:
    """Sha-256 (hex) of the canonical JSON of plain values."""
    text = json.dumps(plain(value), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
