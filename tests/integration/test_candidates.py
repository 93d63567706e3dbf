"""Candidates for duplicates: what comparing each with each says, whatever the index, kept from call to call."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from approximating import snapshot_of
from snapshotting import STAT, clustered, collection_of, remove

from imseek.curate import alike, blocks, candidates, contents
from imseek.curate.candidates import Candidates, Reach, Side
from imseek.data.batch import Batch, NewImage
from imseek.data.commit import commit
from imseek.data.reader import Reader
from imseek.data.shards import row_of
from imseek.data.vectors import IdSet, joins, open_index
from imseek.data.writer import Writer
from imseek.types import ImageFacts, Progress

Rows = npt.NDArray[np.float32]
Pairs = dict[tuple[int, int], tuple[int, float]]

DEFAULT = Reach()


def put(
    root: Path, vectors: Rows, phashes: Sequence[int], names: Sequence[str], at: str = "picture"
) -> list[int]:
    """Commit images; those of one name have the same bytes."""
    new = []
    for n, (vector, phash, name) in enumerate(zip(vectors, phashes, names, strict=True)):
        content = hashlib.sha256(name.encode()).digest()
        facts = ImageFacts(width=n + 1, height=1, format="PNG", mode="RGB", phash=phash)
        row = row_of(facts, content, 10)
        new.append(NewImage(1, f"{at}-{n}.png".encode(), STAT, content, row, {0: vector.astype(np.float16)}))
    before = set(contents_of(root).ids.tolist()) if any(Reader(root).current.shards) else set()
    with Writer(root, "test") as writer:
        commit(writer, Batch(new=new))
    return sorted(set(contents_of(root).ids.tolist()) - before)


def contents_of(root: Path, allowed: IdSet | None = None) -> contents.Contents:
    return contents.of_generation(Reader(root), allowed)


def made(count: int, seed: int = 0) -> tuple[Rows, list[int], list[str]]:
    """Pictures of which some are near others by their vectors, some by their hashes, some by both."""
    rng = np.random.default_rng(seed)
    vectors = clustered(count, seed)
    near = rng.permutation(count)[: count // 8 * 2].reshape(2, -1)
    noise = 0.3 * rng.random((len(near[0]), 1)) * rng.standard_normal((len(near[0]), vectors.shape[1])) / 8
    vectors[near[0]] = vectors[near[1]] + noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    phashes = rng.integers(1, 2**64, count, np.uint64).tolist()
    pairs = rng.permutation(count)[: count // 3 // 2 * 2].reshape(2, -1)
    for n, (a, b) in enumerate(zip(*pairs.tolist(), strict=True)):
        flips = rng.choice(64, n % 13, replace=False).tolist()
        phashes[b] = phashes[a] ^ sum(1 << bit for bit in flips)
    return vectors, phashes, [f"{seed} {n}" for n in range(count)]


def side(root: Path, kind: str = "faiss", allowed: IdSet | None = None) -> Side:
    """``snapshot`` proposes every row that it covers, which are the first two thirds of them by id."""
    reader = Reader(root)
    space = reader.current.space
    segments = reader.segments(space.space_id)
    held = contents.of_generation(reader, allowed)
    if kind == "snapshot":
        upto = int(np.quantile(held.ids, 2 / 3)) if len(held) else 0
        index = open_index("faiss", segments, space.dim, snapshot=snapshot_of(segments, space.dim, upto=upto))
    else:
        index = open_index(kind, segments, space.dim)
    return candidates.side_of(reader, held, index)


def by_ids(found: Candidates, one: Side, other: Side | None = None) -> Pairs:
    ids = one.contents.ids[found.a].tolist(), (other or one).contents.ids[found.b].tolist()
    facts = zip(found.distance.tolist(), found.cosine.tolist(), strict=True)
    pairs = list(zip(*ids, strict=True))
    assert len(set(pairs)) == len(pairs), "a pair is there twice"
    if other is None:
        assert all(a < b for a, b in pairs)
    return dict(zip(pairs, facts, strict=True))


def by_comparing(one: Side, other: Side | None = None, reach: Reach = DEFAULT) -> Pairs:
    """In float64, each with each."""
    two = other or one
    units, theirs = _units(one), _units(two)
    cosines = units @ theirs.T
    a, b = one.contents.phashes[:, np.newaxis], two.contents.phashes[np.newaxis]
    bits = np.unpackbits((a ^ b).view(np.uint8).reshape(*cosines.shape, 8), axis=2)
    apart = np.where((a == 0) | (b == 0), 255, bits.sum(axis=2, dtype=np.int64))
    wanted = (apart <= reach.radius) | (cosines >= reach.cosine)
    wanted &= units.any(axis=1)[:, np.newaxis] & theirs.any(axis=1)
    if other is None:
        wanted = np.triu(wanted, 1)
    i, j = np.nonzero(wanted)
    pairs = zip(one.contents.ids[i].tolist(), two.contents.ids[j].tolist(), strict=True)
    return dict(zip(pairs, zip(apart[i, j].tolist(), cosines[i, j].tolist(), strict=True), strict=True))


def _units(one: Side) -> npt.NDArray[np.float64]:
    assert one.index is not None
    rows = {}
    for segment in one.index.segments:
        rows.update(zip(segment.ids.tolist(), segment.rows.astype(np.float64), strict=True))
    stacked = np.array([rows[i] for i in one.contents.ids.tolist()]).reshape(-1, one.index.dim)
    norms = np.linalg.norm(stacked, axis=1, keepdims=True)
    return np.divide(stacked, norms, out=np.zeros_like(stacked), where=norms > 0)


def check(found: Pairs, wanted: Pairs) -> None:
    assert wanted, "nothing to find"
    assert found.keys() == wanted.keys()
    assert [found[pair][0] for pair in wanted] == [wanted[pair][0] for pair in wanted]
    np.testing.assert_allclose(
        [found[pair][1] for pair in wanted], [wanted[pair][1] for pair in wanted], atol=2e-6
    )


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 64 ids."""
    monkeypatch.setattr(blocks, "_BITS", 6)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """500 contents in two shards; copies, dead ones, some without a hash and some without a vector."""
    root = collection_of(tmp_path / "collection")
    vectors, phashes, names = made(300, 1)
    put(root, vectors, phashes, names, "first")
    more, hashes, others = made(200, 2)
    more[:40], hashes[:40] = vectors[:40], phashes[:40]  # Pairs across shards.
    hashes[:10] = [0] * 10
    more[20:24] = 0
    others[100:104] = names[100:104]  # The same bytes as before,
    more[100:104], hashes[100:104] = vectors[100:104], phashes[100:104]
    put(root, more, hashes, others, "second")
    remove(root, [int(contents_of(root).ids[n]) for n in (3, 7, 299)])
    return root


