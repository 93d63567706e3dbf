"""Answers of a decoder that was taken over: nothing of them is believed."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from imseek.errors import MediaError
from imseek.media.sandbox import messages
from imseek.media.sandbox.messages import AnswerError, Channel, Request
from imseek.types.pictures import ImageFacts, Luma

REQUEST = Request("HEIC", None, 10_000, True)
LUMA = Luma(0.5, 0.1, 0.0, 0.0, 0.2, None)
FACTS = ImageFacts(40, 30, "HEIC", "RGB", 1, 7, LUMA, 1, "2001-02-03T04:05:06", "Canon", None, 1.0, -2.0, "A heron")
SOUND: dict[str, Any] = json.loads(json.dumps({**asdict(FACTS), "rows": 30, "columns": 40}))


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    """This process's end of a socket, and a decoder's."""
    ours, theirs = map(Channel, socket.socketpair())
    ours.allow(2)
    yield ours, theirs
    ours.close()
    theirs.close()


def test_what_a_decoder_says_comes_over(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    pixels = np.arange(3600, dtype=np.uint8).reshape(30, 40, 3)
    messages.send_picture(theirs, pixels, FACTS)
    kind, content = messages.receive_answer(ours)
    assert kind == messages.FACTS
    facts = messages.facts_of(content, REQUEST, 10)
    assert facts == FACTS
    assert np.array_equal(messages.receive_pixels(ours, content, facts), pixels)
    messages.send_error(theirs, MediaError("corrupt", "no\nsuch  thing\x1b[31m", hint="pip install evil"))
    kind, content = messages.receive_answer(ours)
    error = messages.error_of(content)
    assert (kind, error.reason, str(error), error.hint) == (
        messages.ERROR,
        "corrupt",
        "no such thing [31m",
        None,
    )


def test_a_request_comes_over(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    messages.send_request(ours, REQUEST, b"picture")
    assert messages.receive_request(theirs) == (REQUEST, b"picture")
    ours.close()
    with pytest.raises(EOFError):
        messages.receive_request(theirs)


@pytest.mark.parametrize(
    "sent",
    [
        b"\2" + struct.pack("=I", 2**20 + 1) + b" " * (2**20 + 1),
        b"\2" + struct.pack("=I", 2**32 - 1),
        b"\2\2\0\0\0[]",
        b"\2\4\0\0\0null",
        b"\2\1\0\0\0{",
        b"\2\4\0\0\0\x80abc",  # a pickle
        b"\2" + struct.pack("=I", 50_000) + b"[" * 50_000,
        b"\2" + struct.pack("=I", 6_005) + b'{"a":' + b"9" * 6_000,
    ],
)
def test_what_is_no_object_of_json_is_refused(ends: tuple[Channel, Channel], sent: bytes) -> None:
    ours, theirs = ends
    theirs.allow(0.5)
    with suppress(TimeoutError):  # nobody reads the rest
        theirs.send(sent)
    with pytest.raises(AnswerError):
        messages.receive_answer(ours)


def test_a_decoder_that_says_nothing_or_half_of_it(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    ours.allow(0.2)
    with pytest.raises(TimeoutError):
        messages.receive_answer(ours)
    ours.allow(2)
    theirs.send(b"\2\4\0")
    theirs.close()
    with pytest.raises(EOFError):
        messages.receive_answer(ours)


LIES: list[dict[str, Any]] = [
    {"width": 0},
    {"width": -40},
    {"width": 40.0},
    {"width": True},
    {"width": "40"},
    {"width": None},
    {"width": 2**31},
    {"width": 400, "height": 26},  # more pixels than the request allows
    {"format": "JPEG"},
    {"format": None},
    {"mode": "RGB\n"},
    {"mode": "x" * 17},
    {"mode": 3},
    {"frames": 0},
    {"frames": 11},
    {"phash": -1},
    {"phash": 2**64},
    {"orientation": 9},
    {"taken_at": "2001-02-03"},
    {"taken_at": "2001-02-03T04:05:06Z; DROP"},
    {"latitude": 90.1},
    {"latitude": float("nan")},
    {"longitude": float("inf")},
    {"longitude": "0"},
    {"latitude": 10**400},
    {"caption": "two\nlines"},
    {"caption": "\ud800"},  # cannot be stored
    {"caption": "\x1b[31mred"},
    {"caption": "x" * 2001},
    {"caption": ["a"]},
    {"title": "two\nlines"},
    {"keywords": "a"},
    {"keywords": None},
    {"keywords": ["two\nlines"]},
    {"keywords": ["a", "a"]},
    {"keywords": ["x" * 129]},
    {"keywords": [str(n) for n in range(257)]},
    {"people": ["Anna", 7]},
    {"rating": 6},
    {"rating": True},
    {"rating": 3.5},
    {"colour_label": 1},
    {"camera": {}},
    {"lens": ""},
    {"extra": {"column": 1}},
    {"luma": None},
    {"luma": {}},
    {"luma": {**SOUND["luma"], "mean": None}},
    {"luma": {**SOUND["luma"], "mean": 1.5}},
    {"luma": {**SOUND["luma"], "blur": -1}},
    {"luma": {**SOUND["luma"], "more": 1}},
    {"more": 1},
]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: json.dumps(lie)[:60])
def test_facts_that_cannot_be_are_refused(lie: dict[str, Any]) -> None:
    assert messages.facts_of(SOUND, REQUEST, 10) == FACTS
    with pytest.raises(AnswerError):
        messages.facts_of(SOUND | lie, REQUEST, 10)


@pytest.mark.parametrize("name", SOUND)
def test_a_fact_that_is_missing_is_refused(name: str) -> None:
    with pytest.raises(AnswerError):
        messages.facts_of({key: value for key, value in SOUND.items() if key != name}, REQUEST, 10)


@pytest.mark.parametrize("lie", [None, 0, -1, 41, 2**70, 30.0, True, "30", [30]])
@pytest.mark.parametrize("name", ["rows", "columns"])
def test_no_more_pixels_are_taken_than_the_picture_has(ends: tuple[Channel, Channel], name: str, lie: Any) -> None:
    with pytest.raises(AnswerError):
        messages.receive_pixels(ends[0], SOUND | {name: lie}, FACTS)


@pytest.mark.parametrize("pixels", [-1, 2**70, 1.5, True, None, "1"])
def test_a_size_that_cannot_be_is_refused(pixels: Any) -> None:
    assert messages.size_of({"pixels": 12}) == 12
    with pytest.raises(AnswerError):
        messages.size_of({"pixels": pixels})


@pytest.mark.parametrize("reason", ["", "no_such", "vanished", "fetch_failed", None, 3, ["corrupt"]])
def test_an_error_has_a_reason_that_a_decoder_can_have(reason: Any) -> None:
    with pytest.raises(AnswerError):
        messages.error_of({"reason": reason, "message": "x"})
