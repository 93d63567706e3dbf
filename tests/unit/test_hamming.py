"""Multi-index hashing finds what comparing each with each finds, and stays bounded where many are alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis_profiles import examples

from imseek.duplicates.candidates import hamming
from imseek.duplicates.candidates.hamming import MultiIndex, bit_changes, select_nearest
from imseek.duplicates.unique_contents import Hashes
from imseek.search.near_duplicates import count_bits


def flipped(hashes: Hashes, bits: int, rng: np.random.Generator) -> Hashes:
    """Each with so many of its bits the other way."""
    out = hashes.copy()
    for n in range(len(out)):
        for bit in rng.choice(64, bits, replace=False).tolist():
            out[n] ^= np.uint64(1) << np.uint64(bit)
    return out


def drawn(count: int, seed: int) -> Hashes:
    """Around a few centres, so that there are pairs at every distance."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(1, 2**64, 12, np.uint64)
    made = [flipped(rng.choice(centres, count // 20), bits, rng) for bits in range(20)]
    return np.unique(np.concatenate(made))


def by_comparing(queries: Hashes, hashes: Hashes, radius: int) -> set[tuple[int, int, int]]:
    apart = [[(int(q) ^ int(h)).bit_count() for h in hashes] for q in queries]
    return {(i, j, d) for i, row in enumerate(apart) for j, d in enumerate(row) if d <= radius}


def as_set(near: hamming.HammingMatches) -> set[tuple[int, int, int]]:
    found = list(zip(near.query.tolist(), near.entry.tolist(), near.distance.tolist(), strict=True))
    assert len(set(found)) == len(found), "a pair was found twice"
    return set(found)


@pytest.mark.parametrize("radius", [0, 1, 2, 3, 4, 7, 10, 12, 15])
def test_finds_what_comparing_finds(radius: int) -> None:
    hashes, queries = drawn(240, 1), drawn(100, 1)[::3]
    found = MultiIndex(hashes).near(queries, radius, 1000)
    wanted = by_comparing(queries, hashes, radius)
    assert as_set(found) == wanted
    assert len(wanted) >= len(np.intersect1d(queries, hashes)) > 0
    assert not found.cut.any()


@settings(max_examples=examples(60))
@given(
    st.lists(st.integers(1, 2**64 - 1), max_size=12, unique=True),
    st.lists(st.integers(1, 2**64 - 1), max_size=6),
    st.lists(st.tuples(st.integers(0, 11), st.sets(st.integers(0, 63), max_size=13)), max_size=8),
    st.integers(0, 12),
)
def test_any_hashes(hashes: list[int], queries: list[int], near: list[tuple[int, set[int]]], radius: int) -> None:
    """Queries at any distance of the hashes, where bits differ anywhere."""
    for n, bits in near:
        if n < len(hashes):
            queries.append(hashes[n] ^ sum(1 << bit for bit in bits))
    table, asked = np.array(hashes, np.uint64), np.array(queries, np.uint64)
    assert as_set(MultiIndex(table).near(asked, radius, 100)) == by_comparing(asked, table, radius)


def test_the_nearest_are_kept_and_the_rest_is_told() -> None:
    base = np.array([0x123456789ABCDEF], np.uint64)
    rng = np.random.default_rng(3)
    hashes = np.concatenate([flipped(base, bits, rng) for bits in (5, 2, 9, 2, 7)])
    far = np.array([~np.uint64(0x123456789ABCDEF)])
    near = MultiIndex(hashes).near(np.concatenate([base, far]), 9, 3)
    assert as_set(near) == {(0, 1, 2), (0, 3, 2), (0, 0, 5)}
    assert near.cut.tolist() == [True, False]


def test_where_thousands_share_a_part_only_some_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    hashes = np.unique(rng.integers(1, 2**48, 3000, np.uint64) << np.uint64(16))  # all alike in one part
    compared = 0
    counted = hamming.count_bits

    def count(words: Hashes) -> hamming.Bits:
        nonlocal compared
        compared += words.size
        return counted(words)

    monkeypatch.setattr(hamming, "MAX_BUCKET", 50)
    monkeypatch.setattr(hamming, "count_bits", count)
    near = MultiIndex(hashes).near(hashes[:200], 3, 10)
    assert near.cut.all()
    assert compared < 200 * 4 * 60, "without the bound it is 200 x 3000"
    # Those that differ in no bit of another part are found through it.
    assert {(i, i, 0) for i in range(200)} <= as_set(near)


def test_pairs_are_shortened_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many near hashes as one likes do not add up in memory, and the nearest are still the nearest."""
    monkeypatch.setattr(hamming, "_BATCH", 64)
    monkeypatch.setattr(hamming, "_OVERSAMPLING", 1000)
    hashes = drawn(400, 5)
    queries = hashes[::7]
    held = MultiIndex(hashes).near(queries, 12, 4)
    wanted = sorted(by_comparing(queries, hashes, 12), key=lambda pair: (pair[0], pair[2], pair[1]))
    kept: dict[int, list[tuple[int, int, int]]] = {}
    for pair in wanted:
        kept.setdefault(pair[0], []).append(pair)
    assert as_set(held) == {pair for pairs in kept.values() for pair in pairs[:4]}
    assert held.cut.tolist() == [len(kept[n]) > 4 for n in range(len(queries))]


def test_a_crowd_is_not_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of thousands that are near each other each finds a few, after a few comparisons."""
    rng = np.random.default_rng(6)
    crowd = np.unique(flipped(np.full(3000, 0x123456789ABCDEF, np.uint64), 4, rng))
    compared = 0
    counted = hamming.count_bits

    def count(words: Hashes) -> hamming.Bits:
        nonlocal compared
        compared += words.size
        return counted(words)

    monkeypatch.setattr(hamming, "count_bits", count)
    near = MultiIndex(crowd).near(crowd[:500], 10, 8)
    assert np.bincount(near.query).tolist() == [8] * 500
    assert near.distance.max() <= 10
    assert near.cut.all()
    # Each is found by itself, and all are within 8 bits: the first look is enough.
    assert compared < 500 * (4 * hamming.MAX_BUCKET + 4 * 8 * 8)


def test_nothing_among_nothing() -> None:
    none = np.empty(0, np.uint64)
    assert as_set(MultiIndex(none).near(drawn(20, 1), 10, 5)) == set()
    assert as_set(MultiIndex(drawn(20, 1)).near(none, 10, 5)) == set()


@pytest.mark.parametrize("radius", [-1, 32])
def test_a_radius_that_is_none(radius: int) -> None:
    with pytest.raises(ValueError, match="0 to 31"):
        MultiIndex(drawn(20, 1)).near(drawn(20, 1), radius, 5)


def test_bits_are_counted_without_numpy_2_too(monkeypatch: pytest.MonkeyPatch) -> None:
    words = np.array([[0, 1, 2**64 - 1], [2**63, 0xFF00FF00FF00FF00, 3]], np.uint64)
    wanted = [[0, 1, 64], [1, 32, 2]]
    assert count_bits(words).tolist() == wanted
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    assert count_bits(words).tolist() == wanted


def test_changes_are_all_ways_to_flip_up_to_so_many_bits() -> None:
    assert [len(bit_changes(n)) for n in range(4)] == [1, 17, 137, 697]
    assert all(int(change).bit_count() <= 2 for change in bit_changes(2))
    assert len(set(bit_changes(2).tolist())) == 137


def test_which_are_kept() -> None:
    query = np.array([0, 0, 0, 1, 2, 2])
    found = np.array([4, 5, 6, 4, 1, 3])
    distance = np.array([3, 1, 1, 9, 2, 2], np.uint8)
    cut = np.zeros(3, np.bool_)
    assert select_nearest(query, found, distance, 1, cut).tolist() == [1, 3, 4]
    assert cut.tolist() == [True, False, True]
