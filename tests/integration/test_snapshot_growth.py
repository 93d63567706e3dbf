"""Approximate indexes of several parts: how they grow, what they find together, and what becomes of them."""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from snapshotting import add, check_scores, clustered, collection_of, ids_of, index_of, recall, remove, same

import imseek
from imseek import maintenance
from imseek.data.catalog import index_policy
from imseek.data.reader import Reader
from imseek.data.shards import compaction
from imseek.data.vectors import IdSet, index_kinds, index_renewal, snapshot_growth, tuning
from imseek.data.vectors.build import LiveRows
from imseek.data.vectors.range_search import RangeSearch
from imseek.data.vectors.recall_queries import RecallQueries
from imseek.data.vectors.sharded_index import ShardedSnapshot
from imseek.search.query import Query, Term
from imseek.types.collection_info import IndexInfo, IndexPolicy
from imseek.types.maintenance_reports import BuildReport
from imseek.ui.cli import main

QUERIES = clustered(40, 77)
ROWS = 2000


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "QUERIES", 80)
    monkeypatch.setattr(tuning, "TRUTH_DEPTH", 200)
    monkeypatch.setattr(index_renewal, "MAX_TAIL_ROWS", 50)
    monkeypatch.setattr(index_renewal, "MAX_TAIL_SHARE", 0.01)
    monkeypatch.setattr(snapshot_growth, "PART_ROWS", 1000)
    monkeypatch.setattr(index_kinds, "MAX_LISTS", 16)
    monkeypatch.setattr(compaction, "FACTOR", 1000)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return collection_of(tmp_path_factory.mktemp("parts") / "template", *np.split(clustered(ROWS, 1), 2))


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path / "copy")
    return tmp_path / "copy"


def build(root: Path, kind: str = "IVF16,SQ8", **policy: object) -> BuildReport:
    (report,) = maintenance.build_index(root, IndexPolicy(kind, **policy))  # type: ignore[arg-type]
    return report


def told(root: Path) -> IndexInfo:
    with imseek.open(root) as collection:
        (info,) = collection.info().indexes
    return info


def parts_of(root: Path) -> list[str]:
    """The names of the folders of the parts, in their order."""
    snapshot = Reader(root).snapshot(0)
    assert isinstance(snapshot, ShardedSnapshot)
    return list(snapshot.facts.parts)


def grow(root: Path, count: int, seed: int) -> None:
    add(root, clustered(count, seed), f"more {seed}")
    (note,) = maintenance.merge(root).notes
    assert note.startswith("vector index extended")


def check(root: Path, least: float = 0.95) -> None:
    """What is found is live, in order and scored as the reference does it; and as much of it as is told."""
    index, reference = index_of(root), index_of(root, "memory")
    allowed = IdSet(ids_of(root)[::3])
    for text in (False, True):
        found = index.search(QUERIES, 10, text=text)
        check_scores(found, reference, QUERIES)
        assert recall(found, reference.search(QUERIES, 10)) > least
        within = index.search(QUERIES, 10, allowed=allowed, text=text)
        wanted = reference.search(QUERIES, 10, allowed=allowed)
        assert all(allowed.marks(one.ids).all() for one in within)
        assert recall(within, wanted) > least
    same(index.search(QUERIES, 10, exact=True), reference.search(QUERIES, 10))


@pytest.mark.sample(kind=2)
@pytest.mark.parametrize(
    "kind", ["IVF16,SQ8", "IVF16,PQ16x4fs", "OPQ16,IVF16,PQ16x4fs", "RR64,IVF16,RaBitQ2", "Flat", "HNSW16,SQ8"]
)
def test_what_has_grown_is_all_that_is_built(root: Path, kind: str) -> None:
    assert build(root, kind).outcome == "built"
    (first,) = parts_of(root)
    stamp = (root / "spaces/0/index" / first / "faiss.index").stat()
    grow(root, 900, 5)
    second = parts_of(root)[1]
    grow(root, 60, 6)
    # The first part stays as it is; the second was small, and where it has lists it was added to.
    after = parts_of(root)
    assert after[0] == first
    assert (second in after) == ("IVF" not in kind)
    assert len(after) == (2 if "IVF" in kind else 3)
    assert (root / "spaces/0/index" / first / "faiss.index").stat().st_mtime_ns == stamp.st_mtime_ns
    info = told(root)
    assert (info.rows, info.tail, info.dead, info.parts) == (ROWS + 960, 0, 0, len(after))
    assert info.kind == kind
    check(root)
    assert maintenance.verify(root).ok
    assert maintenance.merge(root).notes == ()


