"""Publish a collection's vectors and metadata to Milvus, where a server can search them (docs/milvus.md).

>>> imseek.publish.to_milvus(photos, "milvus:///srv/photos.db")      # doctest: +SKIP
>>> imseek.open("milvus:///srv/photos.db").search("a red bicycle")   # doctest: +SKIP
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Final

from imseek.analysis.snapshot_session import run_with_reader
from imseek.data.milvus import layout, publication_record
from imseek.data.milvus.address import parse
from imseek.data.milvus.client import Client
from imseek.data.milvus.publication_record import Lease, Record
from imseek.data.reader import Reader
from imseek.errors import CollectionNotFoundError, ImseekError, LockedError, UsageError
from imseek.progress import ProgressCallback, Task
from imseek.search.cutoff import SAMPLE as CUTOFF_SAMPLE
from imseek.search.milvus.publication_cache import sample_key
from imseek.search.milvus.rows import blocks, columns_of
from imseek.search.row_sample import SAMPLE, sample_ids
from imseek.types.collection_arguments import AnyCollection
from imseek.types.publish import PublishOutcome, PublishReport

#: Seconds between renewals of the lease.
_RENEW_SECONDS: Final = 20.0


def to_milvus(
    collection: AnyCollection,
    address: str,
    *,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> PublishReport:
    """Bring the publication in Milvus up to date with the newest generation of ``collection``.

    ``address`` is ``milvus:///folder/photos.db#name`` (Milvus Lite), ``milvus://host:19530/database/name``, or a short
    form: ``photos.db``, ``http://host:19530``. A cluster's token is read from ``IMSEEK_MILVUS_TOKEN``.

    Only rows that differ are sent; rows of removed images are deleted. A killed run is completed by the next, because
    ids are keys and rows are compared by digest. If columns or encoders have changed, all rows are written beside the
    old ones, which stay searchable until then. Setting ``stop`` ends the run after a block of rows.

    Raises UsageError (an invalid address, another collection's name), MissingExtraError, LockedError if another process
    is publishing there, ServerError, StorageError, StaleGenerationError.
    """
    task = Task(progress, stop, interval=0)  # Every report counts: it says what has been sent.
    with closing(Client(parse(address), create=True)) as client:
        return run_with_reader(collection, lambda reader: _Publisher(client, reader, task).run())


class _Publisher:
    def __init__(self, client: Client, reader: Reader, task: Task) -> None:
        self._client = client
        self._reader = reader
        self._task = task
        self._sent = self._removed = self._shortened = 0
        self._completed = True

    def run(self) -> PublishReport:
        name = self._client.address.name
        if not self._client.has(layout.about_collection(name)):
            self._client.create(layout.about_collection(name), layout.ABOUT_FIELDS, strong=True)
        before = self._before()
        left_behind = publication_record.read_lease(self._client) is not None
        with self._hold_lease() as lease:
            target, left_out = self._target(before)
            anew = before is not None and before.rows != target.rows
            is_unchanged = before is not None and not left_behind and before.text() == target.text()
            # A Milvus that lost power may have lost rows.
            if is_unchanged and self._client.count(target.rows) == target.images:
                return self._report("already", before, anew=False, left_out=left_out)
            if not self._send(target, lease):
                self._completed = False
                return self._report("interrupted", before, anew, left_out)
            publication_record.write(self._client, target)
            if before is not None and anew:
                with suppress(ImseekError):  # No longer searched; the next change drops it.
                    self._client.drop(before.rows)
            return self._report("published", before, anew, left_out)

    def _before(self) -> Record | None:
        """Read the record of the existing publication. Raises UsageError if it belongs to another collection."""
        try:
            record = publication_record.read(self._client)
        except CollectionNotFoundError:
            return None
        if record.uuid != self._reader.identity.uuid:
            name = self._client.address.name
            raise UsageError(
                f"another collection is published at {self._client.address}",
                hint=f"publish this one under another name than {name}, at the end of the address",
            )
        return record

    @contextmanager
    def _hold_lease(self) -> Iterator[Lease]:
        """Hold the lease. Work that was not completed leaves it behind, which tells readers."""
        lease = Lease(self._client)
        lease.take()
        try:
            yield lease
        except LockedError:
            raise  # Another process holds it by now.
        except BaseException:
            with suppress(ImseekError):
                lease.leave()
            raise
        if self._completed:
            lease.release()
        else:
            lease.leave()

    def _target(self, before: Record | None) -> tuple[Record, tuple[str, ...]]:
        """Return the record to publish, with its Milvus collection, and the columns that do not fit."""
        reader, name = self._reader, self._client.address.name
        current = reader.current
        columns, left_out = columns_of(reader)
        samples = {
            sample_key(space, most): sample_ids(reader.segments(space.space_id), most).tolist()
            for space in current.spaces
            for most in (SAMPLE, CUTOFF_SAMPLE)
        }
        captioned = {
            space.space_id: current.images - reader.count_without_caption(space.space_id)
            for space in current.spaces
            if space.modality == "text"
        }
        record = Record(
            uuid=current.uuid,
            created=reader.identity.created,
            generation=current.generation,
            committed=current.committed,
            images=current.images,
            rows=layout.rows_collection(name, 1),
            spaces=current.spaces,
            columns=columns,
            sources=reader.sources(),
            samples=samples,
            spoken=captioned,
        )
        if before is None:
            return self._choose_collection(record, 1), left_out
        if before.shape == record.shape:
            return record.at(before.rows), left_out
        number = int(before.rows.removeprefix(layout.rows_collection(name, 0)[:-1]))
        return self._choose_collection(record, number + 1), left_out

    def _choose_collection(self, record: Record, number: int) -> Record:
        """Choose a Milvus collection for the rows: a new one, or one that a killed run began for the same columns."""
        record = record.at(layout.rows_collection(self._client.address.name, number))
        begun_shape = publication_record.read_begun_shape(self._client)
        if self._client.has(record.rows) and begun_shape != record.shape:
            if begun_shape is None:
                raise UsageError(
                    f"{record.rows} is there already, and not of imseek", hint="publish under another name"
                )
            self._client.drop(record.rows)
        publication_record.mark_begun(self._client, record.shape)
        if not self._client.has(record.rows):
            self._client.create(record.rows, layout.row_fields(record.spaces, record.columns))
        return record

    def _send(self, target: Record, lease: Lease) -> bool:
        """Send the rows that differ, and delete those of removed images. Returns False if stopped."""
        digests: dict[int, int] = {}
        for rows in self._client.everything(target.rows, [layout.ID, layout.DIGEST]):
            digests.update({int(row[layout.ID]): int(row[layout.DIGEST]) for row in rows})
        live: set[int] = set()
        renewed = time.monotonic()
        for block in blocks(self._reader, target.columns):
            self._tell(len(live))
            if self._task.is_cancelled:
                return False
            if time.monotonic() - renewed > _RENEW_SECONDS:
                lease.renew()
                renewed = time.monotonic()
            new = [row for row in block if digests.get(row.image_id) != row.digest]
            if new:
                self._client.upsert(target.rows, [row.fields for row in new])
            self._sent += len(new)
            self._shortened += sum(row.shortened for row in block)
            live.update(row.image_id for row in block)
        removed_ids = sorted(digests.keys() - live)
        self._client.delete(target.rows, removed_ids)
        self._removed = len(removed_ids)
        self._client.flush(target.rows)
        lease.check()
        self._tell(len(live))
        return True

    def _tell(self, done: int) -> None:
        self._task.report("publishing", done, self._reader.current.images)

    def _report(
        self, outcome: PublishOutcome, before: Record | None, anew: bool, left_out: tuple[str, ...]
    ) -> PublishReport:
        current = self._reader.current
        return PublishReport(
            address=str(self._client.address),
            outcome=outcome,
            uuid=current.uuid,
            images=current.images,
            sent=self._sent,
            removed=self._removed,
            generation=current.generation,
            before=None if before is None else before.generation,
            anew=anew,
            shortened=self._shortened,
            left_out=left_out,
            seconds=self._task.seconds,
        )
