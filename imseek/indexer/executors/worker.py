"""A worker, in a process of its own, perhaps on another machine: it reads pictures and encodes those that are needed.

In between, the run looks up in its catalog what it already knows, while the worker holds the pictures.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from imseek.data.catalog.place_paths import is_url
from imseek.encoders.base import shared_draft_size
from imseek.encoders.recipes import Recipe
from imseek.encoders.runtime import Runtime
from imseek.errors import ExecutorError
from imseek.indexer.decode_stage import (
    TIMED_OUT,
    Picture,
    Prepared,
    Trouble,
    encode,
    hash_of,
    picture_of,
    read,
)
from imseek.indexer.executors.staging import Manifest, Staging
from imseek.indexer.executors.work_units import (
    EncodedPicture,
    EncodedUnit,
    PictureInput,
    ReadPicture,
    SourceKey,
)
from imseek.indexer.ordered_map import OrderedMap
from imseek.indexer.sources import open_source
from imseek.indexer.sources.base import Content, Source
from imseek.indexer.sources.local_files import trouble_at
from imseek.media.decode import Limits
from imseek.types.pictures import display_path

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Setup:
    """Everything that a worker needs to start.

    ``deadline`` limits reading and decoding one picture each, in seconds.
    """

    recipes: Mapping[int, Recipe]
    runtime: Runtime
    staging: Staging
    threads: int
    batch: int
    deadline: float
    limits: Limits


@dataclass(frozen=True, slots=True)
class Hello:
    """Where a worker runs, and a file it has staged to prove that the run can read it."""

    host: str
    pid: int
    staged: Manifest


class Worker:
    """Reads and encodes pictures, which it holds under the number of their piece. Thread-safe."""

    def __init__(self, setup: Setup) -> None:
        """Load the encoders. Raises EncoderMismatchError and whatever loading an encoder raises."""
        self._setup = setup
        self._staging = setup.staging
        self._encoders = {space_id: recipe.load(setup.runtime) for space_id, recipe in setup.recipes.items()}
        self._draft_size = shared_draft_size(self._encoders.values())
        self._sources: dict[SourceKey, Source] = {}
        self._contents: dict[int, list[Content]] = {}
        self._lock = threading.Lock()
        self._encoding = threading.Lock()

    def hello(self) -> Hello:
        host, pid = socket.gethostname(), os.getpid()
        token = np.frombuffer(os.urandom(16), np.float16)
        return Hello(host, pid, self._staging.write(f"hello.{host}.{pid}.npy", token))

    def read(self, number: int, parcels: Sequence[PictureInput]) -> list[ReadPicture | Trouble]:
        """Read the pictures of a piece and hold them.

        Raises ExecutorError if a source that the run sees is missing here.
        """
        sources = [self._source(parcel.source) for parcel in parcels]
        pairs = list(zip(sources, parcels, strict=True))
        contents = self._each(_load_content, pairs)
        self._contents[number] = [content for content in contents if isinstance(content, Content)]
        return [_describe_read(content) for content in contents]

    def make(self, number: int, name: str, needed: Sequence[bool]) -> EncodedUnit:
        """Encode those held pictures of a piece that are ``needed``, and stage their rows as ``name``.

        ``needed`` has one flag per picture read.
        """
        contents = self._contents.pop(number)
        to_encode = [content for content, need in zip(contents, needed, strict=True) if need]
        pictures = iter(self._each(self._picture, to_encode))
        outcomes = [next(pictures) if need else None for need in needed]
        hashes = [hash_of(content) for content in contents]
        prepared: dict[bytes, Prepared] = {
            content_hash: picture.prepared
            for content_hash, picture in zip(hashes, outcomes, strict=True)
            if isinstance(picture, Picture)
        }
        row_numbers, rows = self._encode(prepared)
        staged = self._staging.write(name, np.stack(rows)) if rows else None
        results = tuple(
            EncodedPicture(picture.facts, row_numbers[content_hash]) if isinstance(picture, Picture) else picture
            for content_hash, picture in zip(hashes, outcomes, strict=True)
        )
        return EncodedUnit(results, staged, {i: encoder.precision for i, encoder in self._encoders.items()})

    def _encode(self, prepared: Mapping[bytes, Prepared]) -> tuple[dict[bytes, int | str], list[Any]]:
        """Encode each content once.

        Returns, by content hash, the index of its row or the reason for a failure; and the rows.
        """
        rows: list[Any] = []
        row_numbers: dict[bytes, int | str] = {}
        hashes = list(prepared)
        for start in range(0, len(hashes), self._setup.batch):
            batch = hashes[start : start + self._setup.batch]
            with self._encoding:
                encoded = encode(self._encoders, [prepared[one] for one in batch])
            for content_hash, vectors in zip(batch, encoded, strict=True):
                if isinstance(vectors, str):
                    row_numbers[content_hash] = vectors
                else:
                    row_numbers[content_hash] = len(rows)
                    rows.append(np.concatenate([vectors[space_id] for space_id in self._encoders]))
        return row_numbers, rows

    def _picture(self, content: Content) -> Picture | Trouble:
        return picture_of(content, list(self._encoders.values()), self._draft_size, self._setup.limits)

    def _each(self, function: Callable[[T], R | Trouble], items: Sequence[T]) -> list[R | Trouble]:
        threads = self._setup.threads
        each: OrderedMap[T, R | Trouble] = OrderedMap(
            function,
            workers=min(threads, max(1, len(items))),
            lookahead=len(items) + 1,
            deadline=self._setup.deadline,
            late=lambda _: TIMED_OUT,
        )
        return list(each(items))

    def _source(self, key: SourceKey) -> Source:
        with self._lock:
            if key not in self._sources:
                trouble = None if not key.root or is_url(key.root) else trouble_at(key.root)
                if trouble is not None:
                    raise ExecutorError(
                        f"{display_path(key.root)} cannot be read there: {trouble}",
                        hint="sources lie at the same place for all machines; docs/scale.md",
                    )
                self._sources[key] = open_source(key.kind, key.root, key.options)
            return self._sources[key]


def _load_content(pair: tuple[Source, PictureInput]) -> Content | Trouble:
    source, parcel = pair
    return parcel.payload if isinstance(parcel.payload, Content) else read(source.load, parcel.payload)


def _describe_read(content: Content | Trouble) -> ReadPicture | Trouble:
    if isinstance(content, Trouble):
        return content
    bare = replace(content, data=b"")
    return ReadPicture(bare, hash_of(content), len(content.data))
