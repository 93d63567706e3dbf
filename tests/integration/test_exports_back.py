"""Vectors in Parquet that come in: what was exported with the same bits, and columns of other tools."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from templates import Templates

import imseek
from imseek import SourceOptions, export
from imseek.data.reader import Reader
from imseek.errors import UsageError

FAKE = SourceOptions(encoder="fake", kind="vectors")


@pytest.fixture
def exported(tmp_path: Path, photos: Path, templates: Templates) -> Path:
    """Eight photographs with a caption, a name that is not UTF-8, and a derived column, as a Parquet file."""
    shutil.copyfile(photos / "coffee.png", photos / "b\udce9.png")
    (photos / "coffee.png").unlink()
    (photos / "chelsea.txt").write_text("a cat, looking")
    templates.indexed(tmp_path / "made", photos)
    imseek.dataset.save_quality(tmp_path / "made", "quality")
    export.write(tmp_path / "made", tmp_path / "out.parquet")
    return tmp_path / "out.parquet"


def known(root: Path) -> dict[bytes, tuple[bytes, dict]]:
    """By place the bits of the vector, and what is known of the image."""
    reader = Reader(root)
    ids = [int(i) for segment in reader.segments(0) for i in segment.ids[segment.searchable()]]
    rows = reader.vectors(ids, 0)
    images = reader.images(ids)
    return {images[i].place.path: (row.tobytes(), dict(images[i].metadata)) for i, row in zip(ids, rows, strict=True)}


class TestOurOwn:
    def test_the_same_bits_and_the_same_facts(self, exported, tmp_path) -> None:
        with imseek.create(tmp_path / "again", encoder="fake") as collection:
            report = collection.index([exported])
            assert (report.added, report.skipped, report.notes) == (8, 0, ())
            before, after = known(tmp_path / "made"), known(tmp_path / "again")
            assert before == after
            assert any(b"\xe9" in path for path in after)
            hit = collection.search("red", limit=1).hits[0]
            assert collection.read(hit.image_id) == Path(hit.place.path.decode()).read_bytes()
            again = collection.index([exported])
            assert (again.unchanged, again.added) == (8, 0)

    def test_bits_that_making_unit_would_change(self, exported, tmp_path) -> None:
        """Rounding moves the length of a stored row off 1: divided by it once more, it would be another."""
        table = pq.read_table(exported)
        rng = np.random.default_rng(0)
        rows = rng.standard_normal((len(table), 64))
        rows = (1.0005 * rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
        again = (rows / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)).astype(np.float16)
        assert (again != rows).any(), "rows that show it"
        column = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), 64)
        at = table.schema.get_field_index("vector")
        other = table.set_column(at, table.schema.field(at), column)
        pq.write_table(other, tmp_path / "other.parquet")
        with imseek.create(tmp_path / "again", encoder="fake") as collection:
            collection.index([tmp_path / "other.parquet"])
        assert {bits for bits, _ in known(tmp_path / "again").values()} == {row.tobytes() for row in rows}

    def test_under_a_name_that_is_not_utf_8(self, exported, tmp_path) -> None:
        other = exported.rename(tmp_path / os.fsdecode(b"caf\xe9.parquet"))
        with imseek.create(tmp_path / "again", encoder="fake") as collection:
            assert collection.index([other]).added == 8
        assert known(tmp_path / "made") == known(tmp_path / "again")

    def test_a_file_that_is_damaged_is_told(self, exported, tmp_path) -> None:
        data = bytearray(exported.read_bytes())
        at = len(data) // 3
        data[at : at + 400] = b"\xff" * 400
        exported.write_bytes(data)
        with imseek.create(tmp_path / "again", encoder="fake") as collection:
            (failure,) = collection.index([exported]).failures
        assert failure.reason == "corrupt"
        exported.write_bytes(data[: len(data) // 2])
        with imseek.create(tmp_path / "third", encoder="fake") as collection:
            (failure,) = collection.index([exported], source=FAKE).failures
        assert failure.reason == "corrupt"

    def test_another_encoder_refuses(self, exported, tmp_path) -> None:
        with (
            imseek.create(tmp_path / "again", encoder="fake:32") as collection,
            pytest.raises(UsageError, match="vectors of fake cannot join a collection that is encoded with fake:32"),
        ):
            collection.index([exported])

    def test_other_weights_refuse(self, exported, tmp_path) -> None:
        table = pq.read_table(exported)
        keys = {**table.schema.metadata, b"imseek.fingerprint": b"sha256:of other weights"}
        pq.write_table(table.replace_schema_metadata(keys), tmp_path / "other.parquet")
        with imseek.create(tmp_path / "again", encoder="fake") as collection:
            with pytest.raises(UsageError, match="with weights that are not this"):
                collection.index([tmp_path / "other.parquet"])
            assert collection.info().images == 0

    def test_as_a_table_it_names_pictures(self, exported, tmp_path) -> None:
        with imseek.create(tmp_path / "again", encoder="fake:32") as collection:
            report = collection.index([exported], source=SourceOptions(kind="table"))
        assert (report.added, report.skipped) == (7, 1)  # The name that is not UTF-8 is no path in a table.


def column_of(rows: np.ndarray, kind: str) -> pa.Array:
    """As other tools write vectors."""
    numbers = pa.array(rows.reshape(-1), {"half": pa.float16(), "double": pa.float64()}.get(kind, pa.float32()))
    if kind == "list":
        return pa.ListArray.from_arrays(np.arange(len(rows) + 1) * rows.shape[1], numbers)
    return pa.FixedSizeListArray.from_arrays(numbers, rows.shape[1])


class TestOthers:
    @pytest.fixture
    def rows(self, tmp_path, photos, templates) -> tuple[list[Path], np.ndarray]:
        templates.indexed(tmp_path / "made", photos)
        found = known(tmp_path / "made")
        paths = [Path(path.decode()) for path in found]
        return paths, np.array([np.frombuffer(bits, np.float16) for bits, _ in found.values()])

    @pytest.mark.parametrize("kind", ["list", "fixed", "half", "double"])
    def test_a_column_with_the_encoder_named(self, rows, tmp_path, kind) -> None:
        paths, vectors = rows
        table = pa.table(
            {
                "file_name": [path.name for path in paths],
                "emb": column_of(vectors.astype(np.float64), kind),
                "photographer": [f"someone {n}" for n in range(len(paths))],
            }
        )
        pq.write_table(table, paths[0].parent / "others.parquet")
        with imseek.create(tmp_path / "again", encoder="fake") as collection:
            with pytest.raises(UsageError, match="nothing in it says which encoder"):
                collection.index([paths[0].parent / "others.parquet"], source=SourceOptions(vector_column="emb"))
            report = collection.index([paths[0].parent / "others.parquet"], source=FAKE)
            assert (report.added, report.skipped) == (len(paths), 0)
            images = collection.get_many(range(len(paths)))
        assert [images[n].metadata["photographer"] for n in range(len(paths))] == table["photographer"].to_pylist()
        reader = Reader(tmp_path / "again")
        assert reader.vectors(range(len(paths)), 0).tobytes() == vectors.tobytes()

    def test_what_cannot_be_a_vector_is_told_row_by_row(self, rows, tmp_path) -> None:
        _, vectors = rows
        cells = [row.astype(np.float32).tolist() for row in vectors[:4]]
        table = pa.table({"emb": [None, cells[1], [0.0] * 64, [*cells[3][:63], None]], "n": [0, 1, 2, 3]})
        pq.write_table(table, tmp_path / "odd.parquet")
        with imseek.create(tmp_path / "again", encoder="fake") as collection:
            report = collection.index([tmp_path / "odd.parquet"], source=FAKE)
        assert report.added == 1
        assert [(one.reason, one.message) for one in report.failures] == [
            ("bad_vector", "the vector is not finite"),
            ("bad_vector", "the vector is all zeros"),
            ("bad_vector", "the vector is not finite"),
        ]
        pq.write_table(pa.table({"emb": [cells[0], cells[1][:5]]}), tmp_path / "short.parquet")
        with imseek.create(tmp_path / "third", encoder="fake") as collection:
            report = collection.index([tmp_path / "short.parquet"], source=FAKE)
        (failure,) = report.failures
        assert failure.reason == "corrupt"
        assert "row 1 has a vector of 5 numbers, not of 64" in failure.message

    def test_which_column_has_to_be_clear(self, rows, tmp_path) -> None:
        _, vectors = rows
        two = pa.table({"a": column_of(vectors, "fixed"), "b": column_of(vectors, "fixed")})
        pq.write_table(two, tmp_path / "two.parquet")
        pq.write_table(pa.table({"path": ["x.png"]}), tmp_path / "none.parquet")
        with imseek.create(tmp_path / "again", encoder="fake") as collection:
            with pytest.raises(UsageError, match="vectors may be in a or b"):
                collection.index([tmp_path / "two.parquet"], source=FAKE)
            with pytest.raises(UsageError, match="no column holds vectors"):
                collection.index([tmp_path / "none.parquet"], source=FAKE)
            with pytest.raises(UsageError, match="no column 'c' of vectors"):
                collection.index([tmp_path / "two.parquet"], source=SourceOptions(encoder="fake", vector_column="c"))
            named = SourceOptions(encoder="fake", vector_column="b")
            assert collection.index([tmp_path / "two.parquet"], source=named).added == len(vectors)

    def test_other_vectors_are_found_out(self, rows, tmp_path) -> None:
        paths, vectors = rows
        wrong = np.roll(vectors.astype(np.float32), 1, axis=1)
        table = pa.table({"path": [str(path) for path in paths], "emb": column_of(wrong, "fixed")})
        pq.write_table(table, tmp_path / "wrong.parquet")
        with (
            imseek.create(tmp_path / "again", encoder="fake") as collection,
            pytest.raises(UsageError, match="did not make these vectors"),
        ):
            collection.index([tmp_path / "wrong.parquet"], source=FAKE)


class TestOddFiles:
    def test_two_columns_of_one_name_are_no_choice(self, tmp_path) -> None:
        rows = pa.array(np.eye(64)[:3].tolist())
        table = pa.table([rows, rows], names=["vector", "vector"])
        told = {"imseek.vector": "vector", "imseek.encoder": "fake"}
        pq.write_table(table.replace_schema_metadata(told), tmp_path / "a.parquet")
        with (
            imseek.create(tmp_path / "made", encoder="fake") as collection,
            pytest.raises(UsageError, match="several columns 'vector'"),
        ):
            collection.index([tmp_path / "a.parquet"])

    def test_the_first_vector_may_be_empty(self, tmp_path) -> None:
        rows = [[], np.eye(64)[0].tolist()]
        pq.write_table(pa.table({"vector": rows}), tmp_path / "a.parquet")
        with imseek.create(tmp_path / "made", encoder="fake") as collection:
            (failure,) = collection.index([tmp_path / "a.parquet"], source=FAKE).failures
        assert "row 0 has a vector of 0 numbers, not of 64" in failure.message

    def test_a_picture_that_was_replaced_since_does_not_go_out(self, exported, tmp_path, photos) -> None:
        """Its content is not on record, but how many bytes it had."""
        with imseek.create(tmp_path / "again", encoder="fake") as collection:
            collection.index([exported])
        shutil.copyfile(photos / "camera.png", photos / "chelsea.png")
        report = export.write(tmp_path / "again", tmp_path / "out", format="imagefolder")
        assert report.images == 7
        assert [(Path(os.fsdecode(one.place.path)).name, one.reason) for one in report.skipped] == [
            ("chelsea.png", "content_changed")
        ]
