"""Undo journals as somebody else would write them, line by line, with any lie in them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from imseek.data import layout

Record: TypeAlias = dict[str, Any]

UNDO_ID = "20260101-000000-abcdef"


def b64(path: str | bytes | os.PathLike[str]) -> str:
    return base64.b64encode(os.fsencode(path)).decode()


def sealed(record: Record) -> bytes:
    """A line with the checksum that any program can compute, and without a signature."""
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]
    return json.dumps({**record, "sum": digest}, sort_keys=True).encode() + b"\n"


def intent(source: Path, path: str | bytes, away: Path, base: Path, **changes: Any) -> Record:
    """That the file ``path`` of ``source``, with the bytes of ``away``, was put away there, below ``base``."""
    data = away.read_bytes() if away.is_file() else b""
    record = {
        "do": "mean",
        "n": 0,
        "action": "quarantine",
        "image_id": 0,
        "source_id": 1,
        "path": b64(path),
        "full": b64(os.fsencode(source) + b"/" + os.fsencode(path)),
        "content_hash": hashlib.sha256(data).hexdigest(),
        "size": len(data),
        "mode": 0o644,
        "mtime_ns": 10**18,
        "device": 1,
        "inode": 1,
        "owner": [os.getuid(), os.getgid()],
        "attributes": {},
        "keeper_id": None,
        "keeper": "",
        "to": b64(away),
        "to_base": b64(base),
        "tag": "",
        "tags": [],
        "columns": {},
        "shown": "what people see",
    }
    return {**record, **changes}


def begun(root: Path, **changes: Any) -> Record:
    uuid = json.loads((root / layout.COLLECTION).read_bytes())["uuid"]
    record = {
        "do": "begin",
        "format": 1,
        "id": UNDO_ID,
        "created": "2026-01-01T00:00:00+00:00",
        "plan": "0" * 64,
        "collection": uuid,
    }
    return {**record, **changes}


def write(root: Path, records: Sequence[Record], undo_id: str = UNDO_ID) -> Path:
    """Write a journal of the collection at ``root``: the records, each done, after what every journal begins with."""
    file = root / layout.journal(undo_id)
    file.parent.mkdir(exist_ok=True)
    notes = [{"do": "note", "n": one["n"], "state": "done"} for one in records if one.get("do") == "mean"]
    lines = [begun(root), *records, *notes, {"do": "end"}]
    file.write_bytes(b"".join(map(sealed, lines)))
    return file


def unsign(file: Path) -> None:
    """Leave a journal as an earlier imseek would have written it, which signed nothing."""
    lines = [json.loads(line) for line in file.read_bytes().splitlines()]
    plain = ({name: value for name, value in line.items() if name not in ("sum", "mac")} for line in lines)
    file.write_bytes(b"".join(map(sealed, plain)))
