"""Class vectors from the text encoder of the first space, cached between runs.

A class vector is the mean of its sentences' unit vectors, renormalised (Radford et al. 2021, section 3.1.4). Vectors
are kept in the user's cache by the encoder's fingerprint and the sentences, so a later run needs no encoder, and
classes shared between lists are encoded once. The files may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import numpy as np

from imseek.encoders.base import Encoder
from imseek.encoders.cache import cache_dir
from imseek.encoders.input_checks import check_fingerprint, merge_pieces
from imseek.encoders.runtime import Runtime
from imseek.errors import EncoderError, EncoderUnavailableError, QueryError, UsageError
from imseek.progress import SILENT, Task
from imseek.search.encoder_loader import load_encoder
from imseek.types.arrays import Float32
from imseek.types.collection_info import SpaceInfo

#: Sentences encoded at once.
BATCH: Final = 2048
#: Classes looked up or stored at once.
_CHUNK: Final = 500
#: Seconds to wait for another process that writes the same file.
_LOCK_TIMEOUT: Final = 30.0


def class_vectors(
    root: Path,
    space: SpaceInfo,
    names: Sequence[str],
    templates: Sequence[str] = ("{}",),
    *,
    runtime: Runtime | None = None,
    notify: Callable[[str], None] | None = None,
    task: Task = SILENT,
) -> Float32:
    """Encode n class names as (n, dim) float32 unit rows in the space ``space`` of the collection at ``root``.

    ``templates`` are sentences with ``{}`` for the name. Raises UsageError where a template lacks it or there are none,
    and like :func:`sentence_vectors`.
    """
    check_templates(templates)

    def sentences(n: int) -> Sequence[str]:
        return fill_templates(templates, (names[n],))

    return sentence_vectors(root, space, len(names), sentences, runtime=runtime, notify=notify, task=task)


def check_templates(templates: Sequence[str]) -> None:
    """Raise UsageError where there are no templates, or one lacks ``{}``."""
    if isinstance(templates, str) or not templates:
        raise UsageError("there are no templates", hint="the shortest is {}: the class name by itself")
    for template in templates:
        if "{}" not in template:
            raise UsageError(f"the template {template!r} has no place for the class name", hint="write {} there")


def fill_templates(templates: Sequence[str], words: Sequence[str]) -> list[str]:
    """Build the sentences of a class: each word in each template."""
    return [template.replace("{}", word) for word in words for template in templates]


def sentence_vectors(
    root: Path,
    space: SpaceInfo,
    count: int,
    sentences: Callable[[int], Sequence[str]],
    *,
    runtime: Runtime | None = None,
    notify: Callable[[str], None] | None = None,
    task: Task = SILENT,
    load: Callable[[SpaceInfo], Encoder] | None = None,
) -> Float32:
    """Encode ``count`` classes as (count, dim) float32 unit rows: the mean direction of each class's sentences.

    ``sentences`` returns those of class n on demand, so that memory is bounded by the result; their order does not
    matter. Finished vectors stay cached where the task is cancelled. ``load`` supplies an encoder already in
    memory, and is called only for classes not cached.

    Raises EncoderError where the space's encoder does not encode text, EncoderMismatchError where its weights differ
    from the collection's, QueryError for a class without sentences, Cancelled, and like
    :func:`imseek.encoders.registry.load`.
    """
    rows = np.empty((count, space.dim), np.float32)
    store = _VectorCache(space)
    keys = [_key(sentences(n)) for n in range(count)]
    missing: list[int] = []
    for start in range(0, count, _CHUNK):
        cached = store.read(keys[start : start + _CHUNK])
        for n in range(start, min(start + _CHUNK, count)):
            row = cached.get(keys[n])
            if row is None:
                missing.append(n)
            else:
                rows[n] = row
    if not missing:
        return rows
    encoder = load_encoder(root, space, ("text",), runtime, notify) if load is None else load(space)
    if "text" not in encoder.info.modalities:
        raise EncoderError(
            f"the encoder of this collection's first space, {space.encoder}, knows no words",
            hint="make a collection whose first encoder knows words (`imseek encoders list`)",
        )
    check_fingerprint(encoder, space.encoder, space.fingerprint)
    pending: dict[str, list[int]] = {}
    for n in missing:
        pending.setdefault(keys[n], []).append(n)
    encoded_count = 0
    for batch in _batches(pending, sentences):
        task.check()
        vectors = _encode_sentences(encoder, [sentences(pending[key][0]) for key in batch])
        encoded_count += len(batch)
        task.report("words", encoded_count, len(missing))
        for key, row in zip(batch, vectors, strict=True):
            rows[pending[key]] = row
        store.write(dict(zip(batch, vectors, strict=True)))
    if store.problem and notify is not None:
        notify(f"vectors of classes could not be kept for the next run: {store.problem}")
    return rows


def _batches(pending: dict[str, list[int]], sentences: Callable[[int], Sequence[str]]) -> Iterator[list[str]]:
    """Yield batches of class keys with about BATCH sentences each."""
    batch: list[str] = []
    size = 0
    for key, at in pending.items():
        batch.append(key)
        size += len(sentences(at[0]))
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _encode_sentences(encoder: Encoder, sentence_lists: Sequence[Sequence[str]]) -> Float32:
    """Encode each list of sentences as one row, in batches."""
    texts = [text for sentences in sentence_lists for text in sentences]
    counts = [len(sentences) for sentences in sentence_lists]
    if not all(counts):
        raise QueryError("a class has no words", hint="name it, or leave it out")
    parts = [encoder.encode_texts(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
    return merge_pieces(np.concatenate(parts), counts)


def _key(sentences: Sequence[str]) -> str:
    """Hash the sentences of a class, in any order."""
    digest = hashlib.sha256()
    for text in sorted(sentences):
        raw = text.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "little"))
        digest.update(raw)
    return digest.hexdigest()[:40]


class _VectorCache:
    """A cache of vectors by key, in one SQLite file for each encoder.

    Unreadable entries count as missing; unwritable ones are recomputed next time, and ``problem`` says why.
    """

    def __init__(self, space: SpaceInfo) -> None:
        self._dim = space.dim
        self.problem: str | None = None
        try:
            self._path: Path | None = cache_dir() / "classes" / f"{space.fingerprint[:40]}.sqlite"
        except EncoderUnavailableError as error:
            self._path, self.problem = None, str(error)

    def read(self, keys: Sequence[str]) -> dict[str, Float32]:
        """Return the intact vectors among these keys."""
        if self._path is None or not self._path.exists():
            return {}
        marks = ",".join("?" * len(keys))
        try:
            with closing(sqlite3.connect(self._path, timeout=_LOCK_TIMEOUT)) as connection:
                records = connection.execute(
                    f"SELECT key, row, crc FROM classes WHERE key IN ({marks})",  # noqa: S608 - question marks
                    list(keys),
                ).fetchall()
        except sqlite3.OperationalError:  # locked, or not readable
            return {}
        except sqlite3.DatabaseError:  # damaged: rebuild the cache
            with suppress(OSError):
                self._path.unlink()
            return {}
        return {
            key: np.frombuffer(row, "<f4")
            for key, row, crc in records
            if isinstance(row, bytes) and len(row) == 4 * self._dim and zlib.crc32(row) == crc
        }

    def write(self, rows: dict[str, Float32]) -> None:
        """Store vectors; a failure is recorded in ``problem``."""
        if self._path is None or self.problem:
            return
        values = []
        for key, row in rows.items():
            data = row.astype("<f4").tobytes()
            values.append((key, data, zlib.crc32(data)))
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=_LOCK_TIMEOUT)) as connection, connection:
                # Large pages hold several rows; at 4 KiB each would be half empty. No effect on an existing file.
                connection.execute("PRAGMA page_size = 65536")
                connection.execute("CREATE TABLE IF NOT EXISTS classes (key TEXT PRIMARY KEY, row BLOB, crc INTEGER)")
                connection.executemany("INSERT OR REPLACE INTO classes VALUES (?, ?, ?)", values)
        except (OSError, sqlite3.Error) as error:
            self.problem = str(error)
