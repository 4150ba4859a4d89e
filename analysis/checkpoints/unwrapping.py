"""Find the state dict inside what was saved, and strip the prefixes that wrappers add.

Wrapper keys are tried in one documented order, averaged weights before raw ones (as timm does);
what was not taken stands in the report. Prefixes go only when every name has them, anchored at
the start: replacing a substring would corrupt names that contain it elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from analysis.errors import InputError

WRAPPERS = (
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema_model",
    "ema",
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "params",
    "weights",
    "module",
    "best",
    "last",
)
"""The order of choice when a file holds several state dicts."""
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "backbone.", "_forward_module.")
AVERAGED = "n_averaged"
"""A counter that `torch.optim.swa_utils.AveragedModel` saves beside the weights."""
DEPTH = 3


@dataclass(frozen=True)
class Unwrapped:
    """A flat dict of tensors and the way to it; `dropped` and `candidates` as in LoadReport."""

    tensors: dict[str, Tensor]
    wrapper: str
    prefixes: tuple[str, ...]
    candidates: tuple[str, ...]
    dropped: tuple[str, ...]


def unwrap(source: object, loaded: Any) -> Unwrapped:
    """The state dict in an unpickled object; InputError when there is none or only a guess."""
    if not isinstance(loaded, Mapping):
        problem = f"It holds a {type(loaded).__name__}, not a state dict."
        raise InputError(source, problem, "Save it with torch.save(model.state_dict(), FILE).")
    path, chosen, others = _choose(source, loaded)
    tensors = {k: v for k, v in chosen.items() if isinstance(k, str) and isinstance(v, Tensor)}
    dropped = [str(k) for k in chosen if not (isinstance(k, str) and k in tensors)]
    if AVERAGED in tensors:
        del tensors[AVERAGED]
        dropped.append(AVERAGED)
    tensors, prefixes = _strip(tensors)
    if not tensors:
        raise InputError(source, "It holds no tensors.", "Save a state dict.")
    return Unwrapped(tensors, ".".join(path), prefixes, tuple(others), tuple(dropped))


def _choose(
    source: object, loaded: Mapping[Any, Any]
) -> tuple[tuple[str, ...], Mapping[Any, Any], list[str]]:
    """Path to the state dict, the dict itself, and the paths of other candidates."""
    if _is_state_dict(loaded):
        return (), loaded, []
    found = _known(loaded, ()) or _other(loaded)
    if not found:
        tensors = sum(isinstance(value, Tensor) for value in loaded.values())
        if tensors:
            return (), loaded, []
        keys = ", ".join(sorted(map(str, loaded))[:8]) or "nothing"
        problem = f"It holds no state dict; its keys are {keys}."
        raise InputError(source, problem, "Save it with torch.save(model.state_dict(), FILE).")
    if len(found) > 1 and found[0][0][-1] not in WRAPPERS:
        names = ", ".join(".".join(path) for path, _ in found)
        problem = f"It holds several state dicts ({names}) and nothing says which is the network."
        raise InputError(source, problem, "Save the one you want into a file of its own.")
    path, chosen = found[0]
    return path, chosen, [".".join(other) for other, _ in found[1:]]


Found = list[tuple[tuple[str, ...], Mapping[Any, Any]]]


def _known(loaded: Mapping[Any, Any], path: tuple[str, ...]) -> Found:
    """State dicts under the wrapper keys, at most DEPTH levels down, in order of choice."""
    found: Found = []
    for key in WRAPPERS:
        value = loaded.get(key)
        if not isinstance(value, Mapping):
            continue
        if _is_state_dict(value):
            found.append(((*path, key), value))
        elif len(path) + 1 < DEPTH:
            found += _known(value, (*path, key))
    return found


def _other(loaded: Mapping[Any, Any]) -> Found:
    return [
        ((key,), value)
        for key, value in loaded.items()
        if isinstance(key, str) and isinstance(value, Mapping) and _is_state_dict(value)
    ]


def _is_state_dict(value: Mapping[Any, Any]) -> bool:
    """At least four of five entries are tensors under string names (the rule of Netron)."""
    tensors = sum(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items())
    return bool(value) and tensors >= 0.8 * len(value)


def _strip(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    stripped: list[str] = []
    while True:
        shared = [p for p in PREFIXES if all(n.startswith(p) and n != p for n in tensors)]
        if not tensors or not shared:
            return tensors, tuple(stripped)
        stripped.append(shared[0])
        tensors = {name[len(shared[0]) :]: tensor for name, tensor in tensors.items()}
