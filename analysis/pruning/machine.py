"""How fast this machine runs networks: three numbers, measured once a process and device."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from analysis.pruning.latency import measure

CHANNELS, SIDE, IMAGES = 32, 16, 32
"""The layer that is timed: of the size of those in networks for small images."""


@dataclass(frozen=True)
class Speed:
    """What the time of a forward pass follows from.

    Attributes
    ----------
    macs: multiply-accumulates a second, in a 3 × 3 convolution.
    elements: outputs a second of modules that only touch them (BatchNorm, ReLU).
    call: seconds that one call of a module takes beyond its work.
    """

    macs: float
    elements: float
    call: float


@lru_cache(maxsize=8)
def machine_speed(device: str) -> Speed:
    """Measured in about a tenth of a second; the same numbers for the rest of the process."""
    with torch.device("meta"):  # no initialisation: it would draw from the caller's generator
        convolution = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
    convolution = convolution.to_empty(device=device)
    light = nn.Sequential(nn.BatchNorm2d(CHANNELS), nn.ReLU()).eval().to(device)
    with torch.no_grad():
        convolution.weight.fill_(0.5)
    images = torch.ones(IMAGES, CHANNELS, SIDE, SIDE, device=device)
    call = measure(light, images[:1, :, :1, :1], 20).median / 2
    outputs = images.numel()
    heavy = max(measure(convolution, images, 10).median - call, 1e-9)
    touching = max(measure(light, images, 10).median - 2 * call, 1e-9)
    return Speed(outputs * CHANNELS * 9 / heavy, 2 * outputs / touching, call)


def free_memory(device: str) -> int:
    """Bytes that can still be taken on the device: of the GPU, or of the machine's memory."""
    if torch.device(device).type == "cuda":
        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    if sys.platform == "win32":
        return _windows()
    information = Path("/proc/meminfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    # macOS does not tell what is available: half of what there is.
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _windows() -> int:
    import ctypes

    class Status(ctypes.Structure):
        _fields_ = [
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "free", "a", "b", "c", "d", "e")),
        ]

    status = Status()
    status.length = ctypes.sizeof(Status)
    ctypes.WinDLL("kernel32").GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined,unused-ignore]
    return int(status.free)