# -- contents ------------------------------------------------------------------------------------------------


def test_one_image_stands_for_equal_bytes(tmp_path: Path) -> None:
    root = collection_of(tmp_path / "collection")
    vectors = clustered(7, 0)
    put(root, vectors[:4], [11, 12, 11, 14], ["a", "b", "a", "c"], "first")
    put(root, vectors[4:], [12, 15, 11], ["b", "d", "a"], "second")
    first, *_ = contents_of(root).ids.tolist()
    found = contents_of(root)
    assert (found.ids - first).tolist() == [0, 1, 3, 5]
    assert [bytes(row) for row in found.hashes] == [hashlib.sha256(n.encode()).digest() for n in "abcd"]
    assert found.phashes.tolist() == [11, 12, 14, 15]
    copies = {image_id - first: (ids - first).tolist() for image_id, ids in found.copies.items()}
    assert copies == {0: [0, 2, 6], 1: [1, 4]}
    assert (len(found), found.images, len(found.copies)) == (4, 7, 2)
    assert found.positions(np.array([5, 0, 2, 99]) + first).tolist() == [3, 0, -1, -1]
    with pytest.raises(KeyError):
        found.copies[first + 3]
    # With the first one gone, the next one stands for the content; what is not allowed is not there.
    remove(root, [first])
    assert (contents_of(root).ids - first).tolist() == [1, 2, 3, 5]
    few = contents_of(root, IdSet(np.array([4, 5]) + first))
    assert (few.ids - first).tolist() == [4, 5]
    assert len(few.copies) == 0


def test_contents_of_nothing(tmp_path: Path) -> None:
    found = contents_of(collection_of(tmp_path / "collection"))
    assert (len(found), found.images, len(found.copies)) == (0, 0, 0)
    assert found.positions(np.array([1, 2])).tolist() == [-1, -1]


