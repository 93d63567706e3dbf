"""Vectors of classes: what they are, and that each is made once."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import imseek
from imseek.data.reader import Reader
from imseek.encoders import load, prompts
from imseek.encoders.fake import FakeEncoder
from imseek.errors import EncoderError, EncoderMismatchError, QueryError, UsageError
from imseek.labels import class_vectors as module
from imseek.labels.class_vectors import class_vectors
from imseek.progress import Progress, Task
from imseek.types.collection_info import SpaceInfo

TEMPLATES = ("a photo of a {}", "a drawing of a {}")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMSEEK_CACHE", str(tmp_path / "cache"))
    imseek.create(tmp_path / "made", encoder="fake").close()
    return tmp_path / "made"


@pytest.fixture
def space(root: Path) -> SpaceInfo:
    return Reader(root).current.space


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was given to the text tower since."""
    given: list[str] = []
    real = FakeEncoder.encode_texts

    def watched(self: FakeEncoder, texts: Any) -> Any:
        given.extend(texts)
        return real(self, texts)

    monkeypatch.setattr(FakeEncoder, "encode_texts", watched)
    return given


@pytest.fixture
def _no_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> Any:
        raise AssertionError("an encoder was loaded")

    monkeypatch.setattr(module, "load_encoder", refuse)


def test_they_are_those_of_the_prompts(root: Path, space: SpaceInfo) -> None:
    names = ["red car", "cat", "blue"]
    found = class_vectors(root, space, names, TEMPLATES)
    assert np.allclose(found, prompts.class_vectors(load("fake"), names, TEMPLATES), atol=1e-6)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_a_second_run_loads_no_encoder(
    root: Path, space: SpaceInfo, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    first = class_vectors(root, space, ["cat", "dog"], TEMPLATES)
    request.getfixturevalue("_no_encoder")
    assert np.array_equal(class_vectors(root, space, ["dog", "cat"], TEMPLATES), first[::-1])
    assert np.array_equal(class_vectors(root, space, ["dog"], TEMPLATES[::-1]), first[1:])
    with pytest.raises(AssertionError, match="loaded"):
        class_vectors(root, space, ["cat"], ("{}",))


def test_a_class_of_another_list_is_not_made_again(root: Path, space: SpaceInfo, encoded: list[str]) -> None:
    class_vectors(root, space, ["cat", "dog"])
    assert sorted(encoded) == ["cat", "dog"]
    encoded.clear()
    class_vectors(root, space, ["dog", "cow", "cat", "cow"])
    assert encoded == ["cow"]


def test_another_encoder_has_vectors_of_its_own(root: Path, tmp_path: Path, space: SpaceInfo) -> None:
    class_vectors(root, space, ["cat"])
    imseek.create(tmp_path / "other", encoder="fake:32").close()
    other = Reader(tmp_path / "other").current.space
    assert class_vectors(tmp_path / "other", other, ["cat"]).shape == (1, 32)


def test_a_hundred_thousand_classes(root: Path, space: SpaceInfo, encoded: list[str]) -> None:
    names = [f"thing {n}" for n in range(100_000)]
    told: list[Progress] = []
    found = class_vectors(root, space, names, task=Task(told.append))
    assert len(encoded) == 100_000
    assert (told[-1].done, told[-1].total) == (100_000, 100_000)
    encoded.clear()
    again = class_vectors(root, space, names)
    assert np.array_equal(again, found)
    assert encoded == []
    assert np.allclose(found[77_777], load("fake").encode_texts(["thing 77777"])[0], atol=1e-6)


def test_other_weights_are_refused(root: Path, space: SpaceInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeEncoder, "fingerprint", lambda self: "0" * 64)
    with pytest.raises(EncoderMismatchError, match="other weights"):
        class_vectors(root, space, ["cat"])


def test_an_encoder_that_knows_no_words(root: Path, space: SpaceInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    real = FakeEncoder.__init__

    def blind(self: FakeEncoder, *args: Any, **named: Any) -> None:
        from dataclasses import replace

        real(self, *args, **named)
        self._info = replace(self._info, modalities=("image",))

    monkeypatch.setattr(FakeEncoder, "__init__", blind)
    with pytest.raises(EncoderError, match="knows no words") as caught:
        class_vectors(root, space, ["cat"])
    assert caught.value.hint is not None


@pytest.mark.parametrize("templates", [(), "{}", ("a photo",), ("{}", "nothing here")])
def test_templates_that_are_none(root: Path, space: SpaceInfo, templates: Any) -> None:
    with pytest.raises(UsageError, match="template") as caught:
        class_vectors(root, space, ["cat"], templates)
    assert "{}" in str(caught.value.hint)


def test_a_name_without_a_letter(root: Path, space: SpaceInfo) -> None:
    with pytest.raises(QueryError, match="empty"):
        class_vectors(root, space, ["cat", " "])


@pytest.mark.usefixtures("_no_encoder")
def test_no_classes_are_no_rows(root: Path, space: SpaceInfo) -> None:
    assert class_vectors(root, space, []).shape == (0, 64)


def _file(tmp_path: Path) -> Path:
    (path,) = (tmp_path / "cache" / "classes").glob("*.sqlite")
    return path


def test_a_damaged_row_is_made_again(root: Path, tmp_path: Path, space: SpaceInfo, encoded: list[str]) -> None:
    first = class_vectors(root, space, ["cat", "dog"])
    with sqlite3.connect(_file(tmp_path)) as connection:
        ((key, row),) = connection.execute("SELECT key, row FROM classes LIMIT 1").fetchall()
        changed = bytes([row[0] ^ 1]) + row[1:]
        connection.execute("UPDATE classes SET row = ? WHERE key = ?", (changed, key))
    encoded.clear()
    assert np.array_equal(class_vectors(root, space, ["cat", "dog"]), first)
    assert len(encoded) == 1


def test_a_damaged_file_is_made_again(root: Path, tmp_path: Path, space: SpaceInfo) -> None:
    first = class_vectors(root, space, ["cat"])
    _file(tmp_path).write_bytes(b"no database at all" * 100)
    assert np.array_equal(class_vectors(root, space, ["cat"]), first)
    with sqlite3.connect(_file(tmp_path)) as connection:
        assert connection.execute("SELECT count(*) FROM classes").fetchone() == (1,)


def test_a_cache_that_cannot_be_written_is_told(root: Path, tmp_path: Path, space: SpaceInfo) -> None:
    (tmp_path / "cache").mkdir(exist_ok=True)
    (tmp_path / "cache" / "classes").write_text("a file in the way")
    notes: list[str] = []
    assert class_vectors(root, space, ["cat"], notify=notes.append).shape == (1, 64)
    assert len(notes) == 1
    assert "could not be kept" in notes[0]


def test_stopped_it_keeps_what_was_made(root: Path, space: SpaceInfo, encoded: list[str]) -> None:
    stop = threading.Event()
    names = [f"thing {n}" for n in range(5000)]
    with pytest.raises(InterruptedError):
        class_vectors(root, space, names, task=Task(stop=_after(stop, encoded)))
    made = len(encoded)
    assert made == module.BATCH
    encoded.clear()
    class_vectors(root, space, names)
    assert len(encoded) == 5000 - made


def _after(stop: threading.Event, encoded: list[str]) -> threading.Event:
    """An event that is set once something was encoded."""

    class Watching(threading.Event):
        def is_set(self) -> bool:
            return bool(encoded)

    return Watching()
