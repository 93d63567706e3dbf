"""What goes out: which images, in which order, complete or not at all, and as tables of text."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import threading
from pathlib import Path

import pytest
from templates import Templates

import imseek
from imseek import export, maintenance, tags
from imseek.errors import (
    ImageNotFoundError,
    QueryError,
    StaleGenerationError,
    StorageError,
    UsageError,
)
from imseek.exports.results import ExportOptions
from imseek.exports.selection import Block

pytestmark = pytest.mark.full_size


@pytest.fixture
def root(tmp_path: Path, photos: Path, templates: Templates) -> Path:
    """Eight photographs, one of them with a caption and a name that is not UTF-8."""
    (photos / "coffee.png").rename(photos / os.fsdecode(b"caf\xe9.png"))
    (photos / "chelsea.txt").write_text('=a cat, "looking"')
    return templates.indexed(tmp_path / "made", photos)


def by_name(root: Path) -> dict[str, int]:
    with imseek.open(root) as collection:
        ids = list(range(collection.info().images + 1))
        found = collection.get_many(ids)
    return {Path(os.fsdecode(image.place.path)).name: i for i, image in found.items() if image.place}


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class TestWhich:
    def test_all_by_id(self, root, tmp_path) -> None:
        report = export.write(root, tmp_path / "all.jsonl")
        rows = lines_of(tmp_path / "all.jsonl")
        assert [row["image_id"] for row in rows] == sorted(by_name(root).values())
        assert (report.images, report.files, report.format) == (8, 1, "jsonl")
        assert report.bytes == (tmp_path / "all.jsonl").stat().st_size
        assert report.encoder is None

    def test_where_and_tags(self, root, tmp_path) -> None:
        names = by_name(root)
        tags.add(root, "it's", [names["chelsea.png"], names["rocket.jpg"]])
        export.write(root, tmp_path / "a.jsonl", tags=["it's"])
        assert {row["image_id"] for row in lines_of(tmp_path / "a.jsonl")} == {
            names["chelsea.png"],
            names["rocket.jpg"],
        }
        export.write(root, tmp_path / "b.jsonl", tags=["it's"], where="format = 'JPEG' OR width < 0")
        (row,) = lines_of(tmp_path / "b.jsonl")
        assert (row["image_id"], row["tags"], row["format"]) == (names["rocket.jpg"], ["it's"], "JPEG")
        with pytest.raises(QueryError):
            export.write(root, tmp_path / "c.jsonl", where="nonsense = 1")
        assert not (tmp_path / "c.jsonl").exists()

    def test_ids_in_their_order(self, root, tmp_path) -> None:
        names = by_name(root)
        wanted = [names["rocket.jpg"], names["astronaut.png"], names["rocket.jpg"], names["china.jpg"]]
        export.write(root, tmp_path / "a.jsonl", ids=wanted)
        found = [row["image_id"] for row in lines_of(tmp_path / "a.jsonl")]
        assert found == [names["rocket.jpg"], names["astronaut.png"], names["china.jpg"]]
        export.write(root, tmp_path / "b.jsonl", ids=wanted, where="format = 'JPEG'")
        assert [row["image_id"] for row in lines_of(tmp_path / "b.jsonl")] == [wanted[0], wanted[3]]
        with pytest.raises(ImageNotFoundError, match="no image 4711"):
            export.write(root, tmp_path / "c.jsonl", ids=[wanted[0], 4711])

    def test_a_query_as_it_is_answered(self, root, tmp_path) -> None:
        query = imseek.Query((imseek.Term(text="red"),), limit=5, where="width > 300")
        with imseek.open(root) as collection:
            hits = collection.search(query).hits
            export.write(collection, tmp_path / "a.jsonl", query=query)
        rows = lines_of(tmp_path / "a.jsonl")
        assert [row["image_id"] for row in rows] == [hit.image_id for hit in hits]
        assert [row["score"] for row in rows] == pytest.approx([hit.score for hit in hits], abs=1e-6)
        assert len(rows) == 5
        with pytest.raises(UsageError, match="ids and a query"):
            export.write(root, tmp_path / "b.jsonl", query=query, ids=[1])

    def test_what_has_left_is_not_there(self, root, photos, tmp_path) -> None:
        gone = by_name(root)["rocket.jpg"]
        (photos / "rocket.jpg").unlink()
        with imseek.open(root) as collection:
            collection.index()
        export.write(root, tmp_path / "a.jsonl")
        ids = [row["image_id"] for row in lines_of(tmp_path / "a.jsonl")]
        assert len(ids) == 7
        assert gone not in ids
        with pytest.raises(ImageNotFoundError):
            export.write(root, tmp_path / "b.jsonl", ids=[gone])


class TestPlacing:
    def test_nothing_is_written_over_unless_asked(self, root, tmp_path) -> None:
        target = tmp_path / "a.jsonl"
        target.write_text("mine")
        with pytest.raises(UsageError, match="is there already"):
            export.write(root, target)
        assert target.read_text() == "mine"
        export.write(root, target, force=True)
        assert len(lines_of(target)) == 8
        assert sorted(one.name for one in tmp_path.iterdir()) == ["a.jsonl", "made", "photos"]

    def test_interrupted_it_leaves_nothing(self, root, tmp_path) -> None:
        stop = threading.Event()
        stop.set()
        with pytest.raises(InterruptedError):
            export.write(root, tmp_path / "a.jsonl", stop=stop)
        assert sorted(one.name for one in tmp_path.iterdir()) == ["made", "photos"]

    def test_a_full_disk_leaves_nothing(self, root, tmp_path, monkeypatch) -> None:
        def full(*_: object, **__: object) -> bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        (tmp_path / "a.csv").write_text("mine")
        monkeypatch.setattr("imseek.exports.tabular._encode_rows", full)
        with pytest.raises(StorageError, match="No space left"):
            export.write(root, tmp_path / "a.csv", force=True)
        assert (tmp_path / "a.csv").read_text() == "mine"
        assert sorted(one.name for one in tmp_path.iterdir()) == ["a.csv", "made", "photos"]

    def test_a_name_may_be_as_long_as_names_can_be(self, root, tmp_path) -> None:
        for name in ("写" * 83 + ".jsonl", "a" * 249 + ".jsonl"):
            assert len(os.fsencode(name)) == 255
            assert export.write(root, tmp_path / name).images == 8
            assert len(lines_of(tmp_path / name)) == 8
        assert export.write(root, tmp_path / ("f" * 255), format="faiss").images == 8

    def test_what_was_killed_is_cleared_away(self, root, tmp_path) -> None:
        left = [tmp_path / f".imseek-export-{name}-x" for name in ("a.jsonl", "other.csv")]
        for folder in left:
            folder.mkdir()
            (folder / "export").write_bytes(b"half")
            os.utime(folder, (1, 1))
        export.write(root, tmp_path / "a.jsonl")
        assert [folder.exists() for folder in left] == [False, True]

    def test_where_nothing_can_be_written_the_folder_is_named(self, root, tmp_path, monkeypatch) -> None:
        def refused(**_: object) -> str:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(tmp_path / ".imseek-export-x"))

        monkeypatch.setattr("tempfile.mkdtemp", refused)
        with pytest.raises(StorageError) as told:
            export.write(root, tmp_path / "a.csv")
        assert (str(told.value), told.value.hint) == (f"{tmp_path}: Read-only file system", None)

    def test_a_purge_that_comes_between_has_it_begin_anew(self, root, tmp_path, photos, monkeypatch) -> None:
        """What was written of the older generation goes, and all is of the newer one."""
        rows, times = Block.rows, []

        def purged_once(block):
            yield from rows(block)
            times.append(len(block))
            if len(times) == 1:
                (photos / "rocket.jpg").unlink()
                with imseek.open(root) as collection:
                    collection.index()
                maintenance.purge(root)
                raise StaleGenerationError("gone", hint="again")

        monkeypatch.setattr(Block, "rows", purged_once)
        report = export.write(root, tmp_path / "a.jsonl")
        assert times == [8, 7]
        assert report.images == len(lines_of(tmp_path / "a.jsonl")) == 7
        assert sorted(one.name for one in tmp_path.iterdir()) == ["a.jsonl", "made", "photos"]

    def test_not_into_the_collection_and_not_into_nothing(self, root, tmp_path) -> None:
        with pytest.raises(UsageError, match="is inside the collection"):
            export.write(root, root / "a.jsonl")
        with pytest.raises(UsageError, match="no folder"):
            export.write(root, tmp_path / "nowhere" / "a.jsonl")
        with pytest.raises(UsageError, match="is a URL"):
            export.write(root, "s3://bucket/a.jsonl")
        with pytest.raises(UsageError, match="too long"):
            export.write(root, tmp_path / ("a" * 256), format="faiss")
        with pytest.raises(UsageError, match="cannot tell the format from the file name"):
            export.write(root, tmp_path / "a.xyz")
        with pytest.raises(UsageError, match="is not a format") as refused:
            export.write(root, tmp_path / "a", format="josnl")
        assert refused.value.hint == "did you mean jsonl?"
        with pytest.raises(UsageError, match="spreadsheet is nothing that jsonl knows"):
            export.write(root, tmp_path / "a.jsonl", options=ExportOptions(spreadsheet=True))

    def test_what_no_id_and_no_option_can_be(self, root, tmp_path) -> None:
        for ids in ([1.5], ["1"], [None]):
            with pytest.raises(UsageError, match="ids are whole numbers"):
                export.write(root, tmp_path / "a.csv", ids=ids)
        for number in (-1, 2**70):
            with pytest.raises(ImageNotFoundError, match=f"no image {number}"):
                export.write(root, tmp_path / "a.csv", ids=[number])
        for options, said in (
            ({"link": "soft"}, "link is 'soft'"),
            ({"shard_images": 0}, "shard_images is 0"),
            ({"shard_size": -1}, "shard_size is -1"),
        ):
            kind = "imagefolder" if "link" in options else "webdataset"
            with pytest.raises(UsageError, match=said):
                export.write(root, tmp_path / "a", format=kind, options=ExportOptions(**options))
        assert sorted(one.name for one in tmp_path.iterdir()) == ["made", "photos"]

    def test_what_is_wrong_with_a_condition_is_told_as_it_was_typed(self, root, tmp_path) -> None:
        with pytest.raises(QueryError) as refused:
            export.write(root, tmp_path / "a.jsonl", where="width >")
        assert str(refused.value).endswith(": width ▸>◂")
        either = "width < 0 OR height > 0"
        tags.add(root, "one", [1])
        assert export.write(root, tmp_path / "b.jsonl", where=either, tags=["one"]).images == 1
        hits = export.write(root, tmp_path / "c.jsonl", where=either, tags=["one"], query="red")
        assert hits.images == 1


class TestTables:
    def test_json_lines_have_what_get_has(self, root, tmp_path) -> None:
        export.write(root, tmp_path / "a.jsonl")
        names = by_name(root)
        with imseek.open(root) as collection:
            for row in lines_of(tmp_path / "a.jsonl"):
                image = collection.get(row["image_id"])
                assert row["content_hash"] == image.content_hash
                assert {name: row[name] for name in image.metadata} == dict(image.metadata)
                assert row["uri"] == image.place.uri
        odd = next(
            row for row in lines_of(tmp_path / "a.jsonl") if row["image_id"] == names[os.fsdecode(b"caf\xe9.png")]
        )
        assert odd["path"].endswith("caf\\xe9.png")
        assert odd["path_b64"]

    def test_csv_is_read_back(self, root, tmp_path) -> None:
        names = by_name(root)
        tags.add(root, "animal", [names["chelsea.png"]])
        tags.add(root, "small", [names["chelsea.png"]])
        export.write(root, tmp_path / "a.csv")
        export.write(root, tmp_path / "a.jsonl")
        with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for row, told in zip(rows, lines_of(tmp_path / "a.jsonl"), strict=True):
            known = {name: value for name, value in row.items() if value and name != "tags"}
            assert known == {name: str(value) for name, value in told.items() if name != "tags"}
        (cat,) = [row for row in rows if row["image_id"] == str(names["chelsea.png"])]
        assert cat["caption"] == '=a cat, "looking"'
        assert cat["tags"] == "animal; small"

    def test_no_formula_reaches_a_spreadsheet_where_that_is_asked(self, root, tmp_path) -> None:
        export.write(root, tmp_path / "a.csv", options=ExportOptions(spreadsheet=True))
        with (tmp_path / "a.csv").open(newline="") as file:
            captions = {row["caption"] for row in csv.DictReader(file)}
        assert captions == {"", '\'=a cat, "looking"'}

    def test_nor_one_in_the_name_of_a_column(self, photos, tmp_path) -> None:
        table = photos / "metadata.jsonl"
        table.write_text(json.dumps({"file_name": "rocket.jpg", "=1+1": "two"}) + "\n")
        with imseek.create(tmp_path / "made", encoder="fake") as collection:
            collection.index([photos])
        for spreadsheet, head in ((False, "=1+1"), (True, "'=1+1")):
            out = io.BytesIO()
            export.write(collection, out, format="csv", options=ExportOptions(spreadsheet=spreadsheet))
            rows = list(csv.DictReader(io.StringIO(out.getvalue().decode())))
            assert {row[head] for row in rows} == {"", "two"}

    def test_a_raw_stream_gets_all_of_it(self, root) -> None:
        class Slow(io.RawIOBase):
            """Takes seven bytes at a time, as a socket may."""

            taken = b""

            def write(self, data) -> int:
                self.taken += bytes(data[:7])
                return min(len(data), 7)

        whole, slow = io.BytesIO(), Slow()
        assert export.write(root, slow, format="csv").bytes == export.write(root, whole, format="csv").bytes
        assert slow.taken == whole.getvalue()
        imseek.backup.write(root, slow := Slow())
        assert imseek.backup.verify(io.BytesIO(slow.taken)).backup.images == 8

    def test_a_stream(self, root, tmp_path) -> None:
        out = io.BytesIO()
        report = export.write(root, out, format="csv", where="format = 'JPEG'")
        rows = list(csv.DictReader(io.StringIO(out.getvalue().decode())))
        assert {row["format"] for row in rows} == {"JPEG"}
        assert (report.images, report.bytes, report.target) == (len(rows), len(out.getvalue()), b"-")
