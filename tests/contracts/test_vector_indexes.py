"""What every kind of vector index must do, in ids and scores, against a brute-force scan in float64."""

from __future__ import annotations

import dataclasses
import gc
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from approximating import joined_of, snapshot_of
from faking_gpu import ROOM, Cards
from hypothesis import given, settings
from hypothesis import strategies as st

from imseek.data import vectors
from imseek.data.vectors import Matches, Segment, VectorIndex
from imseek.data.vectors.snapshot_index import SnapshotIndex

Array = npt.NDArray[np.float32]

#: A snapshot is an approximate index that looks at every row, so that what it says is exact: of all of them, or of the
#: first two thirds by id while the rest are a tail; in three parts, or in one. What is on cards has candidates of a
#: fake of FAISS's GPU layer.
KINDS = (
    "memory",
    "auto",
    "faiss",
    "snapshot",
    "snapshot and tail",
    "snapshot of parts",
    "snapshot of parts and tail",
    "faiss on cards",
    "snapshot and tail on cards",
    "snapshot of parts and tail on cards",
)
#: Of each test with `kind`, some kinds; those without take all.
pytestmark = pytest.mark.sample(kind=4)
DIMS = (8, 384, 512, 1395)
TOLERANCE = 1e-5
NONE_DEAD = np.empty(0, np.uint32)
NONE = np.empty(0, np.int64)


def open_index(kind: str, segments: Sequence[Segment], dim: int, *, previous: VectorIndex | None = None) -> VectorIndex:
    placement = vectors.placement_on("all") if kind.endswith(" on cards") else None
    kind = kind.removesuffix(" on cards")
    if not kind.startswith("snapshot"):
        return vectors.open_index(kind, segments, dim, previous=previous, placement=placement)
    if isinstance(previous, SnapshotIndex):
        made = previous.snapshot
    else:
        ids = np.sort(np.concatenate([NONE, *(s.ids for s in segments)]))
        upto = 2**31 if "tail" not in kind else int(np.quantile(ids, 2 / 3)) if ids.size else 0
        made = joined_of(segments, dim, 3, upto=upto) if "parts" in kind else snapshot_of(segments, dim, upto=upto)
    return vectors.open_index("faiss", segments, dim, previous=previous, snapshot=made, placement=placement)


@pytest.fixture(scope="module", autouse=True)
def cards() -> Iterator[Cards]:
    """Two of them, which are asked from the first query on."""
    with pytest.MonkeyPatch.context() as patch:
        yield Cards(ROOM, ROOM).install(patch)


each_kind = pytest.mark.parametrize("kind", KINDS)


# -- the reference --------------------------------------------------------------------------------------------


