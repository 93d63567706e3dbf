"""Judgements of contents become judgements of the images that are here."""

from __future__ import annotations

import hashlib

import numpy as np

from imseek.curate.groups import Group, grouped
from imseek.curate.judged import Judged, applied, judged
from imseek.types import DuplicatePair, Judgement, Verdict


def content(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def said(a: str, b: str, verdict: Verdict) -> Judgement:
    one, other = sorted((content(a).hex(), content(b).hex()))
    return Judgement(one, other, verdict, "test", "2026-01-01T00:00:00+00:00")


def of(*ends: tuple[int, int]) -> frozenset[frozenset[int]]:
    return frozenset(frozenset(two) for two in ends)


def test_contents_become_images() -> None:
    names = [f"content {n}" for n in range(200_000)]
    ids = np.arange(1000, 201_000)
    hashes = np.frombuffer(b"".join(map(content, names)), np.uint8).reshape(-1, 32)
    found = judged(
        [
            said(names[3], names[150_000], "same"),
            said(names[199_999], names[0], "different"),
            said(names[5], "gone", "different"),
        ],
        ids,
        hashes,
    )
    assert found == Judged(same=of((1003, 151_000)), different=of((200_999, 1000)))
    assert judged([], ids, hashes) == Judged()
    assert judged([said("a", "b", "same")], ids[:0], hashes[:0]) == Judged()


def test_a_hash_that_begins_alike_is_another() -> None:
    hashes = np.array([[7] * 32, [7] * 31 + [8], [9] * 32], np.uint8)
    ends = sorted(row.tobytes().hex() for row in hashes[[0, 2]])
    found = judged([Judgement(*ends, "same", "test", "")], np.array([1, 2, 3]), hashes)
    assert found.same == of((1, 3))


def test_every_image_of_a_content_is_judged() -> None:
    hashes = np.frombuffer(content("a") + content("b") + content("a"), np.uint8).reshape(-1, 32)
    assert judged([said("a", "b", "same")], np.array([1, 2, 3]), hashes).same == of((1, 2), (2, 3))


def test_what_was_said_replaces_what_was_found() -> None:
    found = [
        DuplicatePair(1, 2, "scene", 0.6, cosine=0.9, distance=20),
        DuplicatePair(2, 3, "same", 0.9),
        DuplicatePair(3, 4, "same", 0.8),
    ]
    kept, left_out = applied(found, Judged(same=of((2, 1), (9, 5)), different=of((3, 2), (7, 8))))
    assert left_out == 1
    assert kept == [
        DuplicatePair(1, 2, "same", 1.0, cosine=0.9, distance=20, judged=True),
        found[2],
        DuplicatePair(5, 9, "same", 1.0, judged=True),
    ]


def test_nobody_is_asked_of_what_was_judged() -> None:
    """1 and 2 the same, 3 different from 2: neither pair is looked at again, nor 1 and 3, which follows."""
    said_of = Judged(same=of((1, 2)), different=of((2, 3)))
    asked = []

    def confirm(a: int, b: int) -> None:
        asked.append((a, b))

    pairs, _ = applied([DuplicatePair(1, 3, "same", 0.9), DuplicatePair(2, 3, "same", 0.9)], said_of)
    found = grouped(pairs, {}, confirm, said_of.different)
    assert (found.groups, asked) == ((Group("same", (1, 2)),), [])
    assert [(s.lacking, s.reason) for s in found.splits] == [((2, 3), "different")]
