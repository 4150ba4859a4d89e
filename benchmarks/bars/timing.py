"""Wall time of a function, warmed up."""

from __future__ import annotations

import statistics
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
