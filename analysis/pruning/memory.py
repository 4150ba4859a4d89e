"""How much memory a piece of work took at its peak."""

from __future__ import annotations

import sys
from types import TracebackType

import torch


class PeakMemory:
    """Context manager; afterwards `bytes` holds the growth of the peak.

    On CUDA: the allocator's peak above what was allocated at the start. On the CPU: growth of the
    process's peak resident size (`ru_maxrss`), all threads counted. That peak never falls, so
    work that fits under an earlier peak shows as 0: a lower bound, exact in a fresh process. 0
    where the system does not tell (Windows).
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
            self._before = _resident_peak()
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


def _resident_peak() -> int:
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
