"""`imseek tag` as it is typed and printed."""

from __future__ import annotations

import io
import json
import shutil
import sys
import zipfile
from pathlib import Path

import pytest


@pytest.fixture
def ids(cli, indexed) -> dict[str, int]:
    hits = cli("search", "red", "--json").json("search")["hits"]
    return {Path(hit["path"]).name: hit["image_id"] for hit in hits}


def tags_of(cli, *images) -> dict[int, list[tuple[str, str]]]:
    found = cli("tag", "list", *map(str, images), "--json").json("tags")["images"]
    return {one["image_id"]: [(t["tag"], t["provenance"]) for t in one["tags"]] for one in found}


def counted(cli) -> dict[str, int]:
    return {one["tag"]: one["images"] for one in cli("tag", "list", "--json").json("tags")["tags"]}


def test_by_id_and_by_file_and_filtered_by(cli, indexed, ids) -> None:
    outcome = cli("tag", "add", "warm", f"id:{ids['red.png']}", indexed / "below" / "blue.png")
    assert (outcome.code, outcome.out) == (0, "tagged 2 images\n"), outcome.err
    assert tags_of(cli, ids["red.png"]) == {ids["red.png"]: [("warm", "person")]}
    hits = cli("search", "red", "--where", "tag('warm')", "--json").json("search")["hits"]
    assert sorted(hit["image_id"] for hit in hits) == sorted([ids["red.png"], ids["blue.png"]])
    again = cli("tag", "add", "warm", str(ids["red.png"]), "--json").json("tag")
    assert (again["named"], again["changed"], again["unchanged"]) == (1, 0, 1)
    taken = cli("tag", "remove", "warm", str(ids["red.png"]))
    assert taken.out == "untagged 1 image\n"
    assert counted(cli) == {"warm": 1}
    assert cli("tag", "list").out.split() == ["images", "tag", "given", "by", "1", "warm", "person", "1"]


