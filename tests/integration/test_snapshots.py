"""Approximate indexes of collections on disk: what they find, what becomes of them, and what damage does."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from snapshotting import (
    STAT,
    add,
    check_scores,
    clustered,
    collection_of,
    ids_of,
    index_of,
    new_images,
    recall,
    remove,
    same,
    suspend,
)

import imseek
from imseek import maintenance
from imseek.data.catalog import index_policy
from imseek.data.catalog.changeset import Changeset, Placement
from imseek.data.catalog.index_policy import policy_of
from imseek.data.reader import Reader
from imseek.data.shards import compaction
from imseek.data.vectors import IdSet, index_kinds, index_renewal, snapshot_index, tuning
from imseek.data.vectors.faiss_snapshot import Snapshot
from imseek.data.vectors.index_metadata import CENTRES_FILE, COVERED_FILE, INDEX_FILE, METADATA_FILE, TABLE_FILE
from imseek.data.vectors.inverted_lists import Table
from imseek.data.writing.commit import commit
from imseek.data.writing.writer import Writer
from imseek.errors import CorruptCollectionError, UsageError
from imseek.search.query import Query, Term
from imseek.types.collection_info import IndexInfo, IndexPolicy
from imseek.types.maintenance_reports import BuildReport

ROWS = 3000
#: Lists, rotated bits, graphs, exact codes, products, transforms above exact codes, kinds that take no filter.
KINDS = (
    "IVF16,SQ8",
    "RR64,IVF16,RaBitQ2",
    "HNSW16,SQ8",
    "Flat",
    "IVF16,PQ16x4",
    "RR64,Flat",
    "PCA48,HNSW16,SQ8",
    "IVF16,PQ8x4fs",
    "OPQ8,IVF16,PQ8x4fs",
    "IVF16,RaBitQfs",
    "IVF16_HNSW8,SQ8",
    "PQ16x4",
    "IVF16,RQ6x4",
)
#: Every row is a candidate, and codes keep the order of scores: what these find is exact but for ties in the codes.
WHOLE = ("Flat", "RR64,Flat")

QUERIES = clustered(40, 77)

pytestmark = pytest.mark.sample(built=4, kind=3)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "QUERIES", 160)
    monkeypatch.setattr(tuning, "TRUTH_DEPTH", 400)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clustered rows in three shards, none of them dead."""
    path = tmp_path_factory.mktemp("snapshots") / "template"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compaction, "FACTOR", 1000)
        return collection_of(path, *np.split(clustered(ROWS, 1), 3))


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path / "copy")
    return tmp_path / "copy"


def build(root: Path, kind: str, **policy: object) -> BuildReport:
    (report,) = maintenance.build_index(root, IndexPolicy(kind, **policy))  # type: ignore[arg-type]
    return report


def info(root: Path) -> IndexInfo | None:
    with imseek.open(root) as collection:
        found = collection.info().indexes
    return found[0] if found else None


def known(root: Path) -> IndexInfo:
    found = info(root)
    assert found is not None
    return found


