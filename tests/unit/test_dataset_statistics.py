"""Statistics of sets: balance, repeats within and across classes, strangeness, groups; on values worked out by
hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from imseek.dataset import class_balance
from imseek.dataset import lacking_images as covering
from imseek.dataset.duplicates_by_class import count_repeats, find_leaks
from imseek.dataset.quality_flags import KINDS, flag_images
from imseek.duplicates.results import DuplicateContents
from imseek.report import collection_statistics


class TestBalance:
    def test_equal_classes_are_as_mixed_as_there_are_of_them(self) -> None:
        assert class_balance.effective_class_count([7, 7, 7]) == pytest.approx(3)
        assert class_balance.effective_class_count([7, 0]) == pytest.approx(1)
        assert class_balance.effective_class_count([0]) is None
        assert class_balance.effective_class_count([]) is None

    def test_unequal_ones(self) -> None:
        entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
        assert class_balance.effective_class_count([3, 1]) == pytest.approx(math.exp(entropy))
        assert class_balance.imbalance_ratio([3, 1, 0]) == 3
        assert class_balance.imbalance_ratio([]) is None


#: Contents 1 (images 1, 2), 3 (3, 4, 5) and 6 (6); 1 and 6 are one picture.
REPEATS = DuplicateContents({1: [1, 2], 3: [3, 4, 5], 6: [6]}, [(1, 6, "same")])


class TestRepeats:
    def test_within(self) -> None:
        classes = {1: ["a"], 2: ["b"], 3: ["a", "c"], 4: ["a"], 5: ["b"], 6: ["b"]}
        # a: 3 and 4 are equal. b: 2 is the picture of 6, and the other way; 5 has its like in a only.
        assert count_repeats(REPEATS, classes) == {"a": 2, "b": 2}

    def test_across(self) -> None:
        found = find_leaks(REPEATS, {1: "train", 2: "train", 3: "train", 4: "test", 5: "test", 6: "test", 7: "test"})
        assert found.counts == {("test", "train"): (2, 1), ("train", "test"): (1, 2)}
        assert found.groups == [("same", [1, 2, 6]), ("exact", [3, 4, 5])]

    def test_a_pair_within_a_part_is_no_leak(self) -> None:
        found = find_leaks(REPEATS, {1: "train", 6: "train", 4: "test"})
        assert (found.counts, found.groups) == ({}, [])

    def test_only_what_leaks_ties(self) -> None:
        """2 and 3 are one picture within a part: what 1 and 2 are, and 3 and 4, stays apart."""
        repeats = DuplicateContents({i: [i] for i in (1, 2, 3, 4)}, [(1, 2, "same"), (2, 3, "same"), (3, 4, "same")])
        found = find_leaks(repeats, {1: "train", 2: "test", 3: "test", 4: "train"})
        assert found.groups == [("same", [1, 2]), ("same", [3, 4])]

    def test_images_in_no_part_are_left_out(self) -> None:
        found = find_leaks(REPEATS, {1: "train", 6: "test"})
        assert found.groups == [("same", [1, 6])]
        assert found.counts == {("test", "train"): (0, 1), ("train", "test"): (0, 1)}


def test_flags() -> None:
    nan = math.nan
    rows = {  # blurred, dark, bright, empty, strongly blurred, nothing special, unknown
        "mean": [0.5, 0.2, 0.6, 0.9, 0.4, 0.5, nan],
        "sd": [0.2, 0.1, 0.3, 0.08, 0.09, 0.2, nan],
        "dark": [0, 0.9, 0, 0, 0, 0, nan],
        "bright": [0, 0, 0.15, 0.1, 0, 0.1, nan],
        "edges": [0.1, 0.1, 0.2, 0.002, 0, 0.2, nan],
        "blur": [0.7, 0.5, 0.4, 3.0, 4.0, nan, nan],
    }
    found = flag_images({name: np.array(values, np.float64) for name, values in rows.items()})
    listed = {kind: np.flatnonzero(found[kind]).tolist() for kind in KINDS}
    assert listed == {"blurred": [0, 4], "dark": [1], "bright": [2], "empty": [3]}


class TestSpread:
    def test_edges_belong_to_what_is_above_them(self) -> None:
        found = collection_statistics.distribution_of(np.array([0.0, 0.5, 1.0, 2.5, np.nan, 9.0]), (0.0, 1.0, 2.0, 3.0))
        assert found.counts == (2, 1, 2)
        assert found.median == 1.0

    def test_of_nothing(self) -> None:
        assert collection_statistics.distribution_of(np.array([np.nan]), (0.0, 1.0)).median is None


class TestKernel:
    def test_against_the_definition(self) -> None:
        rng = np.random.default_rng(0)
        x, y = (rng.normal(size=(n, 4)) for n in (5, 7))

        def k(a: np.ndarray, b: np.ndarray) -> float:
            return math.exp(-float(((a - b) ** 2).sum()) / 200)

        between = np.mean([[k(a, b) for b in y] for a in x])
        own = np.mean([k(x[i], x[j]) for i in range(5) for j in range(5) if i != j])
        assert covering._mean_kernel(x, y) == pytest.approx(between)
        assert covering._mean_kernel(x, x, same=True) == pytest.approx(own)