def test_parts_of_one_layout_find_what_one_index_of_all_finds(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("IVF16,SQ8", "IVF16,PQ16x4fs", "OPQ16,IVF16,PQ16x4fs"):
        monkeypatch.setattr(snapshot_growth, "count_parts", lambda *_: 1)
        build(root, kind)
        whole = index_of(root)
        monkeypatch.setattr(snapshot_growth, "count_parts", lambda *_: 4)
        build(root, kind)
        snapshot = Reader(root).snapshot(0)
        assert isinstance(snapshot, ShardedSnapshot)
        assert [part.facts.rows for part in snapshot.parts] == [ROWS // 4] * 4
        assert {part.facts.layout for part in snapshot.parts} == {"", snapshot.facts.parts[0]}
        one = Reader(root).snapshot(0)
        for count in (5, 100, 700):
            marks = snapshot.covered.bitmap_of(np.arange(0, ROWS, 2))
            for allowed in (None, marks):
                for queries in (QUERIES[:1], QUERIES):
                    drawn = snapshot.candidates(queries, count, 5, allowed)
                    wanted = whole.snapshot.candidates(queries, count, 5, allowed)  # type: ignore[attr-defined]
                    np.testing.assert_array_equal(drawn.ids < 0, wanted.ids < 0)
                    np.testing.assert_array_equal(
                        np.where(drawn.ids < 0, 0, drawn.scores), np.where(wanted.ids < 0, 0, wanted.scores)
                    )
        assert one is not None
        check(root)


def test_few_threads_and_many_find_the_same(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_growth, "count_parts", lambda *_: 4)
    build(root)
    snapshot = Reader(root).snapshot(0)
    assert isinstance(snapshot, ShardedSnapshot)
    alone = snapshot.candidates(QUERIES[:1], 50, 4, None)
    snapshot._threads = 3
    together = snapshot.candidates(QUERIES[:1], 50, 4, None)
    np.testing.assert_array_equal(alone.scores, together.scores)
    np.testing.assert_array_equal(np.sort(alone.ids), np.sort(together.ids))


def test_a_part_that_has_more_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is near to a query lies in one part: its first share of the candidates is not enough."""
    near = clustered(400, 1, clusters=1)
    far = clustered(1600, 2)
    far -= 2 * (far @ near[0])[:, np.newaxis].clip(0) * near[0]
    rows = np.concatenate([near, far / np.linalg.norm(far, axis=1, keepdims=True)]).astype(np.float32)
    root = collection_of(tmp_path / "c", rows)
    monkeypatch.setattr(snapshot_growth, "count_parts", lambda *_: 5)
    build(root, "IVF4,SQ8")
    snapshot = Reader(root).snapshot(0)
    assert snapshot is not None
    ids = np.array(ids_of(root))[:400]
    drawn = snapshot.candidates(near[:2], 300, 4, None)
    assert all(np.isin(one, ids).mean() > 0.95 for one in drawn.ids)


def test_many_parts_become_fewer(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_growth, "MAX_PARTS", 3)
    build(root)
    for seed in range(10, 16):
        grow(root, 1001, seed)
        info = told(root)
        assert (info.rows, info.tail) == (len(ids_of(root)), 0)
        assert info.parts <= 3
    snapshot = Reader(root).snapshot(0)
    assert isinstance(snapshot, ShardedSnapshot)
    rows = sorted(part.facts.rows for part in snapshot.parts)
    assert sum(rows) == ROWS + 6 * 1001
    assert rows[0] >= 1001
    check(root)


def test_a_part_of_which_much_has_gone_goes(root: Path) -> None:
    build(root)
    grow(root, 1500, 5)
    first, second = parts_of(root)
    ids = ids_of(root)
    remove(root, ids[: ROWS // 4])
    (note,) = maintenance.merge(root).notes
    assert "extended" in note
    assert parts_of(root)[0] == second
    info = told(root)
    assert (info.rows, info.dead, info.tail) == (ROWS + 1500 - ROWS // 4, 0, 0)
    assert first not in parts_of(root)
    check(root)
    # No part holds what has gone, but the queries that are kept may be vectors of it.
    assert list(root.rglob("truth.npz"))
    maintenance.purge(root)
    assert not list(root.rglob("truth.npz"))
    assert replace(told(root), bytes=0) == replace(info, bytes=0)


def test_what_is_unlike_what_there_was_gets_lists_of_its_own(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_growth, "ROWS_PER_LIST", 4)
    build(root)
    one_spot = clustered(1, 9) + 0.05 * np.random.default_rng(3).standard_normal((1200, 64))
    add(root, (one_spot / np.linalg.norm(one_spot, axis=1, keepdims=True)).astype(np.float32), "alike")
    maintenance.merge(root)
    snapshot = Reader(root).snapshot(0)
    assert isinstance(snapshot, ShardedSnapshot)
    assert [part.facts.layout for part in snapshot.parts] == ["", ""]
    assert snapshot.parts[1].facts.trained == 1200
    check(root)


def test_an_automatic_index_gives_few_rows_few_lists_and_searches_their_share(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_growth, "ROWS_PER_LIST", 4)
    monkeypatch.setattr(index_policy, "EXACT_BYTES", 0)
    monkeypatch.setattr(index_kinds, "MAX_LISTS", 128)
    build(root, "auto")
    one_spot = clustered(1, 9) + 0.05 * np.random.default_rng(3).standard_normal((300, 64))
    few = add(root, (one_spot / np.linalg.norm(one_spot, axis=1, keepdims=True)).astype(np.float32), "alike")
    maintenance.merge(root)
    snapshot = Reader(root).snapshot(0)
    assert isinstance(snapshot, ShardedSnapshot)
    kinds = [part.facts.factory.split(",")[1] for part in snapshot.parts]
    assert kinds == ["IVF128", "IVF64"], "each part has as many lists as its rows fill"
    everything = snapshot.candidates(QUERIES[:3], ROWS + len(few), 128, None)
    for found in everything.ids:
        assert set(found) == set(ids_of(root)), "where all lists of the large part are read, so are all others"


def test_answers_that_are_kept_are_those_of_all_rows(root: Path) -> None:
    build(root)
    grow(root, 300, 5)
    ids = ids_of(root)
    folder = Reader(root).snapshot_folder(0)
    assert folder is not None
    remove(root, ids[::7])
    grow(root, 60, 6)
    grow(root, 60, 7)  # Fewer answers are known by now, since some have gone.
    folder = Reader(root).snapshot_folder(0)
    assert folder is not None
    kept = RecallQueries.read(folder)
    assert kept.rows == ROWS
    fresh = tuning.find_neighbours([kept.image, kept.text], LiveRows(Reader(root).segments(0)))
    for mine, all_rows in zip((kept.image, kept.text), fresh, strict=True):
        for n in range(len(mine.own)):
            top = min(len(mine.truth[n]), len(all_rows.truth[n]))
            assert top > 150
            np.testing.assert_allclose(mine.scores[n][:top], all_rows.scores[n][:top], atol=1e-6)
            assert set(mine.truth[n][:50]) == set(all_rows.truth[n][:50])


def test_an_index_of_one_that_was_there_before_becomes_a_part(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The form of earlier versions: one folder with all. Its facts name no parts, so that those versions read it."""
    monkeypatch.setattr(snapshot_growth, "PART_ROWS", 1 << 20)
    build(root)
    folder = Reader(root).snapshot_folder(0)
    assert folder is not None
    assert sorted(path.name for path in folder.path.iterdir()) == ["covered.npy", "faiss.index", "index.json"]
    before = (folder.path / "index.json").read_bytes()
    assert not {"parts", "layout"} & json.loads(before).keys()
    monkeypatch.setattr(snapshot_growth, "PART_ROWS", 1000)
    with imseek.open(root) as collection:
        held = collection.search(QUERIES[0])
        grow(root, 500, 5)
        assert parts_of(root)[0] == folder.last
        assert (folder.path / "index.json").read_bytes() == before
        assert collection.search(QUERIES[0]).approximate
    assert held.approximate
    check(root)
    # Earlier versions take it for damaged, and read all vectors: to them the facts of a snapshot have no such member.
    folder = Reader(root).snapshot_folder(0)
    assert folder is not None
    assert json.loads((folder.path / "index.json").read_text())["parts"] == parts_of(root)


def test_a_purge_takes_only_the_parts_that_hold_what_has_gone(root: Path) -> None:
    build(root)
    grow(root, 1500, 5)
    first, second = parts_of(root)
    folder = Reader(root).snapshot_folder(0)
    assert folder is not None
    kept = RecallQueries.read(folder)
    asked = int(kept.image.own[kept.image.own >= 0][0])
    part = second if asked in ids_of(root)[ROWS:] else first
    remove(root, [asked])
    maintenance.purge(root)
    assert set(parts_of(root)) & {first, second} == {first, second} - {part}
    assert told(root).dead == 0
    check(root)
    stored = kept.image.queries[list(kept.image.own).index(asked)].tobytes()
    assert not any(stored in path.read_bytes() for path in root.rglob("*") if path.is_file())
    assert maintenance.verify(root).ok


@pytest.mark.parametrize("name", ["faiss.index", "covered.npy", "index.json"])
def test_a_damaged_part_goes_and_the_others_stay(root: Path, name: str) -> None:
    build(root)
    grow(root, 1500, 5)
    first, second = parts_of(root)
    path = root / "spaces/0/index" / second / name
    content = path.read_bytes()
    path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    wanted = index_of_memory(root)
    with imseek.open(root) as collection:
        result = collection.search(QUERIES[0])
    if name != "faiss.index":  # Of a changed code nobody knows but its checksum.
        assert [hit.image_id for hit in result] == wanted
        assert "damaged" in result.notes[0]
    repaired = maintenance.repair(root)
    assert any("a part of the approximate index" in line for line in repaired.lost)
    assert repaired.after.ok
    assert parts_of(root) == [first]
    assert told(root).tail == 1500
    check(root)
    (note,) = maintenance.merge(root).notes
    assert "extended" in note
    assert (parts_of(root)[0], told(root).tail, told(root).parts) == (first, 0, 2)


def test_damaged_answers_are_found_anew(root: Path) -> None:
    build(root)
    folder = Reader(root).snapshot_folder(0)
    assert folder is not None
    content = (folder.path / "truth.npz").read_bytes()
    (folder.path / "truth.npz").write_bytes(content[:200] + bytes(100) + content[300:])
    grow(root, 1500, 5)
    folder = Reader(root).snapshot_folder(0)
    assert folder is not None
    assert RecallQueries.read(folder).rows == ROWS + 1500
    check(root)


@pytest.mark.parametrize("left", [None, 200, 5000], ids=["gone", "cut short", "changed"])
def test_an_index_does_without_its_answers(root: Path, left: int | None) -> None:
    """Nothing is searched by them: a search does not miss them, and a repair leaves all parts."""
    build(root)
    grow(root, 1500, 5)
    before = parts_of(root)
    folder = Reader(root).snapshot_folder(0)
    assert folder is not None
    path = folder.path / "truth.npz"
    content = path.read_bytes()
    path.unlink()
    if left is not None:
        path.write_bytes(content[:left] if left < 5000 else content[:left] + bytes(100) + content[left + 100 :])
    with imseek.open(root) as collection:
        result = collection.search(QUERIES[0])
        assert result.approximate
        assert not result.notes
    repaired = maintenance.repair(root)
    assert any("the answers by which" in line for line in repaired.lost)
    assert repaired.after.ok
    assert parts_of(root) == before
    check(root)
    grow(root, 100, 6)
    folder = Reader(root).snapshot_folder(0)
    assert folder is not None
    assert RecallQueries.read(folder).rows == ROWS + 1600
    assert maintenance.verify(root).ok


def test_a_recall_that_is_changed_builds_no_part(root: Path) -> None:
    build(root, recall=0.6)
    grow(root, 1500, 5)
    before = parts_of(root)
    stop = threading.Event()
    stop.set()
    maintenance.build_index(root, IndexPolicy("IVF16,SQ8", recall=0.99), stop=stop)
    grow_none = maintenance.merge(root).notes
    assert "extended" in grow_none[0]
    assert parts_of(root) == before
    assert told(root).target == 0.99


def test_what_info_says(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build(root)
    grow(root, 1500, 5)
    assert main(["info", "--collection", str(root)]) == 0
    assert "3,500 images in 2 parts" in " ".join(capsys.readouterr().out.split())


def test_pictures(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real ones, through the front door: what they find does not depend on how many parts there are."""
    for module, name, value in (
        (index_renewal, "MAX_TAIL_ROWS", 1),
        (snapshot_growth, "PART_ROWS", 3),
        (index_policy, "EXACT_BYTES", 256),
    ):
        monkeypatch.setattr(module, name, value)
    few = tmp_path / "few"
    few.mkdir()
    names = sorted(path for path in photos.iterdir() if path.is_file())
    with imseek.create(tmp_path / "made", encoder="fake:64") as made:
        for n, path in enumerate(names):
            shutil.copy(path, few / path.name)
            report = made.index([few])
            assert report.added == 1
            if n == 3:
                maintenance.build_index(made.path, IndexPolicy("IVF1,SQ8"))
        (info,) = made.info().indexes
        assert (info.rows + info.tail, info.parts > 1) == (len(names), True)
        for image_id in range(len(names)):
            terms = (Term(image_id=image_id),)
            found, right = (list(made.search(Query(terms, exact=exact))) for exact in (False, True))
            assert [(hit.path, hit.score) for hit in found] == [(hit.path, hit.score) for hit in right]
            assert len(found) > 5
        maintenance.purge(made.path)
        assert maintenance.verify(made.path).ok


def test_all_that_are_near_are_found_in_all_parts(root: Path) -> None:
    """As looking for duplicates asks: everything from a cosine on."""
    build(root, "IVF16,PQ16x4fs")
    grow(root, 1500, 5)
    rows = clustered(1500, 5)[:60].astype(np.float16)
    every = IdSet(ids_of(root))
    found = RangeSearch(index_of(root), every).near(rows, 0.75, 50)
    wanted = RangeSearch(index_of(root, "memory"), every).near(rows, 0.75, 50)
    pairs, right = (set(zip(one.query.tolist(), one.ids.tolist(), strict=True)) for one in (found, wanted))
    assert len(right) >= 60
    assert pairs <= right
    assert len(pairs) >= 0.98 * len(right)


def index_of_memory(root: Path) -> list[int]:
    """The ten best for the first of the queries."""
    (one,) = index_of(root, "memory").search(QUERIES[:1], 10)
    return one.ids.tolist()


def test_parts_come_back_from_a_backup(root: Path, tmp_path: Path) -> None:
    """Several parts, one of them with dead rows: the same answers by them, a repair finds nothing to do, they grow on.
    Left out, there are none in the copy until they are due again."""
    build(root)
    grow(root, 900, 2)
    grow(root, 900, 3)
    remove(root, ids_of(root)[5:25])
    parts = parts_of(root)
    assert len(parts) >= 2
    imseek.backup.write(root, tmp_path / "whole.tar")
    imseek.backup.write(root, tmp_path / "without.tar", index=False)
    found = {}
    for name in ("whole", "without"):
        imseek.backup.restore(tmp_path / f"{name}.tar", tmp_path / name, new_identity=name == "without")
        assert maintenance.verify(tmp_path / name).ok
        maintenance.repair(tmp_path / name)
    assert parts_of(tmp_path / "whole") == parts
    assert told(tmp_path / "whole") == told(root)
    assert Reader(tmp_path / "without").snapshot(0) is None
    assert not list((tmp_path / "without").rglob("faiss.index"))
    for path in (root, tmp_path / "whole"):
        with imseek.open(path) as collection:
            found[path] = [[(hit.image_id, hit.score) for hit in collection.search(q)] for q in QUERIES]
    assert found[root] == found[tmp_path / "whole"]
    grow(tmp_path / "whole", 900, 4)
    assert maintenance.verify(tmp_path / "whole").ok
