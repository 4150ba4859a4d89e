"""Global magnitude selection against torch's own pruning, and against one read of the weights."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from benchmarks.bars.bar import Bar
from benchmarks.bars.timing import median_ms
from kernels.select import keep_masks, kth_magnitude

_LAYERS = 50
_SPARSITY = 0.8
_CHUNK = 1 << 16

_MEASURED = """
from pathlib import Path
from benchmarks.bars.selection import layers, pruned_by_torch
from kernels.select import keep_masks
small = layers(2_000_000)
keep_masks(small, 1_600_000); pruned_by_torch(small)
weights = layers({count})
status = lambda name: int(Path("/proc/self/status").read_text().split(name + ":")[1].split()[0])
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
kept = {work}
print((status("VmHWM") - before) / 1024)
"""
"""The peak is reset first: that of compiling would hide what the work adds. Linux only."""


def layers(count: int) -> list[Tensor]:
    """Normal weights in 50 layers, each of its own scale, as layers of several widths have."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(count // _LAYERS, generator=generator).mul_(0.02 + 0.001 * i)
        for i in range(_LAYERS)
    ]


class _Layer(nn.Module):
    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)


def pruned_by_torch(weights: list[Tensor]) -> None:
    """`torch.nn.utils.prune.global_unstructured` by magnitude."""
    modules = [(_Layer(weight), "weight") for weight in weights]
    prune.global_unstructured(modules, prune.L1Unstructured, amount=_SPARSITY)


@numba.njit(parallel=True, nogil=True)
def _read(values: np.ndarray) -> np.ndarray:
    """Every value once, in parallel and by vectors."""
    sums = np.zeros(values.size // _CHUNK, np.int32)
    for c in numba.prange(sums.size):
        block, total = values[c * _CHUNK : (c + 1) * _CHUNK], np.int32(0)
        for i in range(block.size):
            total = np.int32(total ^ block[i])
        sums[c] = total
    return sums


def _once_ms(function: Callable[[], Any]) -> float:
    started = time.perf_counter()
    function()
    return 1000 * (time.perf_counter() - started)


def _floor_ms(weights: list[Tensor]) -> float:
    """The faster of two ways to read as many weights once, from one piece."""
    joined = torch.cat(weights)
    bits = joined.view(torch.int32).numpy()
    return min(median_ms(joined.sum, 15), median_ms(lambda: _read(bits), 15))


def _at(count: int, peer_runs: int) -> list[Bar]:
    weights, k = layers(count), round(_SPARSITY * count)
    size = f"{count // 10**6} M float32 in {_LAYERS} layers, {_SPARSITY:.0%}"
    floor = _floor_ms(weights)
    threshold = median_ms(lambda: kth_magnitude(weights, k), 15)
    masks = median_ms(lambda: keep_masks(weights, k), 7)
    if peer_runs == 1:
        theirs, note = _once_ms(lambda: pruned_by_torch(weights)), "peer: one run"
    else:
        theirs, note = median_ms(lambda: pruned_by_torch(weights), peer_runs), ""
    peer = "torch.nn.utils.prune.global_unstructured"
    return [
        Bar(f"global magnitude threshold, {size}", peer, threshold, theirs, 150, note=note),
        Bar(f"the same with packed masks, {size}", peer, masks, theirs, 50, note=note),
        Bar(f"the threshold, {size}", "floor: one parallel read", threshold, floor, 0.5),
    ]


def _extra_mib(count: int, work: str) -> float:
    """By how much the resident size peaks above what it was before `work`."""
    source = _MEASURED.format(count=count, work=work)
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def _memory(count: int) -> Bar:
    ours = _extra_mib(count, f"keep_masks(weights, {round(_SPARSITY * count)})")
    theirs = _extra_mib(count, "pruned_by_torch(weights)")
    what = f"extra memory of threshold and packed masks, {count // 10**6} M float32"
    return Bar(what, "global_unstructured", ours, theirs, 40, unit="MiB")


def rows() -> list[Bar]:
    """Bars of `kernels.select`."""
    return [*_at(25_000_000, 3), *_at(100_000_000, 1), _memory(25_000_000)]
