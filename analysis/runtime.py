"""How the process waits and allocates: set once, before torch is imported.

Two defaults cost more than any kernel of ours (measured on 2 cores, docs/architecture.md):

- OpenMP threads spin while they wait for each other. As soon as anything else wants the cores
  (a window, another process) a forward pass becomes several times slower.
- glibc gives every activation back to the kernel and faults its pages in again for the next one.
"""

from __future__ import annotations

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MMAP_ABOVE = 1 << 28
"""Blocks above 256 MiB are still mapped and given back one by one: weights of large models."""
_TRIM_ABOVE = 1 << 29
"""Up to 512 MiB of freed memory stay with the process, to be used again at once."""


def prepare() -> None:
    """Let waiting threads sleep, and keep freed activations. What the user has set stays."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if sys.platform != "linux" or "MALLOC_TRIM_THRESHOLD_" in os.environ:
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # not glibc
        return
    mallopt(_M_MMAP_THRESHOLD, _MMAP_ABOVE)
    mallopt(_M_TRIM_THRESHOLD, _TRIM_ABOVE)
