"""Every recipe on real CIFAR ResNets: accuracy after one shot, and after BatchNorm recalibration.

    python -m benchmarks.one_shot_table resnet20 [--recipes wanda,snip] [--limit 2000]

Prunes a published checkpoint to 50, 70, 80, 90 and 95 % by every recipe that applies, evaluates
each result on the CIFAR-10 test set, and writes the table as Markdown and JSON to
benchmarks/results. Calibration images come from the training set. Points that the JSON file holds
already are not computed again, so a run that was stopped goes on; delete the file to start anew.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.runtime import prepare

prepare()

import torch

from analysis.checkpoints import open_model
from analysis.data import open_data
from analysis.data.dataset import Dataset
from analysis.errors import ArgumentError, InputError
from analysis.evaluate import Evaluate
from analysis.models import Model
from analysis.pruning import PRESETS, Prune, Recipe, pruned_model

ROOT = Path(__file__).resolve().parent.parent
NETWORKS = {
    "resnet20": "cifar_resnet_akamaster/resnet20-12fca82f.th",
    "resnet32": "cifar_resnet_akamaster/resnet32-d509ac18.th",
    "resnet56": "cifar_resnet_akamaster/resnet56-4bfd9763.th",
    "resnet20-distiller": "resnet20_distiller/resnet20_cifar10.pth.tar",
    "resnet56-group-sparse": ("resnet56_torch_pruning/reg_cifar10_resnet56_group_sl_0.0005.pth"),
}
SPARSITIES = (0.5, 0.7, 0.8, 0.9, 0.95)
SEED = 0
BN = "bn-recalibration"
Points = dict[str, dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Bench:
    """One network with its images."""

    network: str
    dense: Model
    test: Dataset
    calibration: Dataset

    @classmethod
    def open(cls, network: str, data: Path, limit: int | None) -> Bench:
        dense, _ = open_model(data / "checkpoints" / NETWORKS[network])
        test = open_data(data / "cifar10/test_10k.npz", model=dense, limit=limit).evaluation
        train = open_data(data / "cifar10/train_10k.npz", model=dense, seed=SEED)
        return cls(network, dense, test, train.calibration)

    def point(self, recipe: Recipe, sparsity: float | None) -> dict[str, Any]:
        """Prune, evaluate, and say what came out; a refusal is a point as well."""
        request = Prune(self.dense, recipe, sparsity, self.calibration, SEED)
        try:
            pruned = request()
        except (ArgumentError, InputError) as error:
            return {"refused": str(error)}
        model = pruned_model(self.dense, pruned, request)
        found = Evaluate(model, self.test)()
        return {
            "accuracy": found.accuracy,
            "interval": list(found.interval),
            "loss": found.loss,
            "n": found.n,
            "unit": pruned.audit.unit,
            "asked": pruned.audit.asked,
            "got": pruned.audit.got,
            "sparsity": model.sparsity,
            "collapsed": list(pruned.audit.collapsed),
            "seconds": round(pruned.seconds, 3),
        }


def jobs(names: list[str]) -> Iterator[tuple[str, str, Recipe, float | None]]:
    """(name, recovery, recipe, sparsity) of every point of the table."""
    for name in names:
        recipe = PRESETS[name].recipe
        variants = [("as published", recipe)]
        if recipe.recovery.name == "none":
            parts = {**recipe.to_json(), "recovery": {"name": BN}}
            variants.append((BN, Recipe.from_json(parts)))
        for label, variant in variants:
            for sparsity in _sparsities(variant):
                yield name, label, variant, sparsity


def _sparsities(recipe: Recipe) -> tuple[float | None, ...]:
    try:
        recipe.structure.resolve(None)
    except ArgumentError:
        return SPARSITIES
    return (None,)


def measure(bench: Bench, names: list[str], path: Path) -> Points:
    """All points; the file is written after each of them."""
    points: Points = json.loads(path.read_text()) if path.is_file() else {}
    for name, label, recipe, sparsity in jobs(names):
        key = f"{name}|{label}|{'' if sparsity is None else sparsity}"
        if points.get(key, {}).get("n") != len(bench.test) and "refused" not in points.get(
            key, {}
        ):
            points[key] = bench.point(recipe, sparsity)
            path.write_text(json.dumps(points, indent=1) + "\n")
            found = points[key]
            shown = f"{found['accuracy']:7.2%}" if "accuracy" in found else found["refused"]
            print(f"{bench.network} {key:60} {shown}", flush=True)
    return points


def page(bench: Bench, points: Points) -> str:
    """The table as Markdown, families in order."""
    dense = Evaluate(bench.dense, bench.test)()
    low, high = dense.interval
    lines = [
        f"# One shot: {bench.network}, CIFAR-10",
        "",
        "Top-1 accuracy (%) on the test set after pruning without training, and in the second "
        "line after BatchNorm recalibration on the calibration images. Sparsity counts the "
        "recipe's own units (weights, filters, blocks; energy for low rank); a pattern stands in "
        "the column of the sparsity that it implies. † a layer keeps less than a tenth of what "
        "the network keeps on average. "
        "Empty cells and recipes without a row were not run.",
        "",
        f"Dense: {100 * dense.accuracy:.2f} ({100 * low:.2f} to {100 * high:.2f}), n = "
        f"{dense.n:,}; at that n the 95 % interval of an accuracy is at most "
        f"±{100 * 0.98 / dense.n**0.5:.1f} points wide. {len(bench.calibration)} training images "
        f"to calibrate, seed {SEED}, torch {torch.__version__.partition('+')[0]}, float32, CPU.",
        "",
        "| recipe | recovery | units | " + " | ".join(f"{s:.0%}" for s in SPARSITIES) + " | s |",
        "|---" * (len(SPARSITIES) + 4) + "|",
    ]
    refused = {}
    for name in PRESETS:
        for label in ("as published", BN):
            row = {
                k.split("|")[2]: v for k, v in points.items() if k.startswith(f"{name}|{label}|")
            }
            done = {k: v for k, v in row.items() if "accuracy" in v}
            if done:
                lines.append(_row(name if label != BN else "", label, done))
            elif row and label != BN:
                refused[name] = next(iter(row.values()))["refused"]
    lines += ["", "s: seconds that the slowest of the row's prunings took, on two cores.", ""]
    lines += [f"- `{name}` does not apply: {why}" for name, why in refused.items()]
    return "\n".join(
        [*lines, "", f"Made by `python -m benchmarks.one_shot_table {bench.network}`.", ""]
    )


def _row(name: str, label: str, row: Mapping[str, dict[str, Any]]) -> str:
    cells = []
    for sparsity in SPARSITIES:
        point = row.get(str(sparsity))
        if point is None and "" in row and abs(row[""]["sparsity"] - sparsity) < 0.02:
            point = row[""]
        mark = " †" if point and point["collapsed"] else ""
        cells.append(f"{100 * point['accuracy']:.2f}{mark}" if point else "")
    unit = next(iter(row.values()))["unit"]
    seconds = max(point["seconds"] for point in row.values())
    recovery = "+ BN" if label == BN else ""
    return f"| {name} | {recovery} | {unit} | " + " | ".join(cells) + f" | {seconds:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Every recipe on a real CIFAR ResNet.")
    parser.add_argument("network", choices=list(NETWORKS))
    parser.add_argument("--recipes", default=",".join(PRESETS))
    parser.add_argument("--limit", type=int)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    bench = Bench.open(options.network, options.data, options.limit)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"one_shot_{options.network}.json"
    points = measure(bench, options.recipes.split(","), path)
    text = page(bench, points)
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
