"""Items that a thread reads ahead, and the memory that they hold."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from imseek.indexer.ordered_map import OrderedMap
from imseek.indexer.sources import member_search
from imseek.indexer.sources.archive_members import Member, NameFilter
from imseek.indexer.sources.member_search import Finder
from imseek.indexer.sources.prefetch import MemoryBudget, ReadAhead


def test_items_come_in_order_and_errors_where_they_belong() -> None:
    def items() -> Iterator[int]:
        yield from range(100)
        raise KeyError("the end")

    ahead = iter(ReadAhead(items(), 4))
    assert [next(ahead) for _ in range(100)] == list(range(100))
    with pytest.raises(KeyError, match="the end"):
        next(ahead)


def test_no_more_items_are_read_than_it_should_be_ahead() -> None:
    read: list[int] = []

    def items() -> Iterator[int]:
        for n in range(1000):
            read.append(n)
            yield n

    for n, _ in enumerate(ReadAhead(items(), 4)):
        assert len(read) <= n + 6
        if n == 50:
            break


def test_a_reader_that_is_stuck_is_not_waited_for() -> None:
    stop, release = threading.Event(), threading.Event()

    waited_for: list[bool] = []

    def items() -> Iterator[int]:
        yield 1
        threading.Timer(0.05, stop.set).start()  # While the next item is waited for.
        waited_for.append(release.wait(30))

    ahead = iter(ReadAhead(items(), 4, stop))
    assert next(ahead) == 1
    with pytest.raises(InterruptedError):
        next(ahead)
    assert waited_for == [], "the reader is still stuck"
    release.set()


def test_a_budget_waits_until_enough_has_been_let_go_of() -> None:
    budget, held, charged = MemoryBudget(100), [Member(b"%d" % n, None) for n in range(4)], threading.Event()

    def charge() -> None:
        for _ in range(4):
            budget.charge(held.pop(), 40)  # Three hold 120 bytes: the fourth waits for none of its own.
        charged.set()

    kept = list(held)
    thread = threading.Thread(target=charge, daemon=True)
    thread.start()
    assert not charged.wait(0.3)
    kept.clear()
    assert charged.wait(30)
    thread.join()


def test_a_budget_gives_way_to_a_stop() -> None:
    stop = threading.Event()
    budget = MemoryBudget(100, stop)
    first, second = Member(b"a", None), Member(b"b", None)
    budget.charge(first, 1000)
    stop.set()
    with pytest.raises(InterruptedError):
        budget.charge(second, 1)


def test_an_item_is_let_go_of_once_it_is_done() -> None:
    """Results wait for those before them, and must not keep the bytes of what they were made of."""
    budget, first = MemoryBudget(200), threading.Event()

    def items() -> Iterator[Member]:
        for n in range(20):
            member = Member(b"%d" % n, None)
            budget.charge(member, 90)
            yield member

    def work(member: Member) -> bytes:
        name = member.name
        if name == b"0":
            first.wait(30)
        elif name == b"10":
            first.set()
        return name

    each: OrderedMap[Member, bytes] = OrderedMap(work, workers=2, lookahead=20, deadline=60, late=lambda _: b"late")
    assert list(each(items())) == [b"%d" % n for n in range(20)]


def test_pictures_behind_are_forgotten_where_they_hold_much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    class Stream:
        def members(self, takes: NameFilter) -> Iterator[Member]:
            opened.append(self)
            return (Member(b"%d.png" % n, bytes(40)) for n in range(10))

        def read(self, where: bytes, limit: int) -> bytes:
            return where

    monkeypatch.setattr(member_search, "MAX_BUFFERED_BYTES", 100)
    finder = Finder(Stream, 64)
    for name, times in ((b"5.png", 1), (b"4.png", 1), (b"3.png", 2), (b"9.png", 2), (b"x.png", 2)):
        found = finder.find(name)
        assert (found is None) == (name == b"x.png")
        assert len(opened) == times
