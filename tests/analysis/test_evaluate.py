"""Numbers of an evaluation against scikit-learn, scipy and examples worked by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import log_loss

from analysis import evaluate
from analysis.checkpoints import open_model
from analysis.data.dataset import Dataset
from analysis.errors import ArgumentError, InputError
from analysis.evaluate import Evaluate, Evaluation, agreement, flips, mcnemar, wilson
from analysis.records import pack, unpack
from analysis.request import Cancelled, Compute, Step
from tests.analysis.small_models import small_data, small_model


def evaluation(seed: int = 0, n: int = 200, k: int = 5, scale: float = 3.0) -> Evaluation:
    rng = np.random.default_rng(seed)
    logits = (scale * rng.standard_normal((n, k))).astype(np.float32)
    return Evaluation(logits, np.random.default_rng(99).integers(0, k, n))


def test_loss_is_the_mean_cross_entropy() -> None:
    result = evaluation()
    p = torch.softmax(torch.from_numpy(result.logits).double(), 1).numpy()
    assert result.loss == pytest.approx(log_loss(result.labels, p, labels=range(5)), abs=1e-9)
    np.testing.assert_allclose(result.confidence, p.max(1), rtol=1e-12)
    assert result.accuracy == (p.argmax(1) == result.labels).mean()


def test_loss_of_huge_logits_stays_finite() -> None:
    result = Evaluation(np.array([[3e4, 0.0], [0.0, 3e4]], np.float32), np.array([0, 0]))
    assert result.loss == pytest.approx(1.5e4)


def test_ece_worked_by_hand() -> None:
    # Confidences .9 (right), .9 (wrong), .6 (right): bins (.8667,.9333] and (.5333,.6].
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]])
    result = Evaluation(np.log(p).astype(np.float32), np.array([0, 1, 1]))
    assert result.ece() == pytest.approx((2 * abs(0.5 - 0.9) + abs(1 - 0.6)) / 3, abs=1e-6)
    assert result.ece(1) == pytest.approx(abs(2 / 3 - 0.8), abs=1e-6)


def test_ece_equals_the_loop_of_guo_et_al() -> None:
    result = evaluation(n=500, scale=1.0)
    expected = 0.0
    for i in range(15):
        inside = (result.confidence > i / 15) & (result.confidence <= (i + 1) / 15)
        if inside.any():
            gap = result.correct[inside].mean() - result.confidence[inside].mean()
            expected += inside.mean() * abs(gap)
    assert result.ece() == pytest.approx(expected, abs=1e-12)
    with pytest.raises(ArgumentError):
        result.ece(0)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_equals_scipy(case: tuple[int, int]) -> None:
    interval = binomtest(*case).proportion_ci(0.95, method="wilson")
    assert wilson(*case) == pytest.approx((interval.low, interval.high), abs=1e-12)


@pytest.mark.parametrize("case", [(1, 0), (-1, 4), (5, 4)])
def test_wilson_refuses_what_is_no_fraction(case: tuple[int, int]) -> None:
    with pytest.raises(ArgumentError):
        wilson(*case)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_equals_the_binomial_test(wins: int, losses: int) -> None:
    expected = binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert mcnemar(wins, losses) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 1000))
def test_flips_account_for_the_difference_in_accuracy(first: int, second: int) -> None:
    a, b = evaluation(first), evaluation(second)
    wins, losses = flips(a, b)
    assert (b.accuracy - a.accuracy) * a.n == pytest.approx(len(wins) - len(losses))
    assert not a.correct[wins].any()
    assert b.correct[wins].all()
    assert a.correct[losses].all()
    assert agreement(a, b) == agreement(b, a) <= 1 - (len(wins) + len(losses)) / a.n
    assert agreement(a, a) == 1.0


def test_different_images_are_not_compared() -> None:
    a = evaluation()
    with pytest.raises(ArgumentError):
        flips(a, replace(a, labels=a.labels[::-1].copy()))


def test_evaluate_runs_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "PARTIAL_SECONDS", 0.0)
    model, data = small_model(), small_data()
    steps: list[Step] = []
    result = Evaluate(model, data, Compute(batch_size=10))(steps.append)
    images = model.architecture.normalise(torch.from_numpy(data.images))
    with torch.no_grad():
        expected = model.module()(images).numpy()
    np.testing.assert_allclose(result.logits, expected, atol=1e-5)
    np.testing.assert_array_equal(result.labels, data.labels)
    assert [(s.done, s.total) for s in steps] == [(n, 57) for n in (10, 20, 30, 40, 50, 57)]
    partial = steps[2].partial
    assert isinstance(partial, Evaluation)
    assert partial.n == 30
    np.testing.assert_array_equal(partial.logits, result.logits[:30])
    again = unpack(*pack(result))
    assert (again.accuracy, again.loss) == (result.accuracy, result.loss)


def test_evaluate_does_not_depend_on_the_grad_mode_and_leaves_it() -> None:
    with torch.enable_grad():
        Evaluate(small_model(), small_data(8))()
        assert torch.is_grad_enabled()


def test_evaluate_stops_when_cancelled() -> None:
    def cancel(step: Step) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        Evaluate(small_model(), small_data())(cancel)


def test_nan_logits_name_the_model() -> None:
    model = small_model()
    broken = {**model.weights, "head.2.bias": torch.full((4,), float("nan"))}
    with pytest.raises(InputError, match=r"SmallNet.*NaN"):
        Evaluate(replace(model, weights=broken), small_data())()


@pytest.mark.parametrize("labels", [np.array([0, 4]), np.array([-1, 0]), np.array([], np.int64)])
def test_labels_that_do_not_fit_are_refused(labels: np.ndarray) -> None:
    data = Dataset("bad", np.zeros((len(labels), 8, 8, 1), np.uint8), labels, ("a",) * 5)
    with pytest.raises(InputError, match="bad"):
        Evaluate(small_model(), data)()


def test_key_names_model_and_data_only() -> None:
    model, data = small_model(), small_data()
    key = Evaluate(model, data).key
    assert key == Evaluate(model, small_data(), Compute("cpu", 7)).key
    assert key != Evaluate(small_model(seed=1), data).key
    assert key != Evaluate(model, small_data(seed=1)).key


@pytest.mark.slow
def test_published_resnet20_on_clean_and_compressed_cifar(shared_data: Path) -> None:
    """Correct answers stated beside the files: 91.70 % and 81.45 % of the same 2,000 images."""
    folder = shared_data / "checkpoints" / "cifar_resnet_akamaster"
    model, _ = open_model(folder / "resnet20-12fca82f.th")
    with np.load(shared_data / "cifar10" / "test_10k.npz") as clean:
        images, labels = clean["images"][:2000], clean["labels"][:2000].astype(np.int64)
    with np.load(shared_data / "cifar10" / "test_jpeg_2k.npz") as compressed:
        data = Dataset("clean", images, labels, model.classes)
        first = Evaluate(model, data)()
        second = Evaluate(model, replace(data, images=compressed["images"]))()
    assert (int(first.correct.sum()), int(second.correct.sum())) == (1834, 1629)
    wins, losses = flips(first, second)
    assert len(losses) - len(wins) == 205