# -- what is found -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=KINDS)
def built(request: pytest.FixtureRequest, template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection with an index of each kind, of which a few images have gone, are quarantined, or came later."""
    path = tmp_path_factory.mktemp("built") / "copy"
    shutil.copytree(template, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "QUERIES", 160)
        patch.setattr(tuning, "TRUTH_DEPTH", 400)
        assert build(path, request.param).outcome == "built"
    assert known(path).kind == request.param
    return path


@pytest.fixture(scope="module")
def lived_in(built: Path) -> Path:
    """The same after more commits. Tests of ``built`` itself come before."""
    path = built.with_name("lived in")
    shutil.copytree(built, path)
    ids = ids_of(path)
    add(path, clustered(200, 5), "later")
    remove(path, ids[::9])
    suspend(path, ids[1::9])
    return path


def test_scores_are_those_of_the_reference_and_recall_is_as_told(built: Path) -> None:
    told, index, reference = known(built), index_of(built), index_of(built, "memory")
    assert (told.rows, told.tail, told.dead, told.queries) == (ROWS, 0, 0, 80)
    assert not index.exact
    queries = clustered(200, 9)
    words = tuning.text_like_queries(queries, seed=3)
    for asked, text, measured in ((queries, False, told.image_recall), (words, True, told.text_recall)):
        wanted = reference.search(asked, 10)
        found = index.search(asked, 10, text=text)
        assert recall(found, wanted) == pytest.approx(measured, abs=0.05)
        check_scores(found[:20], reference, asked[:20])
        same(index.search(asked[:5], 10, text=text, exact=True), wanted[:5])
    assert told.image_recall > 0.9


@pytest.mark.parametrize("k", [1, 10, 100, 1000])
def test_deeper(built: Path, k: int) -> None:
    found, reference = index_of(built).search(QUERIES, k), index_of(built, "memory")
    check_scores(found[:5], reference, QUERIES[:5])
    assert {len(one) for one in found} == {k}
    # Clusters have fewer than 100 rows, and few edges of a graph lead from one to another.
    is_graph = "HNSW16" in known(built).kind
    assert recall(found, reference.search(QUERIES, k)) > (0.75 if is_graph else 0.9)


@pytest.mark.parametrize("k", [1001, ROWS, ROWS + 1])
def test_beyond_the_deepest_answers_are_exact(lived_in: Path, k: int) -> None:
    same(index_of(lived_in).search(QUERIES[:4], k), index_of(lived_in, "memory").search(QUERIES[:4], k))


def test_dead_and_quarantined_images_are_not_found_and_new_ones_are(lived_in: Path) -> None:
    index, reference = index_of(lived_in), index_of(lived_in, "memory")
    told, ids = known(lived_in), np.array(ids_of(lived_in))
    gone = -(-ROWS // 9) + -(-(ROWS - 1) // 9)
    assert (told.rows, told.tail, told.dead) == (ROWS, 200, gone)
    assert len(index) == len(reference) == len(ids) == ROWS + 200 - gone
    found = index.search(QUERIES, 10)
    check_scores(found, reference, QUERIES)
    assert recall(found, reference.search(QUERIES, 10)) > told.image_recall - 0.07
    best = [int(one.ids[0]) for one in index.search(clustered(200, 5), 1)]
    assert best == ids[-200:].tolist()


@pytest.mark.sample(share=2)
@pytest.mark.parametrize("share", [0.5, 0.1, 0.01, 0.001])
@pytest.mark.parametrize("gathered", [0, 10_000])
def test_filters_let_nothing_through_that_they_should_not(
    lived_in: Path, share: float, gathered: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_index, "MAX_SCORED_IDS", gathered)
    index, reference = index_of(lived_in), index_of(lived_in, "memory")
    everything = np.arange(ROWS + 500)  # the dead, the quarantined and ids that never were too
    allowed = IdSet(everything[np.random.default_rng(4).random(len(everything)) < share])
    found, wanted = index.search(QUERIES, 10, allowed=allowed), reference.search(QUERIES, 10, allowed=allowed)
    check_scores(found[:10], reference, QUERIES[:10])
    assert all(np.isin(one.ids, allowed.ids).all() for one in found)
    assert [len(one) for one in found] == [len(one) for one in wanted]
    assert index.count(allowed) == reference.count(allowed)
    if gathered or share <= 0.01:
        same(found, wanted)
    assert recall(found, wanted) > 0.85


def test_a_filter_that_says_the_opposite_of_the_query(lived_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lists that are probed hold next to nothing that is allowed."""
    monkeypatch.setattr(snapshot_index, "MAX_SCORED_IDS", 0)
    index, reference = index_of(lived_in), index_of(lived_in, "memory")
    for query in QUERIES[:6]:
        (everything,) = reference.search(query[np.newaxis], 10_000)
        far = IdSet(everything.ids[len(everything) // 2 :])
        found = index.search(query[np.newaxis], 10, allowed=far)
        check_scores(found, reference, query[np.newaxis])
        assert np.isin(found[0].ids, far.ids).all()
        assert len(found[0]) == 10
        same(
            index.search(query[np.newaxis], 10, allowed=far, exact=True),
            reference.search(query[np.newaxis], 10, allowed=far),
        )


def test_a_filter_that_leaves_out_what_is_near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``not in the folder of this picture`` does: nearly all images are left, and none of the nearest lists' own."""
    monkeypatch.setattr(snapshot_index, "MAX_SCORED_IDS", 0)
    root = collection_of(tmp_path / "c", clustered(6000, 1, clusters=150))
    build(root, "IVF128,SQ8")
    index, reference = index_of(root), index_of(root, "memory")
    shares = []
    for query in clustered(30, 5, clusters=150):
        (near,) = reference.search(query[np.newaxis], 60)
        rest = IdSet(np.setdiff1d(np.arange(6000), near.ids))
        wanted = reference.search(query[np.newaxis], 10, allowed=rest)
        shares.append(recall(index.search(query[np.newaxis], 10, allowed=rest), wanted))
    assert np.mean(shares) > 0.8


@pytest.mark.parametrize("kind", [*WHOLE, "IDMap2,RR64,Flat", "PCA64,IDMap2,Flat"])
def test_exact_codes_find_all_of_what_a_filter_lets_through(
    root: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_index, "MAX_SCORED_IDS", 0)
    build(root, kind)
    add(root, clustered(100, 6), "later")
    remove(root, ids_of(root)[::5])
    index, reference = index_of(root), index_of(root, "memory")
    for step in (1, 2, 7):
        allowed = np.array(ids_of(root)[::step])
        same(index.search(QUERIES, 10, allowed=allowed), reference.search(QUERIES, 10, allowed=allowed))


def test_many_at_once_are_answered_as_one_by_one(lived_in: Path) -> None:
    index, queries = index_of(lived_in), clustered(300, 21)
    one_by_one = [index.search(query[np.newaxis], 7)[0] for query in queries[::30]]
    same(index.search(queries, 7)[::30], one_by_one)


def test_through_the_front_door(lived_in: Path) -> None:
    reference = index_of(lived_in, "memory")
    with imseek.open(lived_in) as collection:
        for query in QUERIES[:5]:
            (wanted,) = reference.search(query[np.newaxis], 10)
            result = collection.search(query, metadata=False)
            assert result.approximate
            assert (result.searched, result.notes) == (len(reference), ())
            exact = collection.search(Query((Term(vector=query),), exact=True), metadata=False)
            assert not exact.approximate
            assert [(h.image_id, h.score) for h in exact] == list(
                zip(wanted.ids.tolist(), wanted.scores.tolist(), strict=True)
            )


# -- what a collection may be like -----------------------------------------------------------------------------


@pytest.mark.sample(count=3)
@pytest.mark.parametrize("kind", ["Flat", "HNSW16,SQ8", "IVF1,SQ8", "RR64,Flat"])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 9])
def test_few_images(tmp_path: Path, kind: str, count: int) -> None:
    root = collection_of(tmp_path / "c", *([clustered(count, 2)] if count else []))
    report = build(root, kind)
    if not count:
        assert (report.outcome, report.index) == ("scan", None)
        return
    assert report.outcome == "built"
    for k in (1, 2, 50):
        same(index_of(root).search(QUERIES[:3], k), index_of(root, "memory").search(QUERIES[:3], k))


@pytest.mark.parametrize("kind", ["Flat", "IVF4,SQ8", "HNSW16,SQ8", "RR64,IVF4,RaBitQ2"])
def test_copies_of_one_picture(tmp_path: Path, kind: str) -> None:
    root = collection_of(tmp_path / "c", np.tile(clustered(1, 2), (300, 1)))
    report = build(root, kind)
    assert report.index is not None
    assert (report.index.image_recall, report.index.text_recall) == (1, 1)
    found = index_of(root).search(QUERIES[:3], 10)
    check_scores(found, index_of(root, "memory"), QUERIES[:3])
    assert {len(one) for one in found} == {10}


def test_copies_do_not_count_as_misses(tmp_path: Path) -> None:
    """Each picture 20 times: which ten of the copies are found is of no matter."""
    root = collection_of(tmp_path / "c", np.repeat(clustered(100, 2), 20, axis=0))
    report = build(root, "IVF16,SQ8")
    assert report.index is not None
    assert report.index.image_recall == 1
    assert report.index.image_probe < 8


@pytest.mark.parametrize("kind", ["Flat", "IVF4,SQ8", "HNSW16,SQ8"])
@pytest.mark.parametrize("every", [1, 3])
def test_rows_of_zeros(tmp_path: Path, kind: str, every: int) -> None:
    rows = clustered(300, 2)
    rows[::every] = 0
    root = collection_of(tmp_path / "c", rows)
    assert build(root, kind).outcome == "built"
    index, reference = index_of(root), index_of(root, "memory")
    found = index.search(QUERIES[:5], 10)
    check_scores(found, reference, QUERIES[:5])
    same(index.search(QUERIES[:5], 300, exact=True), reference.search(QUERIES[:5], 300))


@pytest.mark.parametrize(
    ("dim", "kind"), [(1395, "IVF4,SQ8"), (999, "RR999,IVF4,RaBitQ"), (3, "IVF4,SQ8"), (3, "Flat")]
)
def test_widths_that_are_no_multiple_of_anything(tmp_path: Path, dim: int, kind: str) -> None:
    root = collection_of(tmp_path / "c", clustered(300, 2, dim), encoder=f"fake:{dim}")
    assert build(root, kind).outcome == "built"
    add(root, clustered(20, 3, dim), "later")
    index, reference, queries = index_of(root), index_of(root, "memory"), clustered(10, 4, dim)
    found, wanted = index.search(queries, 10), reference.search(queries, 10)
    check_scores(found, reference, queries)
    assert recall(found, wanted) > 0.85
    same(index.search(queries, 10, exact=True), wanted)


def test_ids_far_apart(tmp_path: Path) -> None:
    """As after years of runs that were killed, each with its lease."""
    root = collection_of(tmp_path / "c", clustered(300, 2))
    with Writer(root, "test") as writer:
        writer.take_ids(3 * 10**7)
        commit(writer, Changeset(new=new_images(clustered(300, 3), "far")))
    assert ids_of(root)[-1] >= 3 * 10**7
    assert build(root, "Flat").outcome == "built"
    add(root, clustered(50, 4), "later")
    remove(root, ids_of(root)[::3])
    same(index_of(root).search(QUERIES, 10), index_of(root, "memory").search(QUERIES, 10))
    allowed = np.array(ids_of(root)[::2])
    same(
        index_of(root).search(QUERIES, 10, allowed=allowed),
        index_of(root, "memory").search(QUERIES, 10, allowed=allowed),
    )


# -- the policy ------------------------------------------------------------------------------------------------


def test_auto_scans_what_is_small_and_picks_by_memory(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert build(root, "auto").outcome == "scan"
    assert info(root) is None
    monkeypatch.setattr(index_policy, "EXACT_BYTES", 1 << 10)
    monkeypatch.setattr(index_kinds, "_FIXED_BYTES", 1 << 20)
    lists = index_kinds.list_count(ROWS)
    beside = (1 << 20) + lists * 64 * 4
    for row, kind in (
        (16 + 8, f"OPQ32,IVF{lists},PQ32x4fs"),
        (8 + 8, f"OPQ16,IVF{lists},PQ16x4fs"),
        (4 + 8, f"OPQ8,IVF{lists},PQ8x4fs"),
    ):
        memory = beside + ROWS * row
        report = build(root, "auto", memory=memory)
        assert report.index is not None
        assert report.index.kind == kind
    before = known(root)
    with pytest.raises(UsageError, match=r"an index of 3,000 vectors of 64 dimensions takes at least") as refused:
        build(root, "auto", memory=1 << 19)
    assert "--index none" in str(refused.value.hint)
    assert policy_of(root).memory == memory
    assert known(root) == before


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("IVF16,nonsense", {}),
        ("", {}),
        ("ivf16,sq8", {}),
        ("IVF0,Flat", {}),
        ("IVF99999999999999999999,Flat", {}),
        ("LSH", {}),
        ("HNSW8,PQ8", {}),
        ("IVF16,PQ7", {}),  # of 64 dimensions
        ("IVF4096,SQ8", {}),  # more lists than rows
        ("HNSW16,SQ8", {"memory": 1}),  # no row to train on
        ("Flat", {"memory": 0}),
        ("Flat", {"recall": 0.0}),
        ("Flat", {"recall": 1.01}),
        ("Flat", {"recall": float("nan")}),
    ],
)
def test_what_cannot_be_followed_is_refused_and_the_old_policy_stays(
    root: Path, kind: str, more: dict[str, float]
) -> None:
    build(root, "IVF16,SQ8", recall=0.9)
    before = known(root)
    with pytest.raises(UsageError):
        build(root, kind, **more)
    assert policy_of(root) == IndexPolicy("IVF16,SQ8", recall=0.9)
    assert known(root) == before
    check_scores(index_of(root).search(QUERIES[:3], 10), index_of(root, "memory"), QUERIES[:3])
    assert maintenance.verify(root).ok


