"""Names for clusters from a vocabulary, chosen to distinguish each cluster from the others.

Text and image vectors are compared after subtracting their means: the two lie in separate cones (Liang et al. 2022,
*Mind the gap*), and some words are close to every image. A cluster's name is the word whose mean score over its images
exceeds its mean over the other clusters most, just as c-TF-IDF prefers words that are frequent in one class and rare in
the others (Grootendorst 2022).

The name is used only if its *contrast* reaches :data:`STANDS_OUT`: the median score of the cluster's images minus the
mean score of all others, in standard deviations of the latter. The median is used because one high score can lift the
mean of ten images: with the mean, half of randomly formed clusters were given a name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from imseek.data.snapshot_progress import Telling
from imseek.data.vectors.base import Ids
from imseek.data.vectors.scores import unit_rows
from imseek.explore.clusters.kmeans_clusters import some
from imseek.explore.space_vectors import Vectors
from imseek.types import Float32

NAMING: Final = "naming clusters"
#: Contrast from which a name is used; chosen on half A of the stamps.
STANDS_OUT: Final = 3.0
#: Images compared with words: in total, and minimum per cluster.
_COMPARED: Final = 16_384
_EACH: Final = 8
#: Words compared at once.
_WORDS: Final = 4096
#: Smaller vocabularies are centred by neutral texts.
FEW_WORDS: Final = 20


@dataclass(frozen=True, slots=True)
class Name:
    """A cluster's name; ``text`` is None where the best word's ``contrast`` is too low."""

    text: str | None
    contrast: float | None


def names_of(
    vectors: Vectors,
    members: Sequence[Ids],
    words: Sequence[str],
    word_rows: Float32,
    word_mean: Float32,
    seed: int,
    telling: Telling,
    stands_out: float = STANDS_OUT,
) -> list[Name]:
    """Choose a name for each cluster, given as positions of images.

    ``word_rows`` (w, dim) are unit rows; ``word_mean`` (dim,) is subtracted from them. A single cluster gets no name.
    Raises InterruptedError.
    """
    k = len(members)
    if k < 2 or not len(words):
        return [Name(None, None)] * k
    each = max(_EACH, _COMPARED // k)
    chosen = [mine[some(len(mine), each, seed + number)] for number, mine in enumerate(members)]
    means, rows = _centred(vectors, chosen, telling)
    best, directions = _best_words(means, word_rows, word_mean)
    contrast = _contrasts(rows, [len(mine) for mine in chosen], directions)
    shown = [
        words[word] if value >= stands_out else None
        for word, value in zip(best.tolist(), contrast, strict=True)
    ]
    return [Name(text, value) for text, value in zip(_numbered(shown), contrast, strict=True)]


def _centred(vectors: Vectors, chosen: Sequence[Ids], telling: Telling) -> tuple[Float32, Float32]:
    """Return the mean (k, dim) of each cluster and all rows (m, dim), cluster by cluster.

    Rows are centred by the mean of the cluster means and normalised.
    """
    rows = np.empty((sum(map(len, chosen)), vectors.dim), np.float32)
    ends = np.cumsum([len(mine) for mine in chosen])
    for number, (mine, end) in enumerate(zip(chosen, ends.tolist(), strict=True)):
        telling.tell(NAMING, number, len(chosen))
        rows[end - len(mine) : end] = vectors.at(mine)
    parts = np.split(rows, ends[:-1])
    rows -= np.mean([part.mean(axis=0) for part in parts], axis=0)
    rows[:] = unit_rows(rows)
    return np.stack([part.mean(axis=0) for part in parts]), rows


def _best_words(means: Float32, word_rows: Float32, word_mean: Float32) -> tuple[Ids, Float32]:
    """Find the word of each cluster (k,) that exceeds its mean over the other clusters most, and its vector (k,
    dim)."""
    k = len(means)
    best = np.zeros(k, np.int64)
    height = np.full(k, -np.inf, np.float32)
    directions = np.zeros_like(means)
    for start in range(0, len(word_rows), _WORDS):
        some_words = unit_rows(word_rows[start : start + _WORDS] - word_mean)
        scores = means @ some_words.T
        above = scores - (scores.sum(axis=0) - scores) / (k - 1)
        top = above.argmax(axis=1)
        value = above[np.arange(k), top]
        better = value > height
        best[better], height[better] = top[better] + start, value[better]
        directions[better] = some_words[top[better]]
    return best, directions


def _contrasts(rows: Float32, sizes: Sequence[int], directions: Float32) -> list[float]:
    """Compute each cluster's contrast: median score inside less the mean outside, in standard deviations outside."""
    out = []
    ends = np.cumsum(sizes).tolist()
    for end, size, direction in zip(ends, sizes, directions, strict=True):
        scores = (rows @ direction).astype(np.float64)
        inside = scores[end - size : end]
        outside = np.concatenate([scores[: end - size], scores[end:]])
        out.append(float((np.median(inside) - outside.mean()) / max(float(outside.std()), 1e-6)))
    return out


def _numbered(names: Sequence[str | None]) -> list[str | None]:
    """Make names unique by numbering repeated ones, starting at 1."""
    many = {name for name, times in Counter(names).items() if name is not None and times > 1}
    taken = {name for name in names if name is not None} - many
    seen: Counter[str] = Counter()
    out: list[str | None] = []
    for name in names:
        text = name
        while name in many and (text in many or text in taken):
            seen[name] += 1
            text = f"{name} ({seen[name]})"
        if text is not None:
            taken.add(text)
        out.append(text)
    return out


def mean_of(words: Float32, neutral: Callable[[], Float32]) -> Float32:
    """Return the mean vector (dim,) of the vocabulary, or that of ``neutral`` texts where it has few words."""
    rows = words if len(words) >= FEW_WORDS else neutral()
    mean: Float32 = rows.mean(axis=0)
    return mean
