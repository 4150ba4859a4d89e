"""Selection within rows: in each row of a matrix its own number of smallest scores.

That is how Wanda compares weights (Sun et al. 2023, arXiv:2306.11695): within one output row, the
first of a stable ascending sort go. Ties go by column, -inf has to go in any case, NaN is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from kernels.paths import fast
from kernels.select import NAN_REFUSED, READ_AS_BITS


def k_smallest_rows(scores: Tensor, counts: Sequence[int]) -> Tensor:
    """Choose in each row its own number of smallest entries; ties go by column.

    Parameters
    ----------
    scores: (rows, columns), floating point.
    counts: one number a row, 0 <= count <= columns.

    Returns
    -------
    Boolean (rows, columns); True = chosen.

    Raises
    ------
    ValueError: the counts do not fit the scores, or a score is NaN.
    """
    wanted = _fitting(scores, counts)
    module = fast("rows", scores) if scores.dtype in READ_AS_BITS else None
    if module is None or not scores.numel():
        return k_smallest_rows_reference(scores, counts)
    chosen: Tensor = module.k_smallest_rows(scores.detach(), wanted)
    return chosen


def k_smallest_rows_reference(scores: Tensor, counts: Sequence[int]) -> Tensor:
    """`k_smallest_rows` as a stable sort of every row; any device."""
    wanted = _fitting(scores, counts)
    if bool(torch.isnan(scores).any()):
        raise ValueError(NAN_REFUSED)
    order = torch.sort(scores.detach(), dim=1, stable=True).indices
    limit = torch.from_numpy(wanted).to(scores.device).reshape(-1, 1)
    first = torch.arange(scores.shape[1], device=scores.device) < limit
    return torch.zeros_like(first).scatter_(1, order, first)


def _fitting(scores: Tensor, counts: Sequence[int]) -> np.ndarray:
    """The counts as int64, one a row."""
    wanted = np.asarray(counts, dtype=np.int64)
    if scores.ndim != 2 or wanted.shape != (scores.shape[0],):
        raise ValueError(f"{wanted.shape} counts do not fit scores of shape {tuple(scores.shape)}")
    if wanted.size and (wanted.min() < 0 or wanted.max() > scores.shape[1]):
        worst = int(wanted.min() if wanted.min() < 0 else wanted.max())
        raise ValueError(f"cannot choose {worst} of {scores.shape[1]} in a row")
    return wanted