def test_none_drops_and_nothing_is_built_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_policy, "EXACT_BYTES", 1 << 10)
    build(root, "IVF16,SQ8")
    report = build(root, "none")
    assert (report.outcome, report.index) == ("dropped", None)
    assert build(root, "none").outcome == "scan"
    assert maintenance.merge(root).notes == ()
    assert info(root) is None
    with imseek.open(root) as collection:
        assert not collection.search(QUERIES[0]).approximate
    assert maintenance.verify(root).ok


def test_stopped_what_there_was_stays(root: Path) -> None:
    build(root, "IVF16,SQ8")
    before, stop = known(root), threading.Event()

    def progress(_: object) -> None:
        stop.set()

    (report,) = maintenance.build_index(root, IndexPolicy("HNSW16,SQ8"), progress=progress, stop=stop)
    assert (report.outcome, report.index) == ("interrupted", before)
    assert known(root) == before
    assert maintenance.verify(root).ok
    assert list((root / "spaces/0/index").iterdir()) == [root / Reader(root).current.snapshots["0"]]


# -- kept by runs ----------------------------------------------------------------------------------------------


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_renewal, "MAX_TAIL_ROWS", 50)
    monkeypatch.setattr(index_renewal, "MAX_TAIL_SHARE", 0.01)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("kind", ["IVF16,SQ8", "RR64,IVF16,RaBitQ2", "HNSW16,SQ8", "Flat"])
