"""Wall time of a function, warmed up, and memory of a function in a process of its own."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any


def median_ms(function: Callable[[], Any], repeats: int = 5) -> float:
    """Median over `repeats` runs after one warm-up, in milliseconds."""
    function()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def extra_mib(setup: str, work: str) -> float:
    """Growth of the peak resident size (MiB) that `work` causes after `setup`, both Python source.

    Runs in a fresh interpreter: a peak never falls, so earlier work would hide it.
    """
    source = (
        f"import resource\n{setup}\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"{work}\n"
        "after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print((after - before) / 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])
