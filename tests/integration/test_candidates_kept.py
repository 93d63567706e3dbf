"""Candidates that were stopped go on where they were, and after a change only what changed is compared."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from comparing import by_comparing, by_ids, check, library_at, put, side, units_of
from snapshotting import remove
from templates import Templates

from imseek import maintenance
from imseek.data.vectors import IdSet, range_search
from imseek.duplicates import unique_contents
from imseek.duplicates.candidates import block_pairs, pair_candidates, phash_pairs
from imseek.duplicates.candidates.pair_candidates import CandidateLimits
from imseek.progress import Progress, Task


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 64 ids."""
    monkeypatch.setattr(block_pairs, "_BLOCK_BITS", 6)


@pytest.fixture
def library(tmp_path: Path, templates: Templates) -> Path:
    return templates.made(tmp_path / "collection", library_at)


class Counting:
    """How many hashes and vectors are asked about."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.hashes = self.vectors = 0
        near, table_near = range_search.RangeSearch.near, phash_pairs.MultiIndex.near

        def count_vectors(
            search: range_search.RangeSearch, rows: npt.NDArray[np.float16], *more: float | None
        ) -> object:
            self.vectors += len(rows)
            return near(search, rows, *more)

        def count_hashes(table: phash_pairs.MultiIndex, queries: unique_contents.Hashes, *more: int) -> object:
            self.hashes += len(queries)
            return table_near(table, queries, *more)

        patch.setattr(range_search.RangeSearch, "near", count_vectors)
        patch.setattr(phash_pairs.MultiIndex, "near", count_hashes)

    def taken(self) -> tuple[int, int]:
        counts = self.hashes, self.vectors
        self.hashes = self.vectors = 0
        return counts


@pytest.mark.parametrize("kind", ["faiss", "snapshot"])
def test_a_call_that_was_stopped_goes_on_there(
    library: Path, kind: str, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting(monkeypatch)
    one = side(library, kind)
    pair_candidates.find(one)
    whole = counting.taken()
    vectors, hashes = sum(1 for row in units_of(one) if row.any()), len(np.unique(one.contents.phashes)) - 1
    assert whole == (hashes, vectors)

    stop, told = threading.Event(), []

    def progress(now: Progress) -> None:
        told.append((now.phase, now.done, now.total))
        if now.phase == "comparing vectors" and now.done >= 250:
            stop.set()

    stopped = pair_candidates.find(one, keep=library, task=Task(progress, stop, interval=0))
    assert stopped.interrupted
    assert len(stopped) == 0
    before = counting.taken()
    assert before[0] == hashes
    assert 0 < before[1] < vectors
    assert told[0] == ("comparing hashes", 0, hashes)

    found = pair_candidates.find(side(library, kind), keep=library)
    after = counting.taken()
    assert after[0] == 0
    # At most the block that was under way is done twice.
    assert vectors <= before[1] + after[1] <= vectors + 64
    check(by_ids(found, one), by_comparing(one))

    again = pair_candidates.find(side(library, kind), keep=library)
    assert counting.taken() == (0, 0)
    assert by_ids(again, one) == by_ids(found, one)


def test_stopped_while_hashes_are_compared(library: Path, small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    counting = Counting(monkeypatch)
    stop = threading.Event()

    def progress(now: Progress) -> None:
        if now.done >= 130:
            stop.set()

    one = side(library)
    assert pair_candidates.find(one, keep=library, task=Task(progress, stop, interval=0)).interrupted
    first = counting.taken()
    assert first[1] == 0
    found = pair_candidates.find(one, keep=library)
    second = counting.taken()
    hashes = len(np.unique(one.contents.phashes)) - 1
    assert 0 < second[0] < hashes
    assert hashes <= first[0] + second[0] <= hashes + 64
    check(by_ids(found, one), by_comparing(one))


@pytest.mark.parametrize("kind", ["faiss", "snapshot"])
def test_of_a_changed_collection_only_what_changed_is_compared(
    library: Path, kind: str, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair_candidates.find(side(library, kind), keep=library)
    counting = Counting(monkeypatch)
    old = side(library, kind)
    vector = units_of(old)[5:6].astype(np.float32)
    put(library, vector, [int(old.contents.phashes[9]) ^ 1], ["new"], "third")
    one = side(library, kind)
    found = pair_candidates.find(one, keep=library)
    assert max(counting.taken()) <= 64
    check(by_ids(found, one), by_comparing(one))
    # One that goes, and one that now stands for a content that another stood for.
    first = next(iter(one.contents.copies))
    remove(library, [int(one.contents.ids[50]), first])
    one = side(library, kind)
    found = pair_candidates.find(one, keep=library)
    assert max(counting.taken()) <= 3 * 64
    check(by_ids(found, one), by_comparing(one))


def test_other_questions_have_other_answers(library: Path) -> None:
    one = side(library)
    wide, narrow = CandidateLimits(radius=13, cosine=0.7), CandidateLimits(radius=2, cosine=0.95)
    for reach in (narrow, wide, narrow):
        check(by_ids(pair_candidates.find(one, reach=reach, keep=library), one), by_comparing(one, reach=reach))
    some = IdSet(one.contents.ids[::2])
    half = side(library, allowed=some)
    check(by_ids(pair_candidates.find(half, keep=library, scope="half"), half), by_comparing(half))
    check(by_ids(pair_candidates.find(one, keep=library), one), by_comparing(one))


def test_damaged_parts_are_made_again(library: Path, small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    one = side(library)
    pair_candidates.find(one, keep=library)
    parts = sorted((library / "cache" / "duplicates").rglob("*.npz"))
    assert len(parts) > 8
    for n, path in enumerate(parts):
        data = bytearray(path.read_bytes())
        data[len(data) // 2 if n % 2 else 60] ^= 0xFF
        path.write_bytes(data if n % 3 else data[: len(data) // 2])
    counting = Counting(monkeypatch)
    check(by_ids(pair_candidates.find(one, keep=library), one), by_comparing(one))
    assert min(counting.taken()) > 0
    pair_candidates.find(one, keep=library)
    assert counting.taken() == (0, 0)


def test_where_nothing_can_be_kept_it_is_found_all_the_same(library: Path) -> None:
    (library / "cache").write_bytes(b"")
    one = side(library)
    check(by_ids(pair_candidates.find(one, keep=library), one), by_comparing(one))


def test_what_is_kept_is_no_part_of_the_collection(library: Path) -> None:
    """It may be deleted, `verify` passes it over, and a purge takes it away: it names images that have gone."""
    pair_candidates.find(side(library), keep=library)
    assert list((library / "cache").rglob("*.npz"))
    assert maintenance.verify(library).problems == ()
    maintenance.purge(library)
    assert not (library / "cache").exists()
    one = side(library)
    check(by_ids(pair_candidates.find(one, keep=library), one), by_comparing(one))


def test_merging_shards_changes_nothing(library: Path, small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows move to another file; images, and so what is known of them, stay."""
    found = pair_candidates.find(side(library), keep=library)
    maintenance.merge(library)
    counting = Counting(monkeypatch)
    one = side(library)
    again = pair_candidates.find(one, keep=library)
    assert counting.taken() == (0, 0)
    assert by_ids(again, one) == by_ids(found, one)
