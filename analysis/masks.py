"""Bit-packed keep-masks: one bit a weight, in the dense layout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from analysis.records import record


@record
@dataclass(frozen=True, eq=False)
class Mask:
    """Which weights of one tensor are kept.

    Attributes
    ----------
    packed: uint8, ceil(n / 8) bytes, row-major bits, least significant bit first; 1 = kept.
    shape: shape of the dense tensor.
    """

    packed: np.ndarray
    shape: tuple[int, ...]

    @classmethod
    def from_keep(cls, keep: Tensor) -> Mask:
        """Pack a boolean tensor (True = kept)."""
        bits = keep.detach().to("cpu", torch.bool).contiguous().numpy()
        return cls(np.packbits(bits.reshape(-1), bitorder="little"), tuple(bits.shape))

    def keep(self) -> Tensor:
        """The boolean tensor in the dense shape; True = kept."""
        count = int(np.prod(self.shape))
        bits = np.unpackbits(self.packed, count=count, bitorder="little")
        return torch.from_numpy(bits.reshape(self.shape).astype(bool))

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def kept(self) -> int:
        return int(np.unpackbits(self.packed, count=self.size, bitorder="little").sum(dtype=int))
