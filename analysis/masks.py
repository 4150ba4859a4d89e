"""Bit-packed keep-masks: one bit a weight, in the dense layout."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from analysis.errors import ArgumentError
from analysis.records import record
from kernels import bitmask


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
        return cls(bitmask.pack(keep.detach().to("cpu", torch.bool)).numpy(), tuple(keep.shape))

    def keep(self) -> Tensor:
        """The boolean tensor in the dense shape; True = kept."""
        return bitmask.unpack(self.bits(), self.shape)

    def apply(self, tensor: Tensor) -> Tensor:
        """A new tensor on the device of `tensor`: its kept weights, and +0.0 for the others.

        Raises
        ------
        ArgumentError: the tensor has another shape than the mask.
        """
        if tuple(tensor.shape) != self.shape:
            raise ArgumentError(
                f"A mask of shape {self.shape} cannot be laid over a tensor of shape "
                f"{tuple(tensor.shape)}: it belongs to another layer."
            )
        return bitmask.apply(tensor, self.bits().to(tensor.device))

    def bits(self) -> Tensor:
        """`packed` as a tensor, for the kernels; shares its memory where that may be written."""
        return torch.from_numpy(self.packed if self.packed.flags.writeable else self.packed.copy())

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def kept(self) -> int:
        return bitmask.count(self.bits(), self.size)
