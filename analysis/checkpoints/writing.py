"""Write a pruned model for other programs: safetensors with the zeros in place, and a JSON file.

The safetensors file is complete by itself: `load_state_dict` of the dense architecture takes it,
and its header repeats the JSON sidecar, so either file tells how the model was made.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import safetensors.torch

from analysis.checkpoints.files import write_whole
from analysis.checkpoints.opening import METADATA_KEY
from analysis.checkpoints.reading import content_key
from analysis.errors import ArgumentError, InputError
from analysis.models import Model

SCHEMA = 1
LIBRARIES = ("espalier", "torch", "numpy", "safetensors")


def write_pruned(model: Model, path: str | Path, extra: Mapping[str, Any]) -> Path:
    """Write the masked state dict to `path` and its description to `path` + ".json".

    `extra` is any JSON mapping (accuracies, audit); it stands under "extra". Each file is written
    whole or not at all, the tensors last. Returns the path of the safetensors file. Raises
    InputError when it cannot be written, ArgumentError when `extra` is no JSON.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(path, "This is a folder.", "Name a file, as in pruned.safetensors.")
    # Tied tensors would be refused by safetensors, so each name gets numbers of its own.
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    description = describe(model, extra) | {"tensors": content_key(tensors)}
    metadata = {
        "format": "pt",
        "architecture": model.architecture.spec,
        "num_classes": str(model.num_classes),
        "classes": json.dumps(model.classes),
        METADATA_KEY: json.dumps(description, sort_keys=True),
    }
    sidecar = json.dumps(description, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    write_whole(path.with_name(f"{path.name}.json"), sidecar.encode())
    write_whole(path, safetensors.torch.save(tensors, metadata))
    return path


def describe(model: Model, extra: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON description of a model: what it is, how it was made, and with which versions."""
    origin = model.origin
    description = {
        "schema": SCHEMA,
        "name": model.name,
        "key": model.key,
        "architecture": model.architecture.name,
        "num_classes": model.num_classes,
        "base": origin.base if origin else "",
        "base_source": model.source,
        "recipe": dict(origin.recipe) if origin else None,
        "requested_sparsity": origin.sparsity if origin else None,
        "sparsity": model.sparsity,
        "zeros": sum(model.zeros.values()),
        "prunable": sum(layer.parameters for layer in model.layers),
        "seed": origin.seed if origin else None,
        "calibration": origin.calibration if origin else "",
        "versions": _versions(),
        "extra": dict(extra),
    }
    try:
        plain: dict[str, Any] = json.loads(json.dumps(description, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"the extra entries are no JSON: {error}") from error
    return plain


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:  # running from a source tree
            found[library] = ""
    return found
