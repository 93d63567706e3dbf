"""CONTRIBUTING.md, "Where do I …": one of each is added to the registries that a contributor would edit, and works.

What is new stands in this module, in place of a module of its own; what is patched are the lines in the other files.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import documentation
import jsonschema
import numpy as np
import pytest
from documentation import ROOT
from PIL import Image

import imseek
from imseek.data.user_files.file_stat import UNKNOWN_STAT
from imseek.encoders import registry
from imseek.encoders.base import Encoder, EncoderInfo
from imseek.exports import formats
from imseek.exports.base import ExportJob, Format, WriteResult
from imseek.indexer import source_selection, sources
from imseek.indexer.sources import SourceRequest, detect
from imseek.indexer.sources.base import Container, Content, FoundImage, UnreachableEntry
from imseek.indexer.sources.local_files import find_file, read_file, trouble_at
from imseek.search import ranking_stages
from imseek.search.candidate_set import CandidateSet, StageContext
from imseek.search.query import Query, Term
from imseek.types.arrays import Float32, Pixels
from imseek.types.json_form import Count, Json
from imseek.ui.cli import app, main
from imseek.ui.cli.collection_choice import choose_collection
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.common_options import CollectionOption, JsonOption
from imseek.ui.render.json_schema import schema_of
from imseek.ui.render.result_json import Answer, print_answer, to_json

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, colour in COLOURS.items():
        Image.new("RGB", (24, 16), colour).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def photos(tmp_path: Path, pictures: Path) -> Iterator[imseek.Collection]:
    with imseek.create(tmp_path / "photos.imseek", encoder="fake") as opened:
        opened.index([pictures])
        yield opened


def names(result: imseek.SearchResult) -> list[str]:
    return [Path(os.fsdecode(hit.path)).name for hit in result.hits]


# An encoder family


class MeanColour:
    """Compares pictures and names of colours by the mean colour: ``mean-colour:rgb``."""

    precision = "fp32"

    def __init__(self, reference: str, **_: Any) -> None:
        self.info = EncoderInfo(reference, dim=3, image_size=1, licence="MIT")

    def fingerprint(self) -> str:
        return hashlib.sha256(b"mean colour").hexdigest()

    def prepare(self, pixels: Pixels) -> Float32:
        return pixels.mean((0, 1), dtype=np.float32)

    def encode_images(self, batch: Float32) -> Float32:
        rows: Float32 = batch / np.linalg.norm(batch, axis=1, keepdims=True)
        return rows

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        return self.encode_images(np.array([COLOURS[text] for text in texts], np.float32))

    def notes(self, texts: Sequence[str]) -> tuple[str, ...]:
        return ()


def test_an_encoder_family(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pictures: Path) -> None:
    with pytest.raises(imseek.errors.UnknownEncoderError):
        imseek.create(tmp_path / "photos.imseek", encoder="mean-colour:rgb")
    monkeypatch.setitem(registry._FAMILIES, "mean-colour", MeanColour)  # type: ignore[index] # a Mapping to all others
    assert isinstance(registry.load("mean-colour:rgb"), Encoder)
    with imseek.create(tmp_path / "photos.imseek", encoder="mean-colour:rgb") as photos:
        assert photos.index([pictures]).added == 3
    with imseek.open(tmp_path / "photos.imseek") as photos:
        for name in COLOURS:
            found = photos.search(name)
            assert names(found)[0] == f"{name}.png"
            assert found.hits[0].score == pytest.approx(1)
        assert photos.info().encoder.encoder == "mean-colour:rgb"


# A kind of source


class Album:
    """A folder with ``album.txt``: a line ``NAME: CAPTION`` for each picture that belongs to it."""

    threads = 0

    def __init__(self, request: SourceRequest) -> None:
        self._root = Path(os.fsdecode(request.root))
        self.notes: list[str] = []

    def trouble(self) -> str | None:
        return trouble_at(os.fsencode(self._root))

    def scan(self) -> Iterator[FoundImage | Container | UnreachableEntry]:
        for line in (self._root / "album.txt").read_text().splitlines():
            name, _, caption = line.partition(": ")
            yield replace(find_file(os.fsencode(name), self._full(os.fsencode(name))), caption=caption)

    def expand(self, container: Container) -> Iterator[FoundImage | UnreachableEntry]:
        return iter(())

    def load(self, found: FoundImage) -> Content:
        content = read_file(os.open(self._full(found.path), os.O_RDONLY))
        return replace(content, caption=found.caption)

    def portable(self, found: FoundImage) -> FoundImage | Content:
        return found

    def find(self, path: bytes) -> FoundImage:
        return FoundImage(path, UNKNOWN_STAT)

    def is_gone(self, path: bytes) -> bool:
        return trouble_at(self._full(path)) is not None

    def close(self) -> None:
        pass

    def _full(self, path: bytes) -> bytes:
        return os.fsencode(self._root / os.fsdecode(path))


def test_a_kind_of_source(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pictures: Path, later: Callable[[float], None]
) -> None:
    detected = detect.source_kind
    monkeypatch.setitem(sources._OPENERS, "album", Album)  # type: ignore[index] # as above
    monkeypatch.setattr(
        detect,
        "source_kind",
        lambda path: "album" if (Path(os.fsdecode(path)) / "album.txt").exists() else detected(path),
    )
    (pictures / "album.txt").write_text("red.png: a rose\nblue.png: the sea\n")
    later(60)  # files that were written a moment ago are read again
    with imseek.create(tmp_path / "photos.imseek", encoder="fake") as photos:
        assert photos.index([pictures]).added == 2
        assert [source.kind for source in photos.info().sources] == ["album"]
        found = photos.search("red")
        assert names(found) == ["red.png", "blue.png"]
        assert found.hits[0].metadata["caption"] == "a rose"
        assert Image.open(io.BytesIO(photos.read(found.hits[0].image_id))).size == (24, 16)
        (pictures / "album.txt").write_text("red.png: a rose\n")
        again = photos.index([pictures])
        assert (again.unchanged, again.removed) == (1, 0), "it exists: only a picture that is gone is removed"
        (pictures / "blue.png").unlink()
        assert photos.index([pictures]).removed == 1


def test_kinds_of_sources_that_a_user_may_name() -> None:
    assert sources._OPENERS.keys() - {"file"} == source_selection.KINDS


# An export format


def write_names(job: ExportJob) -> WriteResult:
    with job.stream() as out:
        for block in job.selection.blocks():
            names = [Path(row["path"]).name for row in block.rows()]
            out.write("".join(f"{name}\n" for name in names).encode())
    return WriteResult(len(job.selection))


def test_an_export_format(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, photos: imseek.Collection, capsysbinary: Any
) -> None:
    ours = Format("names", "file", "a name for each image", write_names, streams=True, endings=(".names",))
    monkeypatch.setitem(formats.FORMATS, "names", ours)  # type: ignore[index] # as above
    report = imseek.export.write(photos, tmp_path / "some.names", where="image_id > 0")
    assert (report.format, report.images) == ("names", 2)
    assert set((tmp_path / "some.names").read_text().split()) < {f"{name}.png" for name in COLOURS}
    assert main(["export", "-c", str(photos.path), "-", "--format", "names"]) == 0
    assert sorted(capsysbinary.readouterr().out.split()) == [b"blue.png", b"green.png", b"red.png"]


# A command, and a member of its result in JSON


@dataclass(frozen=True, slots=True)
class CountReport:
    """Outcome of counting."""

    images: Count
    """Number of images."""


@dataclass(frozen=True, slots=True)
class LongerReport(CountReport):
    """The same, with a new member."""

    mean: Annotated[float, Json(digits=2, minimum=0)] = field(default=1 / 3, kw_only=True)
    """A number that is rounded."""


counting = Group()


@counting.command()
def count(collection: CollectionOption = None, as_json: JsonOption = False) -> int:
    """Count images."""
    chosen = choose_collection(collection, quiet=as_json)
    with imseek.open(chosen.path) as opened:
        report = LongerReport(opened.info().images)
    if as_json:
        print_answer(report, chosen)
    else:
        print(report.images)
    return 0


def test_a_command(
    monkeypatch: pytest.MonkeyPatch, photos: imseek.Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    module = ModuleType("imseek.ui.cli.count")
    module.app = counting  # type: ignore[attr-defined] # a module as a contributor writes it
    monkeypatch.setitem(sys.modules, module.__name__, module)
    line = app._Command("count", "Count the images of a collection.")
    monkeypatch.setitem(app.SECTIONS["Look after"], "count", line)  # type: ignore[index] # as above
    app.command.cache_clear()
    try:
        assert main(["--help"]) == 0
        assert re.search(r"\n  count +Count the images", capsys.readouterr().out)
        assert main(["count", "--help"]) == 0
        assert "--json" in capsys.readouterr().out
        assert main(["count", "-c", str(photos.path)]) == 0
        assert capsys.readouterr().out == "3\n"
        assert main(["count", "-c", str(photos.path), "--json"]) == 0
        answer = json.loads(capsys.readouterr().out)
        assert (answer["images"], answer["mean"]) == (3, 0.33)
        jsonschema.validate(answer, schema_of(Answer[LongerReport], "count"))
        assert main(["count", "--no-such-option"]) == 2
    finally:
        app.command.cache_clear()


def test_a_member_of_a_result_in_json() -> None:
    """One line in the type: its JSON, its schema and its description follow."""
    assert to_json(CountReport(2)) == {"images": 2}
    assert to_json(LongerReport(2)) == {"images": 2, "mean": 0.33}
    schema = schema_of(LongerReport, "count")
    member = schema["properties"]["mean"]
    assert (member["type"], member["minimum"], member["description"]) == (
        "number",
        0,
        "A number that is rounded.",
    )
    assert "mean" in schema["required"]
    assert "mean" not in schema_of(CountReport, "count")["properties"]


# A re-ranking stage


@dataclass(frozen=True, slots=True)
class EvenQuery(Query):
    """A query with an option for a new stage."""

    even: bool = False


def keep_even(candidates: CandidateSet, query: Query, context: StageContext) -> CandidateSet:
    """Drop candidates with an odd id."""
    return candidates.take(np.flatnonzero(candidates.ids % 2 == 0))


@pytest.mark.parametrize("table", ["COLLECTION_STAGES", "MERGED_STAGES"])
def test_a_re_ranking_stage(monkeypatch: pytest.MonkeyPatch, photos: imseek.Collection, table: str) -> None:
    even: ranking_stages.Stage[Any] = ranking_stages.Stage(keep_even, lambda query: getattr(query, "even", False))
    monkeypatch.setattr(ranking_stages, table, (*getattr(ranking_stages, table), even))
    ids = [hit.image_id for hit in photos.search("red").hits]
    assert len(ids) == 3
    found = photos.search(EvenQuery((Term(text="red"),), even=True))
    assert [hit.image_id for hit in found.hits] == [one for one in ids if one % 2 == 0]
    first = photos.search(EvenQuery((Term(text="red"),), limit=1, even=True))
    assert first.next_page is not None
    second = photos.search(EvenQuery((Term(text="red"),), limit=1, even=True, page=first.next_page))
    assert [*first.hits, *second.hits] == [*found.hits], "a stage that needs all candidates gets them on each page"


# The section itself


def test_each_answer_names_three_files_at_most() -> None:
    section = documentation.read(ROOT / "CONTRIBUTING.md").split("## Where do I …\n")[1].split("\n## ")[0]
    rows = [row for row in section.splitlines() if row.startswith("| ")][1:]
    assert len(rows) >= 6
    for row in rows:
        edited = row.split("|")[2]
        assert 1 <= len(re.findall(r"`[\w/.]+\.(?:py|toml)`|\ba (?:module|package) in\b", edited)) <= 3, row
