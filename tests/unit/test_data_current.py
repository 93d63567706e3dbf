"""The two small files a reader starts from: what is refused, and with what words."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

import imseek
from imseek.data import layout
from imseek.data.collection_records import read_identity
from imseek.data.current_generation import read_current
from imseek.data.files import durable_files
from imseek.data.reader import Reader
from imseek.data.writing.writer import Writer
from imseek.errors import CollectionNotFoundError, CorruptCollectionError, FormatVersionError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    imseek.create(tmp_path / "my collection", encoder="fake").close()
    return tmp_path / "my collection"


def rewrite(path: Path, **changes: Any) -> None:
    document = {**durable_files.strip_checksum(path.read_bytes()), **changes}
    path.write_bytes(durable_files.add_checksum(document))


@pytest.mark.parametrize("name", [layout.COLLECTION, layout.CURRENT])
def test_a_later_format_is_refused(root: Path, name: str) -> None:
    rewrite(root / name, format=3, news="something that format 1 does not know")
    with pytest.raises(FormatVersionError, match="has format 3") as refusal:
        imseek.open(root)
    assert refusal.value.hint == "update imseek"
    with pytest.raises(FormatVersionError), Writer(root, "test"):
        pytest.fail("a later format was written")
    for care in (imseek.maintenance.verify, imseek.maintenance.repair):
        with pytest.raises(FormatVersionError):
            care(root)


def test_a_damaged_version_is_damage(root: Path) -> None:
    path = root / layout.COLLECTION
    path.write_bytes(path.read_bytes().replace(b'"format": 1', b'"format": 9'))
    with pytest.raises(CorruptCollectionError, match="checksum"):
        imseek.open(root)


@pytest.mark.parametrize("name", [layout.COLLECTION, layout.CURRENT])
@pytest.mark.parametrize("how", ["deleted", "empty", "swapped", "a field less", "a field more"])
def test_damage_is_told_with_what_to_do(root: Path, name: str, how: str) -> None:
    path = root / name
    if how == "deleted":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "swapped":
        other = layout.CURRENT if name == layout.COLLECTION else layout.COLLECTION
        path.write_bytes((root / other).read_bytes())
    elif how == "a field less":
        document = durable_files.strip_checksum(path.read_bytes())
        del document["uuid"]
        path.write_bytes(durable_files.add_checksum(document))
    else:
        rewrite(path, more=1)
    with pytest.raises(CorruptCollectionError, match=name) as refusal:
        imseek.open(root)
    assert refusal.value.hint == f"imseek collection repair '{root}'"


def test_the_current_file_of_another_collection_is_refused(root: Path, tmp_path: Path) -> None:
    imseek.create(tmp_path / "other", encoder="fake").close()
    (root / layout.CURRENT).write_bytes((tmp_path / "other" / layout.CURRENT).read_bytes())
    with pytest.raises(CorruptCollectionError, match="another collection"):
        Reader(root)
    # It can be made again from the catalog, which every writer does.
    with Writer(root, "test"):
        pass
    assert Reader(root).generation == 0


@pytest.mark.parametrize("path", ["nowhere", "file", "file/below", "empty"])
def test_where_no_collection_is(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(CollectionNotFoundError):
        imseek.open(tmp_path / path)


def test_what_is_written_is_read(root: Path) -> None:
    identity, current = read_identity(root), read_current(root)
    assert current.uuid == identity.uuid
    assert current.space.encoder == "fake"
    rewrite(root / layout.CURRENT, next_image_id=7)
    # How far ids were leased says nothing about a generation.
    assert read_current(root) == current
    assert read_current(root).next_image_id == 7
    assert dataclasses.replace(current, images=5) != current
