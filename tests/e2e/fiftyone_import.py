"""FiftyOne itself reads what `imseek export --format fiftyone` writes.

`make test-counterparts` puts FiftyOne into an environment of its own and names this file: by itself, pytest does not
collect it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import imseek
from imseek.data.reader import Reader

PYTHON = Path(sys.prefix) / "fiftyone" / "bin" / "python"
READING = Path(__file__).parents[1] / "fiftyone_reading.py"


@pytest.fixture
def indexed(cli, home, photos: Path) -> Path:
    """The collection of eight photographs: one with a date and a place, one with columns of its own, two with a tag,
    all with a label."""
    exif = Image.Exif()
    exif[0x8769] = {0x9003: "2020:05:06 07:08:09", 0x9011: "+02:00"}
    exif[0x8825] = {1: "N", 2: (48.0, 30.0, 0.0), 3: "W", 4: (2.0, 15.0, 0.0)}
    Image.open(photos / "rocket.jpg").save(photos / "rocket.jpg", exif=exif)
    told = {
        "caption": "a cat",
        "filename": "x.png",
        "a b": 4,
        "ok": True,
        "big": 12345678901234,
        "part": 0.25,
    }
    (photos / "chelsea.json").write_text(json.dumps(told))
    for command in (
        ("index", photos, "--encoder", "fake"),
        ("tag", "add", "kept", "0", "3"),
        ("label", "--classes", "cat,rocket", "--save", "pet"),
    ):
        outcome = cli(*command)
        assert outcome.code == 0, outcome.err
    return home / "collections" / "default"


def read(out: Path, *folders: Path) -> list[dict[str, Any]]:
    """What FiftyOne makes of them."""
    assert PYTHON.exists(), "FiftyOne is not installed: make test-counterparts"
    own = {
        "HOME": str(out.parent),
        "FIFTYONE_DATABASE_URI": "mongodb://nowhere.invalid",  # Without one it starts a server.
        "FIFTYONE_DATABASE_VALIDATION": "false",
        "FIFTYONE_DO_NOT_TRACK": "true",
    }
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | own
    done = subprocess.run(
        [PYTHON, READING, out, *folders], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(out.read_text())


def test_fiftyone_reads_what_the_collection_holds(cli, indexed, photos, tmp_path) -> None:
    whole, hits = tmp_path / "whole", tmp_path / "hits"
    for command in (
        (whole,),
        (hits, "--text", "red", "-n", "3", "--link", "symbolic"),
    ):
        outcome = cli("export", *command, "--format", "fiftyone")
        assert outcome.code == 0, outcome.err
    told = cli("search", "red", "-n", "3", "--cutoff", "none", "--json").json("search")["hits"]
    found, few = read(tmp_path / "read.json", whole, hits)
    with imseek.open(indexed) as collection:
        images = collection.get_many(range(8))
    check_fields(found["fields"])
    assert [sample["image_id"] for sample in found["samples"]] == list(range(8))
    reader = Reader(indexed)
    for sample in found["samples"]:
        image = images[sample["image_id"]]
        check_sample(sample, image, whole)
        vector = reader.vector(image.image_id, 0).astype(np.float32)
        assert sample["embedding"]["dtype"] == "float32"
        np.testing.assert_array_equal(np.float32(sample["embedding"]["values"]), vector)
        np.testing.assert_array_equal(np.float32(found["vectors"][sample["id"]]), vector)
    check_own_columns({Path(sample["path"]).name: sample for sample in found["samples"]})

    pets = {n: image.metadata["pet"] for n, image in images.items()}
    assert set(pets.values()) == {"cat", "rocket"}
    assert found["pets"] == {pet: [*pets.values()].count(pet) for pet in ("cat", "rocket")}
    assert found["cats"] == [n for n, pet in pets.items() if pet == "cat"]
    assert (found["tags"], found["kept"]) == ({"kept": 2}, [0, 3])
    assert found["info"]["imseek"]["encoder"] == "fake"

    assert few["fields"]["score"] == "FloatField"
    assert [(sample["image_id"], sample["score"]) for sample in few["samples"]] == [
        (hit["image_id"], pytest.approx(hit["score"], abs=1e-4)) for hit in told
    ]
    for sample in few["samples"]:
        assert Path(sample["filepath"]).resolve() == Path(sample["path"])
    ids = {sample["image_id"]: sample["id"] for sample in found["samples"]}
    assert all(sample["id"] == ids[sample["image_id"]] for sample in few["samples"])


def check_fields(fields: dict[str, str]) -> None:
    expected = {
        "id": "ObjectIdField",
        "filepath": "StringField",
        "tags": "ListField",
        "metadata": "ImageMetadata",
        "image_id": "IntField",
        "path": "StringField",
        "uri": "StringField",
        "frame_count": "IntField",
        "phash": "StringField",
        "luma_mean": "FloatField",
        "taken_at": "DateTimeField",
        "location": "GeoLocation",
        "caption": "StringField",
        "column_filename": "StringField",
        "a_b": "IntField",
        "ok": "BooleanField",
        "big": "IntField",
        "part": "FloatField",
        "pet": "Classification",
        "embedding": "VectorField",
    }
    assert {name: fields.get(name) for name in expected} == expected
    assert not {"pet_score", "filename", "frames", "score", "width", "latitude"} & fields.keys()


def check_sample(sample: dict[str, Any], image: imseek.Image, folder: Path) -> None:
    known = image.metadata
    picture, source = Path(sample["filepath"]), Path(sample["path"])
    assert picture.parent == folder / "data"
    assert picture.read_bytes() == source.read_bytes()
    assert sample["uri"] == source.as_uri()
    assert sample["tags"] == list(image.tags)
    held = sample["metadata"]
    assert (held["class"], held["size_bytes"]) == ("ImageMetadata", picture.stat().st_size)
    assert (held["width"], held["height"]) == (known["width"], known["height"])
    assert held["mime_type"] == {".png": "image/png", ".jpg": "image/jpeg"}[picture.suffix]
    assert (sample["content_hash"], sample["format"]) == (image.content_hash, known["format"])
    assert (sample["pet"]["class"], sample["pet"]["label"]) == ("Classification", known["pet"])
    assert sample["pet"]["confidence"] == pytest.approx(known["pet_score"])


def check_own_columns(named: dict[str, dict[str, Any]]) -> None:
    cat, rocket = named["chelsea.png"], named["rocket.jpg"]
    assert {name: cat[name] for name in ("caption", "column_filename", "a_b", "ok", "big", "part")} == {
        "caption": "a cat",
        "column_filename": "x.png",
        "a_b": 4,
        "ok": True,
        "big": 12345678901234,
        "part": 0.25,
    }
    assert (rocket["caption"], rocket["ok"], cat["taken_at"], cat["location"]) == (None, None, None, None)
    assert rocket["taken_at"] == "2020-05-06T05:08:09"
    assert (rocket["location"]["class"], rocket["location"]["point"]) == ("GeoLocation", [-2.25, 48.5])
    assert named["camera.png"]["metadata"]["num_channels"] == 1