def test_a_relative_path_a_copy_elsewhere_and_a_condition(cli, indexed, ids, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(indexed)
    assert cli("tag", "add", "warm", "red.png").code == 0
    shutil.copyfile(indexed / "lime.png", tmp_path / "copy.png")
    assert cli("tag", "add", "cold", tmp_path / "copy.png").code == 0
    assert cli("tag", "add", "cold", "--where", "name = 'blue.png'").code == 0
    assert tags_of(cli, *ids.values()) == {
        ids["red.png"]: [("warm", "person")],
        ids["lime.png"]: [("cold", "person")],
        ids["blue.png"]: [("cold", "person")],
    }
    assert cli("tag", "remove", "cold", "--all").out == "untagged 2 images\n"
    assert counted(cli) == {"warm": 1}


def test_another_name_and_two_that_become_one(cli, indexed, ids) -> None:
    for tag, name in (("hot", "red.png"), ("hot", "lime.png"), ("cold", "blue.png")):
        assert cli("tag", "add", tag, str(ids[name])).code == 0
    assert cli("tag", "rename", "hot", "warm").out == "renamed the tag of 2 images\n"
    assert counted(cli) == {"cold": 1, "warm": 2}
    assert cli("tag", "rename", "cold", "warm", "--json").json("tag")["changed"] == 1
    assert counted(cli) == {"warm": 3}


def test_a_picture_in_an_archive_as_it_is_shown(cli, pictures, tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(pictures / "red.png", "warm/red.png")
        archive.write(pictures / "lime.png", "lime.png")
    assert cli("index", tmp_path / "all.zip", "--encoder", "fake").code == 0
    (hit,) = cli("search", "red", "-n", "1", "--json").json("search")["hits"]
    assert hit["path"].endswith("all.zip!/warm/red.png")
    assert cli("tag", "add", "warm", hit["path"]).out == "tagged 1 image\n"
    assert tags_of(cli, hit["image_id"]) == {hit["image_id"]: [("warm", "person")]}
    assert "no image" in cli("tag", "add", "warm", str(tmp_path / "all.zip!/blue.png")).err


def test_ids_and_files_from_stdin(cli, indexed, ids, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{ids['red.png']}\n\n{indexed / 'lime.png'}\n"))
    assert cli("tag", "add", "bright", "-").out == "tagged 2 images\n"
    assert counted(cli) == {"bright": 2}


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_from_a_table(cli, indexed, ids, tmp_path, form) -> None:
    rows = [(indexed / "red.png", "warm"), (indexed / "below" / "blue.png", "cold"), ("gone.png", "cold")]
    file = tmp_path / f"labels.{form}"
    if form == "csv":
        file.write_text("path,tag\n" + "".join(f"{path},{tag}\n" for path, tag in rows))
    else:
        file.write_text("".join(json.dumps({"path": str(path), "tag": tag}) + "\n" for path, tag in rows))
    found = cli("tag", "add", "--from", file, "--by", "table", "--json").json("tag")
    assert (found["changed"], found["missing"]) == (2, ["gone.png"])
    assert tags_of(cli, ids["red.png"]) == {ids["red.png"]: [("warm", "table")]}
    # A person's word goes over what a table has said, and not the other way round.
    assert cli("tag", "add", "warm", str(ids["red.png"])).out == "tagged 1 image\n"
    assert cli("tag", "add", "warm", str(ids["red.png"]), "--by", "table").out.startswith("tagged 0 images")
    assert tags_of(cli, ids["red.png"]) == {ids["red.png"]: [("warm", "person")]}


@pytest.mark.parametrize(
    ("arguments", "said", "hint"),
    [
        (["add"], "no tag is named", "imseek tag add TAG"),
        (["add", "warm"], "no images are given", "stdin"),
        (["add", " ", "0"], "a tag must not be empty", None),
        (["add", "a\nb", "0"], "one line", None),
        (["add", "x" * 201, "0"], "200 characters", None),
        (["add", "warm", "4711"], "no image 4711 in this collection", "ids"),
        (["add", "warm", "nothing.png"], "nothing.png", "ids"),
        (
            ["add", "warm", "4711", "--from", "x.csv"],
            "--from reads both tags and images from the table",
            None,
        ),
        (["add", "--from", "nothing.csv"], "cannot read nothing.csv", None),
        (["add", "warm", "--where", "nothing = 1"], "no column 'nothing'", None),
        (["remove", "warn", "0"], "no image has the tag 'warn'", "did you mean warm"),
        (["remove", "warm"], "choose the images to remove the tag from", "--all"),
        (["remove", "warm", "0", "--all"], "--all goes without", None),
        (["rename", "warn", "hot"], "no image has the tag 'warn'", "did you mean warm"),
        (["rename", "warm", "warm"], "is already its name", "give another"),
        (["rename", "warm", " "], "a tag must not be empty", None),
        (["list", "4711"], "no image 4711", None),
    ],
)
def test_requests_that_make_no_sense(cli, indexed, ids, arguments, said, hint) -> None:
    assert cli("tag", "add", "warm", str(ids["red.png"])).code == 0
    outcome = cli("tag", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err.replace("\\x0a", "")
    assert hint is None or hint in outcome.err
    assert cli("tag", *arguments, "--json").json("error")["error"]["message"]
    assert counted(cli) == {"warm": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,label\na.png,b\n", "no column tag"),
        ("path,tag\n,b\n", "row 1: no image is named"),
        ("image_id,tag\nfive,b\n", "row 1: 'five' is not an id"),
        ("image_id,tag\n0,b,c\n", "row 1: 3 fields"),
        ("image_id,tag\n0,\n", "a tag must not be empty"),
        ("", "the table is empty"),
    ],
)
def test_tables_with_errors(cli, ids, tmp_path, text, said) -> None:
    (tmp_path / "labels.csv").write_text(text)
    outcome = cli("tag", "add", "--from", tmp_path / "labels.csv")
    assert outcome.code == 2
    assert said in outcome.err
    assert counted(cli) == {}
