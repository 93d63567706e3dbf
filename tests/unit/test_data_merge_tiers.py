"""Which shards are merged: few enough files, and each row is rewritten only a few times."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imseek.data.collection_records import Shard
from imseek.data.shards.compaction import FACTOR, MAX_ROWS, find_due_shards, tier


def shard(number: int, rows: int, dead: int = 0, spaces: tuple[int, ...] = (0,)) -> Shard:
    return Shard(number, rows, spaces, dead_rows=dead)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [(0, 0), (1, 0), (512, 0), (513, 1), (4096, 1), (4097, 2), (32_768, 2), (262_145, 4)],
)
def test_tiers(rows: int, expected: int) -> None:
    assert tier(rows) == expected


def test_eight_of_a_tier_are_due_and_seven_are_not() -> None:
    seven = [shard(n, 100) for n in range(7)]
    assert find_due_shards(seven) == []
    assert find_due_shards([*seven, shard(7, 5000)]) == []
    assert find_due_shards([*seven, shard(7, 500)]) == [*seven, shard(7, 500)]


def test_dead_rows_do_not_count() -> None:
    assert len(find_due_shards([shard(n, 5000, dead=4800) for n in range(8)])) == 8


def test_spaces_are_not_mixed() -> None:
    mixed = [shard(n, 100, spaces=(0,) if n % 2 else (0, 1)) for n in range(14)]
    assert find_due_shards(mixed) == []
    assert {s.spaces for s in find_due_shards([*mixed, shard(14, 100), shard(15, 100)])} == {(0,)}


def test_the_smallest_tier_comes_first() -> None:
    large, small = [shard(n, 3000) for n in range(8)], [shard(n + 8, 10) for n in range(8)]
    assert find_due_shards([*large, *small]) == small


def test_large_shards_are_merged_as_far_as_they_fit() -> None:
    found = [shard(0, 250_000), *(shard(n, 200_000) for n in range(1, 8))]
    chosen = find_due_shards(found)
    assert [s.shard_id for s in chosen] == [1, 2, 3, 4, 5], "the smallest five make a million"
    assert find_due_shards([shard(n, MAX_ROWS - 1) for n in range(20)]) == []


def merged(found: list[Shard]) -> tuple[list[Shard], int]:
    """Merge until nothing is due; returns what is left, and the number of rows that were rewritten."""
    rewritten = 0
    number = max((s.shard_id for s in found), default=0)
    while chosen := find_due_shards(found):
        assert len(chosen) > 1
        rows = sum(s.rows - s.dead_rows for s in chosen)
        assert rows <= MAX_ROWS
        rewritten += rows
        number += 1
        found = [s for s in found if s not in chosen] + ([shard(number, rows)] if rows else [])
    return found, rewritten


@given(st.lists(st.tuples(st.integers(1, 2 * MAX_ROWS), st.floats(0, 1)), max_size=60))
def test_merging_ends(sizes: list[tuple[int, float]]) -> None:
    found = [shard(n, rows, dead=int(rows * part)) for n, (rows, part) in enumerate(sizes)]
    merged(found)


@pytest.mark.parametrize("batch", [16, 4096, 100_000])
def test_files_stay_few_and_rows_are_rewritten_seldom(batch: int) -> None:
    chance = random.Random(batch)
    found: list[Shard] = []
    rewritten = total = commits = 0
    while total < 3 * MAX_ROWS and commits < 5000:
        rows = chance.randrange(1, batch + 1)
        commits, total = commits + 1, total + rows
        found, more = merged([*found, shard(10_000_000 + commits, rows)])
        rewritten += more
    large = total / (MAX_ROWS / 2)
    assert len(found) <= large + 5 * (FACTOR - 1)
    # Small commits add up within the first tier, where a rewrite costs no more than a commit.
    assert rewritten <= 8 * total
