"""Clustering metrics: how far two clusterings of the same images agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def adjusted_mutual_information(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> float:
    """Mutual information of two clusterings (n,), adjusted for chance: 1 where they are the same, 0 by chance.

    Clusters are numbered from 0. Equals scikit-learn's ``adjusted_mutual_info_score``, which takes a second to import.
    After Vinh, Epps and Bailey 2010, *Information theoretic measures for clusterings comparison*, with the arithmetic
    mean of the entropies.
    """
    n, width = len(first), int(second.max(initial=0)) + 1
    table = np.bincount(first * width + second, minlength=(int(first.max(initial=0)) + 1) * width).reshape(-1, width)
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    overlaps = table[table > 0]
    if len(overlaps) == len(rows) == len(columns):  # The same clusters, under whichever numbers.
        return 1.0
    information = float((overlaps / n * np.log(n * overlaps / np.outer(rows, columns)[table > 0])).sum())
    expected = _expected_information(rows, columns, n)
    spread = (_entropy(rows, n) + _entropy(columns, n)) / 2 - expected
    # As scikit-learn does where two clusterings leave nothing to chance.
    spread = min(spread, -np.finfo(np.float64).eps) if spread < 0 else max(spread, np.finfo(np.float64).eps)
    return float((information - expected) / spread)


def _entropy(sizes: npt.NDArray[np.int64], n: int) -> float:
    return -float((sizes / n * np.log(sizes / n)).sum())


def _expected_information(rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], n: int) -> float:
    """Expected mutual information of clusterings with clusters of these sizes, over all permutations of n images."""
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    column_sizes, times = np.unique(columns, return_counts=True)
    total = 0.0
    for size, count in zip(*(part.tolist() for part in np.unique(rows, return_counts=True)), strict=True):
        most = np.minimum(size, column_sizes)
        column = np.repeat(np.arange(len(column_sizes)), most)
        overlaps = np.arange(1, len(column) + 1) - np.repeat(np.cumsum(most) - most, most)
        possible = overlaps >= size + column_sizes[column] - n
        column, overlaps = column[possible], overlaps[possible]
        column_size = column_sizes[column]
        chance = np.exp(
            factorials[size] + factorials[column_size] + factorials[n - size] + factorials[n - column_size]
            - factorials[n] - factorials[overlaps] - factorials[size - overlaps] - factorials[column_size - overlaps]
            - factorials[n - size - column_size + overlaps]
        )  # fmt: skip
        total += count * float(
            (times[column] * chance * overlaps / n * np.log(n * overlaps / (size * column_size))).sum()
        )
    return total
