"""What goes to GPUs and what does not, with a fake of FAISS's layer for them that leaks all it can."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import faiss
import numpy as np
import numpy.typing as npt
import pytest
from approximating import snapshot_of
from faking_gpu import (
    DIM,
    FACTORIES,
    FEW,
    ROOM,
    Array,
    Cards,
    assert_same,
    pair,
    placed,
    segment,
    some_rows,
    unit,
)

from imseek.data.vectors import Matches, Segment, gpu, open_index, placement_on
from imseek.data.vectors.index_metadata import SearchEffort, TuningResult

pytestmark = pytest.mark.slow


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> Cards:
    """One card with room."""
    return Cards(ROOM).install(monkeypatch)


def nearest(rows: Array, query: Array, count: int) -> npt.NDArray[np.intp]:
    return np.argsort(-(rows @ query))[:count]


# -- exact indexes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("queries", [1, 7, 100])
@pytest.mark.parametrize("k", [1, 10, 500, 3000])
def test_a_scan_on_a_card_finds_what_a_scan_finds(cards: Cards, k: int, queries: int) -> None:
    rows = some_rows(6000)
    segments = [segment(rows[:3500]), segment(rows[3500:], 3500)]
    asked = some_rows(queries, 1)
    placement = placement_on("all")
    assert placement is not None
    index = open_index("faiss", segments, DIM, placement=placement)
    assert_same(index.search(asked, k), open_index("memory", segments, DIM).search(asked, k))
    assert bool(cards.searched) == (k < 3000)  # beyond 2,048 no GPU goes
    assert placement.note is None


def test_the_dead_and_the_forbidden_are_drawn_and_not_shown(cards: Cards) -> None:
    rows = some_rows(3000)
    asked = some_rows(5, 2)
    best = [nearest(rows, query, 400) for query in asked]
    dead = np.unique(np.concatenate([ids[::2][:60] for ids in best]))  # half of those that a GPU ranks first
    forbidden = np.concatenate([ids[1::4] for ids in best])
    segments = [segment(rows, dead=dead)]
    allowed = np.setdiff1d(np.arange(3000), forbidden)
    index, reference = placed("faiss", segments), open_index("memory", segments, DIM)
    assert_same(index.search(asked, 10), reference.search(asked, 10))
    assert_same(index.search(asked, 10, allowed=allowed), reference.search(asked, 10, allowed=allowed))
    drawn = [set(matches.ids.tolist()) for matches in index.search(asked, 10, allowed=allowed)]
    assert not any(ids & set(dead.tolist()) or ids & set(forbidden.tolist()) for ids in drawn)
    assert len(cards.searched) == 3


def test_a_filter_that_takes_all_that_a_card_ranks_first_goes_to_the_cpu(cards: Cards) -> None:
    rows = some_rows(8000)
    (query,) = asked = some_rows(1, 3)
    allowed = np.setdiff1d(np.arange(8000), nearest(rows, query, 2500))
    segments = [segment(rows)]
    expected = open_index("memory", segments, DIM).search(asked, 5, allowed=allowed)
    assert_same(placed("faiss", segments).search(asked, 5, allowed=allowed), expected)
    assert len(cards.searched) == 1  # it was asked, and had nothing to give


def test_a_narrow_filter_does_not_ask_a_card(cards: Cards) -> None:
    segments = [segment(some_rows(3000))]
    asked, allowed = some_rows(2, 4), np.arange(0, 3000, 100)
    expected = open_index("memory", segments, DIM).search(asked, 10, allowed=allowed)
    assert_same(placed("faiss", segments).search(asked, 10, allowed=allowed), expected)
    assert not cards.searched


def test_near_ties_that_float16_queries_confuse_come_out_exact(cards: Cards) -> None:
    base = some_rows(1, 5).astype(np.float16).view(np.int16)
    steps = np.random.default_rng(5).integers(-3, 4, (3000, DIM), np.int16)
    rows = (base + steps).view(np.float16)
    segments = [segment(rows)]
    asked = unit(rows[:8].astype(np.float32) + some_rows(8, 6))
    rounded = asked.astype(np.float16).astype(np.float32) @ rows.astype(np.float32).T
    true = asked @ rows.astype(np.float32).T
    assert (np.argsort(-rounded)[:, :200] != np.argsort(-true)[:, :200]).any()  # the fake does get it wrong
    assert_same(placed("faiss", segments).search(asked, 200), open_index("memory", segments, DIM).search(asked, 200))
    assert cards.searched


def test_a_dead_row_of_nan_keeps_its_segment_on_the_cpu(cards: Cards) -> None:
    rows = some_rows(300).astype(np.float16)
    rows[7] = np.nan
    segments = [segment(rows, dead=[7]), segment(some_rows(300, 6), 300)]
    index, asked = placed("faiss", segments), some_rows(3, 7)
    assert_same(index.search(asked, 20), open_index("memory", segments, DIM).search(asked, 20))
    assert len(cards.copied) == 1


def test_small_segments_are_not_worth_a_card(cards: Cards, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imseek.data.vectors.faiss_index.MIN_GPU_BYTES", 100 * DIM * 2 + 1)
    index = placed("faiss", [segment(some_rows(100)), segment(some_rows(101, 1), 100)])
    index.search(some_rows(1, 2), 5)
    assert len(cards.copied) == 1


# -- snapshots ------------------------------------------------------------------------------------------------


@pytest.fixture
def everything_is_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Filters are answered by the snapshot, however few rows pass."""
    monkeypatch.setattr("imseek.data.vectors.snapshot_index.MAX_SCORED_IDS", 0)
    monkeypatch.setattr("imseek.data.vectors.snapshot_index.SCANNED_SHARE", 1e-6)


