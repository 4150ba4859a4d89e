"""Read what `torch.save` wrote, as data only.

`torch.load(weights_only=True)` and nothing else: a file that needs more is refused with the names
of what it would import, and with the lines that convert it where its code is trusted.
"""

from __future__ import annotations

import io
import re
import warnings
from typing import Any

import torch

from analysis.checkpoints.containers import WHOLE, Container, check_zip
from analysis.checkpoints.pickles import foreign_names
from analysis.errors import InputError

CONVERT = (
    "In your own environment, where you trust the file: "
    'torch.save(torch.load(FILE, weights_only=False).state_dict(), "weights.pth").'
)
KEEP_TENSORS = (
    "In your own environment, where you trust the file, save the tensors alone: "
    "checkpoint = torch.load(FILE, weights_only=False); "
    'torch.save(checkpoint["state_dict"], "weights.pth").'
)


def load_torch(source: object, content: bytes, container: Container) -> Any:
    """The unpickled object: dicts, lists, numbers, strings and CPU tensors."""
    if container == "torch zip":
        check_zip(source, content)
    try:
        # Without the invariants, indices of sparse tensors would be trusted: memory corruption.
        checked = torch.sparse.check_sparse_tensor_invariants()  # type: ignore[no-untyped-call]
        with checked, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # sparse layouts are "in beta"; they become dense
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # hostile bytes may raise anything
        refusal = _refusal(source, content, container)
        if refusal is None:
            refusal = InputError(source, f"The {container} is damaged ({_reason(error)}).", WHOLE)
        raise refusal from error


def _reason(error: Exception) -> str:
    """The first line of torch's message, without its advice to load the file unsafely."""
    text = str(error).strip()
    found = re.search(r"WeightsUnpickler error: (.*)", text)
    if found or text.startswith("Weights only load failed"):
        text = found[1] if found else "its pickle is invalid"
    return text.partition("\n")[0][:200] or type(error).__name__


def _refusal(source: object, content: bytes, container: Container) -> InputError | None:
    """What to say about foreign code in the file; None when there is none."""
    try:
        names = foreign_names(container, content)
    except Exception:  # noqa: BLE001 - the archive itself is damaged
        return None
    if not names:
        return None
    listed = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    if any(name.startswith("torch.nn.modules.") for name in names):
        problem = (
            "This file holds a whole pickled module instead of a state dict; opening it would run "
            f"code. Nothing was run. It would import {listed}."
        )
        return InputError(source, problem, CONVERT)
    problem = (
        "Opening this file would import Python objects that are no tensors, which can run code. "
        f"Nothing was run. It would import {listed}."
    )
    return InputError(source, problem, KEEP_TENSORS)