def test_a_run_renews_when_much_has_come(root: Path, kind: str) -> None:
    build(root, kind)
    add(root, clustered(50, 5), "a few")
    assert maintenance.merge(root).notes == ()
    assert known(root).tail == 50
    add(root, clustered(40, 6), "more")
    remove(root, ids_of(root)[5:500:10])
    (note,) = maintenance.merge(root).notes
    lists = kind in ("IVF16,SQ8", "RR64,IVF16,RaBitQ2")
    assert note.startswith(f"vector index {'extended' if lists else 'built'} in ")
    told = known(root)
    left = (ROWS + 90, 0, 50) if lists else (ROWS + 90 - 50, 0, 0)  # Lists that are kept keep the dead, unseen.
    assert (told.kind, told.rows, told.tail, told.dead) == (kind, *left)
    index, reference = index_of(root), index_of(root, "memory")
    found = index.search(QUERIES, 10)
    check_scores(found, reference, QUERIES)
    assert recall(found, reference.search(QUERIES, 10)) > told.image_recall - 0.05
    assert maintenance.merge(root).notes == ()


@pytest.mark.usefixtures("few")
def test_lists_are_laid_out_anew_after_growth(root: Path) -> None:
    build(root, "IVF16,SQ8")
    add(root, clustered(ROWS + 10, 5), "twice as many")
    (note,) = maintenance.merge(root).notes
    assert "vector index built in" in note
    assert known(root).rows == 2 * ROWS + 10


