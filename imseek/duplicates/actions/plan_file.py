"""Read and write plan files: JSON that people edit, so it is validated as untrusted input."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

from imseek.duplicates.action_results import Action, FileAction, PlannedFile, PlannedGroup, RefusedFile
from imseek.errors import PlanError
from imseek.types.pictures import display_path, path_json

FORMAT: Final = 1
#: Default tag for duplicates.
TAG: Final = "duplicate"
_HINT: Final = "`imseek duplicates find --plan FILE` writes a plan"
ABOUT: Final = (
    "What `imseek duplicates apply` is to do. Take groups or files out as you like, or set the action of a file to "
    '"keep". Every file is read again before it is touched, and `imseek duplicates undo` brings all back.'
)
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_MAX_BYTES: Final = 1 << 30
_TOP: Final = {
    "imseek_plan", "about", "collection", "generation", "created", "action", "to", "to_b64", "tag", "protect",
    "groups", "refused",
}  # fmt: skip
_GROUP: Final = {"kind", "reason", "keep", "files"}
_FILE: Final = {"image_id", "path", "path_b64", "content_hash", "bytes", "action", "collection", "confidence", "link"}
_REFUSED: Final = {"image_id", "path", "path_b64", "reason"}


@dataclass(frozen=True, slots=True)
class PlanContent:
    """The members of a plan file; base class of :class:`imseek.duplicates.actions.plans.Plan`."""

    collection: str
    generation: int
    created: str
    action: Action
    groups: tuple[PlannedGroup, ...]
    to: bytes | None = None
    """The quarantine folder, or None for the default one of each file system."""
    tag: str = TAG
    protect: tuple[bytes, ...] = ()
    """Folders in which no file is touched."""
    refused: tuple[RefusedFile, ...] = ()
    """Duplicates that cannot be acted on, with the reason."""


_Kind = TypeVar("_Kind", bound=PlanContent)


def to_document(content: PlanContent) -> dict[str, object]:
    """Convert a plan to its JSON object."""
    return {
        "imseek_plan": FORMAT,
        "about": ABOUT,
        "collection": content.collection,
        "generation": content.generation,
        "created": content.created,
        "action": content.action,
        **({} if content.to is None else _path_members("to", content.to)),
        "tag": content.tag,
        "protect": [path_json(path) for path in content.protect],
        "groups": [
            {
                "kind": group.kind,
                "reason": group.reason,
                "keep": _file_document(group.keeper),
                "files": [_file_document(file) for file in group.files],
            }
            for group in content.groups
        ],
        "refused": [{"image_id": one.image_id, **path_json(one.path), "reason": one.reason} for one in content.refused],
    }


def _path_members(name: str, path: bytes) -> dict[str, str]:
    return {name + key.removeprefix("path"): value for key, value in path_json(path).items()}


def _file_document(file: PlannedFile) -> dict[str, object]:
    document: dict[str, object] = {
        "image_id": file.image_id,
        **path_json(file.path),
        "content_hash": file.content_hash,
        "bytes": file.bytes,
        "action": file.action,
    }
    if file.collection is not None:
        document["collection"] = file.collection
    if file.confidence is not None:
        document["confidence"] = file.confidence
    if file.is_link:
        document["link"] = True
    return document


def is_plan(path: Path) -> bool:
    """Return whether a file is a plan of ours, judging by its first bytes."""
    try:
        return _read_start(path, 64).lstrip().startswith((b'{\n "imseek_plan"', b'{"imseek_plan"'))
    except (OSError, PlanError):
        return False


def read_plan(path: Path, kind: type[_Kind]) -> _Kind:
    """Read a plan file as an instance of ``kind``. Raises PlanError that names the entry."""
    try:
        data = _read_start(path, _MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise PlanError(f"{path} is too large for a plan")
        text = data.decode("utf-8")
    except OSError as error:
        raise PlanError(f"{path}: {error.strerror}", hint=_HINT) from error
    except UnicodeDecodeError as error:
        raise PlanError(f"{path} is not a plan: it is not UTF-8", hint=_HINT) from error
    try:
        document = json.loads(text, object_pairs_hook=_reject_repeated_members)
    except (ValueError, RecursionError) as error:
        raise PlanError(f"{path} is not a plan: {error}", hint=_HINT) from error
    if not isinstance(document, dict) or "imseek_plan" not in document:
        raise PlanError(f"{path} is not a plan", hint=_HINT)
    if document["imseek_plan"] != FORMAT or document["imseek_plan"] is True:
        raise PlanError(f"{path} is a plan of format {document['imseek_plan']!r}; this imseek knows {FORMAT}")
    top = _Entry(str(path), document, _TOP)
    groups = tuple(
        _parse_group(_Entry(f"{path}: group {n}", entry, _GROUP)) for n, entry in enumerate(top.list("groups"), start=1)
    )
    return kind(
        collection=top.text("collection"),
        generation=top.number("generation"),
        created=top.text("created"),
        action=top.choice("action", get_args(Action)),
        groups=groups,
        to=top.path("to") if "to" in document else None,
        tag=top.text("tag"),
        protect=tuple(
            _Entry(f"{path}: protect", entry, {"path", "path_b64"}).path("path") for entry in top.list("protect")
        ),
        refused=tuple(
            _parse_refused(_Entry(f"{path}: refused {n}", entry, _REFUSED))
            for n, entry in enumerate(top.list("refused"), start=1)
        ),
    )


def _read_start(path: Path, size: int) -> bytes:
    """Read at most ``size`` bytes from the start of a file. Raises PlanError for a pipe or a device, and OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise PlanError(f"{path} is not a plan: it is not a regular file", hint=_HINT)
        if info.st_size > _MAX_BYTES:
            raise PlanError(f"{path} is too large for a plan")
        return file.read(size)


