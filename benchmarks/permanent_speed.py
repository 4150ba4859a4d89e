"""What a permanent network saves: half of the channels of real CIFAR ResNets.

    python -m benchmarks.permanent_speed [--out benchmarks/results]

Prunes 50 % of the channels (channel-l1) as masks, makes them permanent, compares the logits of
both on test images, and times dense, masked and permanent networks, one batch of each in turn.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from analysis.runtime import prepare

prepare()

import torch

from analysis.checkpoints import open_model
from analysis.data import open_data
from analysis.evaluate import Evaluate
from analysis.pruning import Prune, pruned_model, recipe_named
from analysis.pruning.accounting import Account
from analysis.pruning.latency import Latency
from analysis.pruning.permanent import make_permanent
from benchmarks.one_shot_table import NETWORKS, ROOT

BATCH, REPEATS = 100, 15


def rows(network: str, data: Path) -> list[str]:
    """Table lines of one network: dense, masked, permanent."""
    dense, _ = open_model(data / "checkpoints" / NETWORKS[network])
    test = open_data(data / "cifar10/test_10k.npz", model=dense, limit=1000).evaluation
    request = Prune(dense, recipe_named("channel-l1"), 0.5)
    masked = pruned_model(dense, request(), request)
    found = make_permanent(masked, torch.from_numpy(test.images[:100]))
    models = (dense, masked, found.model)
    times = Latency(models, BATCH, REPEATS)().rows
    lines = []
    for name, model, time in zip(("dense", "masked", "permanent"), models, times, strict=True):
        account = Account(model)()
        accuracy = Evaluate(model, test)().accuracy
        lines.append(
            f"| {network} | {name} | {account.parameters:,} | {account.macs / 1e6:.1f} M | "
            f"{account.macs_nonzero / 1e6:.1f} M | {time.milliseconds:.1f} ± {time.spread:.1f} | "
            f"{times[0].milliseconds / time.milliseconds:.2f}× | {accuracy:.1%} | "
            f"{f'{found.difference:.1e}' if name == 'permanent' else ''} |"
        )
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Half of the channels, cut out for good.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    names = ("resnet20", "resnet20-distiller", "resnet56-group-sparse")
    table = [line for name in names for line in rows(name, options.data)]
    text = [
        "# Half of the channels, cut out for good",
        "",
        f"channel-l1 at 50 %, no training. Time of a batch of {BATCH} images on the CPU "
        f"({torch.get_num_threads()} threads), median ± interquartile range of {REPEATS}, the "
        "three networks in turn. Δ: largest difference of a logit between masked and permanent, "
        "100 test images. Accuracy on 1,000 test images. In resnet20 (padding shortcuts) only the "
        "inner channels of each block can be cut.",
        "",
        "| network | | parameters | MACs | non-zero MACs | ms | faster | accuracy | Δ |",
        "|---|---|---|---|---|---|---|---|---|",
        *table,
        "",
        "Made by `python -m benchmarks.permanent_speed`.",
        "",
    ]
    (options.out / "permanent_speed.md").write_text("\n".join(text), encoding="utf-8")


if __name__ == "__main__":
    main()