def test_many_dead_make_it_due(root: Path) -> None:
    build(root, "IVF16,SQ8")
    ids = ids_of(root)
    remove(root, ids[: ROWS // 6])
    assert maintenance.merge(root).notes == ()
    remove(root, ids[ROWS // 6 : ROWS // 4])
    (note,) = maintenance.merge(root).notes
    assert "vector index built" in note
    assert (known(root).rows, known(root).dead) == (ROWS - ROWS // 4, 0)


@pytest.mark.usefixtures("few")
def test_not_where_the_policy_says_so(root: Path) -> None:
    build(root, "IVF16,SQ8", renew=False)
    add(root, clustered(500, 5), "later")
    assert maintenance.merge(root).notes == ()
    assert known(root).tail == 500
    maintenance.build_index(root)
    assert (known(root).tail, policy_of(root)) == (0, IndexPolicy("IVF16,SQ8", renew=False))


def test_another_recall_is_taken_up_without_new_lists(root: Path) -> None:
    build(root, "IVF16,SQ8", recall=0.6)
    low, stop = known(root), threading.Event()
    stop.set()
    maintenance.build_index(root, IndexPolicy("IVF16,SQ8", recall=0.99), stop=stop)
    (note,) = maintenance.merge(root).notes
    assert "vector index extended" in note
    high = known(root)
    assert (low.target, high.target) == (0.6, 0.99)
    assert high.text_probe > low.text_probe
    assert high.text_recall > 0.95 > low.text_recall


@pytest.mark.usefixtures("few")
def test_what_keeps_it_from_being_renewed_does_not_end_a_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_policy, "EXACT_BYTES", 1 << 10)
    build(root, "auto", memory=80 << 20)
    monkeypatch.setattr(index_kinds, "_FIXED_BYTES", 1 << 30)
    add(root, clustered(100, 5), "later")
    (note,) = maintenance.merge(root).notes
    assert note.startswith("the vector index could not be renewed")
    assert known(root).tail == 100


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("name", [INDEX_FILE, COVERED_FILE, METADATA_FILE])
def test_a_run_builds_anew_what_is_damaged(root: Path, name: str) -> None:
    build(root, "IVF16,SQ8")
    damage_of(root, name, "flip")
    add(root, clustered(100, 5), "later")
    (note,) = maintenance.merge(root).notes
    assert "vector index built" in note
    assert (known(root).rows, known(root).tail) == (ROWS + 100, 0)
    assert maintenance.verify(root).ok


# -- as generations come and go ----------------------------------------------------------------------------------


def test_a_merge_keeps_it_valid(root: Path) -> None:
    build(root, "Flat")
    add(root, clustered(30, 5), "later")
    remove(root, ids_of(root)[::7])
    suspend(root, [ids_of(root)[3]])
    before, told = index_of(root).search(QUERIES, 20), known(root)
    with Writer(root, "test") as writer:
        compaction.merge(writer, writer.current().shards)
    assert len(Reader(root).current.shards) == 1
    same(index_of(root).search(QUERIES, 20), before)
    assert known(root) == told
    assert 20 < told.tail < 30
    # Of a shard that is covered in part, some of the rest go.
    held, tail = index_of(root), ids_of(root)[-told.tail :]
    remove(root, tail[::3])
    suspend(root, tail[1::3])
    for previous in (None, held):
        index, reference = index_of(root, previous=previous), index_of(root, "memory")
        same(index.search(clustered(30, 5), 20), reference.search(clustered(30, 5), 20))
    assert known(root).tail == len(tail[2::3])


def test_a_quarantined_image_comes_back_into_the_index(root: Path) -> None:
    build(root, "Flat")
    (best,) = index_of(root).search(QUERIES[:1], 1)
    image_id = int(best.ids[0])
    suspend(root, [image_id])
    assert int(index_of(root).search(QUERIES[:1], 1)[0].ids[0]) != image_id
    assert known(root).dead == 1
    with Writer(root, "test") as writer:
        place = Reader(root).catalog_places([image_id])[image_id]
        commit(writer, Changeset(checked=[Placement(image_id, *place, STAT)]))
    same(index_of(root).search(QUERIES[:1], 1), [best])
    assert (known(root).dead, known(root).tail) == (0, 0)


def test_one_quarantined_at_the_build_is_found_when_it_comes_back(root: Path) -> None:
    (best,) = index_of(root, "memory").search(QUERIES[:1], 1)
    image_id = int(best.ids[0])
    suspend(root, [image_id])
    build(root, "IVF16,SQ8")
    with Writer(root, "test") as writer:
        place = Reader(root).catalog_places([image_id])[image_id]
        commit(writer, Changeset(checked=[Placement(image_id, *place, STAT)]))
    assert known(root).tail == 1
    same(index_of(root).search(QUERIES[:1], 1), [best])


def test_an_old_generation_keeps_answering(root: Path) -> None:
    build(root, "Flat")
    held = Reader(root)  # which has not opened anything yet
    before = index_of(root, "memory").search(QUERIES, 10)
    remove(root, [int(one.ids[0]) for one in before[:20]])
    add(root, QUERIES, "the queries themselves")
    build(root, "IVF16,SQ8")
    build(root, "none")
    same(index_of(root, reader=held).search(QUERIES, 10), before)
    assert {int(one.ids[0]) for one in index_of(root).search(QUERIES, 1)} == set(ids_of(root)[-40:])


def test_an_index_made_from_that_of_an_earlier_generation(root: Path) -> None:
    """As a searching process does it: scan, snapshot, another snapshot, scan again."""
    index = index_of(root)
    steps: list[Callable[[], object]] = [
        lambda: build(root, "Flat"),
        lambda: add(root, clustered(50, 5), "a"),
        lambda: remove(root, ids_of(root)[::11]),
        lambda: add(root, clustered(50, 6), "b"),
        lambda: build(root, "IVF16,SQ8"),
        lambda: add(root, clustered(50, 7), "c"),
        lambda: build(root, "none"),
        lambda: build(root, "HNSW16,SQ8"),
    ]
    reader = Reader(root)
    for step in steps:
        step()
        reader = reader.reopen()
        space = reader.current.space
        index = imseek.data.vectors.open_index(
            "faiss", reader.segments(0), space.dim, previous=index, snapshot=reader.snapshot(0)
        )
        check_scores(index.search(QUERIES[:4], 10), index_of(root, "memory"), QUERIES[:4])
        same(index.search(QUERIES[:4], 30, exact=True), index_of(root, "memory").search(QUERIES[:4], 30))


READ = """
import sys, time
from pathlib import Path
import numpy as np
import imseek
root, told = Path(sys.argv[1]), Path(sys.argv[2])
queries = np.load(told / "queries.npy")
wanted = np.load(told / "wanted.npy")
kinds, n = set(), 0
with imseek.open(root) as collection:
    while not (told / "stop").exists() or n < 20:
        at = n % len(queries)
        result = collection.search(queries[at], metadata=False)
        assert [hit.image_id for hit in result] == wanted[at].tolist(), (n, result.generation)
        assert not result.notes, result.notes
        kinds.add(result.approximate)
        n += 1
        (told / sys.argv[3]).write_text(str(n))
print(n, sorted(kinds))
"""


def test_two_processes_read_while_it_is_put_in_place(root: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "queries.npy", QUERIES)
    wanted = index_of(root, "memory").search(QUERIES, 10)
    np.save(tmp_path / "wanted.npy", np.stack([one.ids for one in wanted]))
    readers = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", READ, str(root), str(tmp_path), name],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    try:
        while not all((tmp_path / name).exists() for name in ("one", "two")):
            assert all(reader.poll() is None for reader in readers), readers[0].communicate()
            threading.Event().wait(0.05)
        for kind in ("Flat", "RR64,Flat", "none", "Flat"):
            build(root, kind)
            threading.Event().wait(0.3)
    finally:
        (tmp_path / "stop").touch()
        outcomes = [reader.communicate(timeout=60) for reader in readers]
    for reader, (out, err) in zip(readers, outcomes, strict=True):
        assert (reader.returncode, err) == (0, "")
        assert out.endswith("[False, True]\n")


# -- damage --------------------------------------------------------------------------------------------------------


def damage_of(root: Path, name: str, how: str) -> None:
    folder = Reader(root).snapshot_folder(0)
    assert folder is not None
    path = folder.path / name
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    else:  # Where each format begins, or a bit of the marks: what tells of the rest.
        at = len(content) - 9 if name == COVERED_FILE else 1
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])


@pytest.mark.sample(how=1)
@pytest.mark.parametrize("how", ["flip", "truncated", "empty", "missing"])
@pytest.mark.parametrize("name", [INDEX_FILE, COVERED_FILE, METADATA_FILE])
def test_damage_is_told_and_searches_are_exact(root: Path, name: str, how: str) -> None:
    build(root, "IVF16,SQ8")
    with imseek.open(root) as collection:
        held = collection.search(QUERIES[0]), collection.search(QUERIES[0])
        assert held[0].hits == held[1].hits
    damage_of(root, name, how)
    wanted = index_of(root, "memory").search(QUERIES[:4], 10)
    with imseek.open(root) as collection:
        for query, one in zip(QUERIES[:4], wanted, strict=True):
            result = collection.search(query)
            assert [(hit.image_id, hit.score) for hit in result] == list(
                zip(one.ids.tolist(), one.scores.tolist(), strict=True)
            )
            assert not result.approximate
            (note,) = result.notes
            assert "damaged" in note
            assert "imseek maintain --index IVF16,SQ8" in note
        told = collection.info()
        assert told.indexes or "damaged" in told.index
    problems = maintenance.verify(root).problems
    assert [(problem.kind, Path(problem.file).name) for problem in problems] == [("snapshot", name)]
    assert problems[0].repairable
    repaired = maintenance.repair(root)
    assert any(name in line and "approximate index" in line for line in repaired.lost)
    assert repaired.after.ok
    assert info(root) is None
    with imseek.open(root) as collection:
        assert collection.search(QUERIES[0]).notes == ()
    maintenance.build_index(root)
    assert known(root).kind == "IVF16,SQ8"
    assert maintenance.verify(root).ok


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table[:-1],
        lambda table: np.concatenate([table, table]),
        lambda table: table + np.array([0, 32, 0], np.uint64) * 20,
        lambda table: table + np.array([10_000, 0, 0], np.uint64),
        lambda table: table + np.array([0, 0, 70_000], np.uint64),
        lambda table: table.astype(np.int64),
        lambda table: table.reshape(-1),
    ],
    ids=["fewer lists", "more lists", "more room", "more rows", "further on", "other numbers", "flat"],
)
def test_a_table_of_lists_that_reaches_too_far(root: Path, change: Callable[[Table], Table]) -> None:
    """FAISS would believe it, and read what is not there."""
    build(root, "IVF16,PQ16x4fs")
    folder = Reader(root).snapshot_folder(0)
    assert folder is not None
    table = np.load(folder.path / TABLE_FILE)
    assert table.shape == (16, 3)
    (folder.path / TABLE_FILE).unlink()
    np.save(folder.path / TABLE_FILE, change(table))
    with pytest.raises(CorruptCollectionError, match="damaged"):
        Snapshot.open(folder)
    (folder.path / TABLE_FILE).unlink()
    np.save(folder.path / TABLE_FILE, table)
    assert Snapshot.open(folder).index.ntotal == ROWS