# -- what is found -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["memory", "faiss", "snapshot"])
def test_finds_what_comparing_each_with_each_finds(library: Path, kind: str, small: None) -> None:
    one = side(library, kind)
    found = candidates.find(one)
    wanted = by_comparing(one)
    check(by_ids(found, one), wanted)
    assert found.notes == ()
    assert not found.interrupted
    # The sample has what it should: pairs that one sign alone proposes, and unknown hashes.
    assert any(apart > 10 for apart, _ in wanted.values())
    assert any(cosine < 0.9 for _, cosine in wanted.values())
    assert any(apart == 255 for apart, _ in wanted.values())


@pytest.mark.parametrize("reach", [Reach(radius=0, cosine=0.99), Reach(radius=13, cosine=0.7)])
def test_near_is_what_it_is_asked_to_be(library: Path, reach: Reach) -> None:
    one = side(library)
    check(by_ids(candidates.find(one, reach=reach), one), by_comparing(one, reach=reach))


def test_rows_of_zeros_are_not_proposed_and_no_hash_says_nothing(tmp_path: Path) -> None:
    root = collection_of(tmp_path / "collection")
    vectors = clustered(6, 0)
    vectors[1] = vectors[0]
    vectors[4:] = 0
    first, *_ = put(root, vectors, [0, 0, 5, 5, 0, 5], list("abcdef"))
    one = side(root)
    pairs = by_ids(candidates.find(one, reach=Reach(cosine=0.98)), one)
    assert {(a - first, b - first): d for (a, b), (d, _) in pairs.items()} == {(0, 1): 255, (2, 3): 0}


def test_among_no_or_one_image(tmp_path: Path) -> None:
    root = collection_of(tmp_path / "collection")
    assert len(candidates.find(side(root))) == 0
    put(root, clustered(1, 0), [5], ["a"])
    assert len(candidates.find(side(root))) == 0


def test_hashes_of_turned_pictures(tmp_path: Path) -> None:
    def turn(hashes: contents.Hashes, code: int) -> contents.Hashes:
        turned = hashes ^ np.uint64([0, 0xFFFF0000FFFF0000][code])
        turned[hashes == 0] = 0
        return turned

    root = collection_of(tmp_path / "collection")
    base = 0x123456789ABCDEF1
    phashes = [base, base ^ 0xFFFF0000FFFF0007, base ^ 3, 0x0F0F0F0F0F0F0F0F, 0]
    put(root, clustered(5, 0), phashes, list("abcde"))
    one = side(root)
    reach = Reach(radius=4, cosine=1)
    plain = candidates.find(one, reach=reach)
    assert [(a, b) for a, b in zip(plain.a.tolist(), plain.b.tolist(), strict=True)] == [(0, 2)]
    found = candidates.find(one, reach=reach, turn=turn, turns=2)
    facts = zip(
        found.a.tolist(), found.b.tolist(), found.distance.tolist(), found.orientation.tolist(), strict=True
    )
    assert set(facts) == {(0, 1, 3, 1), (0, 2, 2, 0), (1, 2, 1, 1)}


# -- bounds --------------------------------------------------------------------------------------------------


def test_equal_hashes_do_not_explode(tmp_path: Path) -> None:
    """Of blank pictures each is paired with the next few, and it is said."""
    root = collection_of(tmp_path / "collection")
    count = 300
    rng = np.random.default_rng(0)
    phashes = [77] * count + rng.integers(1, 2**64, 5, np.uint64).tolist() + [78]
    first, *_ = put(root, clustered(count + 6, 0), phashes, [str(n) for n in range(count + 6)])
    one = side(root)
    found = candidates.find(one, reach=Reach(cosine=1, alike=4))
    pairs = {(a - first, b - first) for a, b in by_ids(found, one)}
    blank = {(a, b) for a in range(count) for b in range(a + 1, min(a + 5, count))}
    assert pairs == blank | {(n, count + 5) for n in range(4)}
    assert found.notes == (
        "301 pictures have a perceptual hash like those of more than 4 others; 300 have one and the same: "
        "of these pairs only the nearest were looked at",
    )


