"""Where to compute, and the one place where running out of memory is handled."""

from __future__ import annotations

import dataclasses
import gc
from typing import TypeVar

import torch

from analysis.errors import ArgumentError
from analysis.request import Compute, Report, Request, Step, silent

R = TypeVar("R")


def default_device() -> str:
    """ "cuda" when a CUDA device can be used, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def resolve_device(name: str) -> str:
    """Device for `--device auto|cpu|cuda`; ArgumentError when it is unknown or not there."""
    if name == "auto":
        return default_device()
    try:
        kind = torch.device(name).type
    except RuntimeError as error:
        raise ArgumentError(f"{name!r} is no device; use auto, cpu or cuda.") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise ArgumentError("There is no usable CUDA device here; use --device cpu.")
    if kind not in ("cpu", "cuda"):
        raise ArgumentError(f"{name!r} is not supported; use auto, cpu or cuda.")
    return name


def careful(request: Request[R], report: Report = silent) -> R:
    """Run a request; out of memory, halve its batch, then fall back to the CPU, saying so.

    Requests without a `compute` field and CPU jobs with batches of one let the error through.
    """
    while True:
        try:
            return request(report)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            smaller = _smaller(request)
            if smaller is None:
                raise
        # Outside the handler: the traceback would keep the failed attempt's tensors alive.
        request, message = smaller
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        report(Step(0, 1, message))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether CUDA or the CPU ran out of memory (torch reports the latter as a RuntimeError)."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error)
    return "DefaultCPUAllocator" in text and "memory" in text


def _smaller(request: Request[R]) -> tuple[Request[R], str] | None:
    """The request in smaller portions and what to tell the user, or None when there are none."""
    compute = getattr(request, "compute", None)
    if not isinstance(compute, Compute):
        return None
    if compute.batch_size > 1:
        size = compute.batch_size // 2
        less = dataclasses.replace(compute, batch_size=size)
        message = f"Out of memory on {compute.device}: again in batches of {size}"
    elif compute.device != "cpu":
        less = Compute("cpu", Compute().batch_size)
        message = f"Out of memory on {compute.device}: again on the CPU"
    else:
        return None
    return dataclasses.replace(request, compute=less), message  # type: ignore[call-arg]
