"""Which implementation of an operation runs: decided here, by where its tensors are.

    kernels/nm.py         the contract, and the reference in plain torch (the specification)
    kernels/cpu/nm.py     numba, parallel, for tensors on the CPU
    kernels/cuda/nm.py    Triton, for tensors on a CUDA device

Only the public function of an operation chooses; tests call all three and compare them.
"""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from types import ModuleType

from torch import Tensor


def fast(operation: str, *tensors: Tensor) -> ModuleType | None:
    """The module with the fast path for where `tensors` are; None when the reference has to do.

    Raises ValueError when the tensors are on several devices.
    """
    kinds = {tensor.device.type for tensor in tensors}
    if len(kinds) > 1:
        raise ValueError(f"the tensors are on several devices: {', '.join(sorted(kinds))}")
    kind = kinds.pop() if kinds else "cpu"
    if kind == "cpu":
        return importlib.import_module(f"kernels.cpu.{operation}")
    if kind == "cuda" and has_triton():
        return importlib.import_module(f"kernels.cuda.{operation}")
    return None


@cache
def has_triton() -> bool:
    """Whether Triton can be imported here (it comes with CUDA builds of torch on Linux)."""
    return importlib.util.find_spec("triton") is not None
