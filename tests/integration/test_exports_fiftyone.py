"""FiftyOne's layout, by the rules of ``fiftyone.utils.data.importers.FiftyOneDatasetImporter`` (1.22).

It reads ``metadata.json`` as one document and ``samples.json`` as ``{"samples": […]}``, both in MongoDB's extended
JSON; joins relative paths to the folder; puts the documents into MongoDB as they are; and builds the fields of samples
from ``sample_fields``, by the names of their classes. FiftyOne itself reads one in tests/e2e/fiftyone_import.py.
"""

from __future__ import annotations

import base64
import io
import json
import zlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from templates import Templates

import imseek
from imseek import export, labels, tags
from imseek.data.reader import Reader
from imseek.exports import fiftyone_fields

#: What a value has to be for a field of each class; None is none of them.
VALUES = {
    "ObjectIdField": dict,
    "StringField": str,
    "IntField": int,
    "FloatField": float,
    "BooleanField": bool,
    "DateTimeField": dict,
    "ListField": list,
    "VectorField": dict,
    "EmbeddedDocumentField": dict,
}


@pytest.fixture
def root(tmp_path: Path, photos: Path, templates: Templates) -> Path:
    """Eight photographs: one with a date and a place, one with columns of its own, two tagged, all labelled."""
    exif = Image.Exif()
    exif[0x8769] = {0x9003: "2020:05:06 07:08:09", 0x9011: "+02:00"}
    exif[0x8825] = {1: "N", 2: (48.0, 30.0, 0.0), 3: "W", 4: (2.0, 15.0, 0.0)}
    Image.open(photos / "rocket.jpg").save(photos / "rocket.jpg", exif=exif)
    told = {
        "caption": "a cat",
        "filename": "x.png",
        "a.b$c": 3,
        "a b$c": 4,
        "ok": True,
        "big": 12345678901234,
    }
    (photos / "chelsea.json").write_text(json.dumps(told))
    templates.indexed(tmp_path / "made", photos)
    tags.add(tmp_path / "made", "kept", [0, 1])
    labels.label(tmp_path / "made", ["cat", "rocket"], save="pet")
    return tmp_path / "made"


def read(folder: Path) -> tuple[dict, list[dict]]:
    samples = json.loads((folder / "samples.json").read_text())
    assert list(samples) == ["samples"]
    return json.loads((folder / "metadata.json").read_text()), samples["samples"]


def check(value: object, field: dict) -> None:
    """That a value is one for its field, and what is in it for those in it."""
    kind = field["ftype"].rpartition(".")[2]
    assert type(value) is VALUES[kind], field["name"]
    if kind == "IntField":
        assert -(2**63) <= value < 2**63
    if field["embedded_doc_type"] is not None:
        inner = {one["db_field"]: one for one in field["fields"]}
        assert value["_cls"] == field["embedded_doc_type"].rpartition(".")[2]
        for name, one in value.items():
            if name not in ("_cls", "point"):
                check(one, inner[name])


def test_every_value_has_its_field(root, tmp_path) -> None:
    report = export.write(root, tmp_path / "out", format="fiftyone")
    assert (report.images, report.encoder) == (8, "fake")
    assert set(report.notes) == {
        "the column 'a b$c' is called 'a_b_c'",
        "the column 'a.b$c' is called 'a_b_c_2'",
        "the column 'filename' is called 'column_filename'",
    }
    document, samples = read(tmp_path / "out")
    assert (document["version"], document["media_type"], document["name"]) == ("1.0.0", "image", "out")
    fields = {field["db_field"]: field for field in document["sample_fields"]}
    assert len(fields) == len(document["sample_fields"]) == len({f["name"] for f in fields.values()})
    assert {"_id", "filepath", "tags", "metadata", "created_at", "last_modified_at"} <= fields.keys()
    assert all(field["name"].isidentifier() for field in fields.values())
    for sample in samples:
        for name, value in sample.items():
            check(value, fields[name])
        assert {"_id", "filepath", "tags", "_media_type", "_rand"} <= sample.keys()
        assert 0.999 <= sample["_rand"] < 1
        assert len(bytes.fromhex(sample["_id"]["$oid"])) == 12
    assert len({sample["_id"]["$oid"] for sample in samples}) == 8


