"""Names for clusters from a vocabulary, chosen to distinguish each cluster from the others.

Text and image vectors are compared after subtracting their means: the two lie in separate cones (Liang et al. 2022,
*Mind the gap*), and some words are close to every image. A cluster's name is the word whose mean score over its images
exceeds its mean over the other clusters most, just as c-TF-IDF prefers words that are frequent in one class and rare in
the others (Grootendorst 2022).

The name is used only if its *contrast* reaches :data:`MIN_CONTRAST`: the median score of the cluster's images minus the
mean score of all others, in standard deviations of the latter. The median is used because one high score can lift the
mean of ten images: with the mean, half of randomly formed clusters were given a name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from imseek.analysis.space_vectors import Vectors
from imseek.clusters.kmeans_clusters import sample_positions
from imseek.data.vectors.base import Ids
from imseek.data.vectors.scores import unit_rows
from imseek.progress import Task
from imseek.types.arrays import Float32

NAMING: Final = "naming clusters"
#: Contrast from which a name is used; chosen on half A of the stamps.
MIN_CONTRAST: Final = 3.0
#: Standard deviation of scores below which images are copies of each other; that of different images is about 0.05.
_SMALLEST_SPREAD: Final = 1e-3
#: Images compared with words: in total, and minimum per cluster.
_MAX_IMAGES: Final = 16_384
_MIN_IMAGES_PER_CLUSTER: Final = 8
#: Words compared at once.
_WORD_BATCH: Final = 4096
#: Smaller vocabularies are centred by neutral texts.
MIN_WORDS: Final = 20


@dataclass(frozen=True, slots=True)
class ClusterName:
    """A cluster's name; ``text`` is None where the best word's contrast is too low.

    ``contrast`` is None where it means nothing, because the other images are copies of each other.
    """

    text: str | None
    contrast: float | None


def name_clusters(
    vectors: Vectors,
    members: Sequence[Ids],
    words: Sequence[str],
    word_rows: Float32,
    word_mean: Float32,
    seed: int,
    task: Task,
    stands_out: float = MIN_CONTRAST,
) -> list[ClusterName]:
    """Choose a name for each cluster, given as positions of images.

    ``word_rows`` (w, dim) are unit rows; ``word_mean`` (dim,) is subtracted from them. A single cluster gets no name.
    Raises Cancelled.
    """
    k = len(members)
    if k < 2 or not len(words):
        return [ClusterName(None, None)] * k
    per_cluster = max(_MIN_IMAGES_PER_CLUSTER, _MAX_IMAGES // k)
    samples = [
        positions[sample_positions(len(positions), per_cluster, seed + number)]
        for number, positions in enumerate(members)
    ]
    means, rows = _centre_rows(vectors, samples, task)
    best, directions = _find_best_words(means, word_rows, word_mean)
    contrasts, spreads = _contrasts(rows, [len(positions) for positions in samples], directions)
    names = [words[word] if value >= stands_out else None for word, value in zip(best.tolist(), contrasts, strict=True)]
    return [
        ClusterName(text, contrast if spread >= _SMALLEST_SPREAD else None)
        for text, contrast, spread in zip(_number_repeated_names(names), contrasts, spreads, strict=True)
    ]


def _centre_rows(vectors: Vectors, samples: Sequence[Ids], task: Task) -> tuple[Float32, Float32]:
    """Return the mean (k, dim) of each cluster and all rows (m, dim), cluster by cluster.

    Rows are centred by the mean of the cluster means and normalised.
    """
    rows = np.empty((sum(map(len, samples)), vectors.dim), np.float32)
    ends = np.cumsum([len(positions) for positions in samples])
    for number, (positions, end) in enumerate(zip(samples, ends.tolist(), strict=True)):
        task.step(NAMING, number, len(samples))
        rows[end - len(positions) : end] = vectors.at(positions)
    parts = np.split(rows, ends[:-1])
    rows -= np.mean([part.mean(axis=0) for part in parts], axis=0)
    rows[:] = unit_rows(rows)
    return np.stack([part.mean(axis=0) for part in parts]), rows


def _find_best_words(means: Float32, word_rows: Float32, word_mean: Float32) -> tuple[Ids, Float32]:
    """Find the word of each cluster (k,) that exceeds its mean over the other clusters most, and its vector (k,
    dim)."""
    k = len(means)
    best = np.zeros(k, np.int64)
    height = np.full(k, -np.inf, np.float32)
    directions = np.zeros_like(means)
    for start in range(0, len(word_rows), _WORD_BATCH):
        some_words = unit_rows(word_rows[start : start + _WORD_BATCH] - word_mean)
        scores = means @ some_words.T
        above = scores - (scores.sum(axis=0) - scores) / (k - 1)
        top = above.argmax(axis=1)
        value = above[np.arange(k), top]
        better = value > height
        best[better], height[better] = top[better] + start, value[better]
        directions[better] = some_words[top[better]]
    return best, directions


def _contrasts(rows: Float32, sizes: Sequence[int], directions: Float32) -> tuple[list[float], list[float]]:
    """Compute each cluster's contrast, and the standard deviation of scores outside it.

    The contrast is the median score inside less the mean outside, in these standard deviations.
    """
    contrasts, spreads = [], []
    ends = np.cumsum(sizes).tolist()
    for end, size, direction in zip(ends, sizes, directions, strict=True):
        scores = (rows @ direction).astype(np.float64)
        inside = scores[end - size : end]
        outside = np.concatenate([scores[: end - size], scores[end:]])
        spreads.append(float(outside.std()))
        contrasts.append(float((np.median(inside) - outside.mean()) / max(spreads[-1], 1e-6)))
    return contrasts, spreads


def _number_repeated_names(names: Sequence[str | None]) -> list[str | None]:
    """Make names unique by numbering repeated ones, starting at 1."""
    repeated = {name for name, times in Counter(names).items() if name is not None and times > 1}
    used = {name for name in names if name is not None} - repeated
    numbers: Counter[str] = Counter()
    out: list[str | None] = []
    for name in names:
        text = name
        while name in repeated and (text in repeated or text in used):
            numbers[name] += 1
            text = f"{name} ({numbers[name]})"
        if text is not None:
            used.add(text)
        out.append(text)
    return out


def vocabulary_mean(words: Float32, neutral: Callable[[], Float32]) -> Float32:
    """Return the mean vector (dim,) of the vocabulary, or that of ``neutral`` texts where it has few words."""
    rows = words if len(words) >= MIN_WORDS else neutral()
    mean: Float32 = rows.mean(axis=0)
    return mean
