"""``--csv`` of commands that list: a table for other programs, alone on stdout if it is written there."""

from __future__ import annotations

import csv
import io
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from probing import album

from imseek.search import Query
from imseek.types.search_results import SearchResult
from imseek.ui.cli.app import command
from imseek.ui.cli.output_flags import OutputOptions
from imseek.ui.cli.reference import commands

POLICY = """\
concepts:
  - name: reddish
    positive: red
    negative: [blue, lime]
    threshold: 0.6
"""

#: A call of each command, some columns, and how many rows it has.
LISTS = [
    ("search red -n 2", ("rank", "score", "image_id", "path"), 2),
    ("similar album/red/00.png -n 2", ("rank", "score", "image_id"), 2),
    ("duplicates find", ("group", "image_id", "path"), 2),
    ("captions -n 2", ("score", "image_id", "path", "caption"), 2),
    ("tag list", ("tag", "images", "given_by"), 3),
    ("tag list album/red/00.png album/lime/00.png", ("image_id", "tag", "given_by"), 2),
    ("clusters -k 3", ("cluster", "size", "image_id"), 3),
    ("outliers -n 2", ("score", "image_id", "path"), 2),
    ("sample --random 2", ("weight", "image_id", "path"), 2),
    ("dataset balance --by folder", ("name", "count", "share"), 4),
    ("label --classes red,lime,blue -n 1", ("image_id", "path", "label", "probability"), 25),
    ("moderate --policy policy.yaml -n 1", ("image_id", "path", "concept", "probability"), 9),
    ("probe list", ("name", "method", "labels", "accuracy"), 1),
    ("probe propose colours -n 2", ("image_id", "path", "reason", "label"), 2),
    ("album list", ("name", "images", "cover"), 1),
    ("facets format", ("column", "value", "images"), 1),
    ("source list", ("source_id", "path", "images"), 1),
    ("collection list", ("name", "path", "images"), 1),
    ("jobs list", ("job_id", "state", "kind", "progress"), 5),
    ("encoders list dinov2", ("reference", "licence", "download_bytes"), None),
]  # fmt: skip
#: Needs weights that are nowhere here: tests/e2e/test_cli_aesthetic.py.
UNTRIED = {("aesthetic",)}


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one collection, and the folder it was made in: 25 pictures of three colours, tags, and a probe."""
    folder = tmp_path_factory.mktemp("lists")
    album(folder / "album")
    exif = Image.Exif()
    exif[0x010E] = "a wall, red"
    for name in ("red/01.png", "red/02.png", "lime/01.png"):
        with Image.open(folder / "album" / name) as picture:
            picture.save(folder / "album" / name, exif=exif)
    (folder / "album/copy.png").write_bytes((folder / "album/red/00.png").read_bytes())
    (folder / "policy.yaml").write_text(POLICY)
    return folder


@pytest.fixture
def listed(cli, collection, monkeypatch):
    """The command line over that collection, which the first test makes."""
    monkeypatch.setenv("IMSEEK_HOME", str(collection / "home"))
    monkeypatch.chdir(collection)
    if not (collection / "home").exists():
        for line in (
            "index album --encoder fake --captions",
            "tag add red album/red/00.png album/red/01.png album/red/03.png",
            "tag add lime album/lime/00.png album/lime/01.png album/lime/03.png",
            "probe fit colours --tags red,lime",
            "album create best album/red/01.png",
        ):
            assert cli(*shlex.split(line)).code == 0, line
    return cli


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_every_command_with_the_option_is_tried() -> None:
    """A new list is added above."""
    found = set()
    for words in commands(command()):
        group = command()
        for word in words:
            group = group.commands[word]
        if any("--csv" in one.opts for one in group.params):
            found.add(words)
    tried = {words for line, _, _ in LISTS for words in found if tuple(line.split()[: len(words)]) == words}
    assert found - tried == UNTRIED


@pytest.mark.parametrize(("line", "columns", "count"), LISTS)
def test_a_list_as_csv(listed, tmp_path, line, columns, count) -> None:
    target = tmp_path / "list.csv"
    outcome = listed(*shlex.split(line), "--csv", target)
    assert outcome.code == 0, outcome.err
    assert f"wrote {target} (csv)" in outcome.err
    assert outcome.out, "the list is printed as well"
    found = rows(target.read_text())
    assert found
    assert count in (None, len(found))
    for name in columns:
        assert any(row[name] for row in found), name
    again = listed(*shlex.split(line), "--csv", target)
    assert (again.code, "is there already" in again.err) == (2, True)
    assert listed(*shlex.split(line), "--csv", target, "--force").code == 0


@pytest.mark.parametrize("stdout", ["-", "/dev/stdout"])
@pytest.mark.parametrize("line", [line for line, _, _ in LISTS])
def test_it_cannot_share_stdout_with_json(listed, line, stdout) -> None:
    outcome = listed(*shlex.split(line), "--csv", stdout, "--json")
    assert (outcome.code, outcome.out) == (2, "")
    assert "leave out --json" in outcome.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "stdout"),
    [("tag list", "/dev/stdout"), ("probe propose colours -n 2", "-"), ("outliers -n 2", "-"), ("search red", "-")],
)
def test_on_stdout_it_is_alone(listed, collection, line, stdout) -> None:
    """In a process of its own, since what is captured here is no file that /dev/stdout could lead to."""
    words = [sys.executable, "-m", "imseek", *shlex.split(line), "--csv", stdout]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert len({len(row) for row in csv.reader(io.StringIO(done.stdout))}) == 1
    assert "wrote" not in done.stderr
    assert not (collection / "-").exists()


def test_notes_go_to_stderr_then(capsys: pytest.CaptureFixture[str]) -> None:
    found = SearchResult((), 1, 1, "fake", ("a note",))
    OutputOptions(csv=Path("-")).show(found, Query("red"), {}, following=None, has_where=False)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "a note\n")


def test_tags_of_images_can_be_read_back(listed, tmp_path) -> None:
    assert listed("tag", "list", "album/red/00.png", "album/lime/00.png", "--csv", tmp_path / "tags.csv").code == 0
    assert "tagged 0 images; 2 had it already" in listed("tag", "add", "--from", tmp_path / "tags.csv").out


def test_names_of_any_bytes(cli, pictures, tmp_path) -> None:
    (pictures / "red.png").rename(pictures / os.fsdecode(b'r\xe9d "1", x.png'))
    assert cli("index", pictures, "--encoder", "fake").code == 0
    target = tmp_path / "labels.csv"
    assert cli("label", "--classes", "red,lime,blue", "--csv", target).code == 0
    (odd,) = (row for row in rows(target.read_text()) if row["path_b64"])
    assert odd["path"].endswith('r\\xe9d "1", x.png')


def test_an_empty_list_has_its_columns(cli, home, tmp_path) -> None:
    assert cli("collection", "list", "--csv", tmp_path / "none.csv").code == 0
    assert (tmp_path / "none.csv").read_bytes() == b"name,path,path_b64,images,problem\r\n"


def test_label_forget_lists_nothing(cli, indexed, tmp_path) -> None:
    outcome = cli("label", "--forget", "kind", "--csv", tmp_path / "x.csv")
    assert (outcome.code, "leave out --csv" in outcome.err) == (2, True)


@pytest.mark.parametrize(("word", "kinds"), [("dinov2", "image"), ("openclip", "image text")])
def test_kinds_of_input_are_separate_words(listed, tmp_path, word, kinds) -> None:
    assert listed("encoders", "list", word, "--csv", tmp_path / "list.csv").code == 0
    assert {row["modalities"] for row in rows((tmp_path / "list.csv").read_text())} == {kinds}
