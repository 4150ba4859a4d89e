"""The search against closed forms, the golden values of the reference, and a naive loop."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from analysis.architectures.architecture import PathLayer
from analysis.data.dataset import batches
from analysis.paths.injection import Instrument
from analysis.paths.search import PathSearch, Samples, probability, step_sizes
from tests.analysis.paths.nets import LAYERS, Chain, Inner, TwoBranches, data_of, model_of


class Golden(nn.Module):
    """F(a, b) = a b + 2 a for one-unit layers a and b that read the pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Identity(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.a(x[:, :1]), self.b(x[:, 1:])
        return a * b + 2 * a


def output(values: Tensor, classes: Tensor) -> Tensor:
    return values[:, 0]


@pytest.mark.parametrize(
    ("rule", "steps", "jas", "jig"),
    [("midpoint", 20, 16.0, 5.0), ("midpoint", 1, 16.0, 5.0), ("left", 20, 15.6, 4.85)],
)
def test_golden_values_of_the_joint_scores(rule: str, steps: int, jas: float, jig: float) -> None:
    layers = (PathLayer("a", "channel"), PathLayer("b", "channel"))
    instrument = Instrument(Golden(), layers, "golden")
    images = torch.tensor([[1.0, 3.0]])
    units, values = instrument.read(images)
    samples = Samples(images, torch.zeros(1, dtype=torch.int64), units, values[:, 0])
    search = PathSearch(instrument, output, step_sizes(rule, steps))  # type: ignore[arg-type]
    joint = search.joint(samples, [torch.zeros(1, dtype=torch.int64)] * 2)
    assert joint.jas.item() == pytest.approx(jas, abs=1e-5)
    assert joint.jig.item() == pytest.approx(jig, abs=1e-5)
    assert joint.delta.item() == pytest.approx(5 - jig, abs=1e-5)


def test_one_layer_of_a_quadratic_is_its_closed_form() -> None:
    """F = sum_j c_j v_j^2 on one layer: JIG_j = c_j v_j^2; the midpoint rule is exact."""

    class Quadratic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.v = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return (torch.tensor([1.0, -2.0, 3.0]) * self.v(x) ** 2).sum(1, keepdim=True)

    instrument = Instrument(Quadratic(), (PathLayer("v", "channel"),), "quadratic")
    images = torch.tensor([[1.0, 2.0, -0.5], [0.0, 1.0, 2.0]])
    units, values = instrument.read(images)
    samples = Samples(images, torch.zeros(2, dtype=torch.int64), units, values[:, 0])
    search = PathSearch(instrument, output, step_sizes("midpoint", 4), rows=3)
    ((chosen, scores),) = search.columns(samples)
    expected = torch.tensor([[1.0, -8.0, 0.75], [0.0, -2.0, 12.0]])
    assert scores.numpy() == pytest.approx(expected.numpy(), abs=1e-5)
    assert chosen.tolist() == [0, 2]


def naive(
    kind: type, steps: int, count: int, score: str, clamp: bool
) -> tuple[list[list[int]], list[Tensor]]:
    """The definition, image by image, unit by unit and step by step."""
    model = model_of(kind)
    data = data_of(count)
    module = model.module()
    layers = LAYERS[kind]
    images, _ = next(iter(batches(data, model.architecture, count)))
    paths, tables = [], []
    for s in range(count):
        image = images[s : s + 1]
        intact, target = _intact(module, layers, image)
        path: list[int] = []
        table = []
        for depth in range(len(layers)):
            scores = torch.zeros(intact[depth].shape[0], dtype=torch.float64)
            for j in range(len(scores)):
                total, activation, slope = 0.0, 0.0, 0.0
                for k in range(steps):
                    alpha = (k + 0.5) / steps
                    points = [alpha * intact[p][path[p]] for p in range(depth)]
                    points.append(alpha * intact[depth])

                    points = [point.clone().requires_grad_() for point in points]
                    logits = _edited(module, layers, image, intact, path, points, clamp)
                    value = logits.softmax(1)[0, target]
                    gradient = torch.autograd.grad(
                        value, points, allow_unused=True, materialize_grads=True
                    )
                    slopes = [*gradient[:-1], gradient[-1][j]]
                    values = [intact[p][path[p]] for p in range(depth)] + [intact[depth][j]]
                    total += float((values[-1] * slopes[-1]).sum())
                    slope += sum(float(g.sum()) for g in slopes)
                    activation = sum(float(v.sum()) for v in values)
                scores[j] = total / steps if score == "jig" else activation * slope / steps
            table.append(scores)
            path.append(int(scores.argmax()))
        paths.append(path)
        tables.append(table)
    return paths, [torch.stack([table[depth] for table in tables]) for depth in range(len(layers))]


def _intact(
    module: nn.Module, layers: tuple[PathLayer, ...], image: Tensor
) -> tuple[list[Tensor], int]:
    found: list[Tensor] = []
    handles = [
        module.get_submodule(layer.name).register_forward_hook(
            lambda m, i, o, layer=layer: found.append(
                (o[0] if layer.units == "channel" else o[0, 0]).clone()
            )
        )
        for layer in layers
    ]
    with torch.no_grad():
        target = int(module(image).argmax())
    for handle in handles:
        handle.remove()
    return found, target


def _edited(
    module: nn.Module,
    layers: tuple[PathLayer, ...],
    image: Tensor,
    intact: list[Tensor],
    path: list[int],
    points: list[Tensor],
    clamp: bool,
) -> Tensor:
    """Logits with layer len(path) at points[-1] and the path's earlier units at points[p]."""

    def edit(index: int, layer: PathLayer, o: Tensor) -> Tensor:
        current = o[0] if layer.units == "channel" else o[0, 0]
        if index == len(path):
            new = points[-1]
        else:
            base = intact[index] if clamp else current
            marked = torch.zeros(len(base), dtype=torch.bool)
            marked[path[index]] = True
            marked = marked.view(-1, *[1] * (base.dim() - 1))
            new = torch.where(marked, points[index][None].expand_as(base), base)
        if layer.units == "channel":
            return new[None].clone()
        return torch.cat([new[None, None], o[:, 1:]], dim=1)

    handles = [
        module.get_submodule(layer.name).register_forward_hook(
            lambda m, i, o, index=index, layer=layer: edit(index, layer, o)
        )
        for index, layer in enumerate(layers[: len(path) + 1])
    ]
    try:
        return module(image)
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize("clamp", [True, False])
@pytest.mark.parametrize("kind", [TwoBranches, Chain, Inner])
@pytest.mark.parametrize(("score", "rows"), [("jig", 100), ("jig", 7), ("jas", 100)])
def test_the_batched_search_is_the_naive_one(
    kind: type, score: str, clamp: bool, rows: int
) -> None:
    steps, count = 3, 4
    paths, tables = naive(kind, steps, count, score, clamp)
    model = model_of(kind)
    instrument = Instrument(model.module(), LAYERS[kind], "tiny")
    images, _ = next(iter(batches(data_of(count), model.architecture, count)))
    units, logits = instrument.read(images)
    classes = logits.argmax(1)
    samples = Samples(images, classes, units, probability(logits, classes))
    search = PathSearch(
        instrument,
        probability,
        step_sizes("midpoint", steps),
        score,  # type: ignore[arg-type]
        clamp=clamp,
        rows=rows,
    )
    search.use_cuts(images)
    found = list(search.columns(samples))
    for (_, scores), expected in zip(found, tables, strict=True):
        assert scores.numpy() == pytest.approx(expected.numpy(), abs=1e-5)
    assert torch.stack([chosen for chosen, _ in found], 1).tolist() == paths


def test_cuts_are_found_and_change_nothing() -> None:
    images, _ = next(iter(batches(data_of(6), model_of(Chain).architecture, 6)))
    for kind, expected in ((TwoBranches, (False, False)), (Chain, (True, True)), (Inner, None)):
        instrument = Instrument(model_of(kind).module(), LAYERS[kind], "tiny")
        if expected is not None:
            assert instrument.cuts(images) == expected
    # act1 of Inner feeds both the branch and the shortcut; act2 lies within the branch
    assert instrument.cuts(images) == (True, False)


def test_completeness_holds_when_everything_is_smooth() -> None:
    for kind in (TwoBranches, Inner):
        model = model_of(kind)
        instrument = Instrument(model.module(), LAYERS[kind], "tiny")
        images, _ = next(iter(batches(data_of(9), model.architecture, 9)))
        units, logits = instrument.read(images)
        classes = logits.argmax(1)
        samples = Samples(images, classes, units, probability(logits, classes))
        for clamp in (True, False):
            search = PathSearch(instrument, probability, step_sizes("midpoint", 50), clamp=clamp)
            path = [chosen for chosen, _ in search.columns(samples)]
            joint = search.joint(samples, path)
            assert joint.delta.max() < 1e-4
            assert joint.jig.abs().min() > 1e-4
