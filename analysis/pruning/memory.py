"""How much memory a piece of work took at its peak."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from types import TracebackType

import torch


class PeakMemory:
    """Context manager; afterwards `bytes` holds the growth of the peak.

    On CUDA: the allocator's peak above what was allocated at the start. On the CPU: how far the
    process's resident size rose above where it was, all threads counted. Linux lets a process
    reset its peak; elsewhere the peak never falls, so work that fits under an earlier one shows
    as 0: a lower bound, exact in a fresh process. 0 where the system does not tell (Windows).
    """

    def __init__(self, device: str) -> None:
        self._cuda = torch.device(device) if device.startswith("cuda") else None
        self._before = 0
        self.bytes = 0

    def __enter__(self) -> PeakMemory:
        if self._cuda is not None:
            torch.cuda.reset_peak_memory_stats(self._cuda)
            self._before = torch.cuda.memory_allocated(self._cuda)
        else:
            self._before = _start_again()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._cuda is not None:
            after = torch.cuda.max_memory_allocated(self._cuda)
        else:
            after = _resident_peak()
        self.bytes = max(0, after - self._before)


def _start_again() -> int:
    """Reset the peak to what is resident now, where that is possible, and return it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _resident_peak()


def _resident_peak() -> int:
    if sys.platform == "win32":
        return 0
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