@pytest.mark.usefixtures("everything_is_probed")
@pytest.mark.parametrize("factory", FACTORIES)
def test_a_snapshot_on_a_card_proposes_what_it_proposes_on_the_cpu(cards: Cards, factory: str) -> None:
    rows, asked = some_rows(3000), some_rows(40, 8)
    built = [segment(rows)]
    dead = np.unique(np.concatenate([nearest(rows, query, 12)[::2] for query in asked]))
    for segments in (built, [segment(rows, dead=dead)]):
        cpu, card = pair(segments, factory, built)
        for allowed in (None, np.arange(0, 3000, 2), np.arange(0, 3000, 10)):
            searched = len(cards.searched)
            assert_same(card.search(asked, 10, allowed=allowed), cpu.search(asked, 10, allowed=allowed))
            # With a filter of lists, the ranks of what it allows are asked for, too.
            assert len(cards.searched) == searched + (1 if allowed is None or factory == "Flat" else 2)
            found = {i for matches in card.search(asked, 10, allowed=allowed) for i in matches.ids.tolist()}
            assert not found & set(segments[0].ids[segments[0].dead].tolist())
            assert allowed is None or found <= set(allowed.tolist())


@pytest.mark.usefixtures("everything_is_probed")
@pytest.mark.parametrize("factory", [None, "IVF16,SQ8"])
def test_half_of_the_rows_may_be_dead_or_forbidden_without_the_cpu(
    cards: Cards, monkeypatch: pytest.MonkeyPatch, factory: str | None
) -> None:
    rows, asked, half = some_rows(4000), some_rows(20, 8), np.arange(0, 4000, 2)
    whole, halved = [segment(rows)], [segment(rows, dead=half)]
    expected = [open_index("memory", halved, DIM).search(asked, 10)] * 2
    if factory is not None:
        expected = [pair(segments, factory, whole)[0].search(asked, 10, allowed=allowed)
                    for segments, allowed in ((halved, None), (whole, half + 1))]  # fmt: skip

    def never(*arguments: object) -> None:
        raise AssertionError("the CPU was asked")

    if factory is None:
        monkeypatch.setattr("imseek.data.vectors.faiss_index._scan", never)
    monkeypatch.setattr("imseek.data.vectors.faiss_snapshot.Snapshot._candidates", never)
    snapshot = None if factory is None else snapshot_of(whole, DIM, factory=factory, tuned=FEW)
    found = placed("faiss", halved, snapshot=snapshot).search(asked, 10)
    filtered = placed("faiss", whole, snapshot=snapshot).search(asked, 10, allowed=half + 1)
    monkeypatch.undo()
    assert_same(found, expected[0])
    assert_same(filtered, expected[1])


