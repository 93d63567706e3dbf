"""The records of a journal, a JSON object a line: what each may hold, checked here and nowhere else.

A journal may come from anybody, with a collection or a backup. So a line either gives one of the records below, with
every member of its type and in its range, or it is damaged.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias, get_args

from imseek.curate.acts.members import MemberError, Members
from imseek.data.safe_path import check_absolute, check_parts
from imseek.errors import FormatVersionError, UnsafePathError
from imseek.types import Action

FORMAT: Final = 1
#: What has come of a file: it is not known yet, it is done, it was left alone; it is on its way back, it is back, it
#: cannot be had any more.
State: TypeAlias = Literal["meant", "done", "left", "returning", "undone", "gone"]
#: States of files that are to be brought back, as far as is known.
AWAY: Final = frozenset({"meant", "done", "returning"})

_PATHS: Final = ("path", "full", "keeper", "to", "to_base")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
#: What the system's fields hold: stat(2), chown(2).
_UINT32: Final = 2**32 - 1
_UINT64: Final = 2**64 - 1
_MODES: Final = 0o7777


@dataclass(frozen=True, slots=True)
class Begin:
    """The first record: id of the journal, when it was begun, for which plan (its digest) and collection (its uuid).

    ``adopted`` says that another user, or another machine, wrote what follows, and that this user agreed to it.
    """

    undo_id: str
    created: str
    plan: str
    collection: str
    adopted: bool = False


@dataclass(frozen=True, slots=True)
class Intent:
    """What is meant to happen to one file, number ``n`` of the plan.

    ``path`` is that within the source, ``full`` where that was; ``to`` is where it goes, below ``to_base``. Mode,
    mtime, device, inode, owner (user, group) and extended attributes (only of what is replaced) are of the file before.
    ``tags`` and ``columns`` are what the keeper gets, beside what it has; ``tag`` is what the image itself gets.
    Raises UnsafePathError where a path has a part that is empty, ``.`` or ``..``, or a NUL byte, and where ``to``
    does not lie below ``to_base``.
    """

    n: int
    action: Action
    image_id: int
    source_id: int
    path: bytes
    full: bytes
    content_hash: str
    size: int
    mode: int
    mtime_ns: int
    device: int
    inode: int
    owner: tuple[int, int]
    attributes: Mapping[str, bytes] = field(default_factory=dict)
    keeper_id: int | None = None
    keeper: bytes = b""
    to: bytes = b""
    to_base: bytes = b""
    tag: str = ""
    tags: tuple[str, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.path.startswith(b"/"):  # Of a list.
            check_absolute(self.path)
        elif self.path:  # Else the source is the file itself.
            check_parts(self.path)
        check_absolute(self.full)
        for path in (self.keeper, self.to, self.to_base):
            if path and path != b"/":  # The base of a source that is the whole disk.
                check_absolute(path)
        moves = self.action == "quarantine"
        if moves != bool(self.to) or moves != bool(self.to_base):
            raise UnsafePathError("only what goes to quarantine has a place there")
        if moves and not self.to.startswith(self.to_base.rstrip(b"/") + b"/"):
            raise UnsafePathError("the place in quarantine does not lie below its folder")

    @property
    def inner_to(self) -> bytes:
        """The path of ``to`` below ``to_base``."""
        return self.to[len(self.to_base.rstrip(b"/")) + 1 :]


@dataclass(frozen=True, slots=True)
class Note:
    """What came of file ``n``."""

    n: int
    state: State


@dataclass(frozen=True, slots=True)
class Trashed:
    """Where the trash has put file ``n``. Raises UnsafePathError as :class:`Intent`."""

    n: int
    to: bytes

    def __post_init__(self) -> None:
        check_absolute(self.to)


@dataclass(frozen=True, slots=True)
class Copied:
    """The inode of a copy of file ``n`` that was made on another disk, there or back."""

    n: int
    inode: int


@dataclass(frozen=True, slots=True)
class End:
    """All of the plan has been gone through."""


Record: TypeAlias = Begin | Intent | Note | Trashed | Copied | End


def parse(document: Mapping[str, Any]) -> Record:
    """The record that a line's object stands for; members that are not known are passed over.

    Raises MemberError, which says what is wrong, and FormatVersionError for a journal of a later imseek.
    """
    of = Members(document)
    kind = of.choice("do", tuple(_PARSERS))
    try:
        return _PARSERS[kind](of)
    except UnsafePathError as error:
        raise MemberError(str(error)) from error


def document(record: Record) -> dict[str, Any]:
    """The object of a record, as :func:`parse` reads it."""
    match record:
        case Begin():
            made = {"do": "begin", "format": FORMAT, "id": record.undo_id, "created": record.created}
            adopted = {"adopted": True} if record.adopted else {}
            return {**made, "plan": record.plan, "collection": record.collection, **adopted}
        case Intent():
            return {"do": "mean", **_members(record)}
        case Note():
            return {"do": "note", "n": record.n, "state": record.state}
        case Trashed():
            return {"do": "trashed", "n": record.n, "to": _coded(record.to)}
        case Copied():
            return {"do": "copied", "n": record.n, "inode": record.inode}
        case End():
            return {"do": "end"}


def merged(before: Intent | None, intent: Intent) -> Intent:
    """An intent with what an earlier try, which was cut short, may have given to the same keeper."""
    if before is None or before.keeper_id != intent.keeper_id:
        return intent
    tags = tuple(dict.fromkeys((*before.tags, *intent.tags)))
    columns = {**before.columns, **intent.columns}
    return replace(intent, tags=tags, columns=columns, tag=before.tag or intent.tag)


def line(found: Mapping[str, Any]) -> bytes:
    """An object as a line that :func:`read` can tell from one that was cut short, or has changed."""
    return json.dumps({**found, "sum": _sum(found)}, sort_keys=True).encode() + b"\n"


def read(data: bytes) -> dict[str, Any]:
    """The object of a line. Raises MemberError where it is not as it was written."""
    try:
        found = json.loads(data)
        stated = found.pop("sum")
        sound = stated == _sum(found)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        sound = False
    if not sound:
        raise MemberError("it was cut short, or has changed")
    whole: dict[str, Any] = found
    return whole


def _sum(found: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16]


def _begin(of: Members) -> Begin:
    version = of.number("format", 1)
    if version > FORMAT:
        raise FormatVersionError("the journal was written by a later imseek", hint="update imseek")
    adopted = "adopted" in of.found and of.truth("adopted")
    return Begin(of.text("id"), of.text("created"), of.text("plan"), of.text("collection"), adopted)


def _intent(of: Members) -> Intent:
    content_hash = of.text("content_hash")
    if not _SHA256.fullmatch(content_hash):
        raise MemberError("content_hash is not a sha256 in hexadecimal")
    return Intent(
        n=_number(of),
        action=of.choice("action", get_args(Action)),
        image_id=of.number("image_id"),
        source_id=of.number("source_id"),
        content_hash=content_hash,
        size=of.number("size"),
        mode=of.number("mode", 0, _MODES),
        mtime_ns=of.number("mtime_ns", -(2**63)),
        device=of.number("device", 0, _UINT64),
        inode=of.number("inode", 0, _UINT64),
        owner=_owner(of),
        attributes={name: of.decode(f"attribute {name}", v) for name, v in of.mapping("attributes").items()},
        keeper_id=None if of.raw("keeper_id") is None else of.number("keeper_id"),
        tag=of.text("tag", empty=True),
        tags=tuple(_texts(of)),
        columns=_columns(of),
        **{name: of.base64(name) for name in _PATHS},
    )


def _number(of: Members) -> int:
    return of.number("n", 0, _UINT32)


def _owner(of: Members) -> tuple[int, int]:
    match of.list("owner"):
        case [user, group] if all(type(one) is int and 0 <= one <= _UINT32 for one in (user, group)):
            return user, group
    raise MemberError("owner must be the numbers of a user and a group")


def _texts(of: Members) -> list[str]:
    tags = of.list("tags")
    if not all(isinstance(tag, str) for tag in tags):
        raise MemberError("tags must be texts")
    return tags


def _columns(of: Members) -> dict[str, Any]:
    """What a derived column can hold: texts, truth values, and numbers, whole ones of 64 bits."""
    columns = of.mapping("columns")
    for name, value in columns.items():
        if not isinstance(value, str | int | float | None) or (
            isinstance(value, int) and not -(2**63) <= value < 2**63
        ):
            raise MemberError(f"column {name} holds what no column can")
    return columns


_PARSERS: Final[Mapping[str, Callable[[Members], Record]]] = {
    "begin": _begin,
    "mean": _intent,
    "note": lambda of: Note(_number(of), of.choice("state", get_args(State))),
    "trashed": lambda of: Trashed(_number(of), of.base64("to")),
    "copied": lambda of: Copied(_number(of), of.number("inode", 0, _UINT64)),
    "end": lambda of: End(),
}


def _members(intent: Intent) -> dict[str, Any]:
    made = {name: getattr(intent, name) for name in Intent.__slots__}
    made |= {name: _coded(made[name]) for name in _PATHS}
    made["attributes"] = {name: _coded(value) for name, value in intent.attributes.items()}
    return {
        **made,
        "owner": list(intent.owner),
        "tags": list(intent.tags),
        "columns": dict(intent.columns),
        "shown": intent.full.decode("utf-8", "backslashreplace"),
    }


def _coded(path: bytes) -> str:
    return base64.b64encode(path).decode("ascii")
