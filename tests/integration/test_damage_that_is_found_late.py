"""Damage that nobody looks for before something fails: it is told as damage of the collection, and mended."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from templates import Templates

import imseek
from imseek.data.catalog.catalog_check import find_any_fault
from imseek.data.catalog.index_policy import policy_of
from imseek.data.repair.error_diagnosis import diagnose
from imseek.errors import CorruptCollectionError
from imseek.types.collection_info import IndexPolicy
from imseek.ui.cli import main


@pytest.fixture
def root(tmp_path: Path, photos: Path, templates: Templates) -> Path:
    path = tmp_path / "collection"
    return templates.indexed(path, photos)


def _execute(root: Path, statement: str) -> None:
    with closing(sqlite3.connect(root / "catalog.sqlite")) as connection, connection:
        connection.execute(statement)


@pytest.fixture(params=["UPDATE places SET path = 'text'", "UPDATE sources SET root = 'text'"])
def wrong(root: Path, request: pytest.FixtureRequest) -> Path:
    _execute(root, request.param)
    return root


def test_a_program_is_told_at_the_end_of_its_block(wrong: Path) -> None:
    with (
        pytest.raises(CorruptCollectionError, match="has a row that imseek does not write"),
        imseek.open(wrong) as collection,
    ):
        collection.search("red")


def test_the_command_line_says_it_without_a_traceback(wrong: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "red", "-c", str(wrong)]) == CorruptCollectionError.exit_code
    said = capsys.readouterr().err
    assert "has a row that imseek does not write" in said
    assert "imseek collection repair" in said


def test_what_a_sound_collection_has_nothing_to_do_with_stays(root: Path) -> None:
    with pytest.raises(KeyError, match="of the program's own"), imseek.open(root):
        raise KeyError("of the program's own")
    assert diagnose(KeyError("x"), root) is None
    assert diagnose(KeyboardInterrupt(), root) is None


def test_ids_that_do_not_ascend(root: Path) -> None:
    import numpy as np

    ids = root / "metadata/000000.ids.npy"
    values = np.load(ids)
    np.save(ids, values[::-1])
    damage = diagnose(KeyError(-1), root)
    assert damage is not None
    assert "do not ascend" in str(damage)


@pytest.mark.parametrize("shape", [(8,), (8, 64, 1)])
def test_vectors_of_a_wrong_shape_are_told_by_it(root: Path, shape: tuple[int, ...]) -> None:
    import numpy as np

    np.save(root / "spaces/0/img_emb/000000.npy", np.ones(shape, np.float16))
    with imseek.open(root) as collection, pytest.raises(CorruptCollectionError) as error:
        collection.search("red")
    assert f"an array of float16 and shape {shape}" in str(error.value), "what is wrong, not how it was noticed"


@pytest.mark.parametrize("name", ["catalog.sqlite", "writer.lock"])
def test_a_file_that_is_written_in_place_has_one_name(root: Path, tmp_path: Path, name: str) -> None:
    other = tmp_path / "of somebody else"
    os.link(root / name, other)
    before = other.read_bytes()
    with imseek.open(root) as collection:  # Reading writes to neither.
        assert len(collection.search("red")) == 8
        ids = [hit.image_id for hit in collection.search("red")]
    with pytest.raises(CorruptCollectionError, match="a hard link to a file that has another name"):
        imseek.tags.add(root, "new", ids)
    (problem,) = imseek.maintenance.verify(root).problems
    assert (problem.kind, problem.file) == ("strange", name)
    assert imseek.maintenance.repair(root).after.ok
    imseek.tags.add(root, "new", ids)
    assert other.read_bytes() == before


def _tables(root: Path) -> Any:
    return next((root / "metadata").glob("*.parquet"))


def test_a_table_of_other_columns_is_damage_where_it_is_opened(root: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(_tables(root))
    for lie in (
        table.drop_columns(["width"]),
        table.set_column(table.column_names.index("width"), "width", pa.array(["x"] * len(table))),
        pa.concat_tables([table, table]),
    ):
        pq.write_table(lie, _tables(root))
        with imseek.open(root) as collection, pytest.raises(CorruptCollectionError, match="is damaged"):
            collection.get(0)


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("INSERT INTO meta VALUES ('note', CAST(x'ff' AS TEXT))", "it has a value that is not text"),
        ("UPDATE sources SET born = 1000", "it is of the future generation 1000"),
        ("UPDATE meta SET value = '7' WHERE name = 'next_image_id'", "but there is an image 7"),
        ("UPDATE files SET kind = 'ids' WHERE kind = 'metadata'", "is not the file that its row says"),
        (f"UPDATE spaces SET facts = '{'[' * 9_000}'", "brackets in brackets"),
        (f"INSERT INTO meta VALUES ('index_policy', '{'[' * 9_000}')", "brackets in brackets"),
        ("INSERT INTO meta VALUES ('index_policy', '{\"renew\": 1}')", "not an index policy"),
        ("INSERT INTO meta VALUES ('index_policy', '{\"recall\": 2}')", "recall"),
    ],
)
def test_each_row_that_cannot_be_is_named(root: Path, statement: str, fault: str) -> None:
    with closing(sqlite3.connect(root / "catalog.sqlite")) as connection:
        assert find_any_fault(connection) is None
        connection.execute(statement)
        assert fault in str(find_any_fault(connection))


def test_more_spaces_than_anybody_has_encoders(root: Path) -> None:
    """Each needs an encoder of some hundred megabytes: so many are there to be opened in vain."""
    with closing(sqlite3.connect(root / "catalog.sqlite")) as connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(spaces)")]
        rest = ", ".join(name for name in names if name != "space_id")
        numbers = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 1000)"
        insert = f"INSERT INTO spaces (space_id, {rest}) {numbers} SELECT x, {rest} FROM n, spaces"
        connection.execute(f"{insert} LIMIT 999")
        assert find_any_fault(connection) is None
        connection.execute(f"{insert.replace('SELECT 1 UNION', 'SELECT 1000 UNION')} LIMIT 1")
        assert find_any_fault(connection) == "its table 'spaces' has more than 1,000 rows"


def test_a_damaged_policy_of_the_index_is_damage_of_the_collection(root: Path) -> None:
    assert policy_of(root) == IndexPolicy()
    _execute(root, 'INSERT INTO meta VALUES (\'index_policy\', \'{"kind": "none", "later": 1}\')')
    assert policy_of(root) == IndexPolicy(kind="none")
    _execute(root, "UPDATE meta SET value = '{' WHERE name = 'index_policy'")
    with pytest.raises(CorruptCollectionError, match="damaged index_policy") as error:
        policy_of(root)
    assert error.value.hint == f"imseek collection repair {root}"


def test_a_collection_that_cannot_be_looked_at_is_passed_over(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the program's own is not hidden by one of looking for its cause."""
    assert diagnose(KeyError("x"), tmp_path / "gone") is None

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("imseek.data.catalog.catalog_check.find_any_fault", refuse)
    assert diagnose(KeyError("x"), root) is None
