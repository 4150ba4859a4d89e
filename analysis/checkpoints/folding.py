"""Bring the tensors of a file to one form: masks multiplied in, dense, float32, finite."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor

from analysis.errors import InputError

LARGE = 1 << 30
EXPANSION = 100
"""A state dict may unfold to 1 GiB, or to 100 times the size of its file if that is more."""
MASKED = re.compile(r"(?P<stem>.*)_orig")
PARAMETRISED = re.compile(r"(?P<module>.*?)parametrizations\.(?P<leaf>[^.]+)\.original")


def check_size(source: object, tensors: Mapping[str, Tensor], file_size: int) -> None:
    """InputError for tensors that are no plain numbers in memory or absurdly large when dense."""
    total = 0
    for name, tensor in tensors.items():
        if tensor.device.type != "cpu" or tensor.is_nested or tensor.is_quantized:
            kind = "quantised" if tensor.is_quantized else "without data or nested"
            raise InputError(source, f"{name!r} is {kind}.", "Save dense floating-point weights.")
        if tensor.is_complex():
            raise InputError(source, f"{name!r} is complex.", "Save real weights.")
        total += tensor.numel() * tensor.element_size()
    if total > max(LARGE, EXPANSION * file_size):
        problem = f"Its shapes claim {total:,} bytes, in a file of {file_size:,}."
        raise InputError(source, problem, "This cannot be a real checkpoint.")


def plain_tensors(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Contiguous, detached, dense tensors, floating-point ones float32; and what was converted."""
    converted: Counter[str] = Counter()
    plain = {}
    for name, tensor in tensors.items():
        value = tensor.detach()
        if value.layout != torch.strided:
            converted[f"sparse ({str(value.layout).removeprefix('torch.')}) to dense"] += 1
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # CSR is "in beta"
                value = value.to_dense()
        if value.is_floating_point() and value.dtype != torch.float32:
            converted[f"{str(value.dtype).removeprefix('torch.')} to float32"] += 1
            value = value.to(torch.float32)
        plain[name] = value.contiguous()
    notes = (f"{count} tensors from {what}" for what, count in sorted(converted.items()))
    return plain, tuple(notes)


def fold_masks(
    source: object, tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Multiply masks into their weights; returns the tensors and the folded names.

    `X_orig` and `X_mask` (torch.nn.utils.prune) become X; `parametrizations.X.original` with
    `parametrizations.X.0.mask` (torch.ao.pruning) becomes X, without a mask when none was saved.
    """
    folded, used = {}, set()
    for name in tensors:
        target, mask = _mask_of(name, tensors)
        if target and target not in tensors:
            folded[target] = _masked(source, target, tensors[name], mask and tensors[mask])
            used |= {name, mask}
    kept = {name: tensor for name, tensor in tensors.items() if name not in used}
    return kept | folded, tuple(folded)


def check_finite(source: object, tensors: Mapping[str, Tensor]) -> None:
    """InputError naming the tensors with NaN or infinite entries, and how many."""
    bad = []
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            nans, infs = int(tensor.isnan().sum()), int(tensor.isinf().sum())
            counts = [f"{n:,} {what}" for n, what in ((nans, "NaN"), (infs, "infinite")) if n]
            bad.append(f"{name} ({' and '.join(counts)} of {tensor.numel():,})")
    if bad:
        listed = ", ".join(bad[:8]) + (f" and {len(bad) - 8} more tensors" if len(bad) > 8 else "")
        problem = f"{len(bad)} of its tensors hold values that are no numbers: {listed}."
        raise InputError(source, problem, "Use a checkpoint from before the training diverged.")


def _mask_of(name: str, tensors: Mapping[str, Tensor]) -> tuple[str, str]:
    """Where `name` folds to ("" for nowhere) and the name of its mask ("" for none)."""
    if (found := MASKED.fullmatch(name)) and f"{found['stem']}_mask" in tensors:
        return found["stem"], f"{found['stem']}_mask"
    if found := PARAMETRISED.fullmatch(name):
        mask = f"{found['module']}parametrizations.{found['leaf']}.0.mask"
        return found["module"] + found["leaf"], mask if mask in tensors else ""
    return "", ""


def _masked(source: object, target: str, weight: Tensor, mask: Tensor | str) -> Tensor:
    if isinstance(mask, str):
        return weight
    if mask.shape != weight.shape:
        problem = f"The mask of {target!r} has the shape {tuple(mask.shape)}, "
        raise InputError(source, f"{problem}its weight {tuple(weight.shape)}.", "")
    return weight * (mask != 0)
