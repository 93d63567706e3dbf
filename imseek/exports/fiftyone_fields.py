"""Map the columns of a collection to FiftyOne sample fields: their documents and values."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa

from imseek.data.vectors.base import Float16
from imseek.exports.picture_reader import Picture, Row

Document: TypeAlias = dict[str, Any]
MakeObjectId: TypeAlias = Callable[[object], Document]

EMBEDDING: Final = "embedding"
#: Suffix of the score column of a label column (:mod:`imseek.labels`).
_SCORE: Final = "_score"
#: Columns stored in the fields ``metadata`` and ``location``.
_MERGED_COLUMNS: Final = frozenset({"width", "height", "bytes", "latitude", "longitude", "taken_at_zone"})
#: In FiftyOne, ``frames`` are those of videos.
_RENAMES: Final[dict[str, str]] = {"frames": "frame_count"}
#: Attributes of FiftyOne samples, and the names of our own fields.
_RESERVED_NAMES: Final = """add_field add_implied_field add_labels cascade_save clean clear_field collection_name
    compare_indexes
    compute_metadata copy copy_with_new_id create_index created_at dataset dataset_id delete drop_collection
    ensure_indexes fancy_repr field_names field_to_mongo field_to_python filename filepath frames from_dict from_doc
    from_frame from_json get_field get_field_schema get_media_key get_text_score groups has_field id in_dataset in_db
    iter_fields last_modified_at list_indexes media_reference media_type merge merge_field_schema metadata modify
    my_metaclass objects pk register_delete_rule reload save select_related set_field switch_collection switch_db tags
    to_dbref to_dict to_json to_mongo to_mongo_dict update update_fields validate
    image_id path path_b64 uri score location embedding"""
_FIELDS: Final = "fiftyone.core.fields."
_LABELS: Final = "fiftyone.core.labels."
_MIME: Final = {"jpg": "jpeg", "tif": "tiff", "svg": "svg+xml", "ico": "vnd.microsoft.icon"}
#: Channels of the Pillow modes that do not have three.
_CHANNELS: Final = {**dict.fromkeys(("1", "L", "P", "I", "F", "I;16"), 1), "LA": 2, "RGBA": 4, "CMYK": 4}


class FieldSchema:
    """Maps columns to fields. ``renames`` maps columns to the names of their fields if these differ.

    A text column with a second column of the same name plus ``_score`` becomes a classification with its confidence.
    """

    def __init__(self, columns: pa.Schema, *, scored: bool) -> None:
        types = dict(zip(columns.names, columns.types, strict=True))
        self._has_score = scored
        self._located = {"latitude", "longitude"} <= types.keys()
        self._labels = {
            name
            for name, kind in types.items()
            if pa.types.is_string(kind) and pa.types.is_floating(types.get(name + _SCORE, pa.null()))
        }
        merged = _MERGED_COLUMNS | {name + _SCORE for name in self._labels}
        self.names: dict[str, str] = {}
        for name in map(str, types):
            if name not in merged:
                self.names[name] = field_name(_RENAMES.get(name, name), {*self.names.values()})
        self.renames = {old: new for old, new in self.names.items() if new != _RENAMES.get(old, old)}
        self._kinds = {name: _kind(name, types[name]) for name in self.names}

    def documents(self) -> list[Document]:
        """Return the documents of all fields, including those of every sample."""
        documents = [
            _field_document("id", "ObjectIdField", db_field="_id"),
            _field_document("filepath", "StringField"),
            _field_document("tags", "ListField", subfield="StringField"),
            _embedded_document("metadata", "fiftyone.core.metadata.ImageMetadata", _METADATA),
            _field_document("created_at", "DateTimeField", read_only=True),
            _field_document("last_modified_at", "DateTimeField", read_only=True),
            _field_document("_media_type", "StringField"),
            _field_document("_rand", "FloatField"),
            _field_document("_dataset_id", "ObjectIdField"),
            _field_document("image_id", "IntField"),
            _field_document("path", "StringField"),
            _field_document("path_b64", "StringField"),
            _field_document("uri", "StringField"),
        ]
        if self._has_score:
            documents.append(_field_document("score", "FloatField"))
        for name, field in self.names.items():
            if name in self._labels:
                documents.append(_embedded_document(field, f"{_LABELS}Classification", _CLASSIFICATION))
            else:
                subfield = "StringField" if self._kinds[name] == "ListField" else None
                documents.append(_field_document(field, self._kinds[name], subfield=subfield))
        if self._located:
            documents.append(_embedded_document("location", f"{_LABELS}GeoLocation", _LOCATION))
        return [*documents, _field_document(EMBEDDING, "VectorField")]

    def values(self, row: Row, oid: MakeObjectId) -> Document:
        """Return the field values of one image; fields without a value are left out."""
        own = ("image_id", "path", "path_b64", "uri", "score")
        document: Document = {name: row[name] for name in own if name in row}
        for name, field in self.names.items():
            if (value := row.get(name)) is None:
                continue
            if name in self._labels:
                value = {
                    "_id": oid((row["image_id"], name)),
                    "_cls": "Classification",
                    "tags": [],
                    "label": value,
                    "confidence": row.get(name + _SCORE),
                }
            elif self._kinds[name] == "DateTimeField":
                value = _date(value)
            document[field] = value
        if (latitude := row.get("latitude")) is not None and (longitude := row.get("longitude")) is not None:
            point = {"type": "Point", "coordinates": [longitude, latitude]}
            document["location"] = {
                "_id": oid((row["image_id"], "location")),
                "_cls": "GeoLocation",
                "tags": [],
                "point": point,
            }
        return document


def object_ids(uuid: str) -> MakeObjectId:
    """Return a function that makes ObjectIds for images and labels, equal in every export of a collection."""
    return lambda key: {"$oid": hashlib.sha256(f"{uuid} {key}".encode()).hexdigest()[:24]}


def random_fraction(image_id: int) -> float:
    """Return a fixed pseudo-random number in [0, 1), which FiftyOne uses to draw random samples."""
    return int.from_bytes(hashlib.sha256(str(image_id).encode()).digest()[:4], "big") / 2**32


def metadata(row: Row, picture: Picture) -> Document:
    document: Document = {
        "_cls": "ImageMetadata",
        "size_bytes": len(picture.data),
        "mime_type": f"image/{_MIME.get(picture.ending, picture.ending)}",
    }
    if row["width"]:  # Unknown if only the vector was imported.
        channels = _CHANNELS.get(row.get("mode", ""), 3)
        document |= {"width": row["width"], "height": row["height"], "num_channels": channels}
    return document


def vector(row: Float16) -> Document:
    """Serialise a row (dim,) as float32, like ``fiftyone.core.utils.serialize_numpy_array``."""
    buffer = io.BytesIO()
    np.save(buffer, row.astype(np.float32), allow_pickle=False)
    data = base64.b64encode(zlib.compress(buffer.getvalue())).decode("ascii")
    return {"$binary": {"base64": data, "subType": "00"}}


def _date(text: str) -> Document:
    """Return the milliseconds since 1970; times without a zone are treated as UTC."""
    moment = datetime.fromisoformat(text)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    milliseconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    return {"$date": {"$numberLong": str(milliseconds)}}


def field_name(name: str, used_names: set[str]) -> str:
    """Return a valid, unused FiftyOne field name: a word that does not begin with ``_``."""
    plain = re.sub(r"\W", "_", name).strip("_") or "column"
    plain = f"column_{plain}" if plain in _RESERVED_NAMES.split() or plain[0].isdigit() else plain
    candidate, n = plain, 2
    while candidate in used_names:
        candidate, n = f"{plain}_{n}", n + 1
    return candidate


def _kind(name: str, kind: pa.DataType) -> str:
    if name == "phash":
        return "StringField"
    if pa.types.is_timestamp(kind):
        return "DateTimeField"
    if pa.types.is_list(kind):
        return "ListField"
    if pa.types.is_boolean(kind):
        return "BooleanField"
    if pa.types.is_integer(kind):
        return "IntField"
    return "FloatField" if pa.types.is_floating(kind) else "StringField"


def _field_document(
    name: str, kind: str, *, subfield: str | None = None, db_field: str | None = None, read_only: bool = False
) -> Document:
    """Return the document of a field; the importer sets its date."""
    return {
        "name": name,
        "ftype": _FIELDS + kind,
        "embedded_doc_type": None,
        "subfield": None if subfield is None else _FIELDS + subfield,
        "fields": [],
        "db_field": db_field or name,
        "description": None,
        "info": None,
        "read_only": read_only,
        "created_at": None,
    }


def _embedded_document(name: str, kind: str, types: Mapping[str, str]) -> Document:
    fields = [
        _field_document(
            subfield,
            ftype,
            subfield="StringField" if ftype == "ListField" else None,
            db_field="_id" if subfield == "id" else None,
        )
        for subfield, ftype in types.items()
    ]
    return {**_field_document(name, "EmbeddedDocumentField"), "embedded_doc_type": kind, "fields": fields}


_METADATA: Final = {
    "size_bytes": "IntField",
    "mime_type": "StringField",
    "width": "IntField",
    "height": "IntField",
    "num_channels": "IntField",
}
_LABEL: Final = {"id": "ObjectIdField", "tags": "ListField"}
_CLASSIFICATION: Final = {
    **_LABEL,
    "label": "StringField",
    "confidence": "FloatField",
    "logits": "VectorField",
}
_LOCATION: Final = {
    **_LABEL,
    "point": "GeoPointField",
    "line": "GeoLineStringField",
    "polygon": "GeoPolygonField",
}
