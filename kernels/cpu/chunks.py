"""Many tensors as one table of chunks, so that one parallel loop reads them all without joining.

Half types are read as their bits (int16), float32 as int32. An ordered integer, the key, stands
for a value: keys compare as the values do, and both zeros have the key 0, as they are equal.

    magnitude   key = the bits without the sign
    signed      the same, negated for negative values
    identity    the array holds keys already
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numba import types
from numba.extending import intrinsic, overload
from torch import Tensor

CHUNK = 1 << 16
"""Values a chunk: 256 KiB of float32, so that what a pass looks at twice is still in the cache."""

LINE = 16
"""Values that are sampled together: a cache line of float32."""


class Magnitudes(NamedTuple):
    """Which bits of a value are its key, and the largest key that is no NaN."""

    bits: np.int32
    largest: np.int32


class Signed(NamedTuple):
    """The same for keys with a sign; `signs` is -1, or 0 where the values are keys already."""

    bits: np.int32
    largest: np.int32
    signs: np.int32


Keys = Magnitudes | Signed
"""A type each, so that what reads magnitudes is compiled without a thought of signs."""

IDENTITY = Signed(np.int32(-1), np.int32(2**31 - 1), np.int32(0))

_BITS = {torch.float32: torch.int32, torch.bfloat16: torch.int16, torch.float16: torch.int16}
_LARGEST = {torch.float32: 0x7F800000, torch.bfloat16: 0x7F80, torch.float16: 0x7C00}


class Chunks(NamedTuple):
    """Where the chunks lie. Whoever holds the table holds the tensors too: it does not.

    Attributes
    ----------
    addresses, lengths: int64, one a chunk, in the order of the tensors.
    like: an empty array of the integer type that is read.
    """

    addresses: np.ndarray
    lengths: np.ndarray
    like: np.ndarray


def keys_of(dtype: torch.dtype, magnitude: bool) -> Keys:
    """Keys of magnitudes or of signed values of a floating type of 16 or 32 bits."""
    bits = 0x7FFFFFFF if dtype == torch.float32 else 0x7FFF
    found = Magnitudes(np.int32(bits), np.int32(_LARGEST[dtype]))
    return found if magnitude else Signed(*found, np.int32(-1))


def value_of(key: int, dtype: torch.dtype) -> float:
    """The value that has this key."""
    magnitude = torch.tensor([abs(key)], dtype=_BITS[dtype]).view(dtype)
    return float(-magnitude if key < 0 else magnitude)


def key_of(value: float, dtype: torch.dtype) -> int:
    """Key of a value that the type holds exactly."""
    magnitude = torch.tensor([abs(value)], dtype=dtype).view(_BITS[dtype])
    return int(-magnitude if value < 0 else magnitude)


def bits_of(tensor: Tensor) -> np.ndarray:
    """A contiguous CPU tensor of a type that is read here, as integers in the same memory."""
    return tensor.detach().view(_BITS[tensor.dtype]).numpy()


def readable(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors in one type that is read here, contiguous; copied only where they are not.

    Halves of one type stay as they are; several types become float32, which holds them exactly.
    """
    found = {tensor.dtype for tensor in tensors}
    dtype = found.pop() if len(found) == 1 else torch.float32
    return [tensor.detach().to(dtype).contiguous() for tensor in tensors]


def chunks_of(tensors: Sequence[Tensor]) -> Chunks:
    """The table of `readable` tensors."""
    dtype = tensors[0].dtype if tensors else torch.float32
    like = np.empty(0, np.int32 if dtype == torch.float32 else np.int16)
    addresses, lengths = [], []
    for tensor in tensors:
        first, count = tensor.data_ptr(), tensor.numel()
        for start in range(0, count, CHUNK):
            addresses.append(first + start * like.itemsize)
            lengths.append(min(CHUNK, count - start))
    return Chunks(np.array(addresses, np.int64), np.array(lengths, np.int64), like)


def chunks_of_keys(keys: np.ndarray) -> Chunks:
    """The table of one contiguous int32 array of keys."""
    starts = np.arange(0, keys.size, CHUNK, dtype=np.int64)
    lengths = np.minimum(CHUNK, keys.size - starts)
    return Chunks(keys.ctypes.data + 4 * starts, lengths, np.empty(0, np.int32))


def key_at(values: Any, i: Any, keys: Any) -> Any:
    """In compiled code: the int32 key of entry i."""
    raise NotImplementedError("keys are read in compiled code only")


def _magnitude_at(values: Any, i: Any, keys: Any) -> Any:
    return np.int32(values[i] & keys.bits)


def _signed_at(values: Any, i: Any, keys: Any) -> Any:
    magnitude = np.int32(values[i] & keys.bits)
    sign = np.int32(np.int32(np.int32(values[i]) >> np.int32(31)) & keys.signs)
    return np.int32(np.int32(magnitude ^ sign) - sign)


@overload(key_at)
def _key_at(values: Any, i: Any, keys: Any) -> Any:
    return _magnitude_at if keys.instance_class is Magnitudes else _signed_at


@intrinsic  # type: ignore[untyped-decorator,unused-ignore]
def _as_pointer(typing: Any, address: Any, like: Any) -> Any:
    signature = types.CPointer(like.dtype)(types.intp, like)  # type: ignore[no-untyped-call]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = context.get_value_type(signature.return_type)
        return builder.inttoptr(arguments[0], kind)

    return signature, generate


pointer: Any = _as_pointer
"""In compiled code, `pointer(address, like)`: a pointer to the type of an array, for `carray`."""
