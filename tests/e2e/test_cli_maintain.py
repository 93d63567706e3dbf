"""``imseek maintain``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from imseek.data.catalog.sqlite.lock import WriterLock
from imseek.data.shards import compaction


@pytest.fixture
def root(home: Path, indexed: Path) -> Path:
    return home / "collections" / "default"


@pytest.fixture
def removed(cli, root: Path) -> Path:
    """The only source has been removed; what was stored of it is still there."""
    outcome = cli("source", "remove", "1")
    assert "imseek maintain --purge" in outcome.err
    assert list((root / "spaces").rglob("*.npy"))
    return root


@pytest.fixture
def in_pieces(cli, root: Path, indexed: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three shards, which are two too many."""
    monkeypatch.setattr(compaction, "FACTOR", 1000)
    for n, name in enumerate(("red.png", "lime.png")):
        (indexed / f"again{n}.png").write_bytes((indexed / name).read_bytes())
        assert cli("index").code == 0
    monkeypatch.setattr(compaction, "FACTOR", 3)
    return root


def paths(cli) -> list[str]:
    return sorted(hit["path"] for hit in cli("search", "red", "--json").json("search")["hits"])


class TestDue:
    def test_nothing_to_do(self, cli, root) -> None:
        outcome = cli("maintain")
        assert (outcome.code, outcome.out) == (0, "nothing to do\n")
        assert outcome.err == ""

    @pytest.mark.parametrize("arguments", [[], ["--merge"]])
    def test_shards_are_merged(self, cli, in_pieces, arguments) -> None:
        before = paths(cli)
        outcome = cli("maintain", *arguments)
        assert (outcome.code, outcome.out) == (0, "merged: 3 shards before, 1 now\n")
        assert paths(cli) == before
        assert cli("maintain", *arguments).out == "nothing to do\n"

    def test_json(self, cli, in_pieces) -> None:
        report = cli("maintain", "--json").json("maintain")
        assert report["merge"] == {"merges": 1, "shards_before": 3, "shards": 1, "removed": 0, "notes": []}
        assert report["purge"] is None
        assert report["collection"]["name"] == "default"

    def test_unused_files_are_cleared_away(self, cli, in_pieces, monkeypatch) -> None:
        cli("maintain")
        monkeypatch.setattr("imseek.data.writing.writer.GRACE_SECONDS", -1.0)
        assert cli("maintain").out == "removed 9 files that nothing uses any more\n"


class TestPurge:
    def test_text(self, cli, removed) -> None:
        outcome = cli("maintain", "--purge")
        assert outcome.code == 0
        assert outcome.out.startswith("purged: 3 images, ")
        assert outcome.out.endswith("; no file holds anything of what has left the collection\n")
        assert list(removed.rglob("*.npy")) == list(removed.rglob("*.parquet")) == []
        again = cli("maintain", "--purge").out
        assert again == "purged; no file holds anything of what has left the collection\n"
        assert cli("collection", "verify").code == 0

    def test_json(self, cli, removed) -> None:
        size = sum(path.stat().st_size for path in removed.rglob("*") if path.suffix in (".npy", ".parquet"))
        report = cli("maintain", "--purge", "--json").json("maintain")
        assert report["merge"] is None
        purged = report["purge"]
        assert (purged["images"], purged["shards"], purged["files"], purged["bytes"]) == (3, 0, 3, size)
        purged = cli("maintain", "--purge", "--json").json("maintain")["purge"]
        assert purged == {"images": 0, "records": 0, "shards": 0, "files": 0, "bytes": 0, "notes": []}

    def test_after_merging(self, cli, in_pieces, indexed, monkeypatch) -> None:
        (indexed / "red.png").unlink()
        with monkeypatch.context() as patch:
            patch.setattr(compaction, "FACTOR", 1000)
            cli("index")
        before = paths(cli)
        report = cli("maintain", "--merge", "--purge", "--json").json("maintain")
        assert (report["merge"]["merges"], report["purge"]["images"]) == (1, 1)
        assert len(list((in_pieces / "metadata").glob("*.parquet"))) == 1
        assert paths(cli) == before


class TestRefusals:
    @pytest.mark.parametrize("option", ["--merge", "--purge"])
    def test_locked(self, cli, root, option) -> None:
        lock = WriterLock(root)
        lock.acquire()
        try:
            outcome = cli("maintain", option, "--json")
        finally:
            lock.release()
        assert outcome.code == 75
        assert outcome.json("error")["error"]["type"] == "LockedError"

    @pytest.mark.parametrize("option", ["--merge", "--purge"])
    def test_read_only(self, cli, root, option, monkeypatch) -> None:
        monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK)
        outcome = cli("maintain", option, "--json")
        assert outcome.code == 1
        assert outcome.json("error")["error"]["type"] == "ReadOnlyError"

    def test_no_collection(self, cli, root) -> None:
        outcome = cli("maintain", "--purge", "-c", "nowhere")
        assert (outcome.code, outcome.out) == (2, "")

    def test_damaged(self, cli, root, indexed) -> None:
        (indexed / "red.png").unlink()
        cli("index")
        (vectors,) = root.rglob("img_emb/*.npy")
        vectors.write_bytes(vectors.read_bytes()[:-1])
        outcome = cli("maintain", "--purge")
        assert (outcome.code, outcome.out) == (1, "")
        assert "imseek collection repair" in outcome.err
