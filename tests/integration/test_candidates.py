"""Candidates for duplicates: what comparing each with each says, whatever the index."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from approximating import snapshot_of
from comparing import by_comparing, by_ids, check, library_at, made, put, side, units_of
from PIL import Image
from snapshotting import clustered, collection_of
from templates import Templates

import imseek
from imseek.data.reader import Reader
from imseek.data.vectors import open_index, range_search
from imseek.data.vectors.index_metadata import SearchEffort, TuningResult
from imseek.duplicates import unique_contents
from imseek.duplicates.candidates import block_pairs, pair_candidates
from imseek.duplicates.candidates.pair_candidates import CandidateLimits, CandidateSide


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 64 ids."""
    monkeypatch.setattr(block_pairs, "_BLOCK_BITS", 6)


@pytest.fixture
def library(tmp_path: Path, templates: Templates) -> Path:
    return templates.made(tmp_path / "collection", library_at)


# -- what is found -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["memory", "faiss", "snapshot"])
def test_finds_what_comparing_each_with_each_finds(library: Path, kind: str, small: None) -> None:
    one = side(library, kind)
    found = pair_candidates.find(one)
    wanted = by_comparing(one)
    check(by_ids(found, one), wanted)
    assert found.notes == ()
    assert not found.interrupted
    # The sample has what it should: pairs that one sign alone proposes, and unknown hashes.
    assert any(apart > 10 for apart, _ in wanted.values())
    assert any(cosine < 0.9 for _, cosine in wanted.values())
    assert any(apart == 255 for apart, _ in wanted.values())


@pytest.mark.parametrize("reach", [CandidateLimits(radius=0, cosine=0.99), CandidateLimits(radius=13, cosine=0.7)])
def test_near_is_what_it_is_asked_to_be(library: Path, reach: CandidateLimits) -> None:
    one = side(library)
    check(by_ids(pair_candidates.find(one, reach=reach), one), by_comparing(one, reach=reach))


def test_rows_of_zeros_are_not_proposed_and_no_hash_says_nothing(tmp_path: Path) -> None:
    root = collection_of(tmp_path / "collection")
    vectors = clustered(6, 0)
    vectors[1] = vectors[0]
    vectors[4:] = 0
    first, *_ = put(root, vectors, [0, 0, 5, 5, 0, 5], list("abcdef"))
    one = side(root)
    pairs = by_ids(pair_candidates.find(one, reach=CandidateLimits(cosine=0.98)), one)
    assert {(a - first, b - first): d for (a, b), (d, _) in pairs.items()} == {(0, 1): 255, (2, 3): 0}


def test_among_no_or_one_image(tmp_path: Path) -> None:
    root = collection_of(tmp_path / "collection")
    assert len(pair_candidates.find(side(root))) == 0
    put(root, clustered(1, 0), [5], ["a"])
    assert len(pair_candidates.find(side(root))) == 0


def test_hashes_of_turned_pictures(tmp_path: Path) -> None:
    def turn(hashes: unique_contents.Hashes, code: int) -> unique_contents.Hashes:
        turned = hashes ^ np.uint64([0, 0xFFFF0000FFFF0000][code])
        turned[hashes == 0] = 0
        return turned

    root = collection_of(tmp_path / "collection")
    base = 0x123456789ABCDEF1
    phashes = [base, base ^ 0xFFFF0000FFFF0007, base ^ 3, 0x0F0F0F0F0F0F0F0F, 0]
    put(root, clustered(5, 0), phashes, list("abcde"))
    one = side(root)
    reach = CandidateLimits(radius=4, cosine=1)
    plain = pair_candidates.find(one, reach=reach)
    assert [(a, b) for a, b in zip(plain.a.tolist(), plain.b.tolist(), strict=True)] == [(0, 2)]
    found = pair_candidates.find(one, reach=reach, turn=turn, turns=2)
    facts = zip(found.a.tolist(), found.b.tolist(), found.distance.tolist(), found.orientation.tolist(), strict=True)
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
    found = pair_candidates.find(one, reach=CandidateLimits(cosine=1, alike=4))
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
    found = pair_candidates.find(one, reach=CandidateLimits(neighbours=5, cosine=0.95))
    mine = np.bincount(np.concatenate([found.a, found.b]), minlength=450)
    assert mine[:400].min() >= 5
    assert len(found) <= 5 * 450
    assert any("more than 5 others" in note and note.startswith("400 ") for note in found.notes)
    # What is kept are the nearest: the best neighbour of each is always there.
    units = units_of(one)
    cosines = units @ units.T
    np.fill_diagonal(cosines, -1)
    keys = set(zip(found.a.tolist(), found.b.tolist(), strict=True))
    best = cosines[:400].argmax(axis=1).tolist()
    assert all((min(a, b), max(a, b)) in keys for a, b in enumerate(best))


