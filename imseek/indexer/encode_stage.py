"""The encode stage: stores images with the vectors of an identical copy, with imported vectors, or by encoding them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.data.catalog.changeset import NewImage
from imseek.data.reader import Reader
from imseek.data.shards.shard_files import (
    ANNOTATION_COLUMNS,
    INTRINSIC_SCHEMA,
    LIST_COLUMNS,
    LUMA_COLUMNS,
    annotation_values,
    entries_of,
    extra_name,
    row_of,
)
from imseek.data.writing.writer import Writer
from imseek.encoders.base import Encoder
from imseek.errors import UsageError
from imseek.indexer.caption_encoder import CaptionEncoder, stored_text
from imseek.indexer.decode_stage import LoadedPicture, Picture, Vectors, encode
from imseek.indexer.run_tally import RunTally
from imseek.indexer.sources.base import Scalar
from imseek.indexer.stored_contents import StoredContents
from imseek.media.annotation_values import Annotations
from imseek.types.indexing_runs import SpaceRun
from imseek.types.pictures import SkipReason

#: Default batch size, if no encoder asks for a larger one.
ENCODE_BATCH = 32
_NOTHING: Final = Annotations()
#: Columns that a user may drop: the nullable ones.
_OPTIONAL: Final = tuple(
    field.name for field in INTRINSIC_SCHEMA if field.nullable and field.name not in LUMA_COLUMNS.names
)


class EncodeStage:
    """Encodes pictures in batches, each content once, and adds the images to the next commit of the run.

    ``columns`` selects the metadata columns to keep, by source id.
    """

    def __init__(
        self,
        writer: Writer,
        encoders: Mapping[int, Encoder],
        captions: Mapping[int, Encoder],
        columns: Mapping[int, ColumnSelection],
        contents: StoredContents,
        tally: RunTally,
    ) -> None:
        self._writer = writer
        self._encoders = encoders
        self._captions = CaptionRows(captions)
        self._columns = columns
        self._contents = contents
        self._tally = tally
        self._queue: list[tuple[LoadedPicture, Picture, int | None]] = []
        self._new_images: dict[bytes, NewImage] = {}
        self._reader: Reader | None = None
        #: Precisions used by other processes, by space.
        self._precisions: dict[int, set[str]] = {space_id: set() for space_id in encoders}
        #: Batch size.
        self.batch = max(ENCODE_BATCH, *(encoder.info.batch_size for encoder in encoders.values()))

    def __len__(self) -> int:
        """Number of pictures waiting for the next batch."""
        return len(self._queue)

    def holds(self, content_hash: bytes) -> bool:
        """Return whether an image with this content was stored since the last commit.

        If a picture with this content waits, the batch is encoded to find out.
        """
        if any(loaded.content_hash == content_hash for loaded, _, _ in self._queue):
            self.encode()
        return content_hash in self._new_images

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

    def forget_committed(self) -> None:
        """Forget the images stored so far: after the commit they are found by their hash."""
        self._new_images.clear()
        self._reader = None

    def add(self, loaded: LoadedPicture, image_id: int | None) -> None:
        """Store an image at once or with the next batch, under its old id if given."""
        content_hash = loaded.content_hash
        if content_hash in self._new_images:
            twin = self._new_images[content_hash]
            self._copy(loaded, image_id, twin.metadata if twin.row is None else twin.row, twin.metadata, twin.vectors)
            return
        if (stored_id := self._contents.find(content_hash, loaded.absent_at)) is not None:
            self._reader = self._reader or Reader(self._writer.root)
            spaces = (*self._encoders, *self._captions.space_ids)
            vectors = {space_id: self._reader.vector(stored_id, space_id) for space_id in spaces}
            stored_metadata = self._reader.intrinsics([stored_id])[stored_id]
            self._copy(loaded, image_id, self._reader.intrinsic(stored_id), stored_metadata, vectors)
            return
        # A worker omits only pictures whose content is stored, and that stays stored until the run ends.
        assert loaded.picture is not None
        if (imported := loaded.picture.imported) is not None:
            row, beside = self._row(loaded, loaded.picture), self.sidecar_row(loaded)
            caption = self._captions.of([{**row, **beside}])[0]
            self._store(loaded, image_id, row, beside, {**imported, **caption}, copied=False)
        else:
            self._queue.append((loaded, loaded.picture, image_id))
            if len(self._queue) >= self.batch:
                self.encode()

    def encode(self) -> None:
        """Encode and store the waiting pictures."""
        queue, self._queue = self._queue, []
        if not queue:
            return
        with_vectors = {loaded.content_hash: p for loaded, p, _ in queue if p.vectors is not None}
        for picture in with_vectors.values():
            for space_id, precision in picture.precisions.items():
                self._precisions[space_id].add(precision)
        prepared = {
            loaded.content_hash: picture.prepared
            for loaded, picture, _ in queue
            if loaded.content_hash not in with_vectors
        }
        encoded = dict(zip(prepared, encode(self._encoders, list(prepared.values())), strict=True))
        encoded.update((h, picture.vectors) for h, picture in with_vectors.items() if picture.vectors is not None)
        self._writer.detail = {"spaces": [asdict(space) for space in self.spaces]}
        rows = [self._row(loaded, picture) for loaded, picture, _ in queue]
        sidecars = [self.sidecar_row(loaded) for loaded, _, _ in queue]
        captions = self._captions.of([{**row, **beside} for row, beside in zip(rows, sidecars, strict=True)])
        for (loaded, _, image_id), row, beside, caption in zip(queue, rows, sidecars, captions, strict=True):
            vectors = encoded[loaded.content_hash]
            if isinstance(vectors, str):
                failed = loaded.candidate.failed(loaded.stat, SkipReason.ENCODER_FAILED, vectors)
                self._tally.fail(failed)
            else:
                copied = loaded.content_hash in self._new_images
                self._store(loaded, image_id, row, beside, {**vectors, **caption}, copied=copied)

    def sidecar_row(self, loaded: LoadedPicture) -> dict[str, Any]:
        """Return the columns from the files beside a picture."""
        if loaded.beside == _NOTHING:
            return {}
        return self.columns_beside(loaded.candidate.source_id, loaded.beside)

    def columns_beside(self, source_id: int, beside: Annotations) -> dict[str, Any]:
        """Return the columns of annotations from files beside a picture of a source, as that selects them."""
        values = annotation_values({f.name: getattr(beside, f.name) for f in fields(beside)})
        return self._columns[source_id].of(values)

    def _row(self, loaded: LoadedPicture, picture: Picture) -> dict[str, Any]:
        row = row_of(picture.facts, loaded.content_hash, loaded.size)
        return self._columns[loaded.candidate.source_id].of(row)

    def _copy(
        self,
        loaded: LoadedPicture,
        image_id: int | None,
        twin: Mapping[str, Any],
        twin_metadata: Mapping[str, Any],
        vectors: Vectors,
    ) -> None:
        """Store an image with the vectors of an image of the same content.

        ``twin`` is its metadata row, ``twin_metadata`` the same with the columns from files beside it.
        """
        row = row_of_copy(twin, loaded.caption, loaded.extra)
        row = self._columns[loaded.candidate.source_id].of(row)
        beside = self.sidecar_row(loaded)
        caption_vectors = self._captions.of_copy({**row, **beside}, twin_metadata, vectors)
        self._store(loaded, image_id, row, beside, caption_vectors, copied=True)

    def _store(
        self,
        loaded: LoadedPicture,
        image_id: int | None,
        metadata: dict[str, Any],
        beside: dict[str, Any],
        vectors: Vectors,
        *,
        copied: bool,
    ) -> None:
        """Add an image with this ``metadata``, and the columns from files ``beside`` it, to the next commit."""
        candidate, old = loaded.candidate, loaded.candidate.known_place
        new = NewImage(
            candidate.source_id,
            candidate.path,
            loaded.stat,
            loaded.content_hash,
            {**metadata, **beside},
            vectors,
            image_id=image_id,
            replaces=None if old is None else old.image_id,
            inherits=candidate.is_named and not (old is not None and old.quarantined),
            row=metadata if beside else None,
            sidecar=beside,
            sidecar_stat=loaded.sidecar_stat,
        )
        self._new_images[loaded.content_hash] = new
        self._tally.store(new, old, copied=copied)


class CaptionRows:
    """Makes a run's rows for the caption space, by space id; none if the collection has no such space."""

    def __init__(self, encoders: Mapping[int, Encoder]) -> None:
        """``encoders`` maps the caption space's id to its encoder, or is empty."""
        self._encoders = {space_id: CaptionEncoder(encoder) for space_id, encoder in encoders.items()}

    @property
    def space_ids(self) -> tuple[int, ...]:
        return tuple(self._encoders)

    def of(self, metadata: Sequence[Mapping[str, Any]]) -> list[dict[int, npt.NDArray[np.float16]]]:
        """Return for each metadata row the row (dim,) of its caption, by space id."""
        captions = [row.get("caption") for row in metadata]
        by_image: list[dict[int, npt.NDArray[np.float16]]] = [{} for _ in metadata]
        for space_id, encoder in self._encoders.items():
            for rows, vector in zip(by_image, encoder(captions), strict=True):
                rows[space_id] = vector
        return by_image

    def of_copy(
        self, metadata: Mapping[str, Any], twin: Mapping[str, Any], vectors: Mapping[int, npt.NDArray[np.float16]]
    ) -> Mapping[int, npt.NDArray[np.float16]]:
        """Return the vectors of an image with the same content as ``twin``.

        The caption vector is replaced if the caption differs.
        """
        if stored_text(metadata.get("caption")) == stored_text(twin.get("caption")):
            return vectors
        return {**vectors, **self.of([metadata])[0]}

    def notes(self) -> tuple[str, ...]:
        return tuple(note for encoder in self._encoders.values() for note in encoder.notes())


