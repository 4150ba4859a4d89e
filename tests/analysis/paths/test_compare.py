"""Comparison of two results, worked out by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.stats import spearmanr

from analysis.errors import ArgumentError
from analysis.paths import NeuronPaths, PathResult, compare_paths, node_states
from analysis.paths.result import most_frequent
from analysis.records import pack, unpack
from tests.analysis.paths.nets import TwoBranches, data_of, model_of


def result(
    units: list[list[int]], scores: list[list[float]], silent: list[list[int]]
) -> PathResult:
    paths = np.array(units)
    class_path, frequency = most_frequent(paths)
    return PathResult(
        layers=tuple(f"layer{i}" for i in range(len(scores))),
        units=paths,
        class_path=class_path,
        frequency=frequency,
        scores=tuple(np.array(s, float) for s in scores),
        silent=tuple(
            np.isin(np.arange(len(s)), gone) for s, gone in zip(scores, silent, strict=True)
        ),
        jig=np.zeros(0),
        jas=np.zeros(0),
        delta=np.zeros(0),
        indices=np.arange(len(paths)),
        target_classes=np.zeros(len(paths), np.int64),
        score="jig",
    )


DENSE = result([[0, 1], [0, 2], [3, 1]], [[4, 1, 2, 3], [0, 5, -3]], [[], []])
PRUNED = result([[0, 1], [2, 2], [2, 0]], [[3, 1, 4, 0], [2, 1, 1]], [[3], [1]])


def test_measures_by_hand() -> None:
    found = compare_paths(DENSE, PRUNED, top=2)
    assert found.agreement == pytest.approx([1 / 3, 2 / 3])
    assert found.jaccard == pytest.approx([1 / 3, 1])
    alive = [0, 1, 2]
    assert found.spearman[0] == pytest.approx(
        spearmanr(DENSE.scores[0][alive], PRUNED.scores[0][alive]).statistic
    )
    assert found.mass_lost == pytest.approx([3 / 10, 5 / 8])
    assert found.survival == pytest.approx([1 / 2, 1.0, 0.0])
    assert found.divergence.tolist() == [2, 0, 0]
    assert found.class_divergence == 0
    assert unpack(*pack(found)).layers == found.layers


def test_nodes_have_their_states() -> None:
    first, second = node_states(DENSE, PRUNED, top=2)
    assert first == (
        (0, "shared", 4.0, 3.0),
        (3, "dense-only removed", 3.0, 0.0),
        (2, "new", 2.0, 4.0),
    )
    assert [(unit, state) for unit, state, *_ in second] == [
        (1, "shared"),
        (0, "shared"),
    ]
    alive = dataclasses.replace(PRUNED, silent=(np.zeros(4, bool), np.zeros(3, bool)))
    assert node_states(DENSE, alive, top=1)[0][0].state == "dense-only alive"


def test_a_model_equals_itself() -> None:
    found = NeuronPaths(model_of(TwoBranches), data_of(), np.arange(5), steps=2)()
    same = compare_paths(found, found)
    assert same.agreement == pytest.approx([1, 1])
    assert same.jaccard == pytest.approx([1, 1])
    assert same.spearman == pytest.approx([1, 1])
    assert same.mass_lost == pytest.approx([0, 0])
    assert same.divergence.tolist() == [2] * 5
    assert same.class_divergence == 2
    assert {node.state for layer in node_states(found, found) for node in layer} == {"shared"}


def test_partial_results_are_compared_as_far_as_they_go() -> None:
    half = dataclasses.replace(
        PRUNED,
        layers=PRUNED.layers[:1],
        units=PRUNED.units[:, :1],
        class_path=PRUNED.class_path[:1],
        scores=PRUNED.scores[:1],
        silent=PRUNED.silent[:1],
    )
    assert compare_paths(DENSE, half, 2).layers == ("layer0",)
    assert len(node_states(half, DENSE, 2)) == 1


def test_undefined_measures_are_nan() -> None:
    flat = result([[0]], [[0, 0]], [[]])
    gone = result([[0]], [[0, 0]], [[0]])
    found = compare_paths(flat, gone)
    assert np.isnan(found.mass_lost[0])
    assert np.isnan(found.spearman[0])
    assert np.isnan(compare_paths(flat, flat).spearman[0])


def test_what_cannot_be_compared() -> None:
    with pytest.raises(ArgumentError, match="different images"):
        compare_paths(DENSE, dataclasses.replace(PRUNED, indices=np.arange(3) + 1))
    with pytest.raises(ArgumentError, match="no path layers in common"):
        node_states(DENSE, dataclasses.replace(PRUNED, layers=("x", "y")))
    with pytest.raises(ArgumentError, match="different scores"):
        node_states(DENSE, dataclasses.replace(PRUNED, score="jas"))
    with pytest.raises(ArgumentError, match="numbers of units"):
        node_states(DENSE, dataclasses.replace(PRUNED, scores=(np.zeros(3), np.zeros(3))))
    with pytest.raises(ArgumentError, match="top must be"):
        compare_paths(DENSE, PRUNED, 0)
