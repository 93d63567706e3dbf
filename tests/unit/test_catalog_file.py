"""What a statement on a catalog may cost."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from imseek.data import catalog_file

COUNT = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 500000) SELECT COUNT(*) FROM n"


def test_a_catalog_that_grows_may_be_asked_for_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer opens an empty catalog, adds millions of rows, and then reads all of them."""
    monkeypatch.setattr(catalog_file, "_STEPS", 1_000_000)
    monkeypatch.setattr(catalog_file, "_STRIDE", 100_000)
    with closing(catalog_file.open_for_writing(tmp_path / "catalog.sqlite", 1)) as connection:
        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            connection.execute(COUNT)
        connection.execute("CREATE TABLE rows (content BLOB)")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO rows VALUES (?)", [(bytes(1000),)] * 2000)
        connection.execute("COMMIT")
        assert connection.execute(COUNT).fetchone() == (500_000,)