def test_what_samples_say(root, tmp_path) -> None:
    export.write(root, tmp_path / "out", format="fiftyone")
    _, samples = read(tmp_path / "out")
    with imseek.open(root) as collection:
        images = collection.get_many(range(8))
    named = {Path(sample["path"]).name: sample for sample in samples}
    for sample in samples:
        image = images[sample["image_id"]]
        picture = tmp_path / "out" / sample["filepath"]
        assert picture.parent == tmp_path / "out" / "data"
        assert picture.stat().st_size == sample["metadata"]["size_bytes"] == image.metadata["bytes"]
        assert (sample["metadata"]["width"], sample["metadata"]["height"]) == (
            image.metadata["width"],
            image.metadata["height"],
        )
        assert sample["tags"] == list(image.tags)
        assert sample["pet"]["label"] == image.metadata["pet"]
        assert sample["pet"]["confidence"] == pytest.approx(image.metadata["pet_score"])
        assert "pet_score" not in sample
    cat, rocket = named["chelsea.png"], named["rocket.jpg"]
    assert (cat["caption"], cat["ok"], cat["big"], cat["column_filename"]) == (
        "a cat",
        True,
        12345678901234,
        "x.png",
    )
    assert (cat["a_b_c"], cat["a_b_c_2"], cat["metadata"]["mime_type"]) == (4, 3, "image/png")
    assert named["camera.png"]["metadata"]["num_channels"] == 1
    moment = datetime(2020, 5, 6, 5, 8, 9, tzinfo=UTC)
    assert rocket["taken_at"] == {"$date": {"$numberLong": str(int(moment.timestamp()) * 1000)}}
    assert rocket["location"]["point"] == {"type": "Point", "coordinates": [-2.25, 48.5]}
    assert "location" not in cat


def test_vectors_come_back(root, tmp_path) -> None:
    """As ``fiftyone.core.utils.deserialize_numpy_array`` reads them."""
    export.write(root, tmp_path / "out", format="fiftyone")
    reader = Reader(root)
    _, samples = read(tmp_path / "out")
    for sample in samples:
        binary = sample["embedding"]["$binary"]
        assert binary["subType"] == "00"
        row = np.load(io.BytesIO(zlib.decompress(base64.b64decode(binary["base64"]))))
        assert (row.dtype, row.shape) == (np.float32, (64,))
        np.testing.assert_array_equal(row, reader.vector(sample["image_id"], 0).astype(np.float32))


def test_the_same_twice_but_for_the_name(root, tmp_path) -> None:
    for name in ("a", "b"):
        export.write(root, tmp_path / name, format="fiftyone", query="red", limit=3)
    a, b = ((tmp_path / name / "samples.json").read_bytes() for name in ("a", "b"))
    assert a == b
    document, samples = read(tmp_path / "a")
    assert "score" in {field["name"] for field in document["sample_fields"]}
    assert [sample["score"] for sample in samples] == sorted((s["score"] for s in samples), reverse=True)


def test_no_images_are_a_data_set_too(root, tmp_path) -> None:
    export.write(root, tmp_path / "out", format="fiftyone", where="width < 0")
    document, samples = read(tmp_path / "out")
    assert samples == []
    assert document["sample_fields"]


@pytest.mark.parametrize(
    ("column", "field"),
    [
        ("_x", "x"),
        ("$", "column"),
        ("7up", "column_7up"),
        ("é t", "é_t"),
        ("tags", "column_tags"),
        ("x_", "x"),
    ],
)
def test_names_of_fields(column: str, field: str) -> None:
    assert fiftyone_fields.field_name(column, set()) == field
