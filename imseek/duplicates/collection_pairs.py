"""Find the duplicate pairs of one collection: hashes and vectors propose candidates, pixels decide."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np

from imseek.data.reader import Reader
from imseek.data.vectors import VectorIndex
from imseek.data.vectors.range_search import StoredRows
from imseek.duplicates.candidates import pair_candidates
from imseek.duplicates.candidates.candidate_limit import DEFAULT_LOOKS
from imseek.duplicates.candidates.phash_pairs import distances
from imseek.duplicates.crops import crop_search
from imseek.duplicates.crops.tile_vectors import TileEncoder, TileStore
from imseek.duplicates.local_features import feature_search
from imseek.duplicates.local_features.features import is_available
from imseek.duplicates.pair_reports import cosine_of, reach_of, scope_of, to_differences, to_duplicate_pairs
from imseek.duplicates.part_cache import PartCache, digest
from imseek.duplicates.pixels.classify import ClassifiedPairs
from imseek.duplicates.pixels.common_frame import CommonFrame
from imseek.duplicates.pixels.luminance_cache import SIDE, LuminanceCache
from imseek.duplicates.pixels.orientations import ORIENTATIONS, turn_hashes
from imseek.duplicates.pixels.pair_judge import Positions, judge_pairs, link_pair
from imseek.duplicates.pixels.placements import Placements
from imseek.duplicates.pixels.resampling import Luminance
from imseek.duplicates.pixels.verdict import DEFAULTS, UNKNOWN, Thresholds
from imseek.duplicates.pixels.verdict_cache import SingleVerdicts, classify_cached, load_nothing
from imseek.duplicates.results import DuplicateKind, DuplicatePair
from imseek.duplicates.unique_contents import UniqueContents
from imseek.encoders.base import Encoder
from imseek.freed_memory import release_freed_memory
from imseek.progress import SILENT, Task
from imseek.search.backend import unit_rows
from imseek.types.collection_info import SpaceInfo


@dataclass(frozen=True, slots=True)
class ComparisonResult:
    """Pairs, each by the first images of two contents. ``notes`` say what was left out or is less certain."""

    pairs: list[DuplicatePair]
    notes: tuple[str, ...] = ()
    interrupted: bool = False

    def merged_with(self, more: ComparisonResult) -> ComparisonResult:
        """Return both results as one."""
        return ComparisonResult(self.pairs + more.pairs, self.notes + more.notes, self.interrupted or more.interrupted)


class PairListener(Protocol):
    """Takes the pairs of contents, by their first images, while candidates are compared."""

    def begin(self, candidates: Iterable[int]) -> None:
        """Take both contents of each candidate, before any pair."""

    def add(self, pairs: Sequence[DuplicatePair], compared: Iterable[int]) -> None:
        """Take pairs, and both contents of each candidate that has been compared since the last call."""


class PairComparer:
    """Compares the contents of one generation. :meth:`save` stores what :meth:`confirm` found for the next run."""

    def __init__(
        self,
        reader: Reader,
        read: Callable[[int], bytes | None],
        contents: UniqueContents,
        space: SpaceInfo,
        index: VectorIndex,
        kinds: Collection[DuplicateKind],
        thresholds: Thresholds = DEFAULTS,
        looks: int = DEFAULT_LOOKS,
        where: str = "",
    ) -> None:
        """``read`` returns the bytes of a picture by its id, or None if they are gone; ``index`` is that of
        the image ``space``. Only pairs of the given ``kinds`` are returned. If there are more than ``looks``
        candidates, only the most promising are compared by pixels. ``where`` names the condition that selected the
        contents."""
        self._reader, self._contents, self._space, self._index = reader, contents, space, index
        self._kinds, self._thresholds, self._max_looks = frozenset(kinds), thresholds, looks
        self._where = where
        self._cache = PartCache(reader.root, digest("looked", where))
        # Both are duplicates of other members of their groups: compare the pixels at any hash distance.
        self._single = SingleVerdicts(self._cache, replace(thresholds, near_bits=UNKNOWN))
        self._read: Callable[[int], bytes | None] = lambda position: read(int(contents.ids[position]))
        self._pictures = LuminanceCache(self._read)
        #: How contents lie over each other by the pairs that were compared in this call. A question to :meth:`confirm`
        #: may lay two of them once more, so that the next one finds them a fraction of a pixel elsewhere than it would
        #: if the first had been answered from the cache.
        self._placements = Placements()
        self._frame = CommonFrame(partial(_load_luminance, self._pictures), self._placements)
        self._rows: StoredRows | None = None
        #: Images of pairs of any kind.
        self._related: set[tuple[int, int]] = set()
        #: Keys of all candidates, ascending: those that did not become pairs need not be compared again.
        self._candidate_keys = np.empty(0, np.int64)
        self._questions = 0

    def save(self) -> None:
        self._single.save()

    def find(self, task: Task = SILENT, listener: PairListener | None = None) -> ComparisonResult:
        """Find all pairs."""
        candidates = pair_candidates.find(
            pair_candidates.side_of(self._reader, self._contents, self._space, self._index),
            reach=reach_of(self._thresholds, len(self._contents)),
            turn=turn_hashes,
            turns=len(ORIENTATIONS),
            keep=self._reader.root,
            scope=scope_of(self._where),
            task=task,
        )
        if candidates.interrupted:
            return ComparisonResult([], candidates.notes, interrupted=True)
        self._candidate_keys = candidates.a * len(self._contents) + candidates.b
        contents = self._contents
        release_freed_memory()

        def add(batch: ClassifiedPairs, a: Positions, b: Positions) -> None:
            self._link(batch)
            if listener is not None:
                listener.add(self._report_pairs(batch), contents.ids[np.concatenate([a, b])].tolist())

        if listener is not None:
            listener.begin(contents.ids[np.concatenate([candidates.a, candidates.b])].tolist())
        classified = classify_cached(
            candidates.a,
            candidates.b,
            np.minimum(candidates.distance, np.uint8(UNKNOWN)),
            candidates.orientation,
            candidates.cosine,
            self._pictures,
            self._thresholds,
            contents.ids[candidates.a],
            (contents.hashes[candidates.a], contents.hashes[candidates.b]),
            self._cache,
            task,
            self._max_looks,
            add,
        )
        pairs = classified.kind > 0
        self._related = set(
            zip(contents.ids[classified.a[pairs]].tolist(), contents.ids[classified.b[pairs]].tolist(), strict=True)
        )
        return ComparisonResult(
            self._report_pairs(classified), candidates.notes + classified.notes, classified.interrupted
        )

    def find_inside(
        self,
        encoder: Encoder,
        known_pairs: Iterable[DuplicatePair],
        task: Task = SILENT,
    ) -> ComparisonResult:
        """Find pairs of a picture and a crop of it, except ``known_pairs``, which are related already; where OpenCV is
        there, also as :meth:`find_by_features` does.

        ``encoder`` is the encoder of the space; it encodes tiles of every picture, which are cached.
        """
        known_pairs = tuple(known_pairs)
        space = self._space
        tiler = TileEncoder(TileStore(self._reader.root, space.fingerprint, space.dim), encoder, self._read)
        crops = crop_search.find(
            self._contents.ids,
            self._contents.hashes,
            lambda ids: unit_rows(self._reader, ids, space),
            self._index,
            tiler,
            self._read,
            keep=self._reader.root,
            task=task,
        )
        related = {(pair.a, pair.b) for pair in known_pairs}
        pairs: dict[tuple[int, int], DuplicatePair] = {}
        for crop in crops.pairs:
            a, b = sorted((int(self._contents.ids[crop.whole]), int(self._contents.ids[crop.part])))
            if (a, b) not in related:
                pairs[a, b] = DuplicatePair(
                    a,
                    b,
                    "inside",
                    crop_search.CONFIDENCE,
                    cosine=cosine_of(crop.cosine),
                    correlation=cosine_of(crop.correlation),
                )
        note = f"nothing was looked for in pictures that cannot be read: {crops.missing:,}"
        notes = (note,) if crops.missing else ()
        result = ComparisonResult(list(pairs.values()), notes, crops.interrupted)
        if crops.interrupted or not is_available():
            return result
        return result.merged_with(self.find_by_features((*known_pairs, *result.pairs), task))

    def find_by_features(self, known_pairs: Iterable[DuplicatePair], task: Task = SILENT) -> ComparisonResult:
        """Find pairs in which one picture shows in the other, by local features, except ``known_pairs`` and pairs that
        :meth:`find` found to be related in any way. Raises MissingExtraError."""
        contents = self._contents
        if len(contents) > feature_search.MOST_PICTURES:
            most = f"{feature_search.MOST_PICTURES:,}"
            return ComparisonResult([], (f"local features are compared in up to {most} pictures: left out",))
        at = {int(image): n for n, image in enumerate(contents.ids)}
        related = self._related | {(pair.a, pair.b) for pair in known_pairs}
        positions = {(at[a], at[b]) for a, b in related}
        matches = feature_search.find(contents.hashes, self._read, positions, keep=self._reader.root, task=task)
        pairs = [
            DuplicatePair(
                int(contents.ids[match.a]),
                int(contents.ids[match.b]),
                "inside",
                round(match.confidence, 6),
                correlation=cosine_of(match.correlation),
                differences=to_differences(match.places),
            )
            for match in matches.pairs
        ]
        note = f"local features were not looked for in pictures that cannot be read: {matches.missing:,}"
        return ComparisonResult(pairs, (note,) if matches.missing else (), matches.interrupted)

    def confirm(self, a: int, b: int) -> DuplicatePair | None:
        """Return the pair of two images that have no pair yet, or None if they are not duplicates.

        ``a`` < ``b`` are the first images of their contents. After ``looks`` calls, pictures are no longer read.
        """
        ids = np.array([a]), np.array([b])
        position_a, position_b = (self._contents.positions(image) for image in ids)
        key = int(position_a[0]) * len(self._contents) + int(position_b[0])
        at = int(np.searchsorted(self._candidate_keys, key))
        if at < len(self._candidate_keys) and self._candidate_keys[at] == key:
            return None
        if self._rows is None:
            self._rows = StoredRows(self._index.segments, self._index.dim)
        self._questions += 1
        load = self._pictures if self._questions <= self._max_looks else load_nothing
        hashes = self._contents.phashes
        apart, codes = distances(hashes[position_a], hashes[position_b], turn_hashes, len(ORIENTATIONS))
        cosine = self._rows.cosines(ids[0], self._rows, ids[1])
        distance = np.minimum(apart, np.uint8(UNKNOWN))
        digests = self._contents.hashes[position_a], self._contents.hashes[position_b]
        judge = partial(judge_pairs, frame=self._frame)
        classified = self._single.classify(
            position_a, position_b, distance, codes, cosine, load, ids[0], digests, judge
        )
        pairs = self._report_pairs(classified)
        return pairs[0] if pairs else None

    def _link(self, classified: ClassifiedPairs) -> None:
        """Note how the pictures of pairs lie that were compared now."""
        pairs = zip(classified.a.tolist(), classified.b.tolist(), classified.verdicts, strict=False)
        for a, b, verdict in pairs:
            if verdict.registration is None:
                continue
            picture_a, picture_b = self._pictures(a), self._pictures(b)
            if picture_a is not None and picture_b is not None:
                link_pair(self._placements, a, b, verdict, (picture_a.shape, picture_b.shape), self._thresholds)

    def _report_pairs(self, classified: ClassifiedPairs) -> list[DuplicatePair]:
        return to_duplicate_pairs(classified, self._contents.ids, self._kinds)


def _load_luminance(pictures: LuminanceCache, position: int) -> Luminance:
    """Return a picture that was compared before, all black if it is gone by now."""
    small = pictures(position)
    return np.zeros((SIDE, SIDE), np.float32) if small is None else small.astype(np.float32)