class ColumnSelection:
    """Selects the metadata columns to keep: all, the named ones, or all but those named with a leading minus.

    Columns that describe the picture (size, format, hashes) are always kept. Raises UsageError for a mixture of both
    forms.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        dropped = {name[1:] for name in names if name.startswith("-")}
        if dropped and len(dropped) < len(set(names)):
            raise UsageError("columns are either all named to be kept, or all to be dropped (-NAME)")
        self._names = None if dropped or not names else set(names)
        self._dropped = dropped

    def of(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the row without the dropped columns."""
        if self._names is None and not self._dropped:
            return dict(row)
        return {name: value for name, value in row.items() if self._keeps(name)}

    def _keeps(self, name: str) -> bool:
        if name in INTRINSIC_SCHEMA.names and name not in _OPTIONAL:
            return True
        # A time is wrong without its zone.
        names = {name, "taken_at"} if name == "taken_at_zone" else {name}
        return not names & self._dropped and (self._names is None or bool(names & self._names))


def row_of_copy(row: Mapping[str, Any], caption: str | None, extra: Mapping[str, Scalar]) -> dict[str, Any]:
    """Return the row of an image whose content is already stored.

    It combines what the picture contains with the values of the image's own source.
    """
    names = {*INTRINSIC_SCHEMA.names, *ANNOTATION_COLUMNS.names}
    own = {name: value for name, value in row.items() if name in names}
    for name in LIST_COLUMNS:
        if isinstance(value := own.get(name), str):
            own[name] = entries_of(value)
    if caption is not None:
        own["caption"] = caption
    return {**own, **{extra_name(name): value for name, value in extra.items()}}
