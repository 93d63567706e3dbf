"""The record of a publication in Milvus: owner, generation and schema of its rows, and the lease of its writer."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from imseek.data.milvus import layout
from imseek.data.milvus.client import Client
from imseek.data.milvus.layout import Column
from imseek.data.reader import SourceRow
from imseek.errors import (
    CollectionNotFoundError,
    CorruptCollectionError,
    FormatVersionError,
    LockedError,
)
from imseek.types.collection_info import SpaceInfo

_NOW: Final = "now"
_LEASE: Final = "lease"
_BEGUN: Final = "begun"
_PIECE_CHARS: Final = 30_000
#: Maximum pieces of a record.
_MAX_PIECES: Final = 10_000
#: Seconds after which the lease of another host counts as abandoned.
_LEASE_SECONDS: Final = 300.0
#: Attempts to read a record that another process is replacing.
_READ_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class Record:
    """Metadata of a publication.

    ``rows`` is the Milvus collection that holds them; ``samples`` are ids by space and size, as texts.
    """

    uuid: str
    created: str
    generation: int
    committed: str
    images: int
    rows: str
    spaces: tuple[SpaceInfo, ...]
    columns: tuple[Column, ...]
    sources: Mapping[int, SourceRow] = field(default_factory=dict)
    samples: Mapping[str, Sequence[int]] = field(default_factory=dict)
    spoken: Mapping[int, int] = field(default_factory=dict)
    version: int = layout.VERSION

    @property
    def shape(self) -> str:
        """Digest of the row schema: records of the same shape can share one Milvus collection."""
        spaces = [(space.space_id, space.fingerprint, space.dim, space.modality) for space in self.spaces]
        columns = [asdict(column) for column in self.columns]
        text = json.dumps([self.version, spaces, columns])
        return hashlib.sha256(text.encode()).hexdigest()

    def at(self, rows: str) -> Record:
        return replace(self, rows=rows)

    def text(self) -> str:
        document = asdict(self)
        document["sources"] = [
            [number, row.kind, base64.b64encode(row.root).decode(), row.options] for number, row in self.sources.items()
        ]
        document["spoken"] = list(self.spoken.items())
        return json.dumps(document)

    @classmethod
    def of(cls, text: str) -> Record:
        """Decode a record. Raises FormatVersionError, and ValueError, KeyError or TypeError for an invalid one."""
        document = json.loads(text)
        if document["version"] > layout.VERSION:
            raise FormatVersionError(
                f"it was published in layout {document['version']}; this imseek reads {layout.VERSION}",
                hint="update imseek",
            )
        document["spaces"] = tuple(SpaceInfo(**space) for space in document["spaces"])
        document["columns"] = tuple(Column(**column) for column in document["columns"])
        document["sources"] = {
            number: SourceRow(kind, base64.b64decode(root), options)
            for number, kind, root, options in document["sources"]
        }
        document["spoken"] = dict(document["spoken"])
        return cls(**document)


def read_stamp(client: Client) -> str | None:
    """Return a stamp that differs between records; None where nothing is published. One small request."""
    values = _values(client, [_NOW])
    return values.get(_NOW)


def read(client: Client) -> Record:
    """Read the record. Raises CollectionNotFoundError, FormatVersionError, CorruptCollectionError."""
    for attempt in range(_READ_ATTEMPTS):
        time.sleep(0.1 * attempt)
        if (stamp := read_stamp(client)) is None:
            raise CollectionNotFoundError(
                f"nothing is published at {client.address}", hint=f"imseek publish {client.address}"
            )
        try:
            pieces, digest = json.loads(stamp)
            keys = [_key(n) for n in range(min(pieces, _MAX_PIECES))]
            values = _values(client, keys)
            text = "".join(values[key] for key in keys)
            if hashlib.sha256(text.encode()).hexdigest() == digest:
                return Record.of(text)
        except (ValueError, KeyError, TypeError):
            continue
    raise CorruptCollectionError(
        f"the publication at {client.address} cannot be read", hint="publish it under another name"
    )


def write(client: Client, record: Record) -> None:
    """Write the record in one request: readers find either the old record or the new one."""
    text = record.text()
    pieces = [text[start : start + _PIECE_CHARS] for start in range(0, len(text), _PIECE_CHARS)]
    stamp = json.dumps([len(pieces), hashlib.sha256(text.encode()).hexdigest()])
    values = {_NOW: stamp, **{_key(n): piece for n, piece in enumerate(pieces)}}
    collection = layout.about_collection(client.address.name)
    client.upsert(collection, [{"key": key, "value": value, **layout.DUMMY_VECTOR} for key, value in values.items()])
    client.flush(collection)


def mark_begun(client: Client, shape: str) -> None:
    """Record that rows of this shape are about to be rewritten, so that a later run can continue them."""
    client.upsert(
        layout.about_collection(client.address.name), [{"key": _BEGUN, "value": shape, **layout.DUMMY_VECTOR}]
    )


def read_begun_shape(client: Client) -> str | None:
    return _values(client, [_BEGUN]).get(_BEGUN)


def _key(number: int) -> str:
    return f"record/{number}"


def _values(client: Client, keys: Sequence[str]) -> dict[str, str]:
    collection = layout.about_collection(client.address.name)
    if not client.has(collection):
        return {}
    return {row["key"]: row["value"] for row in client.get(collection, keys, ["key", "value"])}


class Lease:
    """Exclusive right to publish, recorded as a row that other processes see.

    Milvus has no locks: if two start at the same instant, both write the row, and the one whose row is gone when it
    checks again stops.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._collection = layout.about_collection(client.address.name)
        self._token = uuid.uuid4().hex
        self._host = socket.gethostname()

    def take(self) -> None:
        """Acquire the lease. Raises LockedError."""
        lease = read_lease(self._client)
        if lease is not None and self._is_alive(lease):
            raise LockedError(
                f"process {lease.get('pid')} on {lease.get('host')} is publishing to {self._client.address}",
                hint="wait until it has finished",
            )
        self._write()
        self.check()

    def renew(self) -> None:
        """Renew the lease. Raises LockedError where another process publishes too."""
        self.check()
        self._write()

    def check(self) -> None:
        lease = read_lease(self._client)
        if lease is None or lease.get("token") != self._token:
            raise LockedError(
                f"another process has begun to publish to {self._client.address}", hint="wait until it has finished"
            )

    def release(self) -> None:
        self._client.delete(self._collection, [_LEASE])
        self._client.flush(self._collection)

    def leave(self) -> None:
        """Release the lease but mark the publication as incomplete, for readers. Raises as Milvus does."""
        self._write(ended=True)
        self._client.flush(self._collection)

    def _write(self, *, ended: bool = False) -> None:
        record = {
            "token": self._token,
            "host": self._host,
            "pid": os.getpid(),
            "at": time.time(),
            "ended": ended,
        }
        value = json.dumps(record)
        self._client.upsert(self._collection, [{"key": _LEASE, "value": value, **layout.DUMMY_VECTOR}])

    def _is_alive(self, record: Mapping[str, Any]) -> bool:
        if record.get("ended"):
            return False
        if record.get("host") != self._host:
            return time.time() - float(record.get("at", 0)) < _LEASE_SECONDS
        if record.get("pid") == os.getpid():
            return True
        return _is_running(record.get("pid"))


def _is_running(pid: object) -> bool:
    """Whether a process with this id exists on this machine."""
    if not isinstance(pid, int) or not 0 < pid < 1 << 31:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def read_lease(client: Client) -> Mapping[str, Any] | None:
    """Read the lease of an active publisher, or one that a killed publisher left. None without one, {} if damaged."""
    text = _values(client, [_LEASE]).get(_LEASE)
    try:
        lease = None if text is None else json.loads(text)
    except ValueError:
        return {}
    return lease if lease is None or isinstance(lease, dict) else {}
