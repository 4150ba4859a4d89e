"""One-shot accuracy curves: ResNet-20 on all 10,000 CIFAR-10 test images.

    python benchmarks/one_shot_curves.py [--data ../shared/data] [--out benchmarks/results]

Prunes the published checkpoint (91.73 % dense) to 50, 70, 80 and 90 % without any training
afterwards, by chance, by magnitude within each layer, by magnitude over the whole network, and by
Wanda (calibrated on images of the training set), evaluates each result on the whole test set, and
writes the table as Markdown and JSON. At 90 % the global threshold all but empties one layer; two
more rows show what `min_keep` changes, and what recalibrating BatchNorm repairs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from analysis.checkpoints import open_model
from analysis.data import open_data
from analysis.data.dataset import Dataset
from analysis.evaluate import Evaluate, Evaluation
from analysis.models import Model
from analysis.pruning import Audit, Prune, Recipe, pruned_model, recipe_label, recipe_named

CHECKPOINT = "checkpoints/cifar_resnet_akamaster/resnet20-12fca82f.th"
TEST, TRAIN = "cifar10/test_10k.npz", "cifar10/train_10k.npz"
SPARSITIES = (0.5, 0.7, 0.8, 0.9)
SEED = 0
RECIPES: tuple[tuple[Recipe, tuple[float, ...]], ...] = (
    (recipe_named("random"), SPARSITIES),
    (recipe_named("uniform-magnitude"), SPARSITIES),
    (recipe_named("global-magnitude"), SPARSITIES),
    (recipe_named("global-magnitude", {"allocation.min_keep": "1000"}), (0.9,)),
    (recipe_named("global-magnitude", {"recovery": "bn-recalibration"}), SPARSITIES),
    (recipe_named("wanda"), SPARSITIES),
)


@dataclass(frozen=True)
class Point:
    """One pruned model, evaluated."""

    recipe: str
    sparsity: float
    audit: Audit
    evaluation: Evaluation
    seconds: float

    def as_json(self) -> dict[str, Any]:
        low, high = self.evaluation.interval
        return {
            "recipe": self.recipe,
            "sparsity": self.sparsity,
            "removed": self.audit.removed,
            "parameters": self.audit.parameters,
            "accuracy": self.evaluation.accuracy,
            "interval": [low, high],
            "loss": self.evaluation.loss,
            "n": self.evaluation.n,
            "collapsed": list(self.audit.collapsed),
            "prune_seconds": round(self.seconds, 3),
        }


def measure(dense: Model, test: Dataset, calibration: Dataset) -> list[Point]:
    """Prune and evaluate every recipe at every sparsity."""
    points = []
    for recipe, sparsities in RECIPES:
        for sparsity in sparsities:
            request = Prune(dense, recipe, sparsity, calibration, SEED)
            pruned = request()
            model = pruned_model(dense, pruned, request)
            evaluation = Evaluate(model, test)()
            label = recipe_label(recipe.to_json())
            points.append(Point(label, sparsity, pruned.audit, evaluation, pruned.seconds))
            print(f"{model.name:40} {evaluation.accuracy:7.2%}  {pruned.audit.warnings or ''}")
    return points


def table(points: Sequence[Point], dense: Evaluation) -> str:
    """Accuracy in percent with its Wilson 95 % interval, a line a recipe."""
    header = "| recipe | " + " | ".join(f"{s:.0%}" for s in SPARSITIES) + " |"
    lines = [header, "|---" * (len(SPARSITIES) + 1) + "|"]
    for recipe in dict.fromkeys(point.recipe for point in points):
        cells = {p.sparsity: _cell(p) for p in points if p.recipe == recipe}
        lines.append(f"| {recipe} | " + " | ".join(cells.get(s, "") for s in SPARSITIES) + " |")
    low, high = dense.interval
    dense_line = f"Dense: {dense.accuracy:.2%} ({low:.2%} to {high:.2%}), n = {dense.n:,}."
    return "\n".join([dense_line, "", *lines])


def _cell(point: Point) -> str:
    low, high = point.evaluation.interval
    mark = " †" if point.audit.collapsed else ""
    return f"{point.evaluation.accuracy:.2%} ({low:.1%}–{high:.1%}){mark}"


def report(points: Sequence[Point], dense: Evaluation, calibration: Dataset) -> str:
    collapsed = [
        f"† {p.recipe} at {p.sparsity:.0%}: {' '.join(p.audit.warnings)}"
        for p in points
        if p.audit.collapsed
    ]
    return "\n".join(
        [
            "# One-shot curves: ResNet-20, CIFAR-10",
            "",
            "Top-1 accuracy on the test set after pruning without training, with Wilson 95 % "
            "intervals. Sparsity counts the weights of all convolution and linear layers "
            f"({points[0].audit.parameters:,}). Wanda saw {len(calibration)} training images. "
            f"Seed {SEED}, torch {torch.__version__.partition('+')[0]}, float32, CPU.",
            "",
            table(points, dense),
            "",
            *(line for found in collapsed for line in (found, "")),
            "Made by `python benchmarks/one_shot_curves.py`.",
            "",
        ]
    )


def main() -> None:
    root = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description="One-shot accuracy curves of ResNet-20.")
    parser.add_argument("--data", type=Path, default=root.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=root / "benchmarks" / "results")
    options = parser.parse_args()
    dense, _ = open_model(options.data / CHECKPOINT)
    test = open_data(options.data / TEST, model=dense).evaluation
    calibration = open_data(options.data / TRAIN, model=dense, seed=SEED).calibration
    evaluation = Evaluate(dense, test)()
    print(f"{'dense':40} {evaluation.accuracy:7.2%}")
    points = measure(dense, test, calibration)
    text = report(points, evaluation, calibration)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "one_shot_curves.md").write_text(text, encoding="utf-8")
    content = {
        "dense": {"accuracy": evaluation.accuracy, "loss": evaluation.loss, "n": evaluation.n},
        "points": [point.as_json() for point in points],
    }
    (options.out / "one_shot_curves.json").write_text(json.dumps(content, indent=1) + "\n")
    print(f"\n{text}")


if __name__ == "__main__":
    main()
