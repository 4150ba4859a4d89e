"""Read safetensors: the header is checked here before any tensor is made.

    u64 little-endian n | n bytes of JSON {name: {dtype, shape, data_offsets}, __metadata__} | data

A file is untrusted: every offset must lie inside the file, agree with its shape and dtype, and
overlap no other tensor.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from analysis.checkpoints.containers import MAX_HEADER, WHOLE
from analysis.errors import InputError

BITS = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "I64": 64,
    "U64": 64,
    "F64": 64,
}
Span = tuple[int, int, str]


def load_safetensors(source: object, content: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a whole file; InputError says what is wrong with the header."""
    header, start = _header(source, content)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise InputError(source, "Its __metadata__ is not a map of strings.", WHOLE)
    spans = [_span(source, name, entry) for name, entry in header.items()]
    _check_spans(source, spans, len(content) - start)
    try:
        tensors = safetensors.torch.load(content)
        return {name: tensors[name] for name in header}, metadata
    except Exception as error:  # hostile bytes may raise anything
        raise InputError(source, f"The safetensors data is invalid ({error}).", WHOLE) from error


def _header(source: object, content: bytes) -> tuple[dict[str, Any], int]:
    length = int.from_bytes(content[:8], "little")
    if length > min(MAX_HEADER, len(content) - 8):
        problem = f"Its header claims {length:,} bytes, the file has {len(content):,}."
        raise InputError(source, problem, WHOLE)
    try:
        header = json.loads(content[8 : 8 + length].decode("utf-8"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise InputError(
            source, f"Its safetensors header is not JSON ({error}).", WHOLE
        ) from error
    if not isinstance(header, dict):
        raise InputError(source, "Its safetensors header is not a map.", WHOLE)
    return header, 8 + length


def _span(source: object, name: str, entry: Any) -> Span:
    """Begin and end of one tensor's data, checked against its shape and dtype."""
    try:
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(source, f"The header entry of {name!r} is incomplete.", WHOLE) from error
    if dtype not in BITS:
        raise InputError(source, f"{name!r} has the dtype {dtype!r}, which cannot be read.", "")
    if not isinstance(shape, list) or not _whole_numbers([*shape, begin, end]):
        raise InputError(source, f"The shape or offsets of {name!r} are no whole numbers.", WHOLE)
    if end - begin != math.prod(shape) * BITS[dtype] // 8:
        problem = f"{name!r} claims the shape {shape} in {end - begin:,} bytes of {dtype}."
        raise InputError(source, problem, WHOLE)
    return begin, end, name


def _whole_numbers(values: Iterable[Any]) -> bool:
    return all(type(value) is int and 0 <= value < 2**63 for value in values)


def _check_spans(source: object, spans: list[Span], available: int) -> None:
    previous = (0, 0, "")
    for span in sorted(spans):
        begin, end, name = span
        if end > available:
            problem = f"{name!r} ends at byte {end:,} of the data, but there are {available:,}."
            raise InputError(source, problem, WHOLE)
        if begin < previous[1]:
            raise InputError(source, f"{name!r} and {previous[2]!r} share bytes.", WHOLE)
        previous = span
