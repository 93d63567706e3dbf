"""Making a collection: the choice of the encoder is made once, and never silently."""

from __future__ import annotations

from pathlib import Path

import pytest

import imseek
from imseek.encoders import Resolution, find_encoder


def answer(monkeypatch: pytest.MonkeyPatch, resolution: Resolution) -> None:
    monkeypatch.setattr("imseek.collection.registry.resolve", lambda _: resolution)


def test_a_download_is_announced_with_size_and_licence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, Resolution("fake", download=find_encoder("default")))
    said: list[str] = []
    with imseek.create(tmp_path / "c", notify=said.append):
        assert said == ["downloading fake: 605 MB, licence MIT"]


def test_what_auto_fell_back_to_stays_visible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, Resolution("fake", note="basic encoder (hub unreachable on 2026-11-24)"))
    said: list[str] = []
    with imseek.create(tmp_path / "c", notify=said.append) as collection:
        assert collection.info().encoder.note == "basic encoder (hub unreachable on 2026-11-24)"
        assert collection.search("words").notes == ("basic encoder (hub unreachable on 2026-11-24)",)
    assert said == []


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("dear diary")
    with pytest.raises(imseek.errors.CollectionExistsError, match=r"not empty \(diary.txt\)"):
        imseek.create(tmp_path, encoder="fake")
    assert [path.name for path in tmp_path.iterdir()] == ["diary.txt"]


def test_a_home_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a service, say, whose collections lie below a folder that is trusted as a whole."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("IMSEEK_HOME", str(tmp_path / "file" / "home"))
    monkeypatch.setenv("IMSEEK_TRUSTED_FOLDERS", str(tmp_path / "a"))
    imseek.create(tmp_path / "a" / "c", encoder="fake").close()
    with pytest.raises(imseek.errors.StorageError, match="b was created, but it could not be recorded") as caught:
        imseek.create(tmp_path / "b", encoder="fake")
    assert "IMSEEK_TRUSTED_FOLDERS" in str(caught.value.hint)


def test_a_collection_is_not_made_twice(tmp_path: Path) -> None:
    with imseek.create(tmp_path / "c", encoder="fake") as first:
        with pytest.raises(imseek.errors.CollectionExistsError):
            imseek.create(tmp_path / "c", encoder="fake")
        with imseek.open(tmp_path / "c") as again:
            assert again.uuid == first.uuid


def test_an_unknown_encoder_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(imseek.errors.UnknownEncoderError):
        imseek.create(tmp_path / "c", encoder="bultin")
    assert not (tmp_path / "c").exists()


def test_opening_what_is_no_collection(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(imseek.errors.CollectionNotFoundError):
            imseek.open(path)


def test_a_file_is_no_place_for_a_collection(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("mine")
    with pytest.raises(imseek.errors.CollectionExistsError, match="is a file") as refusal:
        imseek.create(tmp_path / "c", encoder="fake")
    assert refusal.value.hint == "name a folder of its own"
    assert (tmp_path / "c").read_text() == "mine"