class Reference:
    """Every live row of some segments, scored in float64 with nothing shared with the code under test."""

    def __init__(self, segments: Sequence[Segment], allowed: Iterable[int] | None = None) -> None:
        wanted = None if allowed is None else {int(i) for i in allowed}
        self.ids: list[int] = []
        self.copies: dict[bytes, list[int]] = {}
        rows = []
        for segment in segments:
            dead = set(segment.dead.tolist())
            for number, image_id in enumerate(segment.ids.tolist()):
                if number not in dead and (wanted is None or image_id in wanted):
                    self.ids.append(image_id)
                    self.copies.setdefault(segment.rows[number].tobytes(), []).append(image_id)
                    rows.append(segment.rows[number].astype(np.float64))
        norms = [float(np.sqrt((row**2).sum())) or np.inf for row in rows]  # a row of zeros scores 0
        self.units = np.array([row / norm for row, norm in zip(rows, norms, strict=True)])

    def scores(self, query: Array) -> dict[int, float]:
        """Exact score by id."""
        if not self.ids:
            return {}
        scores = np.clip(self.units @ query.astype(np.float64), -1, 1)
        return dict(zip(self.ids, scores.tolist(), strict=True))

    def check(self, matches: Matches, query: Array, k: int) -> None:
        """Fail unless ``matches`` is the top ``k``: scores to 1e-5, ids equal but among scores closer than that."""
        assert matches.ids.dtype == np.int64
        assert matches.scores.dtype == np.float32
        exact = self.scores(query)
        best = sorted(exact.values(), reverse=True)[:k]
        ids, scores = matches.ids.tolist(), matches.scores.tolist()
        assert len(ids) == len(scores) == len(best)
        assert len(set(ids)) == len(ids), "an id was found twice"
        assert set(ids) <= exact.keys(), "a row was found that is dead or not allowed"
        np.testing.assert_allclose(scores, [exact[i] for i in ids], rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose([exact[i] for i in ids], best, rtol=0, atol=TOLERANCE)
        assert list(zip(ids, scores, strict=True)) == sorted(
            zip(ids, scores, strict=True), key=lambda hit: (-hit[1], hit[0])
        ), "not ordered by score, then id"
        found = dict(zip(ids, scores, strict=True))
        for copies in self.copies.values():
            kept = sorted(set(copies) & found.keys())
            assert kept == sorted(copies)[: len(kept)], "among equal rows the lowest ids come first"
            assert len({found[i] for i in kept}) <= 1, "equal rows have different scores"


def check(
    index: VectorIndex,
    queries: Array,
    k: int,
    segments: Sequence[Segment],
    allowed: Sequence[int] | None = None,
) -> None:
    """Search ``index``, and compare every answer with the reference."""
    ids = None if allowed is None else np.array(allowed, np.int64)
    answers = index.search(queries, k, allowed=ids)
    reference = Reference(segments, allowed)
    assert len(answers) == len(queries)
    for matches, query in zip(answers, queries, strict=True):
        reference.check(matches, query, k)


# -- data -----------------------------------------------------------------------------------------------------


def unit(rows: npt.ArrayLike) -> Array:
    rows = np.asarray(rows, np.float64)
    units: Array = (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)
    return units


def random_rows(count: int, dim: int, seed: int) -> Array:
    return unit(np.random.default_rng(seed).standard_normal((count, dim)))


def clustered_rows(count: int, dim: int, seed: int) -> Array:
    """Few tight clusters around a common mean: cosines near 1 and close to each other."""
    rng = np.random.default_rng(seed)
    centres = 1 + rng.standard_normal((5, dim))
    return unit(centres[rng.integers(0, 5, count)] + 0.02 * rng.standard_normal((count, dim)))


def near_ties(count: int, dim: int, seed: int, steps: int) -> npt.NDArray[np.float16]:
    """Rows that differ from one another by up to ``steps`` units in the last place of each number."""
    base = random_rows(1, dim, seed).astype(np.float16).view(np.int16)
    rows: npt.NDArray[np.int16] = base + np.random.default_rng(seed).integers(-steps, steps + 1, (count, dim), np.int16)
    return rows.view(np.float16)


def segment(rows: npt.ArrayLike, ids: Iterable[int] | None = None, dead: Iterable[int] = ()) -> Segment:
    stored = np.asarray(rows).astype(np.float16)
    numbers = np.arange(len(stored)) if ids is None else np.array(list(ids))
    return Segment(numbers.astype(np.int64), stored, np.array(list(dead), np.uint32))


def split(rows: Array, parts: int, dead: Iterable[int] = ()) -> list[Segment]:
    """Row i gets id i; ids are dealt to the segments in turn, so that their ranges interleave."""
    gone = set(dead)
    return [
        segment(rows[p::parts], range(p, len(rows), parts), [i // parts for i in gone if i % parts == p])
        for p in range(parts)
    ]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.endswith("cards")])
def test_cards_are_asked(kind: str, cards: Cards) -> None:
    before = len(cards.searched)
    check(open_index(kind, segments := split(random_rows(300, 8, 1), 2), 8), random_rows(1, 8, 2), 5, segments)
    assert len(cards.searched) > before


# -- what is found --------------------------------------------------------------------------------------------


@each_kind
def test_kinds_follow_the_protocol(kind: str) -> None:
    assert isinstance(open_index(kind, [], 3), VectorIndex)


@each_kind
@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("make", [random_rows, clustered_rows])
def test_finds_the_top_k(kind: str, dim: int, make: Callable[[int, int, int], Array]) -> None:
    rows, queries = make(600, dim, 1), make(70, dim, 2)
    segments = split(rows, 3, dead=range(0, 600, 7))
    index = open_index(kind, segments, dim)
    for few in (queries[:2], queries):  # one query at a time, and enough for matrix products
        for k in (1, 10, 150):
            check(index, few, k, segments)


@each_kind
@pytest.mark.parametrize("dim", [8, 512])
def test_equal_rows_are_ordered_by_id_at_the_border_and_across_segments(kind: str, dim: int) -> None:
    rows = random_rows(4000, dim, 3)
    copies = np.random.default_rng(4).permutation(4000)[:3000]
    rows[copies] = rows[copies[0]]
    dead = np.sort(copies)[:5]
    segments = split(rows, 3, dead)
    index = open_index(kind, segments, dim)
    query = rows[copies[:1]]
    expected = np.sort(copies)[5:]
    for k in (1, 10, 2994, 2995):
        np.testing.assert_array_equal(index.search(query, k)[0].ids, expected[:k])
    for queries in (query, np.repeat(query, 70, axis=0)):
        check(index, queries, 10, segments)
        check(index, queries, 3100, segments)


@pytest.mark.parametrize("steps", [1, 8])
def test_near_ties_are_ranked_by_exact_score(steps: int) -> None:
    """3,000 rows a few float16 steps apart: raw products rank them by norm as much as by angle."""
    rows = near_ties(3000, 384, 5, steps)
    segments = split(rows.astype(np.float32), 2)
    memory, *others = (open_index(kind, segments, 384) for kind in KINDS)
    queries = np.concatenate([unit(rows[:1]), random_rows(2, 384, 7)])
    for k in (1, 10, 500):
        check(memory, queries, k, segments)
        for other in others:
            assert_same(memory.search(queries, k), other.search(queries, k))


@each_kind
@pytest.mark.parametrize("make", [random_rows, clustered_rows])
def test_rows_of_any_norm(kind: str, make: Callable[[int, int, int], Array]) -> None:
    """Not what an encoder writes, but the score is defined for them, and the answer must be exact."""
    directions = make(2000, 16, 8)
    norms = np.random.default_rng(9).uniform(0.01, 30, (2000, 1)).astype(np.float32)
    segments = split(directions * norms, 2)
    index = open_index(kind, segments, 16)
    for queries in (random_rows(3, 16, 10), random_rows(70, 16, 10), -directions[:3]):
        check(index, queries, 20, segments)


@each_kind
def test_negative_scores(kind: str) -> None:
    rows = clustered_rows(500, 32, 11)
    segments = split(rows, 2)
    index = open_index(kind, segments, 32)
    query = -rows[:1]
    assert (index.search(query, 10)[0].scores < 0).all()
    for k in (10, 450, 500):
        check(index, query, k, segments)


@each_kind
def test_a_row_of_zeros_scores_0(kind: str) -> None:
    query = unit([[1, 0, 0]])
    segments = [segment([[1, 0, 0], [0, 0, 0], [-1, 0, 0]], ids=[7, 8, 9])]
    index = open_index(kind, segments, 3)
    (matches,) = index.search(query, 3)
    assert matches.ids.tolist() == [7, 8, 9]
    assert matches.scores.tolist() == [1, 0, -1]
    only_zeros = [segment(np.zeros((300, 3)))]
    check(open_index(kind, only_zeros, 3), query, 5, only_zeros)


@each_kind
def test_scores_do_not_leave_the_range_of_a_cosine(kind: str) -> None:
    rows = random_rows(300, 1395, 12)
    index = open_index(kind, [segment(rows)], 1395)
    queries = unit(rows.astype(np.float16).astype(np.float64))
    for number, matches in enumerate(index.search(queries, 1)):
        assert matches.ids.tolist() == [number]
        assert 1 - TOLERANCE <= matches.scores[0] <= 1


# -- which rows may be found ----------------------------------------------------------------------------------


@each_kind
def test_more_than_there_are(kind: str) -> None:
    segments = split(random_rows(50, 8, 13), 2, dead=[3, 4, 5])
    index = open_index(kind, segments, 8)
    assert len(index) == 47
    assert len(index.search(random_rows(1, 8, 14), 1000)[0]) == 47
    check(index, random_rows(70, 8, 14), 1000, segments)


@each_kind
@pytest.mark.parametrize(
    "segments",
    [
        [],
        [segment(np.empty((0, 8)))],
        [segment(random_rows(2, 8, 15), dead=[0, 1])],
    ],
    ids=["no segment", "no row", "no live row"],
)
def test_nothing_to_find(kind: str, segments: list[Segment]) -> None:
    index = open_index(kind, segments, 8)
    assert len(index) == 0
    assert [len(m) for m in index.search(random_rows(2, 8, 16), 5)] == [0, 0]
    assert index.search(np.empty((0, 8), np.float32), 5) == []


@each_kind
def test_one_row(kind: str) -> None:
    segments = [segment(np.empty((0, 8)), ids=[]), segment(random_rows(1, 8, 17), ids=[2**62])]
    index = open_index(kind, segments, 8)
    assert len(index) == 1
    check(index, random_rows(2, 8, 18), 1, segments)
    check(index, random_rows(2, 8, 18), 9, segments, allowed=[2**62, 2**63 - 1, -1])


@each_kind
@pytest.mark.parametrize(
    "allowed",
    [[], range(900), [5, 6, 123, 890], [899, 5, 5, 17, 3], range(100, 220), [-4, 900, 2**40], [-1, 8, 901]],
    ids=["empty", "all", "few", "unsorted and repeated", "a range", "unknown", "some unknown"],
)
def test_allowed_ids(kind: str, allowed: Sequence[int]) -> None:
    segments = split(random_rows(900, 24, 19), 4, dead=range(0, 900, 5))
    index = open_index(kind, segments, 24)
    for queries in (random_rows(1, 24, 20), random_rows(70, 24, 20)):
        for k in (3, 100):
            check(index, queries, k, segments, allowed)


# -- generations ----------------------------------------------------------------------------------------------


@each_kind
def test_an_index_like_another_equals_one_built_at_once(kind: str) -> None:
    rows, queries = random_rows(900, 24, 21), random_rows(5, 24, 22)
    first, second, third = split(rows, 3)
    old = open_index(kind, [first, second], 24)
    fewer = dataclasses.replace(first, dead=np.array([0, 3, 250], np.int64))
    new = open_index(kind, [fewer, third], 24, previous=old)
    check(new, queries, 40, [fewer, third])
    assert len(new) == 597
    assert new.segments == (fewer, third)
    check(old, queries, 40, [first, second])
    at_once = open_index(kind, [fewer, third], 24)
    assert_same(new.search(queries, 40), at_once.search(queries, 40))


def test_an_index_like_another_does_not_copy_the_same_rows_again() -> None:
    rows = random_rows(20, 8, 23).astype(np.float16)
    shard = Segment(np.arange(20), rows, NONE_DEAD)
    old = open_index("faiss", [shard], 8)
    query = unit(rows[:1].astype(np.float32))
    before = old.search(query, 20)
    rows[:] = 0  # which no shard does: it tells a copy taken now from the one taken then
    assert_same(open_index("faiss", [shard], 8, previous=old).search(query, 20), before)
    assert open_index("faiss", [shard], 8).search(query, 1)[0].scores.tolist() == [0]


@each_kind
def test_what_only_the_old_index_needed_is_freed(kind: str) -> None:
    first, second = split(random_rows(20, 8, 24), 2)
    old = open_index(kind, [first, second], 8)
    new = open_index(kind, [second], 8, previous=old)
    gone, kept = weakref.ref(first.rows), weakref.ref(second.rows)
    del old, first, second
    gc.collect()
    assert gone() is None
    assert kept() is not None
    assert len(new) == 10


def test_an_index_like_one_of_another_kind_is_built_from_the_rows() -> None:
    segments, queries = split(random_rows(200, 8, 25), 2), random_rows(2, 8, 26)
    memory = open_index("memory", segments, 8)
    check(open_index("faiss", segments, 8, previous=memory), queries, 10, segments)


# -- one answer, however it is asked for ----------------------------------------------------------------------


def assert_same(some: Sequence[Matches], others: Sequence[Matches]) -> None:
    """Equal to the last bit."""
    for one, other in zip(some, others, strict=True):
        np.testing.assert_array_equal(one.ids, other.ids)
        np.testing.assert_array_equal(one.scores, other.scores)


@pytest.mark.parametrize("dim", DIMS)
def test_all_kinds_give_the_same_bits(dim: int) -> None:
    segments, queries = split(clustered_rows(500, dim, 27), 3, dead=range(9)), clustered_rows(5, dim, 28)
    answers = [open_index(kind, segments, dim).search(queries, 30) for kind in KINDS]
    for other in answers[1:]:
        assert_same(answers[0], other)


@each_kind
def test_many_queries_at_once_are_answered_as_one_by_one(kind: str) -> None:
    segments, queries = split(clustered_rows(700, 40, 29), 3, dead=range(9)), clustered_rows(1100, 40, 30)
    index = open_index(kind, segments, 40)
    at_once = index.search(queries, 12)
    assert len(at_once) == 1100
    assert_same(at_once[::50], [index.search(query[np.newaxis], 12)[0] for query in queries[::50]])


def test_many_queries_over_more_rows_than_faiss_decodes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Matrix products alone settle them: a wrong candidate would cost a scan of its own, unseen."""
    segments, queries = split(random_rows(7000, 1395, 36), 1, dead=range(50)), random_rows(70, 1395, 37)
    index = open_index("faiss", segments, 1395)
    one_by_one = [index.search(query[np.newaxis], 12)[0] for query in queries]
    check(index, queries[:3], 12, segments)
    monkeypatch.delattr("imseek.data.vectors.faiss_index._scan")
    assert_same(index.search(queries, 12), one_by_one)


@each_kind
def test_read_only_memory_maps(kind: str, tmp_path: Path) -> None:
    rows = random_rows(300, 21, 31)
    np.save(tmp_path / "rows.npy", rows.astype(np.float16))
    np.save(tmp_path / "ids.npy", np.arange(300))
    np.save(tmp_path / "dead.npy", np.array([1, 2], np.uint32))
    mapped = [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("ids", "rows", "dead")]
    assert isinstance(mapped[1], np.memmap)
    shard = Segment(*mapped)
    check(open_index(kind, [shard], 21), random_rows(3, 21, 32), 10, [shard])


@each_kind
def test_four_threads_with_different_filters(kind: str) -> None:
    segments = split(random_rows(3000, 48, 33), 3, dead=range(0, 3000, 11))
    index = open_index(kind, segments, 48)
    rng = np.random.default_rng(34)
    jobs = [
        (random_rows(1 + i % 3, 48, i), 1 + i, rng.choice(3000, 30 * (i + 1)) if i % 2 else None) for i in range(40)
    ]

    def answer(job: tuple[Array, int, npt.NDArray[np.int64] | None]) -> list[Matches]:
        queries, k, allowed = job
        return index.search(queries, k, allowed=allowed)

    expected = [answer(job) for job in jobs]
    with ThreadPoolExecutor(4) as threads:
        for _ in range(3):
            for found, wanted in zip(threads.map(answer, jobs), expected, strict=True):
                assert_same(found, wanted)


# -- anything at all ------------------------------------------------------------------------------------------


@st.composite
def searches(draw: st.DrawFn) -> tuple[list[Segment], Array, int, list[int] | None]:
    """Few distinct vectors in small integers, so that ties, zeros and opposites abound."""
    dim = draw(st.integers(1, 9))
    vector = st.lists(st.integers(-2, 2), min_size=dim, max_size=dim)
    vectors = draw(st.lists(vector, min_size=0, max_size=60))
    rows = [unit(v) if any(v) else np.zeros(dim) for v in vectors]
    ids = draw(st.lists(st.integers(0, 200), min_size=len(rows), max_size=len(rows), unique=True))
    owners = draw(st.lists(st.integers(0, 2), min_size=len(rows), max_size=len(rows)))
    segments = []
    for owner in range(3):
        mine = sorted((i, row) for i, row, o in zip(ids, map(tuple, rows), owners, strict=True) if o == owner)
        dead = draw(st.sets(st.integers(0, len(mine) - 1))) if mine else set()
        stored = np.array([row for _, row in mine]).reshape(len(mine), dim)
        segments.append(segment(stored, [i for i, _ in mine], dead))
    query = unit([draw(vector.filter(any))])
    allowed = draw(st.none() | st.lists(st.integers(0, 200), max_size=40))
    return segments, query, draw(st.integers(1, 70)), allowed


@each_kind
@settings(max_examples=150)
@given(search=searches())
def test_any_search(kind: str, search: tuple[list[Segment], Array, int, list[int] | None]) -> None:
    segments, query, k, allowed = search
    index = open_index(kind, segments, query.shape[1])
    check(index, query, k, segments, allowed)


# -- the suite would notice -----------------------------------------------------------------------------------


def wrong_answer(how: str, shard: Segment, query: Array, k: int) -> Matches:
    """A top ``k`` as a careless index would find it."""
    rows = shard.rows.astype(np.float32)
    raw = rows @ query
    exact = (raw / np.sqrt((rows * rows).sum(axis=1))).astype(np.float32)
    ranked, score = {
        "right": (exact, exact),
        "raw product as the score": (raw, raw),
        "raw product for the choice": (raw, exact),
        "ties in any order": (exact, exact),
    }[how]
    chosen = np.lexsort((-shard.ids if how == "ties in any order" else shard.ids, -ranked))[:k]
    chosen = chosen[np.lexsort((shard.ids[chosen], -score[chosen]))]
    return Matches(shard.ids[chosen], score[chosen])


@pytest.mark.parametrize(
    ("how", "k"),
    [("raw product as the score", 150), ("raw product for the choice", 150), ("ties in any order", 20)],
)
def test_a_careless_index_would_fail(how: str, k: int) -> None:
    rows = clustered_rows(2000, 8, 35)
    rows[100:200] = rows[100]
    shard, query = segment(rows), rows[100]
    reference = Reference([shard])
    reference.check(wrong_answer("right", shard, query, k), query, k)
    with pytest.raises(AssertionError):
        reference.check(wrong_answer(how, shard, query, k), query, k)
