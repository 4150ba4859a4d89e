"""Trace which channels of a network belong together: the only place that knows torch-pruning.

Run as a program (`python -m analysis.pruning.tracing`) it reads the description of an
architecture from stdin and writes what it found to stdout, as JSON. It runs in a process of its
own because tracing is somebody else's code with known endless loops and memory blow-ups (issues
#474, #525, #527 of Torch-Pruning): `dependencies` gives it limits and kills it.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from analysis.architectures.architecture import Architecture
from analysis.architectures.registry import from_spec

MEMORY = 8 << 30
"""Bytes that tracing may map beyond what the libraries map themselves."""


def random_module(architecture: Architecture, dtype: torch.dtype, seed: int = 0) -> nn.Module:
    """The network with random weights that let signals through; no global generator is used."""
    generator = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        module = architecture.build(architecture.num_classes)
    state = {}
    for name, like in module.state_dict().items():
        if not like.is_floating_point():
            state[name] = torch.zeros(like.shape, dtype=like.dtype)
            continue
        values = torch.randn(like.shape, generator=generator, dtype=dtype)
        if like.ndim > 1:
            state[name] = values / max(like[0].numel(), 1) ** 0.5
        else:  # scales and variances around one; shifts and biases as well
            state[name] = 1 + values.clamp(-3, 3) / 4
    module.load_state_dict(state, assign=True)
    return module.eval()


def trace(architecture: Architecture) -> list[list[dict[str, Any]]]:
    """The coupled groups, each a list of its members, as plain data.

    A member is {"module": name, "axis": "out" | "in" | "parameter", "indices": [...],
    "units": [...]}: index `indices[i]` along that axis goes with unit `units[i]` of the group.
    The first member is the root, whose outputs are the units. Groups that hold the classifier's
    outputs are left out.
    """
    import torch_pruning as tp

    module = random_module(architecture, torch.float32)
    names = {child: name for name, child in module.named_modules()}
    for parameter in module.parameters():
        parameter.requires_grad_(True)
    # Every argument with a mutable default is passed: torch-pruning writes into its defaults.
    with torch.enable_grad():  # tracing reads the autograd graph
        graph = tp.DependencyGraph().build_dependency(
            module,
            torch.zeros(1, *architecture.input_shape),
            unwrapped_parameters=[],
            customized_pruners={},
            ignored_layers=[],
            ignored_params=[],
            verbose=False,
        )
        ignored = [module.get_submodule(architecture.classifier)]
        groups = graph.get_all_groups(ignored, (nn.Conv2d, nn.Linear))
        return [_members(graph, names, group) for group in groups]


def _members(graph: Any, names: dict[nn.Module, str], group: Any) -> list[dict[str, Any]]:
    found = []
    for item in group.items:
        target = item.dep.target.module
        if isinstance(target, nn.Parameter):
            name, axis = str(graph._param_to_name[target]), "parameter"
        elif target in names and next(target.parameters(recurse=False), None) is not None:
            name = names[target]
            axis = "out" if graph.is_out_channel_pruning_fn(item.dep.handler) else "in"
        else:  # an operation
            continue
        member = {"module": name, "axis": axis}
        found.append(member | {"indices": list(item.idxs), "units": list(item.root_idxs)})
    return found


def main() -> None:
    spec = sys.stdin.read()
    output, sys.stdout = sys.stdout, sys.stderr  # a library that prints must not spoil the JSON
    _limit_memory()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    json.dump(trace(from_spec(spec)), output)


def _limit_memory() -> None:
    if sys.platform != "linux":
        return  # elsewhere the limit is not enforced; that on wall time holds
    import resource

    import torch_pruning  # noqa: F401 - what the libraries map counts before the limit

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    main()
