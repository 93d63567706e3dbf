"""Vectors that go out: other libraries read the very bits that are stored, and find what imseek finds."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from snapshotting import add, clustered, collection_of, ids_of, remove

import imseek
from imseek import export, tags
from imseek.data.reader import Reader
from imseek.errors import StorageError, UsageError
from imseek.exports.results import ExportOptions


@pytest.fixture(scope="module")
def root(tmp_path_factory, photo_files) -> Path:
    """Eight photographs, one with a caption that is embedded, and two tags."""
    folder = tmp_path_factory.mktemp("exported")
    photos = folder / "photos"
    photos.mkdir()
    for path in photo_files:
        shutil.copyfile(path, photos / path.name)
    (photos / "chelsea.txt").write_text("a red cat\nlooking")
    with imseek.create(folder / "made", encoder="fake", captions=True) as collection:
        collection.index([photos])
    tags.add(folder / "made", "first", [0, 3])
    tags.add(folder / "made", "second", [3])
    return folder / "made"


def stored(root: Path) -> dict[int, bytes]:
    """By id the bits of the vector."""
    reader = Reader(root)
    segments = reader.segments(reader.current.space.space_id)
    return {
        int(i): segment.rows[n].tobytes()
        for segment in segments
        for n, i in enumerate(segment.ids)
        if n not in segment.dead
    }


def exact(root: Path, vector: np.ndarray, limit: int) -> list[tuple[int, float]]:
    with imseek.open(root) as collection:
        query = imseek.Query((imseek.Term(vector=vector),), limit=limit, exact=True)
        return [(hit.image_id, hit.score) for hit in collection.search(query).hits]


def same_order(found: list[tuple[int, float]], expected: list[tuple[int, float]], near: float) -> None:
    """Scores are equal within ``near``, and so are ids, but among scores that near to each other."""
    assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=near)
    known = dict(expected)
    for (i, _), (j, score) in zip(found, expected, strict=True):
        assert i == j or known.get(i, expected[-1][1]) == pytest.approx(score, abs=2 * near)


@pytest.fixture(scope="module")
def table(root, tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("table") / "all.parquet"
    report = export.write(root, target)
    assert (report.images, report.encoder, report.files) == (8, "fake", 1)
    return target


@pytest.fixture(scope="module")
def told(root) -> dict[int, imseek.Image]:
    with imseek.open(root) as collection:
        return collection.get_many(range(8))


class TestParquet:
    def check(self, root, told, rows) -> None:
        """``rows`` are (id, path, width, caption, tags, vector)."""
        bits = stored(root)
        assert [row[0] for row in rows] == sorted(bits)
        for image_id, path, width, caption, given, vector in rows:
            image = told[image_id]
            assert path == image.place.display
            assert width == image.metadata["width"]
            assert caption == image.metadata.get("caption")
            assert list(given) == list(image.tags)
            assert np.asarray(vector, np.float16).tobytes() == bits[image_id]

    NAMES = ("image_id", "path", "width", "caption", "tags", "vector")

    def test_duckdb(self, root, told, table) -> None:
        import duckdb

        with duckdb.connect() as connection:
            query = f"SELECT {', '.join(self.NAMES)} FROM read_parquet(?) ORDER BY image_id"
            self.check(root, told, connection.execute(query, [str(table)]).fetchall())
            keys = connection.execute("SELECT key, value FROM parquet_kv_metadata(?)", [str(table)]).fetchall()
        known = {bytes(key).decode(): bytes(value).decode() for key, value in keys}
        space = Reader(root).current.space
        assert known["imseek.encoder"] == "fake"
        assert known["imseek.fingerprint"] == space.fingerprint
        assert known["imseek.dim"] == str(space.dim)
        assert known["imseek.vector"] == "vector"

    def test_polars(self, root, told, table) -> None:
        import polars

        frame = polars.read_parquet(table)
        assert frame.schema["vector"] == polars.Array(polars.Float16, 64)
        self.check(root, told, frame.select(self.NAMES).rows())

    def test_pandas(self, root, told, table) -> None:
        import pandas

        frame = pandas.read_parquet(table, columns=list(self.NAMES))
        assert np.stack(list(frame["vector"])).dtype == np.float16
        rows = [tuple(row) for row in frame.itertuples(index=False, name=None)]
        self.check(root, told, [(*row[:3], None if pandas.isna(row[3]) else row[3], *row[4:]) for row in rows])

    def test_datasets(self, root, told, table, tmp_path) -> None:
        import datasets

        read = datasets.Dataset.from_parquet(str(table), cache_dir=str(tmp_path), columns=list(self.NAMES))
        assert read.features["vector"].feature.dtype == "float16"
        assert read.features["vector"].length == 64
        self.check(root, told, [tuple(row[name] for name in self.NAMES) for row in read])

    def test_hits_have_their_scores_and_columns_of_sources_make_room(self, tmp_path) -> None:
        import pyarrow.parquet as pq
        from PIL import Image

        (tmp_path / "pictures").mkdir()
        for colour in ("red", "blue"):
            Image.new("RGB", (8, 8), colour).save(tmp_path / "pictures" / f"{colour}.png")
        lines = [
            json.dumps({"image": f"pictures/{colour}.png", "vector": colour, "score": n, "tags": "x"})
            for n, colour in enumerate(("red", "blue"))
        ]
        (tmp_path / "table.jsonl").write_text("\n".join(lines))
        with imseek.create(tmp_path / "made", encoder="fake") as collection:
            collection.index([tmp_path / "table.jsonl"])
            export.write(collection, tmp_path / "hits.parquet", query="red", limit=2)
        first, second = pq.read_table(tmp_path / "hits.parquet").to_pylist()
        assert (first["extra_vector"], first["extra_score"], first["extra_tags"]) == ("red", 0, "x")
        assert first["score"] > second["score"]
        assert first["tags"] == []


class TestFaiss:
    @pytest.mark.parametrize(("half", "near"), [(False, 1e-6), (True, 1e-3)])
    def test_it_answers_as_we_do(self, tmp_path, half, near) -> None:
        import faiss

        rows = clustered(5000, 1)
        root = collection_of(tmp_path / "made", rows)
        report = export.write(root, tmp_path / "out", format="faiss", options=ExportOptions(half=half))
        index, ids = (
            faiss.read_index(str(tmp_path / "out" / "images.index")),
            np.load(tmp_path / "out" / "ids.npy"),
        )
        assert index.ntotal == report.images == 5000
        assert type(index) is (faiss.IndexScalarQuantizer if half else faiss.IndexFlatIP)
        for query in clustered(5, 2):
            scores, at = index.search(query[np.newaxis], 50)
            found = list(zip(ids[at[0]].tolist(), scores[0].tolist(), strict=True))
            same_order(found, exact(root, query, 50), near)

    def test_of_some(self, root, tmp_path) -> None:
        import faiss

        export.write(root, tmp_path / "out", format="faiss", ids=[5, 2])
        assert np.load(tmp_path / "out" / "ids.npy").tolist() == [5, 2]
        index = faiss.read_index(str(tmp_path / "out" / "images.index"))
        vector = np.frombuffer(stored(root)[2], np.float16).astype(np.float32)
        assert index.search(vector[np.newaxis], 1)[1].tolist() == [[1]]


class TestClipRetrievalFolder:
    def test_whole_shards_are_linked_and_others_are_not(self, tmp_path) -> None:
        import pyarrow.parquet as pq

        rows = clustered(30, 1)
        root = collection_of(tmp_path / "made", rows[:20])
        add(root, rows[20:], "later")
        report = export.write(root, tmp_path / "out", format="clip-retrieval")
        assert (report.images, report.files, report.linked) == (30, 4, 2)
        out = tmp_path / "out"
        assert sorted(one.name for one in (out / "img_emb").iterdir()) == ["img_emb_0.npy", "img_emb_1.npy"]
        for n, shard in enumerate(sorted((root / "spaces/0/img_emb").glob("*.npy"))):
            assert (out / f"img_emb/img_emb_{n}.npy").samefile(shard)
        vectors = np.concatenate([np.load(out / f"img_emb/img_emb_{n}.npy") for n in range(2)])
        told = [row for n in range(2) for row in pq.read_table(out / f"metadata/metadata_{n}.parquet").to_pylist()]
        bits = stored(root)
        assert vectors.dtype == np.float16
        assert [row.tobytes() for row in vectors] == [bits[one["image_id"]] for one in told]
        assert json.loads((out / ".imseek-export.json").read_text())["encoder"] == "fake"

    def test_dead_rows_are_left_out(self, tmp_path, photos) -> None:
        import pyarrow.parquet as pq

        with imseek.create(tmp_path / "made", encoder="fake") as collection:
            collection.index([photos])
            (photos / "rocket.jpg").unlink()
            collection.index()
        report = export.write(tmp_path / "made", tmp_path / "out", format="clip-retrieval")
        assert (report.images, report.linked) == (7, 0)
        told = pq.read_table(tmp_path / "out/metadata/metadata_0.parquet").to_pylist()
        vectors = np.load(tmp_path / "out/img_emb/img_emb_0.npy")
        bits = stored(tmp_path / "made")
        assert "rocket.jpg" not in {Path(one["image_path"]).name for one in told}
        assert [row.tobytes() for row in vectors] == [bits[one["image_id"]] for one in told]

    def test_a_full_disk_is_told_and_nothing_is_left(self, root, tmp_path, monkeypatch) -> None:
        """Rows that are written through mapped memory end the process there (SIGBUS); of a file that is copied, it is
        the copy that has no room."""

        memmap = np.memmap

        def mapped(file: Any, dtype: Any, mode: str, *more: Any) -> Any:
            assert mode == "r", "written through mapped memory"
            return memmap(file, dtype, mode, *more)

        def full(source: Any, target: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target.name)

        monkeypatch.setattr(np, "memmap", mapped)
        assert export.write(root, tmp_path / "part", format="clip-retrieval", ids=[2, 1]).images == 2
        monkeypatch.setattr("shutil.copyfileobj", full)
        with pytest.raises(StorageError, match=r"img_emb_0\.npy: No space left"):
            export.write(root, tmp_path / "out", format="clip-retrieval", options=ExportOptions(copy=True))
        assert [one.name for one in tmp_path.iterdir()] == ["part"]

    def test_captions_and_copies(self, root, tmp_path) -> None:
        import pyarrow.parquet as pq

        options = ExportOptions(copy=True)
        report = export.write(root, tmp_path / "out", format="clip-retrieval", options=options)
        assert (report.linked, report.files) == (0, 3)
        told = pq.read_table(tmp_path / "out/metadata/metadata_0.parquet").to_pylist()
        texts = np.load(tmp_path / "out/text_emb/text_emb_0.npy")
        has = [one["caption"] is not None for one in told]
        assert sum(has) == 1
        assert texts.any(axis=1).tolist() == has
        assert (tmp_path / "out/img_emb/img_emb_0.npy").stat().st_nlink == 1
        some = export.write(root, tmp_path / "some", format="clip-retrieval", tags=["first"])
        assert some.linked == 0
        told = pq.read_table(tmp_path / "some/metadata/metadata_0.parquet").to_pylist()
        assert [(one["image_id"], one["tags"]) for one in told] == [(0, ["first"]), (3, ["first", "second"])]
        assert len(np.load(tmp_path / "some/text_emb/text_emb_0.npy")) == 2

    def test_replaced_only_where_it_is_an_export(self, root, tmp_path, monkeypatch) -> None:
        target = tmp_path / "out"
        target.mkdir()
        export.write(root, target, format="clip-retrieval", ids=[1])  # An empty folder is no one's.
        with pytest.raises(UsageError, match="holds an export already"):
            export.write(root, target, format="clip-retrieval")
        export.write(root, target, format="faiss", force=True)
        assert sorted(one.name for one in target.iterdir()) == [
            ".imseek-export.json",
            "ids.npy",
            "images.index",
        ]
        rename = Path.rename

        def fails(self: Path, to: Path) -> Path:
            if to == target and self.name != "before":
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return rename(self, to)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "rename", fails)
            with pytest.raises(StorageError):
                export.write(root, target, format="clip-retrieval", force=True)
        assert (target / "ids.npy").is_file(), "what was there is there again"
        assert [one.name for one in tmp_path.iterdir()] == ["out"]
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.txt").write_text("years of work")
        for force in (False, True):
            with pytest.raises(UsageError, match="is not empty"):
                export.write(root, tmp_path / "mine", format="faiss", force=force)
        assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
        assert sorted(one.name for one in tmp_path.iterdir()) == ["mine", "out"]


class TestManyRows:
    """More than a block, in several shards and row groups, some of them dead, in any order."""

    @pytest.fixture(scope="class")
    @classmethod
    def many(cls, tmp_path_factory) -> Path:
        folder = tmp_path_factory.mktemp("many")
        root = collection_of(folder / "made", clustered(6000, 1), clustered(3000, 2), clustered(500, 3))
        remove(root, range(4000, 4200))
        return root

    def test_each_row_has_its_own_facts_and_vector(self, many, tmp_path) -> None:
        import pyarrow.parquet as pq

        live = ids_of(many)
        assert len(live) == 9300
        wanted = np.random.default_rng(0).permutation(live)[:9000].tolist()
        export.write(many, tmp_path / "some.parquet", ids=wanted)
        export.write(many, tmp_path / "some.jsonl", ids=wanted)
        table = pq.read_table(tmp_path / "some.parquet")
        assert table["image_id"].to_pylist() == wanted
        bits, reader = stored(many), Reader(many)
        vectors = table["vector"].combine_chunks().flatten().to_numpy().reshape(-1, 64)
        assert [row.tobytes() for row in vectors] == [bits[i] for i in wanted]
        facts, places = reader.intrinsics(wanted, ["width", "content_hash"]), reader.places(wanted)
        assert table["width"].to_pylist() == [facts[i]["width"] for i in wanted]
        assert table["content_hash"].to_pylist() == [facts[i]["content_hash"].hex() for i in wanted]
        assert table["path"].to_pylist() == [places[i].display for i in wanted]
        rows = [json.loads(line) for line in (tmp_path / "some.jsonl").read_text().splitlines()]
        assert [(row["image_id"], row["width"], row["path"]) for row in rows] == [
            (i, facts[i]["width"], places[i].display) for i in wanted
        ]

    def test_clip_retrieval_and_back(self, many, tmp_path) -> None:
        import pyarrow.parquet as pq

        report = export.write(many, tmp_path / "out", format="clip-retrieval")
        assert (report.images, report.linked, report.files) == (9300, 2, 6)
        bits = stored(many)
        for n, count in enumerate((5800, 3000, 500)):
            told = pq.read_table(tmp_path / f"out/metadata/metadata_{n}.parquet", columns=["image_id"])
            vectors = np.load(tmp_path / f"out/img_emb/img_emb_{n}.npy")
            assert len(vectors) == count
            assert [row.tobytes() for row in vectors] == [bits[i] for i in told["image_id"].to_pylist()]
        with imseek.create(tmp_path / "again", encoder="fake") as collection:
            source = imseek.SourceOptions(encoder="fake")
            assert collection.index([tmp_path / "out"], source=source).added == 9300
            (query,) = clustered(1, 4)
            found = [hit.place.path for hit in collection.search(query, limit=20).hits]
        with imseek.open(many) as collection:
            assert found == [hit.place.path for hit in collection.search(query, limit=20).hits]
