"""Read one publication from Milvus, as :class:`imseek.data.reader.Reader` reads a folder."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.data.catalog.place_paths import place_of
from imseek.data.collection_records import Current, Identity
from imseek.data.milvus import layout
from imseek.data.milvus.client import Client
from imseek.data.milvus.publication_record import Record
from imseek.data.reader import SourceRow
from imseek.data.user_files.file_stat import UNKNOWN_STAT
from imseek.data.user_files.image_places import IndexedPlace, unknown_place_error
from imseek.data.words.values import Document
from imseek.errors import CorruptCollectionError, ImageNotFoundError
from imseek.types.arrays import Float32
from imseek.types.collection_info import SpaceInfo
from imseek.types.pictures import Image, Place

#: Maximum number of cached documents.
_MAX_CACHED: Final = 20_000
_MAX_ID: Final = 2**63 - 1


class PublishedReader:
    """Read access to one publication. Thread-safe."""

    def __init__(self, client: Client, record: Record) -> None:
        self.client = client
        self.record = record
        self.identity = Identity(record.uuid, record.created)
        self.current = Current(record.uuid, record.generation, record.committed, record.images, record.spaces, ())
        self._documents: dict[int, dict[str, Any]] = {}

    @property
    def generation(self) -> int:
        return self.record.generation

    def vector(self, image_id: int, space_id: int) -> npt.NDArray[np.float16]:
        row: npt.NDArray[np.float16] = self.vectors([image_id], space_id)[0]
        return row

    def vectors(self, image_ids: Sequence[int], space_id: int) -> npt.NDArray[np.float16]:
        """Return vectors as stored in the collection: Milvus's float32 represents every float16 exactly."""
        space = next(one for one in self.record.spaces if one.space_id == space_id)
        rows_by_id = self.known_vectors(image_ids, space)
        if missing := [i for i in image_ids if i not in rows_by_id]:
            raise _not_found(missing[0])
        return np.array([rows_by_id[i] for i in image_ids], np.float16).reshape(-1, space.dim)

    def known_vectors(self, image_ids: Sequence[int], space: SpaceInfo) -> dict[int, Float32]:
        """Return rows (dim,) by id, leaving out unknown ids.

        In a caption space, images without a caption are left out too.
        """
        name = layout.vector_field(space)
        caption_fields = [layout.has_caption_field(space)] if space.modality == "text" else []
        rows = self.client.get(self.record.rows, _valid_ids(image_ids), [layout.ID, name, *caption_fields])
        return {
            int(row[layout.ID]): np.array(row[name], np.float32)
            for row in rows
            if all(row[one] for one in caption_fields)
        }

    def places(self, image_ids: Sequence[int]) -> dict[int, Place]:
        places = {}
        for image_id, (source_id, path) in self.catalog_places(image_ids).items():
            source = self.record.sources[source_id]
            places[image_id] = place_of(source_id, source.kind, source.root, path)
        return places

    def catalog_places(self, image_ids: Sequence[int]) -> dict[int, tuple[int, bytes]]:
        documents = self._load_documents(image_ids)
        return {i: place for i, document in documents.items() if (place := document["place"]) is not None}

    def documents(self, image_ids: Sequence[int]) -> dict[int, Document]:
        """Return no words, since none are published."""
        return {}

    def written_texts(self, image_ids: Sequence[int]) -> dict[int, str]:
        """Return no texts, since no words find them."""
        return {}

    def indexed_place(self, image_id: int) -> IndexedPlace:
        """Return where the file of an image lies, without the stat of the file, which Milvus does not store.

        Raises ImageNotFoundError, CorruptCollectionError.
        """
        if (document := self._load_documents([image_id]).get(image_id)) is None:
            raise _not_found(image_id)
        if (place := document["place"]) is None:
            raise unknown_place_error(image_id)
        try:
            content_hash = bytes.fromhex(document["metadata"]["content_hash"])
        except (LookupError, ValueError, TypeError) as error:
            raise self._unreadable(image_id) from error
        return IndexedPlace(self.record.sources[place[0]], place[1], UNKNOWN_STAT, content_hash)

    def sources(self) -> dict[int, SourceRow]:
        return dict(self.record.sources)

    def metadata(self, image_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
        return {i: dict(document["metadata"]) for i, document in self._load_documents(image_ids).items()}

    def intrinsics(self, image_ids: Sequence[int], columns: Sequence[str] | None = None) -> dict[int, dict[str, Any]]:
        """Return metadata columns by id; ``taken_at`` is a datetime by the camera's clock, as for a folder."""
        values_by_id: dict[int, dict[str, Any]] = {}
        for image_id, row in self.metadata(image_ids).items():
            values = {name: value for name, value in row.items() if columns is None or name in columns}
            if "taken_at" in values:
                values["taken_at"] = datetime.fromisoformat(values["taken_at"]).replace(tzinfo=None)
            if values:
                values_by_id[image_id] = values
        return values_by_id

    def image(self, image_id: int) -> Image:
        rows = self.client.get(self.record.rows, _valid_ids([image_id]), [layout.ID, layout.DOCUMENT, layout.TAGS])
        if not rows:
            raise _not_found(image_id)
        metadata = dict(self._document(rows[0])["metadata"])
        place = self.places([image_id]).get(image_id)
        content_hash = metadata.pop("content_hash")
        return Image(int(image_id), place, content_hash, metadata, tuple(sorted(rows[0][layout.TAGS])))

    def _load_documents(self, image_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
        """Return the documents of images by id, cached; missing ids are left out."""
        uncached_ids = [i for i in image_ids if i not in self._documents]
        rows = self.client.get(self.record.rows, _valid_ids(uncached_ids), [layout.ID, layout.DOCUMENT])
        new_documents = {int(row[layout.ID]): self._document(row) for row in rows}
        documents = {i: one for i in image_ids if (one := new_documents.get(i) or self._documents.get(i)) is not None}
        if len(self._documents) > _MAX_CACHED:
            self._documents = {}
        self._documents.update(new_documents)
        return documents

    def _document(self, row: dict[str, Any]) -> dict[str, Any]:
        """Parse a row's document: ``metadata``, and ``place`` (source id and path within it) or None."""
        try:
            document = json.loads(row[layout.DOCUMENT])
            place = document["place"]
            if place is not None:
                source_id, path = place
                place = int(source_id), base64.b64decode(path)
                self.record.sources[place[0]]
            return {"metadata": {**document["metadata"]}, "place": place}
        except (ValueError, LookupError, TypeError) as error:
            raise self._unreadable(row[layout.ID]) from error

    def _unreadable(self, image_id: int) -> CorruptCollectionError:
        return CorruptCollectionError(
            f"image {image_id} of {self.client.address} cannot be read",
            hint="imseek publish writes again what differs",
        )


def _valid_ids(image_ids: Sequence[int]) -> list[int]:
    return [int(i) for i in image_ids if 0 <= i <= _MAX_ID]


def _not_found(image_id: int) -> ImageNotFoundError:
    return ImageNotFoundError(f"no image {image_id} in this collection")