@pytest.mark.parametrize("kind", ["faiss", "snapshot"])
def test_a_crowd_of_vectors_brings_a_few_pairs_each(tmp_path: Path, kind: str) -> None:
    root = collection_of(tmp_path / "collection")
    rng = np.random.default_rng(0)
    crowd = np.repeat(clustered(1, 0), 400, axis=0) + 0.01 * rng.standard_normal((400, 64))
    vectors = np.concatenate([crowd / np.linalg.norm(crowd, axis=1, keepdims=True), clustered(50, 3)])
    put(root, vectors.astype(np.float32), [0] * 450, [str(n) for n in range(450)])
    one = side(root, kind)
    found = candidates.find(one, reach=Reach(neighbours=5, cosine=0.95))
    mine = np.bincount(np.concatenate([found.a, found.b]), minlength=450)
    assert mine[:400].min() >= 5
    assert len(found) <= 5 * 450
    assert any("more than 5 others" in note and note.startswith("400 ") for note in found.notes)
    # What is kept are the nearest: the best neighbour of each is always there.
    units = _units(one)
    cosines = units @ units.T
    np.fill_diagonal(cosines, -1)
    keys = set(zip(found.a.tolist(), found.b.tolist(), strict=True))
    best = cosines[:400].argmax(axis=1).tolist()
    assert all((min(a, b), max(a, b)) in keys for a, b in enumerate(best))


def test_codes_that_say_little_are_looked_through_deeper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where all that was drawn seems near and few are, more is drawn."""
    root = collection_of(tmp_path / "collection", clustered(400, 0))
    monkeypatch.setattr(joins, "DRAWN", 4)
    monkeypatch.setattr(joins, "_floor", lambda *_: -1.0)
    one = side(root, "snapshot")
    reach = Reach(neighbours=400, cosine=0.6)
    check(by_ids(candidates.find(one, reach=reach), one), by_comparing(one, reach=reach))


def test_an_approximate_index_finds_what_is_very_near(tmp_path: Path) -> None:
    """Lists and codes as large collections have them."""
    vectors = clustered(6000, 5)
    rng = np.random.default_rng(6)
    copies = vectors[:400] + 0.25 * rng.standard_normal((400, 64)).astype(np.float32) / 8
    vectors[3000:3400] = copies / np.linalg.norm(copies, axis=1, keepdims=True)
    root = collection_of(tmp_path / "collection", vectors)
    reader = Reader(root)
    segments = reader.segments(0)
    from imseek.data.vectors.facts import Effort, Tuned

    made = snapshot_of(segments, 64, factory="IVF64,PQ32x4fs", tuned=Tuned(Effort(24, 160, 0.03), 0.99, 200))
    index = open_index("faiss", segments, 64, snapshot=made)
    one = candidates.side_of(reader, contents.of_generation(reader), index)
    reach = Reach(cosine=0.9)
    found, wanted = by_ids(candidates.find(one, reach=reach), one), by_comparing_quickly(one, 0.9)
    assert len(wanted) >= 400
    assert found.keys() <= wanted
    assert len(found.keys() & wanted) >= 0.995 * len(wanted)


def by_comparing_quickly(one: Side, least: float) -> set[tuple[int, int]]:
    units = _units(one)
    a, b = np.nonzero(np.triu(units @ units.T, 1) >= least)
    return set(zip(one.contents.ids[a].tolist(), one.contents.ids[b].tolist(), strict=True))


# -- two sides -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["faiss", "snapshot"])
def test_against_another_collection(library: Path, tmp_path: Path, kind: str) -> None:
    root = collection_of(tmp_path / "other")
    vectors, phashes, names = made(300, 1)
    put(root, vectors[50:120], phashes[50:120], ["other " + name for name in names[50:120]])
    one, other = side(root), side(library, kind)
    found = candidates.find(one, other)
    check(by_ids(found, one, other), by_comparing(one, other))
    hashes_only = candidates.find(one, Side(other.name, other.contents, other.space, None))
    assert np.isnan(hashes_only.cosine).all()
    wanted = {pair for pair, (apart, _) in by_comparing(one, other).items() if apart <= 10}
    assert wanted <= by_ids(hashes_only, one, other).keys()


# -- going on ------------------------------------------------------------------------------------------------


class Counting:
    """How many hashes and vectors are asked about."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.hashes = self.vectors = 0
        near, table_near = joins.near, alike.Table.near

        def count_vectors(index: object, rows: npt.NDArray[np.float16], *more: object) -> object:
            self.vectors += len(rows)
            return near(index, rows, *more)  # type: ignore[arg-type]

        def count_hashes(table: alike.Table, queries: contents.Hashes, *more: int) -> object:
            self.hashes += len(queries)
            return table_near(table, queries, *more)

        patch.setattr("imseek.curate.neighbours.near", count_vectors)
        patch.setattr(alike.Table, "near", count_hashes)

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
    candidates.find(one)
    whole = counting.taken()
    vectors, hashes = sum(1 for row in _units(one) if row.any()), len(np.unique(one.contents.phashes)) - 1
    assert whole == (hashes, vectors)

    stop, told = threading.Event(), []

    def progress(now: Progress) -> None:
        told.append((now.phase, now.done, now.total))
        if now.phase == "comparing vectors" and now.done >= 250:
            stop.set()

    stopped = candidates.find(one, keep=library, progress=progress, stop=stop)
    assert stopped.interrupted
    assert len(stopped) == 0
    before = counting.taken()
    assert before[0] == hashes
    assert 0 < before[1] < vectors
    assert told[0] == ("comparing hashes", 0, hashes)

    found = candidates.find(side(library, kind), keep=library)
    after = counting.taken()
    assert after[0] == 0
    # At most the block that was under way is done twice.
    assert vectors <= before[1] + after[1] <= vectors + 64
    check(by_ids(found, one), by_comparing(one))

    again = candidates.find(side(library, kind), keep=library)
    assert counting.taken() == (0, 0)
    assert by_ids(again, one) == by_ids(found, one)


