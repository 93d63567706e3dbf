"""``imseek encode``: files of vectors."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import imseek


def test_vectors_are_written(
    cli: Callable[..., Any], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    paths = sorted(str(path) for path in photos.rglob("*") if path.is_file())
    (tmp_path / "bad.jpg").write_text("no")
    encoder = imseek.load_encoder("fake")
    outcome = cli("encode", *paths[:2], tmp_path / "bad.jpg", "--encoder", "fake", "-o", "v.npy", "--strict")
    assert outcome.code == 3
    assert "picture 2 (" in outcome.err
    assert "wrote v.npy: 2 vectors of 64 dimensions (fake)" in outcome.err
    assert np.array_equal(np.load("v.npy")[:2], encoder.images(paths[:2]))
    for name in ("none.npy", "none.parquet"):
        outcome = cli("encode", tmp_path / "bad.jpg", "--encoder", "fake", "-o", name)
        assert outcome.code == 3
        assert "no picture could be read, so nothing was written" in outcome.err
        assert "wrote" not in outcome.err
    report = cli("encode", tmp_path / "bad.jpg", "--encoder", "fake", "-o", "v.npy", "--force", "--json").json("encode")
    assert (report["path"], report["vectors"], len(report["skipped"])) == (None, 0, 1)
    assert len(np.load("v.npy")) == 3, "what was there stays"
    assert sorted(path.name for path in tmp_path.glob("*.*")) == ["bad.jpg", "v.npy"]
    again = cli("encode", "--texts", "red", "--encoder", "fake", "-o", "v.npy")
    assert (again.code, "v.npy is there already" in again.err) == (2, True)
    Path("texts.txt").write_text("blue\n\ngreen\n")
    outcome = cli("encode", "--texts", "red", "--from", "texts.txt", "--encoder", "fake", "-o", "v.npy", "--force")
    assert outcome.code == 0
    assert np.array_equal(np.load("v.npy"), encoder.texts(["red", "blue", "green"]))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("\n".join(paths).encode())))
    outcome = cli("encode", "--from", "-", "--encoder", "fake", "-o", "v.parquet")
    assert outcome.code == 0
    assert pq.read_table("v.parquet")["path"].to_pylist() == paths


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--texts", "red"], "no file is named to write to"),
        (["-o", "v.npy"], "nothing to encode"),
        (["--texts", "red", "-o", "v.csv"], "neither .npy nor .parquet"),
        (["--texts", " ", "-o", "v.npy"], "the text is empty"),
        ([".", "-o", "v.npy"], ". is a folder"),
        (["--from", "nowhere", "-o", "v.npy"], "cannot read nowhere"),
        (["a.jpg", "-o", "nowhere/v.npy"], "no folder nowhere"),
    ],
)
def test_wrong_requests_are_refused(
    cli: Callable[..., Any], arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = cli("encode", *arguments, "--encoder", "fake")
    assert outcome.code == 2
    assert message in outcome.err
    assert not Path("v.npy").exists()
    assert not list(Path.cwd().glob(".imseek-*.tmp"))


def test_an_interrupted_run_writes_nothing(
    cli: Callable[..., Any], ctrl_c: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with ctrl_c("encode"):
        outcome = cli("encode", "--texts", "red", "--encoder", "fake", "-o", "v.npy")
    assert outcome.code == 130
    assert "interrupted: nothing was written" in outcome.err
    assert not [path for path in tmp_path.iterdir() if path.is_file()]


def test_words_without_the_flag_for_them(cli: Callable[..., Any], tmp_path: Path) -> None:
    outcome = cli("encode", "a red car", "-o", str(tmp_path / "v.npy"), "--encoder", "fake")
    assert outcome.code == 3
    assert "--texts encodes what is given as texts" in outcome.err
