"""How the hot loops are compiled: without the GIL, in parallel, cached on disk where possible.

The cache of a function is renewed when its own file changes, but not when only a function that it
calls from another file does: after such a change, delete `kernels/cpu/__pycache__`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")


def parallel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function whose `prange` loops run on all of numba's threads."""
    return _compiled(function, parallel=True)


def serial(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that runs on one thread, usually within a parallel one."""
    return _compiled(function, parallel=False)


def _compiled(function: Callable[P, R], parallel: bool) -> Callable[P, R]:
    try:
        return numba.njit(cache=True, nogil=True, parallel=parallel)(function)
    except RuntimeError:  # "no locator available": no writable place for the cache
        return numba.njit(nogil=True, parallel=parallel)(function)