@pytest.mark.usefixtures("everything_is_probed")
def test_a_query_whose_neighbours_are_all_forbidden_is_asked_again_on_the_cpu(cards: Cards) -> None:
    rows, asked = some_rows(6000), some_rows(1, 9)
    allowed = np.setdiff1d(np.arange(6000), nearest(rows, asked[0], 3000))
    cpu, card = pair([segment(rows)], "IVF16,SQ8", [segment(rows)])
    assert_same(card.search(asked, 10, allowed=allowed), cpu.search(asked, 10, allowed=allowed))
    assert cards.searched


def test_what_came_after_the_snapshot_is_found_beside_it(cards: Cards) -> None:
    rows, asked = some_rows(3000), some_rows(20, 10)
    segments = [segment(rows[:2000]), segment(rows[2000:], 2000)]
    cpu, card = pair(segments, "IVF16,SQ8", segments[:1])
    found = card.search(asked, 10)
    assert_same(found, cpu.search(asked, 10))
    assert any((matches.ids >= 2000).any() for matches in found)
    assert len(cards.copied) == 1  # the tail stays
    assert_same(card.search(asked, 10, exact=True), open_index("memory", segments, DIM).search(asked, 10))


def test_more_lists_than_a_card_probes_are_probed_by_the_cpu(cards: Cards) -> None:
    segments = [segment(some_rows(3000))]
    easy, hard = TuningResult(SearchEffort(6, 40), 0.9, 0), TuningResult(SearchEffort(2049, 40), 0.9, 0)
    snapshot = snapshot_of(segments, DIM, factory="IVF16,SQ8", tuned=easy)
    snapshot.facts = replace(snapshot.facts, text=hard)
    placement = placement_on("cuda")
    index = open_index("faiss", segments, DIM, snapshot=snapshot, placement=placement)
    index.search(some_rows(2, 1), 5, text=True)
    assert not cards.searched
    assert placement is not None
    assert "2,049 lists are to be probed, and a GPU probes 2,048" in (placement.note or "")
    index.search(some_rows(2, 1), 5)
    assert cards.searched


# -- what moves, and when -------------------------------------------------------------------------------------


def test_no_card_is_used_unless_it_is_named(cards: Cards) -> None:
    assert [placement_on(device) for device in ("auto", "cpu", "mps")] == [None] * 3
    placed("faiss", [segment(some_rows(100))], "auto").search(some_rows(50, 1), 5)
    assert not cards.copied


def test_an_index_moves_once_it_has_been_asked_enough(cards: Cards, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "MIN_QUERIES", 5)
    index = placed("faiss", [segment(some_rows(500))])
    for expected in (0, 0, 0, 0, 1, 2):
        index.search(some_rows(1, expected), 5)
        assert len(cards.searched) == expected
    assert cards.copied == [0]
    other = placed("faiss", [segment(some_rows(500))])
    other.search(some_rows(5), 5)  # at once, for many together
    assert cards.copied == [0, 0]


def test_copies_go_where_their_index_goes(cards: Cards) -> None:
    first, second = segment(some_rows(400)), segment(some_rows(300, 1), 400)
    placement, asked = placement_on("all"), some_rows(2, 2)
    old = open_index("faiss", [first, second], DIM, placement=placement)
    old.search(asked, 5)
    fewer = Segment(first.ids, first.rows, np.arange(5))
    third = segment(some_rows(200, 3), 700)
    new = open_index("faiss", [fewer, third], DIM, previous=old, placement=placement)
    del old
    gc.collect()
    assert cards.free == [ROOM - 400 * DIM * 2]  # that of the second is free again
    assert_same(new.search(asked, 20), open_index("memory", [fewer, third], DIM).search(asked, 20))
    assert len(cards.copied) == 3  # the first was not copied again
    del new
    gc.collect()
    assert cards.free == [ROOM]