def test_codes_that_say_little_are_looked_through_deeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all that was drawn seems near and few are, more is drawn."""
    root = collection_of(tmp_path / "collection", clustered(700, 0))
    monkeypatch.setattr(range_search, "FIRST_CANDIDATES", 4)
    monkeypatch.setattr(range_search.RangeSearch, "_score_floor", lambda *_: -1.0)
    reader = Reader(root)
    segments = reader.segments(0)
    made = snapshot_of(segments, 64, factory="PQ2x4")
    index = open_index("faiss", segments, 64, snapshot=made)
    one = pair_candidates.side_of(reader, unique_contents.load_contents(reader), reader.current.space, index)
    reach = CandidateLimits(neighbours=12, cosine=0.88)
    found = pair_candidates.find(one, reach=reach)
    check(by_ids(found, one), by_comparing(one, reach=reach))
    assert found.notes == ()


def test_an_approximate_index_finds_what_is_very_near(tmp_path: Path) -> None:
    """Lists and codes as large collections have them."""
    vectors = clustered(6000, 5)
    rng = np.random.default_rng(6)
    copies = vectors[:400] + 0.25 * rng.standard_normal((400, 64)).astype(np.float32) / 8
    vectors[3000:3400] = copies / np.linalg.norm(copies, axis=1, keepdims=True)
    root = collection_of(tmp_path / "collection", vectors)
    reader = Reader(root)
    segments = reader.segments(0)
    made = snapshot_of(
        segments, 64, factory="IVF64,PQ32x4fs", tuned=TuningResult(SearchEffort(24, 160, 0.03), 0.99, 200)
    )
    index = open_index("faiss", segments, 64, snapshot=made)
    one = pair_candidates.side_of(reader, unique_contents.load_contents(reader), reader.current.space, index)
    reach = CandidateLimits(cosine=0.9)
    found, wanted = by_ids(pair_candidates.find(one, reach=reach), one), by_comparing_quickly(one, 0.9)
    assert len(wanted) >= 400
    assert found.keys() <= wanted
    assert len(found.keys() & wanted) >= 0.995 * len(wanted)


def by_comparing_quickly(one: CandidateSide, least: float) -> set[tuple[int, int]]:
    units = units_of(one)
    a, b = np.nonzero(np.triu(units @ units.T, 1) >= least)
    return set(zip(one.contents.ids[a].tolist(), one.contents.ids[b].tolist(), strict=True))


# -- two sides -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["faiss", "snapshot"])
def test_against_another_collection(library: Path, tmp_path: Path, kind: str) -> None:
    root = collection_of(tmp_path / "other")
    vectors, phashes, names = made(300, 1)
    put(root, vectors[50:120], phashes[50:120], ["other " + name for name in names[50:120]])
    one, other = side(root), side(library, kind)
    found = pair_candidates.find(one, other)
    check(by_ids(found, one, other), by_comparing(one, other))
    hashes_only = pair_candidates.find(one, CandidateSide(other.name, other.contents, other.space, None))
    assert np.isnan(hashes_only.cosine).all()
    wanted = {pair for pair, (apart, _) in by_comparing(one, other).items() if apart <= 10}
    assert wanted <= by_ids(hashes_only, one, other).keys()


# -- pictures ------------------------------------------------------------------------------------------------


def test_photographs_and_their_copies(photos: Path, tmp_path: Path) -> None:
    """Smaller, and as JPEG: their hashes propose them, and the second space is not looked at."""
    originals = sorted(photos.glob("*.*"))
    for path in originals:
        with Image.open(path) as picture:
            small = picture.convert("RGB").resize((picture.width // 2, picture.height // 2))
        small.save(photos / "below" / f"{path.stem}-small.jpg", quality=60)
    root = tmp_path / "c"
    with imseek.create(root, encoder="fake", also=["fake:32"]) as collection:
        collection.index([photos])
    one = side(root)
    found = pair_candidates.find(one, reach=CandidateLimits(radius=8, cosine=1))
    names = {i: Path(place.display).stem for i, place in Reader(root).places(one.contents.ids.tolist()).items()}
    pairs = {frozenset((names[a], names[b])) for a, b in by_ids(found, one)}
    assert pairs == {frozenset((path.stem, f"{path.stem}-small")) for path in originals}
    assert found.notes == ("pictures were compared by the vectors of fake only, the first space",)