def test_stopped_while_hashes_are_compared(
    library: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting(monkeypatch)
    stop = threading.Event()

    def progress(now: Progress) -> None:
        if now.done >= 130:
            stop.set()

    one = side(library)
    assert candidates.find(one, keep=library, progress=progress, stop=stop).interrupted
    first = counting.taken()
    assert first[1] == 0
    found = candidates.find(one, keep=library)
    second = counting.taken()
    hashes = len(np.unique(one.contents.phashes)) - 1
    assert 0 < second[0] < hashes
    assert hashes <= first[0] + second[0] <= hashes + 64
    check(by_ids(found, one), by_comparing(one))


@pytest.mark.parametrize("kind", ["faiss", "snapshot"])
def test_of_a_changed_collection_only_what_changed_is_compared(
    library: Path, kind: str, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates.find(side(library, kind), keep=library)
    counting = Counting(monkeypatch)
    old = side(library, kind)
    vector = _units(old)[5:6].astype(np.float32)
    put(library, vector, [int(old.contents.phashes[9]) ^ 1], ["new"], "third")
    one = side(library, kind)
    found = candidates.find(one, keep=library)
    assert max(counting.taken()) <= 64
    check(by_ids(found, one), by_comparing(one))
    # One that goes, and one that now stands for a content that another stood for.
    first = next(iter(one.contents.copies))
    remove(library, [int(one.contents.ids[50]), first])
    one = side(library, kind)
    found = candidates.find(one, keep=library)
    assert max(counting.taken()) <= 3 * 64
    check(by_ids(found, one), by_comparing(one))


def test_other_questions_have_other_answers(library: Path) -> None:
    one = side(library)
    wide, narrow = Reach(radius=13, cosine=0.7), Reach(radius=2, cosine=0.95)
    for reach in (narrow, wide, narrow):
        check(by_ids(candidates.find(one, reach=reach, keep=library), one), by_comparing(one, reach=reach))
    some = IdSet(one.contents.ids[::2])
    half = side(library, allowed=some)
    check(by_ids(candidates.find(half, keep=library, scope="half"), half), by_comparing(half))
    check(by_ids(candidates.find(one, keep=library), one), by_comparing(one))


def test_damaged_parts_are_made_again(library: Path, small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    one = side(library)
    candidates.find(one, keep=library)
    parts = sorted((library / "cache" / "duplicates").rglob("*.npz"))
    assert len(parts) > 8
    for n, path in enumerate(parts):
        data = bytearray(path.read_bytes())
        data[len(data) // 2 if n % 2 else 60] ^= 0xFF
        path.write_bytes(data if n % 3 else data[: len(data) // 2])
    counting = Counting(monkeypatch)
    check(by_ids(candidates.find(one, keep=library), one), by_comparing(one))
    assert min(counting.taken()) > 0
    candidates.find(one, keep=library)
    assert counting.taken() == (0, 0)


def test_where_nothing_can_be_kept_it_is_found_all_the_same(library: Path) -> None:
    (library / "cache").write_bytes(b"")
    one = side(library)
    check(by_ids(candidates.find(one, keep=library), one), by_comparing(one))
