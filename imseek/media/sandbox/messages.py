"""The protocol between a process, its workers and their decoders: JSON and raw bytes over sockets, of bounded length.

A decoder may have been taken over by the picture that it decodes, so its answers are untrusted: this module checks
lengths, types and ranges, and nothing is unpickled.

    request: header, JSON of a Request, then the picture
    answer:  SIZE, a number of pixels; one byte back allows the decoder to go on;
             FACTS, JSON of facts and of the shape of the pixels, which follow; or ERROR, a reason and a message

A worker, which sees no picture, greets with length-prefixed JSON. START, with a descriptor, starts a decoder at the
other end of that socket; KILL ends it; STATUS reports that it has ended.
"""

from __future__ import annotations

import json
import math
import re
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import numpy as np

from imseek.errors import MediaError
from imseek.media.annotation_values import RATINGS, tidy, tidy_list
from imseek.types.arrays import Pixels
from imseek.types.pictures import ImageFacts, Luma, SkipReason

SIZE, FACTS, ERROR = 1, 2, 3
PROCEED: Final = b"\1"

LENGTH: Final = struct.Struct("=I")
START: Final = struct.Struct("=BQ")  # 1, and the largest number of pixels of a picture
KILL: Final = bytes(START.size)
STATUS: Final = struct.Struct("=i")  # as returned by os.waitpid
#: Exit code of a decoder that could not be confined, and therefore saw no picture.
NOT_CONFINED: Final = 70

_REQUEST: Final = struct.Struct("=IQ")  # bytes of JSON, bytes of the picture
_ANSWER: Final = struct.Struct("=BI")  # kind of answer, bytes of JSON
_MAX_JSON: Final = 2**20  # two lists of 256 texts of 128 characters, each written as twelve bytes at most
_MAX_SIDE: Final = 2**31 - 1
#: Reasons for which a decoder may refuse a picture: faults of its content.
_REASONS: Final = (
    SkipReason.TRUNCATED,
    SkipReason.CORRUPT,
    SkipReason.TOO_MANY_PIXELS,
    SkipReason.TOO_MANY_BYTES,
    SkipReason.MISSING_CODEC,
)
_MODE: Final = re.compile(r"[A-Za-z0-9;]{1,16}")
_TAKEN_AT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([+-]\d\d:\d\d)?")


class AnswerError(Exception):
    """An answer that no genuine decoder gives."""


@dataclass(frozen=True, slots=True)
class Request:
    """Arguments of :func:`imseek.media.pillow.read`, except for the picture."""

    name: str
    min_side: int | None
    max_pixels: int
    measured: bool
    preview: bool = False


