"""The encode stage: stores images with the vectors of an identical copy, with imported vectors, or by encoding them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from imseek.data.catalog.changeset import NewImage
from imseek.data.reader import Reader
from imseek.data.shards.shard_files import row_of
from imseek.data.writing.writer import Writer
from imseek.encoders.base import Encoder
from imseek.indexer.captions import CaptionRows
from imseek.indexer.decode_stage import LoadedPicture, Picture, Vectors, encode
from imseek.indexer.metadata_rows import ColumnSelection, row_of_copy
from imseek.indexer.scan import SkippedEntry
from imseek.types.indexing_runs import SpaceRun
from imseek.types.pictures import SkipReason

#: Default batch size, if no encoder asks for a larger one.
ENCODE_BATCH = 32


class EncodeStage:
    """Encodes pictures in batches, each content once, and passes the images to ``stored`` or ``failed``.

    ``held`` returns the id of the stored image with the same content, if any. ``stored`` receives the new image, what
    was read, and whether its content existed before.
    """

    def __init__(
        self,
        writer: Writer,
        encoders: Mapping[int, Encoder],
        captions: Mapping[int, Encoder],
        held: Callable[[LoadedPicture], int | None],
        stored: Callable[[NewImage, LoadedPicture, bool], None],
        failed: Callable[[SkippedEntry], None],
    ) -> None:
        self._writer = writer
        self._encoders = encoders
        self._captions = CaptionRows(captions)
        self._held = held
        self._stored = stored
        self._failed = failed
        self._waiting: list[tuple[LoadedPicture, Picture, int | None]] = []
        self._new: dict[bytes, NewImage] = {}
        self._reader: Reader | None = None
        #: Precisions used by other processes, by space.
        self._precisions: dict[int, set[str]] = {space_id: set() for space_id in encoders}
        #: Columns to keep, by source id.
        self.columns: Mapping[int, ColumnSelection] = {}
        #: Batch size.
        self.batch = max(ENCODE_BATCH, *(encoder.info.batch_size for encoder in encoders.values()))

    def __len__(self) -> int:
        """Number of pictures waiting for the next batch."""
        return len(self._waiting)

    def holds(self, content_hash: bytes) -> bool:
        """Return whether an image with this content was stored since the last commit.

        If a picture with this content waits, the batch is encoded to find out.
        """
        if any(loaded.content_hash == content_hash for loaded, _, _ in self._waiting):
            self.encode()
        return content_hash in self._new

    @property
    def spaces(self) -> tuple[SpaceRun, ...]:
        """The encoder and precision of each space.

        They are known only after encoding: an encoder may change its precision, or other processes may have encoded.
        """
        return tuple(
            SpaceRun(i, e.info.reference, " and ".join(sorted(self._precisions[i])) or e.precision)
            for i, e in self._encoders.items()
        )

    def notes(self) -> tuple[str, ...]:
        return self._captions.notes()

    def committed(self) -> None:
        """Forget the images stored so far: after the commit they are found by their hash."""
        self._new.clear()
        self._reader = None

    def add(self, loaded: LoadedPicture, image_id: int | None) -> None:
        """Store an image at once or with the next batch, under its old id if given."""
        content_hash = loaded.content_hash
        if content_hash in self._new:
            twin = self._new[content_hash]
            self._copy(loaded, image_id, twin.metadata, twin.vectors)
        elif (held := self._held(loaded)) is not None:
            self._reader = self._reader or Reader(self._writer.root)
            spaces = (*self._encoders, *self._captions.space_ids)
            vectors = {space_id: self._reader.vector(held, space_id) for space_id in spaces}
            self._copy(loaded, image_id, self._reader.intrinsic(held), vectors)
        elif loaded.picture is not None and loaded.picture.taken is not None:
            row = self._row(loaded, loaded.picture)
            vectors = dict.fromkeys(self._encoders, loaded.picture.taken)
            self._store(loaded, image_id, row, {**vectors, **self._captions.of([row])[0]}, copied=False)
        else:
            # A worker omits only pictures whose content is stored, and that stays stored until the run ends.
            assert loaded.picture is not None
            self._waiting.append((loaded, loaded.picture, image_id))
            if len(self._waiting) >= self.batch:
                self.encode()

    def encode(self) -> None:
        """Encode and store the waiting pictures."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        made = {loaded.content_hash: p.made for loaded, p, _ in waiting if p.made is not None}
        for one in made.values():
            for space_id, precision in one.precisions.items():
                self._precisions[space_id].add(precision)
        prepared = {
            loaded.content_hash: picture.prepared
            for loaded, picture, _ in waiting
            if loaded.content_hash not in made
        }
        encoded = dict(zip(prepared, encode(self._encoders, list(prepared.values())), strict=True))
        encoded.update((content_hash, one.vectors) for content_hash, one in made.items())
        self._writer.detail = {"spaces": [asdict(space) for space in self.spaces]}
        metadata = [self._row(loaded, picture) for loaded, picture, _ in waiting]
        captions = self._captions.of(metadata)
        for (loaded, _, image_id), row, caption in zip(waiting, metadata, captions, strict=True):
            vectors = encoded[loaded.content_hash]
            if isinstance(vectors, str):
                self._failed(loaded.candidate.failed(loaded.stat, SkipReason.ENCODER_FAILED, vectors))
            else:
                copied = loaded.content_hash in self._new
                self._store(loaded, image_id, row, {**vectors, **caption}, copied=copied)

    def _row(self, loaded: LoadedPicture, picture: Picture) -> dict[str, Any]:
        row = row_of(picture.facts, loaded.content_hash, loaded.size)
        return self.columns[loaded.candidate.source_id].of(row)

    def _copy(
        self, loaded: LoadedPicture, image_id: int | None, twin: Mapping[str, Any], vectors: Vectors
    ) -> None:
        """Store an image with the vectors of an image of the same content, whose metadata row is ``twin``."""
        row = row_of_copy(twin, loaded.caption, loaded.extra)
        row = self.columns[loaded.candidate.source_id].of(row)
        self._store(loaded, image_id, row, self._captions.of_copy(row, twin, vectors), copied=True)

    def _store(
        self,
        loaded: LoadedPicture,
        image_id: int | None,
        metadata: dict[str, Any],
        vectors: Vectors,
        *,
        copied: bool,
    ) -> None:
        candidate, old = loaded.candidate, loaded.candidate.known
        new = NewImage(
            candidate.source_id,
            candidate.path,
            loaded.stat,
            loaded.content_hash,
            metadata,
            vectors,
            image_id=image_id,
            replaces=None if old is None else old.image_id,
            inherits=candidate.is_named and not (old is not None and old.quarantined),
        )
        self._new[loaded.content_hash] = new
        self._stored(new, loaded, copied)
