"""Retrieval quality on a part of the examples, with and without an adapter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.data.vectors.base import Ids
from imseek.encoders.vector_adapter import Adapter
from imseek.metrics import bootstrap
from imseek.metrics.estimate import Estimate
from imseek.metrics.retrieval import Ranks, RelevantItems, rank_items
from imseek.tune.examples import Examples
from imseek.tune.results import Retrieval, TuneDirection, TuneGain
from imseek.types.arrays import Float32

TEXT_DIRECTIONS: Final[tuple[TuneDirection, ...]] = ("text to image", "image to text")
IMAGE_DIRECTIONS: Final[tuple[TuneDirection, ...]] = ("image to image",)
#: Level of the interval that decides. At 95 %, one useless adapter in forty would pass, and users can try several
#: seeds.
DECISION_LEVEL: Final = 0.99


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationPart:
    """A part of the examples as queries in each direction. ``units`` (per direction) groups queries for resampling."""

    images: Float32
    words: Float32 | None
    pairs: Ids
    units: tuple[Ids, ...]

    @classmethod
    def of(cls, examples: Examples, groups: Ids, positions: Ids, most: int | None = None) -> EvaluationPart:
        """Select the images at positions ``positions`` (at most the first ``most``) with their matches."""
        positions = positions if most is None else positions[:most]
        place = np.full(len(examples.ids), -1, np.int64)
        place[positions] = np.arange(len(positions))
        own_pairs = examples.pairs[place[examples.pairs[:, 1]] >= 0]
        image_positions = place[own_pairs[:, 1]]
        if examples.words is None:
            query_positions = place[own_pairs[:, 0]]
            pairs = np.stack([query_positions, image_positions], axis=1)[query_positions >= 0]
            return cls(examples.images[positions], None, pairs, (groups[positions][np.unique(pairs[:, 0])],))
        texts, query_positions = np.unique(own_pairs[:, 0], return_inverse=True)
        owners = groups[examples.pairs[:, 1]]
        # A caption is resampled with its images; a tag, which many images share, by itself.
        first = np.full(len(examples.texts), -1, np.int64)
        first[examples.pairs[::-1, 0]] = owners[::-1]
        units = first[texts] if examples.source == "captions" else int(groups.max()) + 1 + texts
        pairs = np.stack([query_positions.astype(np.int64), image_positions], axis=1)
        return cls(examples.images[positions], examples.words[texts], pairs, (units, groups[positions]))

    @property
    def directions(self) -> tuple[TuneDirection, ...]:
        return IMAGE_DIRECTIONS if self.words is None else TEXT_DIRECTIONS

    def rank(self, adapter: Adapter | None) -> tuple[Ranks, ...]:
        """Rank in each direction."""
        images = self.images if adapter is None else adapter(self.images)
        left, right = self.pairs.T
        if self.words is None:
            return (_rank_other_images(images, left, right),)
        return (
            rank_items(self.words, images, RelevantItems.of(left, right, len(self.words))),
            rank_items(images, self.words, RelevantItems.of(right, left, len(images))),
        )

    def precision(self, adapter: Adapter | None) -> float:
        """Mean average precision, averaged over the directions."""
        return float(np.mean([ranks.precision.mean() for ranks in self.rank(adapter)]))


def measure_gains(part: EvaluationPart, adapter: Adapter, seed: int) -> tuple[tuple[TuneGain, ...], Estimate]:
    """Measure the gain in each direction, and of the average precision over all directions with equal weight."""
    before, after = part.rank(None), part.rank(adapter)
    gains = tuple(
        TuneGain(
            direction,
            summarise_ranks(old),
            summarise_ranks(new),
            bootstrap.paired_interval(old.hits(1), new.hits(1), groups=renumber(units), seed=seed),
            bootstrap.paired_interval(old.precision, new.precision, groups=renumber(units), seed=seed),
        )
        for direction, old, new, units in zip(part.directions, before, after, part.units, strict=True)
    )
    lengths = [len(one.precision) for one in before]
    ends = np.cumsum(lengths)

    def figure(values: npt.NDArray[np.float64], weights: npt.NDArray[np.int64]) -> float:
        parts = [slice(end - n, end) for n, end in zip(lengths, ends.tolist(), strict=True)]
        return float(np.mean([values[p] @ weights[p] / max(1, weights[p].sum()) for p in parts]))

    overall = bootstrap.paired_interval(
        np.concatenate([one.precision for one in before]),
        np.concatenate([one.precision for one in after]),
        figure,
        groups=renumber(np.concatenate(part.units)),
        level=DECISION_LEVEL,
        seed=seed,
    )
    return gains, overall


def is_helpful(gains: tuple[TuneGain, ...], overall: Estimate) -> bool:
    """Return whether the gain is significant, with no loss in any direction (docs/decisions/0021-adapters.md)."""
    return overall.low > 0 and all(one.precision.value >= 0 for one in gains)


def _rank_other_images(images: Float32, left: Ids, right: Ids) -> Ranks:
    """Rank other images for each query image. The image itself always comes before the first match, and is
    discounted."""
    query_images, question = np.unique(left, return_inverse=True)
    ranks = rank_items(images[query_images], images, RelevantItems.of(question, right, len(query_images)))
    first = np.maximum(1, ranks.first - 1)
    return Ranks(first, 1 / first, ranks.items - 1)


def summarise_ranks(ranks: Ranks) -> Retrieval:
    """Summarise the ranks of queries."""
    return Retrieval(
        questions=len(ranks.first),
        items=ranks.items,
        r1=float(ranks.hits(1).mean()),
        r5=float(ranks.hits(5).mean()),
        r10=float(ranks.hits(10).mean()),
        median_rank=float(np.median(ranks.first)),
        precision=float(ranks.precision.mean()),
    )


def renumber(units: Ids) -> Ids:
    """Renumber units from 0."""
    numbers: Ids = np.unique(units, return_inverse=True)[1].astype(np.int64)
    return numbers
