"""Opening pictures by the place that is on record, in whatever kind of source it lies."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from imseek.data.reader import SourceRow
from imseek.indexer.sources import open_source, options_of
from imseek.indexer.sources.base import Content, Source


class PlaceReader:
    """Keeps the sources open that it has read from; safe to use from several threads."""

    def __init__(self) -> None:
        self._sources: dict[SourceRow, Source] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for source in self._sources.values():
            source.close()

    def load(self, row: SourceRow, path: bytes) -> Content:
        """The picture at ``path`` within a source. Raises MediaError where it cannot be had, MissingExtraError."""
        with self._lock:
            if row not in self._sources:
                self._sources[row] = open_source(row.kind, row.root, options_of(row.options))
            source = self._sources[row]
            found = source.find(path)
        return source.load(found)
