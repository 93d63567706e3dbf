"""The records of a journal, one JSON object per line, and the only place where they are validated.

A journal may come from anyone, with a collection or a backup. So every line either yields one of the records below,
with all members of the right type and in range, or counts as damaged.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias, cast, get_args

from imseek.data.files.checked_json import JsonObject, check_integer
from imseek.data.layout import MAX_NUMBER
from imseek.data.user_files.safe_path import check_absolute, check_parts
from imseek.duplicates.action_results import Action
from imseek.errors import FormatVersionError, UnsafePathError

FORMAT: Final = 1
#: State of a file, in order: outcome not known yet, done, left alone; being brought back, brought back,
#: irretrievably gone.
State: TypeAlias = Literal["meant", "done", "left", "returning", "undone", "gone"]
#: States of files that undo should bring back.
AWAY_STATES: Final = frozenset({"meant", "done", "returning"})

_PATHS: Final = ("path", "full", "keeper", "to", "to_base")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
#: Ranges of system fields: stat(2), chown(2).
_UINT32: Final = 2**32 - 1
_UINT64: Final = 2**64 - 1
_MAX_MODE: Final = 0o7777


@dataclass(frozen=True, slots=True)
class Begin:
    """First record: journal id, creation time, digest of the plan and uuid of the collection.

    ``adopted`` says that another user or another machine wrote the rest, and that this user agreed to it.
    """

    undo_id: str
    created: str
    plan: str
    collection: str
    adopted: bool = False


@dataclass(frozen=True, slots=True)
class Intent:
    """The intended action on one file, number ``n`` of the plan.

    ``path`` is the path within the source, ``full`` the absolute path; ``to`` is the destination below ``to_base``.
    Mode, mtime, device, inode, owner (user, group) and extended attributes (only for files to be replaced) describe the
    file before the action. The keeper gains ``tags`` and ``columns``; the image itself gains ``tag``. Raises
    UnsafePathError if a path has an empty, ``.`` or ``..`` component or a NUL byte, or if ``to`` is not below
    ``to_base``.
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
        if self.path.startswith(b"/"):  # Source is a list of files.
            check_absolute(self.path)
        elif self.path:  # Otherwise the source is the file itself.
            check_parts(self.path)
        check_absolute(self.full)
        for path in (self.keeper, self.to, self.to_base):
            if path and path != b"/":  # The base if the source is the whole disk.
                check_absolute(path)
        moves = self.action == "quarantine"
        if moves != bool(self.to) or moves != bool(self.to_base):
            raise UnsafePathError("only what goes to quarantine has a place there")
        if moves and not self.to.startswith(self.to_base.rstrip(b"/") + b"/"):
            raise UnsafePathError("the place in quarantine does not lie below its folder")

    @property
    def inner_to(self) -> bytes:
        """The path of ``to`` relative to ``to_base``."""
        return self.to[len(self.to_base.rstrip(b"/")) + 1 :]


@dataclass(frozen=True, slots=True)
class Note:
    """The outcome for file ``n``."""

    n: int
    state: State


@dataclass(frozen=True, slots=True)
class TrashLocation:
    """Where the trash put file ``n``. Raises UnsafePathError as :class:`Intent` does."""

    n: int
    to: bytes

    def __post_init__(self) -> None:
        check_absolute(self.to)


@dataclass(frozen=True, slots=True)
class CopyInode:
    """The inode of a copy of file ``n`` made on another disk, in either direction."""

    n: int
    inode: int


@dataclass(frozen=True, slots=True)
class End:
    """The whole plan has been processed."""


Record: TypeAlias = Begin | Intent | Note | TrashLocation | CopyInode | End


def parse(document: Mapping[str, Any]) -> Record:
    """Parse the object of a line into a record; unknown members are ignored.

    Raises ValueError that says what is wrong, and FormatVersionError for a journal of a later imseek.
    """
    of = JsonObject(document)
    kind = of.text("do", choices=_PARSERS)
    try:
        return _PARSERS[kind](of)
    except UnsafePathError as error:
        raise ValueError(str(error)) from error


def to_document(record: Record) -> dict[str, Any]:
    """Convert a record to an object that :func:`parse` reads."""
    match record:
        case Begin():
            members = {"do": "begin", "format": FORMAT, "id": record.undo_id, "created": record.created}
            adopted = {"adopted": True} if record.adopted else {}
            return {**members, "plan": record.plan, "collection": record.collection, **adopted}
        case Intent():
            return {"do": "mean", **_intent_members(record)}
        case Note():
            return {"do": "note", "n": record.n, "state": record.state}
        case TrashLocation():
            return {"do": "trashed", "n": record.n, "to": _encode_base64(record.to)}
        case CopyInode():
            return {"do": "copied", "n": record.n, "inode": record.inode}
        case End():
            return {"do": "end"}