@pytest.mark.parametrize("change", [lambda codes: codes[:-1], lambda codes: codes.view(np.int8), lambda codes: codes.T])
def test_codes_of_centres_that_do_not_fit(root: Path, change: Callable[[Any], Any]) -> None:
    """FAISS would believe them, and search lists that are not there."""
    build(root, "IVF16,PQ16x4fs")
    folder = Reader(root).snapshot_folder(0)
    assert folder is not None
    codes = np.load(folder.path / CENTRES_FILE)
    (folder.path / CENTRES_FILE).unlink()
    np.save(folder.path / CENTRES_FILE, change(codes))
    with pytest.raises(CorruptCollectionError, match="damaged"):
        Snapshot.open(folder)
    (folder.path / CENTRES_FILE).unlink()
    np.save(folder.path / CENTRES_FILE, codes)
    assert Snapshot.open(folder).centre_codes is not None


def test_an_index_of_an_earlier_version_has_no_codes_of_centres(root: Path) -> None:
    build(root, "IVF16,PQ16x4fs")
    folder = Reader(root).snapshot_folder(0)
    assert folder is not None
    before = Snapshot.open(folder)
    sizes = {name: size for name, size in before.facts.sizes.items() if name != CENTRES_FILE}
    assert len(sizes) < len(before.facts.sizes)
    (folder.path / CENTRES_FILE).unlink()
    (folder.path / METADATA_FILE).unlink()
    (folder.path / METADATA_FILE).write_bytes(replace(before.facts, sizes=sizes).seal())
    after = Snapshot.open(folder)
    assert after.centre_codes is None
    query = np.eye(1, after.facts.dim, dtype=np.float32)
    assert set(after.candidates(query, 10, 16, None).ids[0]) == set(before.candidates(query, 10, 16, None).ids[0])


