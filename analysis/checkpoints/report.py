"""What reading a checkpoint found out: shown to the user, stored with the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from analysis.records import record


@record
@dataclass(frozen=True, eq=False)
class LoadReport:
    """Every decision between the bytes of a file and the tensors in use.

    Attributes
    ----------
    container: "safetensors", "torch zip" or "torch legacy pickle".
    wrapper: keys that lead to the state dict, as "state_dict"; "" when the file is one.
    candidates: other state dicts in the file that were not taken.
    prefixes: stripped from every name, in this order.
    folded: weights that were multiplied by their mask.
    converted: one line a kind of conversion (half precision, sparse layout).
    dropped: entries that are no tensors of the network.
    dtypes: number of tensors by dtype, as in the file.
    tensors, parameters: how many, and their numbers in total (buffers included).
    architecture, evidence: what the tensors were recognised as, and from what.
    matched: number of tensors used. missing, filled, unexpected, mismatched: by name.
    origin: what a pruned file of ours says about its making; empty for others.
    key: sha-256 over the names, dtypes, shapes and bytes of the tensors.
    """

    source: str
    container: str
    wrapper: str = ""
    candidates: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    folded: tuple[str, ...] = ()
    converted: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    dtypes: Mapping[str, int] = field(default_factory=dict)
    tensors: int = 0
    parameters: int = 0
    architecture: str = ""
    evidence: tuple[str, ...] = ()
    matched: int = 0
    missing: tuple[str, ...] = ()
    filled: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    origin: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A flat, finite, dense state dict and where it came from.

    Attributes
    ----------
    format: the container, as in the report.
    tensors: contiguous CPU tensors; floating-point ones are float32.
    metadata: strings from the header of a safetensors file; empty for other formats.
    key: content hash, independent of container, wrapper and order.
    """

    path: Path
    format: str
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    key: str
    report: LoadReport


@record
@dataclass(frozen=True, eq=False)
class LayerInspection:
    """One weight tensor: its shape and its zeros. `sparsity` = zeros / parameters."""

    name: str
    shape: tuple[int, ...]
    parameters: int
    zeros: int
    sparsity: float


@record
@dataclass(frozen=True, eq=False)
class Inspection:
    """What `espalier inspect` shows.

    Attributes
    ----------
    architecture: registry name, or "" when nothing is known but the weights.
    parameters: trainable numbers of the network (BatchNorm statistics not counted).
    sparsity: zeros over numbers, in the weights of `layers` taken together.
    layers: the prunable layers; without an architecture all `*.weight` of two or more dimensions.
    """

    format: str
    architecture: str
    parameters: int
    sparsity: float
    layers: tuple[LayerInspection, ...]
    report: LoadReport
