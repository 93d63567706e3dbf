"""Whatever happens to a collection with an approximate index, in whatever order, searches agree with a plain scan."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis_profiles import examples
from snapshotting import STAT, Rows, clustered, collection_of, index_of, new_images, same

from imseek import maintenance
from imseek.data.catalog.changeset import Changeset, Placement
from imseek.data.reader import Reader
from imseek.data.shards import compaction
from imseek.data.vectors import (
    IdSet,
    Matches,
    VectorIndex,
    index_renewal,
    open_index,
    snapshot_growth,
    snapshot_index,
    tuning,
)
from imseek.data.writing.commit import commit
from imseek.data.writing.writer import Writer
from imseek.types.collection_info import IndexPolicy

DIM = 8
#: Every row is among the candidates that count, and codes keep the order of scores but for rounding.
EXACT = ("Flat", "RR8,Flat", "SQfp16")
KINDS = (*EXACT, "IVF8,SQ8", "HNSW4,SQ8", "RR8,IVF8,RaBitQ4", "PQ4x3")

#: Few of them, so that copies abound; the last is a row of zeros.
POOL = np.concatenate([clustered(24, 1, DIM, clusters=6), np.zeros((1, DIM), np.float32)])
QUERIES = clustered(3, 2, DIM, clusters=6)

DEPTHS = (1, 4, 13, 25, 39, 60)
SHARES = (0.5, 0.0, 1.0, 0.1, 0.02)

picks = st.lists(st.integers(0, len(POOL) - 1), min_size=1, max_size=14)
shares = st.floats(0, 1, allow_nan=False)


class Indexed(RuleBasedStateMachine):
    """The model is the stored row of each image; ``quarantined`` are those that are not searched now."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp())
        self.root = self.home / "c"
        self.live: dict[int, bytes] = {}
        self.quarantined: dict[int, bytes] = {}
        self.named = 0
        self.kind = "auto"
        self.patch = pytest.MonkeyPatch()
        for module, name, value in (
            (compaction, "FACTOR", 3),
            (index_renewal, "MAX_TAIL_ROWS", 25),
            (snapshot_growth, "DEAD_SHARE", 0.6),
            (index_renewal, "MAX_TAIL_SHARE", 0.0),
            (tuning, "QUERIES", 12),
            (snapshot_index, "MAX_APPROXIMATE_K", 40),
            (snapshot_index, "SCANNED_SHARE", 0.02),
        ):
            self.patch.setattr(module, name, value)
        collection_of(self.root, encoder=f"fake:{DIM}")
        self.reader = Reader(self.root)
        self.index: VectorIndex | None = None
        self.generation = -1
        self.steps = 0

    def teardown(self) -> None:
        self.patch.undo()
        shutil.rmtree(self.home)

    # -- what happens ------------------------------------------------------------------------------------

    @initialize(gathered=st.sampled_from([0, 10_000]), first=picks)
    def begin(self, gathered: int, first: list[int]) -> None:
        self.patch.setattr(snapshot_index, "MAX_SCORED_IDS", gathered)
        self.add(first * 3)

    def _commit(self, batch: Changeset) -> None:
        with Writer(self.root, "test") as writer:
            commit(writer, batch)

    def _name(self) -> str:
        self.named += 1
        return f"name {self.named}"

    def _appear(self, vectors: Rows, batch: Changeset, replaces: int | None = None) -> None:
        batch.new = new_images(vectors, self._name())
        if replaces is not None:
            (image,) = batch.new
            place = self.reader.reopen().catalog_places([replaces])[replaces]
            batch.new = [
                type(image)(*place, STAT, image.content_hash, image.metadata, image.vectors, replaces=replaces)
            ]
        before = {*self.live, *self.quarantined}
        self._commit(batch)
        self.reader = self.reader.reopen()
        stored = [int(i) for s in self.reader.segments(0) for i in s.ids[s.searchable()]]
        fresh = sorted(set(stored) - before)
        assert len(fresh) == len(vectors)
        self.live.update(zip(fresh, (v.astype(np.float16).tobytes() for v in vectors), strict=True))

    @rule(chosen=picks)
    def add(self, chosen: list[int]) -> None:
        self._appear(POOL[chosen], Changeset())

    @precondition(lambda self: self.live)
    @rule(at=shares, chosen=st.integers(0, len(POOL) - 1))
    def change(self, at: float, chosen: int) -> None:
        """Other content in the same place: another image."""
        image_id = self._at(at)
        del self.live[image_id]
        self._appear(POOL[[chosen]], Changeset(gone=[image_id]), replaces=image_id)

    @precondition(lambda self: self.live)
    @rule(at=shares)
    def move(self, at: float) -> None:
        self._commit(Changeset(moved=[Placement(self._at(at), 1, self._name().encode(), STAT)]))

    @precondition(lambda self: self.live)
    @rule(share=st.sampled_from([0.1, 0.5, 1.0]), seed=st.integers(0, 5))
    def delete(self, share: float, seed: int) -> None:
        gone = self._some(share, seed) or [min(self.live)]
        self._commit(Changeset(gone=gone))
        for image_id in gone:
            del self.live[image_id]

    @precondition(lambda self: self.live)
    @rule(seed=st.integers(0, 5))
    def quarantine(self, seed: int) -> None:
        gone = self._some(0.2, seed) or [max(self.live)]
        self._commit(Changeset(suspended=gone))
        self.quarantined.update({i: self.live.pop(i) for i in gone})

    @precondition(lambda self: self.quarantined)
    @rule()
    def come_back(self) -> None:
        places = self.reader.reopen().catalog_places(list(self.quarantined))
        self._commit(Changeset(checked=[Placement(i, *places[i], STAT) for i in self.quarantined]))
        self.live.update(self.quarantined)
        self.quarantined.clear()

    @rule(kind=st.sampled_from(KINDS), recall=st.sampled_from([0.5, 0.99]))
    def build(self, kind: str, recall: float) -> None:
        if len(self.live) < 24 and kind not in EXACT:
            kind = "Flat"  # too few to train others on
        (report,) = maintenance.build_index(self.root, IndexPolicy(kind, recall=recall))
        assert report.outcome == ("built" if self.live else report.outcome)
        self.kind = kind
        if self.live:
            assert report.index is not None
            assert (report.index.rows, report.index.tail, report.index.dead) == (len(self.live), 0, 0)

    @rule()
    def scan(self) -> None:
        maintenance.build_index(self.root, IndexPolicy("none"))
        self.kind = "none"

    @rule()
    def tidy(self) -> None:
        """Merge what is due, and renew the index where that is."""
        maintenance.merge(self.root)

    @rule()
    def purge(self) -> None:
        maintenance.purge(self.root)
        # A purge takes the files of the generation away that this process searched.
        self.reader, self.index = Reader(self.root), None

    @rule()
    def reopen(self) -> None:
        self.reader, self.index = Reader(self.root), None

    # -- what holds --------------------------------------------------------------------------------------

    @invariant()
    def searches_agree(self) -> None:
        """One of each kind of search after every step; the next step asks others."""
        self.steps += 1
        for n, share in enumerate((None, SHARES[self.steps % len(SHARES)])):
            self._search(DEPTHS[(self.steps + 2 * n) % len(DEPTHS)], share, text=self.steps % 2 == n)

    def _search(self, k: int, share: float | None, *, text: bool) -> None:
        index, reference = self._opened(), index_of(self.root, "memory")
        allowed = None
        if share is not None:
            ids = np.arange(-1, max([0, *self.live, *self.quarantined]) + 3)
            allowed = IdSet(ids[np.random.default_rng(k).random(len(ids)) < share])
        wanted = reference.search(QUERIES, k, allowed=allowed)
        same(index.search(QUERIES, k, allowed=allowed, text=text, exact=True), wanted)
        found = index.search(QUERIES, k, allowed=allowed, text=text)
        if self.kind in ("auto", "none"):
            same(found, wanted)
        every = reference.search(QUERIES, max(1, len(self.live)), allowed=allowed)
        for one, best, scored in zip(found, wanted, every, strict=True):
            self._check(one, best, scored)

    def _check(self, found: Matches, best: Matches, scored: Matches) -> None:
        scores = dict(zip(scored.ids.tolist(), scored.scores.tolist(), strict=True))
        ids = found.ids.tolist()
        assert len(ids) == len(best), "fewer than there are"
        assert len(set(ids)) == len(ids)
        assert set(ids) <= scores.keys(), "found what is not there, or not allowed"
        assert [scores[i] for i in ids] == found.scores.tolist()
        assert sorted(ids, key=lambda i: (-scores[i], i)) == ids
        if self.kind in EXACT:  # Which of several copies is found is left to the index.
            assert found.scores.tolist() == best.scores.tolist()

    @invariant()
    def the_same_images_are_there(self) -> None:
        index = self._opened()
        stored = {
            int(i): s.rows[n].tobytes()
            for s in index.segments
            for n, i in enumerate(s.ids.tolist())
            if s.searchable()[n]
        }
        assert stored == self.live
        assert len(index) == len(self.live)

    def _opened(self) -> VectorIndex:
        """As a searching process does it: from the index of the generation before."""
        self.reader = newer = self.reader.reopen()
        if self.index is None or newer.generation != self.generation:
            self.generation = newer.generation
            self.index = open_index("faiss", newer.segments(0), DIM, previous=self.index, snapshot=newer.snapshot(0))
        return self.index

    def _at(self, share: float) -> int:
        ids = sorted(self.live)
        return ids[min(int(share * len(ids)), len(ids) - 1)]

    def _some(self, share: float, seed: int) -> list[int]:
        ids = np.array(sorted(self.live), np.int64)
        return [int(i) for i in ids[np.random.default_rng(seed).random(len(ids)) < share]]


class InParts(Indexed):
    """Where a few dozen images are enough for another part, and three parts are many."""

    def __init__(self) -> None:
        super().__init__()
        for name, value in (("PART_ROWS", 20), ("MAX_PARTS", 3)):
            self.patch.setattr(snapshot_growth, name, value)


TestIndexed = Indexed.TestCase
TestIndexed.settings = settings(
    max_examples=examples(6),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestInParts = InParts.TestCase
TestInParts.settings = TestIndexed.settings
