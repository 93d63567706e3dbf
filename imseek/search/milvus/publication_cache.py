"""Track the newest publication, checking for a new one at most once a second."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from imseek.data.milvus import publication_record
from imseek.data.milvus.client import Client
from imseek.errors import CollectionNotFoundError, QueryError
from imseek.search.generations import expired_page_error
from imseek.search.milvus.index import PublishedIndex
from imseek.search.milvus.reader import PublishedReader
from imseek.search.row_sample import SAMPLE
from imseek.types.arrays import Float32
from imseek.types.collection_info import SpaceInfo

#: Seconds after a check during which a publication counts as the newest.
FRESH_SECONDS: Final = 1.0


@dataclass(slots=True, eq=False)
class PublishedGeneration:
    """One publication that is open for searches; see :class:`imseek.search.backend.Generation`."""

    reader: PublishedReader
    allowed: dict[str, Any] = field(default_factory=dict)
    notes: dict[int, str] = field(default_factory=dict)
    paged: bool = False
    indexes: dict[int, PublishedIndex] = field(default_factory=dict)
    samples: dict[str, Float32] = field(default_factory=dict)

    def sample(self, space: SpaceInfo, most: int = SAMPLE) -> Float32:
        """Return the rows that the collection in its folder would sample.

        Their ids were recorded when it was published.
        """
        key = sample_key(space, most)
        if key not in self.samples:
            ids = self.reader.record.samples.get(key)
            if ids is None:
                raise QueryError(f"no sample of {most} rows of {space.encoder} was published")
            # A publication in progress may have removed some.
            rows = self.reader.known_vectors(ids, space)
            present_rows = [rows[i] for i in ids if i in rows]
            self.samples[key] = np.array(present_rows, np.float32).reshape(-1, space.dim)
        return self.samples[key]


def sample_key(space: SpaceInfo, most: int) -> str:
    """Return the key under which a publication records the ids of a sample."""
    return f"{space.space_id}/{most}"


class PublishedGenerationCache:
    """Opens the newest publication. Thread-safe. Raises what :func:`imseek.data.milvus.publication_record.read`
    raises."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._checked_at = 0.0
        self._load_newest()

    def newest(self) -> PublishedGeneration:
        """Return the newest publication. Raises CollectionNotFoundError if it is gone or has been replaced."""
        with self._lock:
            if time.monotonic() - self._checked_at > FRESH_SECONDS:
                if publication_record.read_stamp(self._client) != self._seal:
                    self._load_newest()
                self._pending = publication_record.read_lease(self._client) is not None
                self._checked_at = time.monotonic()
            return self._newest

    def of(self, generation: int) -> PublishedGeneration:
        newest = self.newest()
        if newest.reader.generation != generation:
            raise expired_page_error(generation, newest.reader.generation)
        return newest

    def index(self, generation: Any, space: SpaceInfo) -> PublishedIndex:
        index: PublishedIndex | None = generation.indexes.get(space.space_id)
        if index is None:
            index = generation.indexes[space.space_id] = PublishedIndex(generation.reader, space)
        return index

    def renew(self) -> int:
        with self._lock:
            self._load_newest()
            return self._newest.reader.generation

    @property
    def notes(self) -> tuple[str, ...]:
        if not self._pending:
            return ()
        return ("it is being published, or that was interrupted: some rows are of another generation",)

    def close(self) -> None:
        self._client.close()

    def _load_newest(self) -> None:
        seal = publication_record.read_stamp(self._client)
        record = publication_record.read(self._client)
        newest: PublishedGeneration | None = getattr(self, "_newest", None)
        if newest is not None and newest.reader.record.uuid != record.uuid:
            raise CollectionNotFoundError(
                f"another collection has been published at {self._client.address}", hint="open it again"
            )
        self._newest = PublishedGeneration(PublishedReader(self._client, record))
        self._seal, self._checked_at = seal, time.monotonic()
        self._pending = publication_record.read_lease(self._client) is not None