# -- several cards --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factory", [None, "IVF16,SQ8"])
def test_replicas_take_turns_and_share_batches(monkeypatch: pytest.MonkeyPatch, factory: str | None) -> None:
    cards = Cards(ROOM, ROOM, ROOM).install(monkeypatch)
    segments, asked = [segment(some_rows(3000))], some_rows(50, 1)
    cpu = open_index("faiss", segments, DIM)
    card = placed("faiss", segments, "cuda:0,2")
    if factory is not None:
        cpu, card = pair(segments, factory, segments, "cuda:0,2")
    assert_same(card.search(asked, 10), cpu.search(asked, 10))
    assert sorted(cards.searched) == [(0, 25), (2, 25)]
    for n in range(4):
        card.search(asked[n : n + 1], 10)
    assert sorted(cards.searched[2:]) == [(0, 1), (0, 1), (2, 1), (2, 1)]


@pytest.mark.parametrize("factory", [None, "IVF16,SQ8", "IVF16,PQ2"])
def test_an_index_too_large_for_a_card_is_spread(monkeypatch: pytest.MonkeyPatch, factory: str | None) -> None:
    segments, asked = [segment(some_rows(3000))], some_rows(50, 1)
    size = 3000 * {None: DIM * 2, "IVF16,SQ8": DIM, "IVF16,PQ2": 2}[factory]
    cards = Cards(size * 2 // 3, size * 2 // 3).install(monkeypatch)
    placement = placement_on("all")
    assert placement is not None
    if factory is None:
        cpu, card = (open_index("faiss", segments, DIM, placement=p) for p in (None, placement))
    else:
        snapshot = snapshot_of(segments, DIM, factory=factory, tuned=FEW)
        cpu, card = (open_index("faiss", segments, DIM, snapshot=snapshot, placement=p) for p in (None, placement))
    allowed = np.arange(0, 3000, 2)
    monkeypatch.setattr("imseek.data.vectors.snapshot_index.MAX_SCORED_IDS", 0)
    for filtered in (None, allowed):
        assert_same(card.search(asked, 10, allowed=filtered), cpu.search(asked, 10, allowed=filtered))
    searches = 2 if factory is None else 3  # With a filter, the ranks of what it allows are asked for, too.
    assert sorted(cards.searched) == [(0, 50)] * searches + [(1, 50)] * searches
    assert placement.note is None
    flat = snapshot.index if factory is not None else card._parts[0].flat  # type: ignore[attr-defined]
    copies = placement.copies(flat, 1)
    assert copies is not None
    few = None if factory is None else faiss.SearchParametersIVF(nprobe=16)
    expected = flat.search(asked, 10, params=few)[1]
    found = copies.search(asked, 10, few)[1]
    assert np.mean(found == expected) > 0.95  # but for what ties and rounding exchange


def test_threads_never_meet_on_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = Cards(ROOM, ROOM, slow=0.002).install(monkeypatch)
    segments = [segment(some_rows(1000))]
    placement = placement_on("all")
    assert placement is not None
    index, other = (open_index("faiss", segments, DIM, placement=placement) for _ in range(2))
    asked = some_rows(120, 1)
    expected = open_index("memory", segments, DIM).search(asked, 5)

    def ask(n: int) -> list[Matches]:
        return (index, other)[n % 2].search(asked[n : n + 1], 5)

    with ThreadPoolExecutor(8) as pool:
        found = [matches for answer in pool.map(ask, range(120)) for matches in answer]
    assert_same(found, expected)
    assert placement.note is None  # The fake fails where two are on a card.
    assert {card for card, _ in cards.searched} == {0, 1}