class Channel:
    """A stream socket with a deadline. Raises EOFError at its end, and TimeoutError."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._deadline: float | None = None

    def allow(self, seconds: float) -> None:
        """Set the number of seconds that all further sending and receiving may take."""
        self._deadline = time.monotonic() + seconds

    def remaining(self) -> float:
        """Return how many of these seconds remain."""
        return math.inf if self._deadline is None else self._deadline - time.monotonic()

    def send(self, *parts: bytes | memoryview) -> None:
        for part in parts:
            rest = memoryview(part)
            while rest:
                self._wait()
                try:
                    rest = rest[self._socket.send(rest) :]
                except (BrokenPipeError, ConnectionResetError) as error:
                    raise EOFError from error

    def receive(self, size: int) -> bytes:
        buffer = bytearray(size)
        self.receive_into(memoryview(buffer))
        return bytes(buffer)

    def receive_into(self, rest: memoryview) -> None:
        while rest:
            self._wait()
            try:
                count = self._socket.recv_into(rest)
            except ConnectionResetError as error:
                raise EOFError from error
            if count == 0:
                raise EOFError
            rest = rest[count:]

    def close(self) -> None:
        self._socket.close()

    def _wait(self) -> None:
        """Set how long the next call may block. A decoder has no deadline, nor the system calls for one."""
        if self._deadline is not None:
            seconds = self.remaining()
            if seconds <= 0:
                raise TimeoutError
            self._socket.settimeout(seconds)


# -- the decoder's side ------------------------------------------------------------------------------------


def receive_request(channel: Channel) -> tuple[Request, bytes]:
    """Receive the next request and its picture. Raises EOFError after the last."""
    header, size = _REQUEST.unpack(channel.receive(_REQUEST.size))
    request = Request(**json.loads(channel.receive(header)))
    return request, channel.receive(size)


def request_to_proceed(channel: Channel, pixels: int) -> None:
    """Report the size of the picture, and wait for permission to decode it."""
    _answer(channel, SIZE, {"pixels": pixels})
    channel.receive(len(PROCEED))


def send_picture(channel: Channel, pixels: Pixels, facts: ImageFacts) -> None:
    rows, columns, _ = pixels.shape
    _answer(channel, FACTS, {**asdict(facts), "rows": rows, "columns": columns})
    channel.send(pixels.data.cast("B"))


def send_error(channel: Channel, error: MediaError) -> None:
    _answer(channel, ERROR, {"reason": error.reason, "message": tidy(str(error))})


def _answer(channel: Channel, kind: int, content: Mapping[str, Any]) -> None:
    encoded = json.dumps(content).encode("ascii")
    channel.send(_ANSWER.pack(kind, len(encoded)), encoded)


# -- the other side ----------------------------------------------------------------------------------------


def send_request(channel: Channel, request: Request, data: bytes) -> None:
    encoded = json.dumps(asdict(request)).encode("ascii")
    channel.send(_REQUEST.pack(len(encoded), len(data)), encoded, data)


def receive_answer(channel: Channel) -> tuple[int, dict[str, Any]]:
    """Return the kind of the next answer and its JSON, still unchecked. Raises AnswerError."""
    kind, size = _ANSWER.unpack(channel.receive(_ANSWER.size))
    if size > _MAX_JSON:
        raise AnswerError(f"{size:,} bytes of JSON")
    try:
        content = json.loads(channel.receive(size).decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise AnswerError("no JSON") from error
    if not isinstance(content, dict):
        raise AnswerError("not a JSON object")
    return kind, content


def receive_pixels(channel: Channel, content: Mapping[str, Any], facts: ImageFacts) -> Pixels:
    """Receive the pixels after FACTS, (h, w, 3) uint8, at most as many as ``facts`` states. Raises AnswerError."""
    rows = _integer(content, "rows", 1, facts.height)
    columns = _integer(content, "columns", 1, facts.width)
    pixels: Pixels = np.empty((rows, columns, 3), np.uint8)
    channel.receive_into(pixels.data.cast("B"))
    return pixels


def size_of(content: Mapping[str, Any]) -> int:
    """Return the number of pixels in a SIZE answer. Raises AnswerError."""
    return _integer(content, "pixels", 0, _MAX_SIDE**2)


def error_of(content: Mapping[str, Any]) -> MediaError:
    """Return the error in an ERROR answer. Raises AnswerError."""
    reason = content.get("reason")
    if reason not in _REASONS:
        raise AnswerError("the reason of an error")
    return MediaError(SkipReason(reason), _text(content, "message") or "the picture cannot be decoded")


def facts_of(content: Mapping[str, Any], request: Request, max_frames: int) -> ImageFacts:
    """Return the facts in a FACTS answer to ``request``. Raises AnswerError."""
    if set(content) != {"rows", "columns", *(field.name for field in fields(ImageFacts))} or content["extra"] != {}:
        raise AnswerError("the names of facts")
    if content["format"] != request.name:
        raise AnswerError("the format")
    facts = ImageFacts(
        width=_integer(content, "width", 1, _MAX_SIDE),
        height=_integer(content, "height", 1, _MAX_SIDE),
        format=request.name,
        mode=_pattern(content, "mode", _MODE) or "",
        frames=_integer(content, "frames", 1, max_frames),
        phash=_integer(content, "phash", 0, 2**64 - 1),
        luma=_luma(content["luma"]) if request.measured else None,
        orientation=_integer(content, "orientation", 1, 8),
        taken_at=_pattern(content, "taken_at", _TAKEN_AT),
        camera=_text(content, "camera"),
        lens=_text(content, "lens"),
        latitude=_number(content, "latitude", -90, 90),
        longitude=_number(content, "longitude", -180, 180),
        caption=_text(content, "caption"),
        title=_text(content, "title"),
        keywords=_entries(content, "keywords"),
        people=_entries(content, "people"),
        rating=_rating(content),
        colour_label=_text(content, "colour_label"),
    )
    if facts.width * facts.height > request.max_pixels:
        raise AnswerError("more pixels than the limit")
    return facts


def _luma(content: Any) -> Luma:
    names = {field.name for field in fields(Luma)}
    if not isinstance(content, dict) or set(content) != names:
        raise AnswerError("the luminance")
    values = {name: _number(content, name, 0, 5 if name == "blur" else 1) for name in names}
    if any(value is None and name != "blur" for name, value in values.items()):
        raise AnswerError("the luminance")
    return Luma(**values)  # type: ignore[arg-type] # of these only blur may be None


def _integer(content: Mapping[str, Any], name: str, least: int, most: int) -> int:
    value = content.get(name)
    if type(value) is not int or not least <= value <= most:
        raise AnswerError(name)
    return value


def _number(content: Mapping[str, Any], name: str, least: float, most: float) -> float | None:
    value = content.get(name)
    if value is None:
        return None
    if type(value) not in (int, float) or not least <= value <= most:  # false for NaN too
        raise AnswerError(name)
    return float(value)


def _text(content: Mapping[str, Any], name: str) -> str | None:
    value = content.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or tidy(value) != value:  # not a single printable line
        raise AnswerError(name)
    return value


def _entries(content: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = content.get(name)
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise AnswerError(name)
    if (entries := tuple(value)) != tidy_list(entries):
        raise AnswerError(name)
    return entries


def _rating(content: Mapping[str, Any]) -> int | None:
    return None if content.get("rating") is None else _integer(content, "rating", RATINGS[0], RATINGS[-1])


def _pattern(content: Mapping[str, Any], name: str, pattern: re.Pattern[str]) -> str | None:
    value = content.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise AnswerError(name)
    return value
