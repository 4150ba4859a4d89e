"""Out of memory: smaller batches, then the CPU, and said aloud."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from analysis.devices import careful, default_device, is_out_of_memory, resolve_device
from analysis.errors import ArgumentError
from analysis.request import Compute, Report, Request, Step, compute_field, silent
from tests.analysis.small_models import small_model


@dataclass(frozen=True, eq=False)
class Hungry(Request[tuple[str, int]]):
    """Fits only in batches of `fits` on the GPU and `fits_cpu` on the CPU."""

    fits: int
    fits_cpu: int
    compute: Compute = compute_field()

    def __call__(self, report: Report = silent) -> tuple[str, int]:
        limit = self.fits_cpu if self.compute.device == "cpu" else self.fits
        if self.compute.batch_size > limit:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self.compute.device, self.compute.batch_size


@dataclass(frozen=True, eq=False)
class Failing(Request[None]):
    error: str

    def __call__(self, report: Report = silent) -> None:
        raise RuntimeError(self.error)


def test_the_batch_is_halved_until_it_fits() -> None:
    steps: list[Step] = []
    assert careful(Hungry(13, 13, Compute("cuda", 100)), steps.append) == ("cuda", 12)
    assert [s.message for s in steps] == [
        "Out of memory on cuda: again in batches of 50",
        "Out of memory on cuda: again in batches of 25",
        "Out of memory on cuda: again in batches of 12",
    ]


def test_then_the_cpu_is_tried() -> None:
    steps: list[Step] = []
    assert careful(Hungry(0, 100, Compute("cuda", 2)), steps.append) == ("cpu", 100)
    assert steps[-1].message == "Out of memory on cuda: again on the CPU"


def test_what_never_fits_ends() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        careful(Hungry(0, 0, Compute("cuda", 4)))


def test_other_errors_pass_and_so_do_requests_without_compute() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        careful(Failing("shapes do not match"))
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
        careful(Failing("DefaultCPUAllocator: not enough memory: you tried to allocate"))


def test_torch_running_out_of_cpu_memory_is_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def test_device_names() -> None:
    assert resolve_device("auto") == default_device()
    assert resolve_device("cpu") == "cpu"
    for name in ("gpu", "tpu9", "mps", *([] if torch.cuda.is_available() else ["cuda"])):
        with pytest.raises(ArgumentError):
            resolve_device(name)


def test_a_device_computes_in_full_float32() -> None:
    before = torch.backends.cudnn.allow_tf32
    try:
        torch.backends.cudnn.allow_tf32 = True
        small_model().module("meta")
        assert not torch.backends.cudnn.allow_tf32
    finally:
        torch.backends.cudnn.allow_tf32 = before
