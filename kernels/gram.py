"""Gram matrices XᵀX of layer inputs, summed batch by batch.

The Gram matrix is symmetric, so only the blocks on and above the diagonal are multiplied, each by
BLAS (torch addmm), and mirrored once: about half the work of one full product, on the CPU and on a
GPU, without a copy of X. Measured on 2 cores (2048 x 4096): 212 ms against 360 ms for the full
product; a loop of our own could not come near BLAS, so there is none.

TensorFloat-32 is kept off: Hessians made from it are no longer positive definite.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional

_PANEL = 256
"""Width of the column panels: the waste on the diagonal is small, and BLAS still runs at speed."""
_PORTION = 1 << 24
"""Elements that are converted or unfolded at a time: 64 MiB of float32."""

Pair = int | Sequence[int]


def add_gram(gram: Tensor, rows: Tensor) -> None:
    """Add XᵀX of the rows to `gram`, in place.

    Parameters
    ----------
    gram: (d, d) float32 or float64, symmetric.
    rows: (t, d) floating point of any type and strides, finite. What has another type than `gram`
        is converted in portions.

    Raises
    ------
    ValueError: the shapes or types do not fit, or an input is not finite.
    """
    _check(gram, rows, (rows.shape[-1], rows.shape[-1]) if rows.ndim == 2 else ())
    with exact_float32():
        for part in torch.split(rows.detach(), max(1, _PORTION // max(1, rows.shape[1]))):
            _add_upper(gram, part.to(gram.dtype))
    _mirror(gram)


def add_gram_reference(gram: Tensor, rows: Tensor) -> None:
    """`add_gram` as one product."""
    _check(gram, rows, (rows.shape[-1], rows.shape[-1]) if rows.ndim == 2 else ())
    with exact_float32():
        gram += rows.detach().to(gram.dtype).T @ rows.detach().to(gram.dtype)


def unfolded_gram(
    x: Tensor,
    kernel: Pair,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """Gram matrix of the patches that a two-dimensional convolution multiplies its weights with.

    Parameters
    ----------
    x: (n, c, h, w) inputs of the layer, finite; unfolded in portions of images.
    kernel, stride, padding, dilation, groups: as in `torch.nn.Conv2d` (zeros are padded; for
        another padding mode pad `x` first).

    Returns
    -------
    (groups, d, d) with d = c / groups * kernel height * kernel width, in the order of
    `weight.reshape(out, d)`: float64 for float64 inputs, else float32.

    Raises
    ------
    ValueError: the sizes do not fit each other, or an input is not finite.
    """
    if x.ndim != 4 or groups < 1 or x.shape[1] % groups:
        raise ValueError(f"inputs {tuple(x.shape)} are no (n, c, h, w) with c in {groups} groups")
    high, wide = _pair(kernel)
    size = x.shape[1] // groups * high * wide
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    grams = torch.zeros(groups, size, size, dtype=dtype, device=x.device)
    images = x.detach()
    _check(grams[0], images, (size, size))
    together = max(1, _PORTION // max(1, images[:1].numel() * high * wide))
    with exact_float32():
        for part in torch.split(images, together):
            padded = _padded(part.to(dtype), (high, wide), padding, _pair(dilation))
            patches = _patches(padded, (high, wide), _pair(stride), _pair(dilation))
            rows = patches.reshape(groups, size, -1)
            if groups == 1:
                _add_upper(grams[0], rows[0].T)
            else:
                grams.baddbmm_(rows, rows.mT)
    for gram in grams:
        _mirror(gram)
    return grams


@contextmanager
def exact_float32() -> Iterator[None]:
    """Float32 products in float32 (no TensorFloat-32, no bfloat16); what was set comes back."""
    places = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)  # type: ignore[attr-defined]
    before = [place.fp32_precision for place in places]
    try:
        for place in places:
            place.fp32_precision = "ieee"
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.fp32_precision = value


def check_finite(values: Tensor, what: str) -> None:
    """Raise ValueError when an entry is NaN or infinite; makes no copy."""
    if values.numel():
        low, high = values.aminmax()
        if not bool(torch.isfinite(low) & torch.isfinite(high)):
            raise ValueError(f"{what} hold NaN or infinite values: they cannot be used")


def _check(gram: Tensor, rows: Tensor, shape: tuple[int, ...]) -> None:
    if gram.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"a Gram matrix is summed in float32 or float64, not {gram.dtype}")
    if not rows.is_floating_point() or tuple(gram.shape) != shape:
        raise ValueError(
            f"rows {tuple(rows.shape)} ({rows.dtype}) do not fit a Gram matrix of shape "
            f"{tuple(gram.shape)}"
        )
    check_finite(rows, "the inputs of the layer")


def _add_upper(gram: Tensor, rows: Tensor) -> None:
    """Add XᵀX to the panels on and above the diagonal."""
    for start in range(0, gram.shape[0], _PANEL):
        panel = rows[:, start : start + _PANEL].T
        gram[start : start + _PANEL, start:].addmm_(panel, rows[:, start:])


def _mirror(gram: Tensor) -> None:
    """Copy what stands above the diagonal below it."""
    for start in range(0, gram.shape[0], _PANEL):
        stop = min(start + _PANEL, gram.shape[0])
        gram[stop:, start:stop] = gram[start:stop, stop:].T
        square = gram[start:stop, start:stop]
        square.copy_(square.triu() + square.triu(1).T)


def _padded(
    images: Tensor, kernel: tuple[int, int], padding: Pair | str, dilation: tuple[int, int]
) -> Tensor:
    if padding == "valid":
        return images
    if padding == "same":  # as torch: what is left over of an odd total goes to the far side
        totals = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        (top, bottom), (left, right) = [(t // 2, t - t // 2) for t in totals]
        return functional.pad(images, (left, right, top, bottom))
    if isinstance(padding, str):
        raise ValueError(f"padding {padding!r} is unknown: give numbers, 'same' or 'valid'")
    high, wide = _pair(padding)
    return functional.pad(images, (wide, wide, high, high))


def _patches(
    images: Tensor, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> Tensor:
    """All windows as a view (c, kernel height, kernel width, n, out height, out width)."""
    n, channels = images.shape[:2]
    out = [
        (size - d * (k - 1) - 1) // s + 1
        for size, k, s, d in zip(images.shape[2:], kernel, stride, dilation, strict=True)
    ]
    if min(out) < 1:
        raise ValueError(f"a kernel {kernel} does not fit into images {tuple(images.shape[2:])}")
    by_n, by_c, by_h, by_w = images.stride()
    return images.as_strided(
        (channels, *kernel, n, *out),
        (by_c, by_h * dilation[0], by_w * dilation[1], by_n, by_h * stride[0], by_w * stride[1]),
        images.storage_offset(),
    )


def _pair(value: Pair) -> tuple[int, int]:
    first, second = (value, value) if isinstance(value, int) else value
    return first, second
