"""Results on disk: a frozen dataclass becomes JSON plus named arrays, and comes back equal.

Every result class is decorated with `@record` and known on disk by its bare name, never by a
class path: code can move, files stay readable.

    >>> meta, arrays = pack(result)           # doctest: +SKIP
    >>> unpack(meta, arrays) == result        # doctest: +SKIP
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T", bound=type)

_records: dict[str, type] = {}


def record(cls: T) -> T:
    """Class decorator: results of this class can be stored in a study."""
    _records[cls.__name__] = cls
    return cls


def pack(value: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """Split a result into JSON values and the arrays they refer to (`{"$array": name}`)."""
    arrays: dict[str, np.ndarray] = {}

    def walk(item: Any, path: str) -> Any:
        if dataclasses.is_dataclass(item) and not isinstance(item, type):
            name = type(item).__name__
            if _records.get(name) is not type(item):
                raise TypeError(f"{name} is not a @record")
            fields = {
                f.name: walk(getattr(item, f.name), f"{path}.{f.name}" if path else f.name)
                for f in dataclasses.fields(item)
            }
            return {"$record": name, "fields": fields}
        if isinstance(item, np.ndarray):
            while path in arrays:  # keys 1 and "1" of a mapping spell the same path
                path += "'"
            arrays[path] = item
            return {"$array": path}
        if isinstance(item, np.generic):
            return item.item()
        if isinstance(item, Mapping):
            entries = [[k, walk(v, f"{path}[{k}]")] for k, v in item.items()]
            return {"$map": entries}
        if isinstance(item, tuple):
            return [walk(v, f"{path}[{i}]") for i, v in enumerate(item)]
        if item is None or isinstance(item, (str, int, float, bool)):
            return item
        raise TypeError(f"{type(item).__name__} at {path} cannot be stored")

    return walk(value, ""), arrays


def unpack(meta: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """Inverse of `pack`; JSON lists come back as tuples. Raises KeyError for unknown records."""
    if isinstance(meta, list):
        return tuple(unpack(v, arrays) for v in meta)
    if isinstance(meta, dict):
        if "$record" in meta:
            cls = _records[meta["$record"]]
            return cls(**{k: unpack(v, arrays) for k, v in meta["fields"].items()})
        if "$array" in meta:
            return arrays[meta["$array"]]
        return {unpack(k, arrays): unpack(v, arrays) for k, v in meta["$map"]}
    return meta