def merge_intents(before: Intent | None, intent: Intent) -> Intent:
    """Add to an intent the metadata that an earlier, interrupted attempt may have given to the same keeper."""
    if before is None or before.keeper_id != intent.keeper_id:
        return intent
    tags = tuple(dict.fromkeys((*before.tags, *intent.tags)))
    columns = {**before.columns, **intent.columns}
    return replace(intent, tags=tags, columns=columns, tag=before.tag or intent.tag)


def encode_line(document: Mapping[str, Any]) -> bytes:
    """Encode an object as a line with a checksum, by which :func:`decode_line` detects truncation and changes."""
    return json.dumps({**document, "sum": _checksum(document)}, sort_keys=True).encode() + b"\n"


def decode_line(data: bytes) -> dict[str, Any]:
    """Decode the object of a line. Raises ValueError if its checksum does not match."""
    try:
        document = json.loads(data)
        checksum = document.pop("sum")
        is_intact = checksum == _checksum(document)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        is_intact = False
    if not is_intact:
        raise ValueError("it was cut short, or has changed")
    members: dict[str, Any] = document
    return members


def _checksum(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]


def _parse_begin(of: JsonObject) -> Begin:
    if of.whole("format", least=1) > FORMAT:
        raise FormatVersionError("the journal was written by a later imseek", hint="update imseek")
    adopted = "adopted" in of and of.truth("adopted")
    return Begin(of.text("id"), of.text("created"), of.text("plan"), of.text("collection"), adopted)


def _parse_intent(of: JsonObject) -> Intent:
    return Intent(
        n=_file_number(of),
        action=cast(Action, of.text("action", choices=get_args(Action))),
        image_id=of.whole("image_id"),
        source_id=of.whole("source_id"),
        content_hash=of.text("content_hash", pattern=_SHA256),
        size=of.whole("size"),
        mode=of.whole("mode", most=_MAX_MODE),
        mtime_ns=of.whole("mtime_ns", least=-MAX_NUMBER, most=MAX_NUMBER - 1),
        device=of.whole("device", most=_UINT64),
        inode=of.whole("inode", most=_UINT64),
        owner=_owner(of),
        attributes=_attributes(of),
        keeper_id=None if of.get("keeper_id") is None else of.whole("keeper_id"),
        tag=of.text("tag"),
        tags=_tags(of),
        columns=_columns(of),
        **{name: _decode_base64(of.text(name), name) for name in _PATHS},
    )


def _parse_note(of: JsonObject) -> Note:
    return Note(_file_number(of), cast(State, of.text("state", choices=get_args(State))))


def _file_number(of: JsonObject) -> int:
    return of.whole("n", most=_UINT32)


def _decode_base64(coded: object, name: str) -> bytes:
    """Decode base64 text; ``name`` is used in the error message."""
    if isinstance(coded, str):
        with suppress(ValueError):
            return base64.b64decode(coded, validate=True)
    raise ValueError(f"{name} is not base64")


def _owner(of: JsonObject) -> tuple[int, int]:
    match of.items("owner"):
        case [user, group]:
            return check_integer(user, "owner", most=_UINT32), check_integer(group, "owner", most=_UINT32)
    raise ValueError("owner must be the numbers of a user and a group")


def _attributes(of: JsonObject) -> dict[str, bytes]:
    values = of.object("attributes")
    return {name: _decode_base64(values.get(name), f"attribute {name}") for name in values}


def _tags(of: JsonObject) -> tuple[str, ...]:
    tags = of.items("tags")
    if not all(isinstance(tag, str) for tag in tags):
        raise ValueError("tags must be texts")
    return tuple(tags)


def _columns(of: JsonObject) -> dict[str, Any]:
    """Parse values of derived columns: strings, booleans, and numbers (integers of 64 bits)."""
    values = of.object("columns")
    columns = {name: values.get(name) for name in values}
    for name, value in columns.items():
        if isinstance(value, int) and not isinstance(value, bool):
            check_integer(value, f"column {name}", least=-MAX_NUMBER, most=MAX_NUMBER - 1)
        elif not isinstance(value, str | float | bool | None):
            raise ValueError(f"column {name} holds what no column can")
    return columns


_PARSERS: Final[Mapping[str, Callable[[JsonObject], Record]]] = {
    "begin": _parse_begin,
    "mean": _parse_intent,
    "note": _parse_note,
    "trashed": lambda of: TrashLocation(_file_number(of), _decode_base64(of.text("to"), "to")),
    "copied": lambda of: CopyInode(_file_number(of), of.whole("inode", most=_UINT64)),
    "end": lambda of: End(),
}


def _intent_members(intent: Intent) -> dict[str, Any]:
    members = {name: getattr(intent, name) for name in Intent.__slots__}
    members |= {name: _encode_base64(members[name]) for name in _PATHS}
    members["attributes"] = {name: _encode_base64(value) for name, value in intent.attributes.items()}
    return {
        **members,
        "owner": list(intent.owner),
        "tags": list(intent.tags),
        "columns": dict(intent.columns),
        "shown": intent.full.decode("utf-8", "backslashreplace"),
    }


def _encode_base64(path: bytes) -> str:
    return base64.b64encode(path).decode("ascii")