def test_it_goes_while_a_process_searches(root: Path) -> None:
    """The files are taken away under a process that has the collection open, but not the index."""
    build(root, "IVF16,SQ8")
    with imseek.open(root) as collection:
        folder = Reader(root).snapshot_folder(0)
        assert folder is not None
        collection.info()
        shutil.rmtree(folder.path)
        (note,) = collection.search(QUERIES[0]).notes
        assert "damaged" in note
        build(root, "IVF16,SQ8")
        result = collection.search(QUERIES[0])
        assert (result.notes, result.approximate) == ((), True)


FLIPS = """
import sys
from pathlib import Path
import numpy as np
from imseek.data.vectors.index_metadata import IndexFolder
from imseek.data.vectors.faiss_snapshot import Snapshot
from imseek.errors import CorruptCollectionError
folder, query = IndexFolder(Path(sys.argv[1]), sys.argv[2]), np.load(sys.argv[3])
marks = np.full(400, 255, np.uint8)
path = folder.path / "faiss.index"
whole = path.read_bytes()
refused = 0
for at in range(0, 300, 2):
    path.unlink()
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x80]) + whole[at + 1 :])
    try:
        opened = Snapshot.open(folder)
        opened.candidates(query, 10, 4, None)
        opened.candidates(query, 10, 4, marks)
    except CorruptCollectionError:
        refused += 1
print(refused)
"""


