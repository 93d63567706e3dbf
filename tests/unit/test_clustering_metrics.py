"""How far two clusterings agree: as scikit-learn says."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_mutual_info_score

from imseek.metrics.clustering import adjusted_mutual_information


@pytest.mark.parametrize("seed", range(8))
def test_it_equals_that_of_scikit_learn(seed) -> None:
    chance = np.random.default_rng(seed)
    n = int(chance.integers(2, 900))
    first = chance.integers(0, chance.integers(1, 60), n)
    second = np.where(chance.random(n) < chance.random(), first // 2, chance.integers(0, 40, n))
    assert adjusted_mutual_information(first, second) == pytest.approx(adjusted_mutual_info_score(first, second))


@pytest.mark.parametrize(
    ("first", "second"),
    [([0, 0, 1, 1], [1, 1, 0, 0]), ([0, 0, 0], [0, 0, 0]), ([0, 1, 2], [0, 1, 2]), ([0, 0, 0], [0, 1, 2])],
)
def test_edges(first, second) -> None:
    found = adjusted_mutual_information(np.array(first), np.array(second))
    assert found == pytest.approx(adjusted_mutual_info_score(first, second))
