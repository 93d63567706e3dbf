"""`imseek export` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture
def indexed(cli, photos: Path) -> Path:
    assert cli("index", photos, "--encoder", "fake").code == 0
    return photos


def test_a_table_by_the_ending_of_its_name(cli, indexed, tmp_path) -> None:
    outcome = cli("export", tmp_path / "all.csv")
    assert outcome.code == 0
    assert f"wrote {tmp_path / 'all.csv'} (csv): 8 images" in outcome.err
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 9
    again = cli("export", tmp_path / "all.csv")
    assert again.code == 2
    assert "add --force" in again.err
    assert cli("export", tmp_path / "all.csv", "--force").code == 0


def test_as_json(cli, indexed, tmp_path) -> None:
    found = cli("export", tmp_path / "all.jsonl", "--json").json("export")
    assert (found["images"], found["format"], found["files"], found["encoder"]) == (8, "jsonl", 1, None)
    assert found["target"]["path"] == str(tmp_path / "all.jsonl")


def test_to_stdout(cli, indexed) -> None:
    outcome = cli("export", "-", "--format", "jsonl", "--where", "format = 'JPEG'")
    assert outcome.code == 0
    names = {Path(json.loads(line)["path"]).name for line in outcome.out.splitlines()}
    assert names == {"rocket.jpg", "china.jpg", "flower.jpg"}


def test_the_hits_of_a_search(cli, indexed, tmp_path) -> None:
    hits = cli("search", "red", "-n", "3", "--cutoff", "none", "--json").json("search")["hits"]
    assert cli("export", tmp_path / "red.jsonl", "--text", "red", "-n", "3").code == 0
    rows = [json.loads(line) for line in (tmp_path / "red.jsonl").read_text().splitlines()]
    assert [row["image_id"] for row in rows] == [hit["image_id"] for hit in hits]


def test_ids_and_tags(cli, indexed, tmp_path) -> None:
    (tmp_path / "ids").write_text("\ufeffid:3\n\n1\n", "utf-8")
    assert cli("export", tmp_path / "two.jsonl", "--ids", tmp_path / "ids").code == 0
    rows = [json.loads(line) for line in (tmp_path / "two.jsonl").read_text().splitlines()]
    assert [row["image_id"] for row in rows] == [3, 1]
    assert cli("tag", "add", "kept", "2").code == 0
    assert cli("export", tmp_path / "one.jsonl", "--tag", "kept").code == 0
    (row,) = [json.loads(line) for line in (tmp_path / "one.jsonl").read_text().splitlines()]
    assert (row["image_id"], row["tags"]) == (2, ["kept"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("all.xyz",), "cannot tell the format from the file name"),
        (("all", "--format", "cvs"), "did you mean csv?"),
        (("all.csv", "--limit", "3"), "--limit goes with a search"),
        (("all.csv", "--min-score", "0.2"), "--min-score goes with a search"),
        (("all.csv", "--text", "red", "--ids", "ids"), "both choose the images"),
        (("all.csv", "--ids", "ids"), "line 1 of the ids is not an id: one"),
        (("all.jsonl", "--spreadsheet"), "spreadsheet is nothing that jsonl knows"),
        (("-", "--json", "--format", "csv"), "cannot both go to stdout"),
    ],
)
def test_what_makes_no_sense(cli, indexed, tmp_path, monkeypatch, arguments, said) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ids").write_text("one\n")
    outcome = cli("export", *arguments)
    assert outcome.code == 2
    assert said in outcome.err
    assert not list(tmp_path.glob("*all*"))


class TestBackFromParquet:
    def test_the_file_names_the_encoder(self, cli, indexed, tmp_path) -> None:
        outcome = cli("export", tmp_path / "all.parquet", "--json").json("export")
        assert (outcome["images"], outcome["encoder"]) == (8, "fake")
        made = cli("index", tmp_path / "all.parquet", "-c", "again")
        assert made.code == 0, made.err
        assert "encoder: fake" in made.err
        ours, theirs = (
            cli("search", "red", "-n", "8", "--cutoff", "none", "--json", "-c", name).json("search")["hits"]
            for name in ("default", "again")
        )
        assert [(hit["path"], hit["score"]) for hit in ours] == [(hit["path"], hit["score"]) for hit in theirs]

    def test_another_encoder_refuses(self, cli, indexed, tmp_path) -> None:
        assert cli("export", tmp_path / "all.parquet").code == 0
        assert cli("collection", "create", "other", "--encoder", "fake:32").code == 0
        refused = cli("index", tmp_path / "all.parquet", "-c", "other")
        assert refused.code == 2
        assert "is encoded with fake:32, not with fake" in refused.err

    def test_a_column_of_another_tool(self, cli, indexed, tmp_path) -> None:
        import pyarrow.parquet as pq

        assert cli("export", tmp_path / "all.parquet").code == 0
        table = pq.read_table(tmp_path / "all.parquet").replace_schema_metadata(None)
        pq.write_table(table.rename_columns({"vector": "emb"}), tmp_path / "theirs.parquet")
        options = ("-c", "theirs", "--vector-column", "emb")
        refused = cli("index", tmp_path / "theirs.parquet", *options)
        assert refused.code == 2
        assert "name it with --encoder REFERENCE" in refused.err
        taken = cli("index", tmp_path / "theirs.parquet", *options, "--encoder", "fake", "--json")
        assert taken.json("index")["added"] == 8
