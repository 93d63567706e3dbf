"""Images that came after a snapshot are found by codes like the snapshot's as they are by a scan."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from approximating import snapshot_of

from imseek.data.vectors import IdSet, Segment, snapshot_index, tail_codes
from imseek.data.vectors.exact_index import MemoryIndex
from imseek.data.vectors.index_metadata import SearchEffort, TuningResult
from imseek.data.vectors.snapshot_index import SnapshotIndex

DIM, COVERED = 32, 3000
NONE_DEAD = np.empty(0, np.uint32)
#: Codes of vectors as they are, and of rotated ones.
KINDS = ("IVF16,PQ16x4fs", "OPQ16,IVF16,PQ16x4fs")
#: All lists, and those whose score by codes is not far below the tenth's.
TUNED = TuningResult(SearchEffort(16, 2000, 0.25), 1.0, 0)


def rows_like(count: int, seed: int, *, flat: bool = False) -> Any:
    """Rows around some centres; ``flat`` ones lie in four dimensions, where codes made for all do not follow them."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((40, DIM))
    rows = centres[rng.integers(0, 40, count)] + 0.5 * rng.standard_normal((count, DIM))
    if flat:
        rows = np.zeros((count, DIM))
        rows[:, :4] = rng.standard_normal((count, 4))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float16)


def segments_of(later: Any) -> list[Segment]:
    """Covered rows, some that are covered and some that came later, and those that came later; some are dead."""
    first = Segment(np.arange(0, COVERED - 500), rows_like(COVERED - 500, 1), np.arange(0, 2000, 9))
    mixed = Segment(np.arange(COVERED - 500, COVERED + 600), rows_like(1100, 2), np.arange(0, 1100, 7))
    return [first, mixed, Segment(np.arange(5000, 5000 + len(later)), later, np.arange(0, len(later), 5))]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_index, "_SCANS", 0)


def index_of(segments: list[Segment], factory: str = KINDS[0]) -> SnapshotIndex:
    snapshot = snapshot_of(segments, DIM, upto=COVERED - 1, factory=factory, tuned=TUNED)
    return SnapshotIndex(segments, DIM, snapshot)


def queries(count: int) -> Any:
    made = rows_like(count, 8).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 5, 80])
def test_answers_are_those_of_a_scan(count: int, kind: str) -> None:
    segments = segments_of(rows_like(1500, 3))
    index, reference = index_of(segments, kind), MemoryIndex(segments, DIM)
    for allowed in (None, IdSet(np.arange(0, 6500, 3))):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(snapshot_index, "MAX_SCORED_IDS", 10)
            found = index.search(queries(count), 10, allowed=allowed)
        wanted = reference.search(queries(count), 10, allowed=allowed)
        later = 0
        for one, other in zip(found, wanted, strict=True):
            assert one.ids.tolist() == other.ids.tolist()
            np.testing.assert_allclose(one.scores, other.scores, rtol=0, atol=1e-6)
            later += int((one.ids >= COVERED).sum())
        assert later, "no answer holds one of the tail"
    assert index._codes is not None


def test_a_snapshot_of_few_rows_does_not_limit_the_tail() -> None:
    few = [
        Segment(np.arange(280), rows_like(280, 1), NONE_DEAD),
        Segment(np.arange(5000, 8000), rows_like(3000, 3), NONE_DEAD),
    ]
    index = SnapshotIndex(few, DIM, snapshot_of(few, DIM, upto=279, factory="IVF4,PQ16x4fs", tuned=TUNED))
    reference = MemoryIndex(few, DIM)
    for one, other in zip(index.search(queries(5), 300), reference.search(queries(5), 300), strict=True):
        assert len(np.intersect1d(one.ids, other.ids)) >= 297
    assert index._codes is not None


def test_all_of_an_answer_may_have_come_later() -> None:
    """The best of the tail are more than are asked for at first."""
    copies = np.repeat(rows_like(1, 5), 1400, axis=0)
    copies[:, 0] += np.linspace(0, 0.3, 1400).astype(np.float16)
    segments = segments_of(copies)
    index, reference = index_of(segments), MemoryIndex(segments, DIM)
    query = copies[:1].astype(np.float32) / np.linalg.norm(copies[0].astype(np.float32))
    index._codec = index.snapshot.rotated
    index._codes = tail_codes.TailCodes(index._codec, index._tail.segments)
    (found,), (wanted,) = index.search(query, 10), reference.search(query, 10)
    assert found.ids.tolist() == wanted.ids.tolist()
    best = index.snapshot.candidates(query, 300, 16, None)
    near = snapshot_index._near(best, index._codes, query, 10, None, None, (40, best.ids.shape[1]))
    assert int((near >= COVERED).sum()) == 300
    closer = snapshot_index._near(best, index._codes, query, 10, 0.01, None, (40, best.ids.shape[1]))
    assert 10 <= int((closer >= COVERED).sum()) < 300


def test_codes_are_made_once_for_each_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    segments = segments_of(rows_like(1500, 3))
    index = index_of(segments)
    index.search(queries(1), 10)
    encoded: list[int] = []
    encode = tail_codes.encode
    monkeypatch.setattr(tail_codes, "encode", lambda codec, rows: encoded.append(len(rows)) or encode(codec, rows))
    monkeypatch.setattr(snapshot_index, "fits_codes", lambda *_: True)
    newest = Segment(np.arange(9000, 9200), rows_like(200, 4), NONE_DEAD)
    fewer = Segment(segments[2].ids, segments[2].rows, np.arange(0, 1500, 2))
    later = [segments[0], segments[1], fewer, newest]
    renewed = SnapshotIndex(later, DIM, index.snapshot, previous=index)
    found, wanted = renewed.search(queries(20), 10), MemoryIndex(later, DIM).search(queries(20), 10)
    assert [one.ids.tolist() for one in found] == [one.ids.tolist() for one in wanted]
    assert encoded == [200]


@pytest.mark.parametrize("case", ["few", "another kind", "other pictures", "seldom searched"])
def test_other_tails_are_scanned(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if case == "seldom searched":
        monkeypatch.setattr(snapshot_index, "_SCANS", 100)
    later = rows_like(100 if case == "few" else 1500, 3, flat=case == "other pictures")
    segments = segments_of(later)
    index = index_of(segments, "IVF16,SQ8" if case == "another kind" else KINDS[0])
    asked = queries(3)
    found, wanted = index.search(asked, 10), MemoryIndex(segments, DIM).search(asked, 10)
    assert [one.ids.tolist() for one in found] == [one.ids.tolist() for one in wanted]
    assert index._codes is None