def _reject_repeated_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is there twice")
    return members


def _parse_group(entry: _Entry) -> PlannedGroup:
    keeper = _parse_file(_Entry(f"{entry.where}, keep", entry.raw("keep"), _FILE), keeps=True)
    files = tuple(
        _parse_file(_Entry(f"{entry.where}, file {n}", one, _FILE), keeps=False)
        for n, one in enumerate(entry.list("files"), start=1)
    )
    return PlannedGroup(entry.text("kind"), entry.text("reason", empty=True), keeper, files)


def _parse_file(entry: _Entry, *, keeps: bool) -> PlannedFile:
    content_hash = entry.text("content_hash")
    if not _HASH.fullmatch(content_hash):
        raise entry.wrong("content_hash is not a sha256 in hexadecimal")
    action = entry.choice("action", ("keep",) if keeps else get_args(FileAction))
    collection = entry.text("collection") if "collection" in entry.values else None
    if collection is not None and not keeps:
        raise entry.wrong("files of another collection are not touched")
    return PlannedFile(
        entry.number("image_id"),
        entry.path("path"),
        content_hash,
        entry.number("bytes"),
        action,
        collection,
        entry.share("confidence") if "confidence" in entry.values else None,
        "link" in entry.values and entry.boolean("link"),
    )


def _parse_refused(entry: _Entry) -> RefusedFile:
    path = entry.path("path") if entry.values.get("path") else b""
    return RefusedFile(entry.number("image_id"), path, entry.text("reason"))


class _Entry:
    """Validates the members of one JSON object of the file."""

    def __init__(self, where: str, values: object, allowed: Collection[str]) -> None:
        self.where = where
        if not isinstance(values, dict):
            raise PlanError(f"{where}: an object is needed")
        self.values: Mapping[str, Any] = values
        if strange := sorted(set(values) - set(allowed)):
            raise self.wrong(f"nothing is known of {strange[0]!r}")

    def wrong(self, problem: str) -> PlanError:
        path = self.values.get("path")
        file_note = f" ({display_path(path.encode('utf-8', 'replace'))})" if isinstance(path, str) else ""
        return PlanError(f"{self.where}{file_note}: {problem}")

    def raw(self, name: str) -> object:
        if name not in self.values:
            raise self.wrong(f"{name} is missing")
        return self.values[name]

    def text(self, name: str, *, empty: bool = False) -> str:
        value = self.raw(name)
        if not isinstance(value, str) or not (empty or value.strip()):
            raise self.wrong(f"{name} must be text")
        return value

    def number(self, name: str) -> int:
        value = self.raw(name)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
            raise self.wrong(f"{name} must be a whole number from 0 on")
        return value

    def share(self, name: str) -> float:
        value = self.raw(name)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
            raise self.wrong(f"{name} must be a number from 0 to 1")
        return value

    def boolean(self, name: str) -> bool:
        value = self.raw(name)
        if not isinstance(value, bool):
            raise self.wrong(f"{name} must be true or false")
        return value

    def list(self, name: str) -> list[Any]:
        value = self.raw(name)
        if not isinstance(value, list):
            raise self.wrong(f"{name} must be a list")
        return value

    def choice(self, name: str, allowed: tuple[str, ...]) -> Any:
        value = self.text(name)
        if value not in allowed:
            raise self.wrong(f"{name} is {value!r}; known are {', '.join(allowed)}")
        return value

    def path(self, name: str) -> bytes:
        """Return a normalised absolute path, without ``.`` or ``..``."""
        text = self.text(name)
        try:
            raw = text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise self.wrong(f"{name} is not text that UTF-8 can hold") from error
        if (coded := self.values.get(f"{name}_b64")) is not None:
            try:
                raw = base64.b64decode(coded, validate=True)
            except (TypeError, ValueError, binascii.Error) as error:
                raise self.wrong(f"{name}_b64 is not base64") from error
            if path_json(raw)["path"] != text:
                raise self.wrong(f"{name} and {name}_b64 name different files")
        if not raw.startswith(b"/") or b"\0" in raw or os.path.normpath(raw) != raw or raw.startswith(b"//"):
            raise self.wrong(f"{name} must be absolute, and without `.` and `..`")
        return raw