@pytest.mark.parametrize("kind", ["IVF16,SQ8", "HNSW16,SQ8", "Flat"])
def test_flipped_bytes_near_the_beginning_do_not_end_the_process(root: Path, tmp_path: Path, kind: str) -> None:
    build(root, kind)
    folder = Reader(root).current.snapshots["0"]
    np.save(tmp_path / "query.npy", QUERIES[:1])
    command = [sys.executable, "-c", FLIPS, str(root), folder, str(tmp_path / "query.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 5


# -- real pictures, more spaces ------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path: Path, photos: Path) -> Iterator[imseek.Collection]:
    with imseek.create(tmp_path / "made", encoder="fake:64") as made:
        assert made.index([photos]).added == 8
        yield made


def asked(collection: imseek.Collection, **more: object) -> list[list[tuple[int, float]]]:
    queries = [Query((Term(image_id=n),), **more) for n in range(8)]  # type: ignore[arg-type]
    return [[(h.image_id, h.score) for h in result] for result in collection.search_many(queries)]


@pytest.mark.parametrize("kind", ["Flat", "HNSW16,SQ8", "IVF2,SQ8", "RR64,IVF2,RaBitQ2", "IVF1,Flat"])
def test_pictures(pictures: imseek.Collection, photos: Path, kind: str) -> None:
    before = asked(pictures)
    text = [(h.image_id, h.score) for h in pictures.search("red")]
    assert build(pictures.path, kind).outcome == "built"
    assert asked(pictures, exact=True) == before
    assert asked(pictures) == before  # eight of eight: what lists do not give is scanned
    assert [(h.image_id, h.score) for h in pictures.search("red")] == text
    shutil.copy(photos / "chelsea.png", photos / "again.png")
    pictures.index()
    copies = [h.image_id for h in pictures.search(photos / "chelsea.png", limit=2)]
    assert copies[1] == 8
    assert pictures.search(copies[0], limit=2)[1].score == pytest.approx(1, abs=1e-3)


def test_spaces_come_and_go(pictures: imseek.Collection) -> None:
    root = pictures.path
    before = asked(pictures)
    build(root, "Flat")
    report = maintenance.reencode(root, "fake:32")
    assert report.outcome == "switched"
    assert any("vector index built" in note for note in report.notes)
    assert [(i.space_id, i.kind, i.rows) for i in pictures.info().indexes] == [(1, "Flat", 8)]
    assert pictures.search(0).approximate
    assert maintenance.verify(root).ok
    maintenance.reencode(root, "fake:64")
    assert [(i.space_id, i.kind) for i in pictures.info().indexes] == [(0, "Flat")]
    assert asked(pictures) == before
    maintenance.drop_space(root, 1)
    assert set(Reader(root).current.snapshots) == {"0"}
    assert maintenance.verify(root).ok


def test_a_purge_leaves_no_code_of_what_has_gone_in_a_space_that_is_kept(
    pictures: imseek.Collection, photos: Path
) -> None:
    root = pictures.path
    build(root, "Flat")
    maintenance.reencode(root, "fake:32")
    codes = Reader(root).vector(0, 1).astype(np.float32).tobytes()
    old = [path.read_bytes() for path in root.glob("spaces/0/index/*/faiss.index")]
    assert len(old) == 1
    assert any(codes in path.read_bytes() for path in root.rglob("faiss.index"))
    place = Reader(root).places([0])[0]
    Path(str(place.display)).unlink()
    pictures.index()
    maintenance.purge(root)
    assert not any(codes in path.read_bytes() for path in root.rglob("faiss.index"))
    assert list(root.glob("spaces/0/index/*/faiss.index")) == []
    assert [(i.space_id, i.rows, i.dead) for i in pictures.info().indexes] == [(1, 7, 0)]
    assert maintenance.verify(root).ok
    del photos


def test_several_spaces_answer_together(tmp_path: Path, photos: Path) -> None:
    with imseek.create(tmp_path / "two", encoder="fake:64", also=["fake:32"]) as made:
        made.index([photos])
        before = asked(made)
        reports = maintenance.build_index(made.path, IndexPolicy("Flat"))
        assert [(r.space_id, r.outcome) for r in reports] == [(0, "built"), (1, "built")]
        assert asked(made) == before
        folder = Reader(made.path).snapshot_folder(1)
        assert folder is not None
        (folder.path / INDEX_FILE).unlink()
    with imseek.open(made.path) as again:
        assert asked(again) == before
        (note,) = again.search(0).notes
        assert "fake:32" in note


def test_captions(tmp_path: Path, photos: Path) -> None:
    for n, path in enumerate(sorted(photos.rglob("*.*"))):
        if n % 3:
            path.with_suffix(".txt").write_text(f"a caption of number {n} {path.stem}")
    with imseek.create(tmp_path / "c", encoder="fake:64", captions=True) as made:
        made.index([photos])
        captions = sum("caption" in made.get(n).metadata for n in range(8))
        assert captions == 5
        words = [f"number {n} chelsea" for n in range(5)]
        before = [[(h.image_id, h.score) for h in made.search(w, by="caption", limit=20)] for w in words]
        assert {len(hits) for hits in before} == {5}
        reports = maintenance.build_index(made.path, IndexPolicy("Flat"))
        assert [(r.space_id, r.index.rows) for r in reports if r.index] == [(0, 8), (1, 5)]
        assert [[(h.image_id, h.score) for h in made.search(w, by="caption", limit=20)] for w in words] == before
        assert made.search(words[0], by="caption").approximate
        with_caption = [i.tail for i in made.info().indexes]
        assert with_caption == [0, 0]
