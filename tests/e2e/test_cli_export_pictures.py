"""`imseek export` of formats that hold pictures, as it is typed."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from imseek.exports.formats import FORMATS


@pytest.fixture
def indexed(cli, photos: Path) -> Path:
    assert cli("index", photos, "--encoder", "fake").code == 0
    return photos


def test_hits_of_a_search_as_tars(cli, indexed, tmp_path) -> None:
    out = tmp_path / "red"
    outcome = cli("export", out, "--format", "webdataset", "--text", "red", "-n", "5", "--shard-images", "2")
    assert outcome.code == 0
    assert "(webdataset): 5 images" in outcome.err
    hits = cli("search", "red", "-n", "5", "--cutoff", "none", "--json").json("search")["hits"]
    found = []
    for name in ("00000.tar", "00001.tar", "00002.tar"):
        with tarfile.open(out / name) as tar:
            found += [json.load(tar.extractfile(one)) for one in tar if one.name.endswith(".json")]
    assert [one["image_id"] for one in found] == [hit["image_id"] for hit in hits]
    again = cli("export", out, "--format", "webdataset", "--shard-size", "1MB", "--ending", "jpg")
    assert (again.code, "--force" in again.err) == (2, True)
    whole = cli("export", out, "--format", "webdataset", "--shard-size", "1MB", "--ending", "jpg", "--force")
    assert whole.code == 0
    with tarfile.open(out / "00000.tar") as tar:
        assert {Path(name).suffix for name in tar.getnames()} == {".jpg", ".json", ".txt"}


def test_a_missing_picture_is_named(cli, indexed, tmp_path) -> None:
    (indexed / "coffee.png").unlink()
    outcome = cli("export", tmp_path / "a", "--format", "imagefolder", "--link", "hard")
    assert outcome.code == 0
    assert f"cannot read the picture of image 5, {indexed / 'coffee.png'}: it is not there any more" in outcome.err
    assert "7 images" in outcome.err
    assert "7 of them linked" in outcome.err
    strict = cli("export", tmp_path / "b", "--format", "imagefolder", "--strict", "--json")
    assert strict.code == 3
    (skipped,) = strict.json("export")["skipped"]
    assert (skipped["image_id"], skipped["reason"]) == (5, "vanished")
    assert skipped["path"] == str(indexed / "coffee.png")
    assert (tmp_path / "b" / "metadata.jsonl").is_file()


def test_for_viewers(cli, indexed, tmp_path) -> None:
    for name, files in (
        ("fiftyone", {"data", "metadata.json", "samples.json"}),
        ("projector", {"vectors.tsv", "metadata.tsv", "sprite.png", "projector_config.pbtxt"}),
    ):
        found = cli("export", tmp_path / name, "--format", name, "--json").json("export")
        assert (found["images"], found["encoder"], found["skipped"]) == (8, "fake", [])
        assert {one.name for one in (tmp_path / name).iterdir()} == {*files, ".imseek-export.json"}


def test_help_names_all_formats(cli) -> None:
    said = cli("export", "--help").out
    assert all(name in said for name in FORMATS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--format", "webdataset", "--shard-size", "big"), "'big' is not a size"),
        (("--format", "webdataset", "--ending", "json"), "'json' is not an ending for pictures"),
        (("--format", "webdataset", "--link", "hard"), "link is nothing that webdataset knows"),
        (("--format", "imagefolder", "--classes", "luma_sd"), "neither words nor whole numbers"),
        (("--format", "imagefolder", "--link", "soft"), "--link"),
        (("--format", "fiftyone", "--shard-images", "3"), "shard_images is nothing that fiftyone knows"),
    ],
)
def test_what_makes_no_sense(cli, indexed, tmp_path, arguments, said) -> None:
    outcome = cli("export", tmp_path / "all", *arguments)
    assert outcome.code == 2
    assert said in outcome.err
    assert not list(tmp_path.glob("*all*"))
