"""What was learned, stored under a name: read back, replaced, dropped, verified, repaired, purged."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from templates import Templates

import imseek
from imseek import maintenance
from imseek.analysis.snapshot_session import filter_ids, run_with_reader
from imseek.analysis.space_vectors import Vectors
from imseek.data import layout
from imseek.data.catalog import model_files, models
from imseek.data.catalog.models import Model
from imseek.data.files import durable_files
from imseek.data.reader import Reader
from imseek.data.shards import derived_results
from imseek.data.writing.writer import Writer
from imseek.errors import CorruptCollectionError, UsageError

pytestmark = pytest.mark.full_size


@pytest.fixture
def root(tmp_path: Path, photos: Path, templates: Templates) -> Path:
    return templates.indexed(tmp_path / "made", photos)


def _weights() -> np.ndarray:
    return np.arange(6, dtype=np.float32).reshape(2, 3) / 7


def _put(root: Path, name: str, **facts: object) -> None:
    with Writer(root, "test") as writer:
        model_files.put(writer, Model(name, "probe", facts, {"weights": _weights()}))


def test_a_model_comes_back_as_it_was_stored(root: Path) -> None:
    _put(root, "cats", classes=["cat", "dog"])
    found = models.find(root, "cats")
    assert found is not None
    assert (found.name, found.kind, found.facts) == ("cats", "probe", {"classes": ["cat", "dog"]})
    assert found.arrays["weights"].dtype == np.float32
    assert np.array_equal(found.arrays["weights"], _weights())
    assert found.created.endswith("+00:00")
    assert maintenance.verify(root).ok


def test_the_last_of_a_name_holds_and_a_dropped_one_is_gone(root: Path) -> None:
    _put(root, "cats", version=1)
    _put(root, "cats", version=2)
    _put(root, "dogs")
    assert models.names(root) == ("cats", "dogs")
    found = models.find(root, "cats")
    assert found is not None
    assert found.facts == {"version": 2}
    with Writer(root, "test") as writer:
        model_files.drop(writer, "cats")
    assert models.find(root, "cats") is None
    assert [model.name for model in models.of_kind(root, "probe")] == ["dogs"]
    maintenance.purge(root)
    assert [path.name for path in sorted((root / layout.MODELS).iterdir())] == [Path(models._paths(root)["dogs"]).name]


@pytest.mark.parametrize("name", ["", "Cats", "1", "a/b", "..", "a" * 65, "a.b"])
def test_a_name_that_cannot_be_one(root: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a name"):
        _put(root, name)


def test_what_is_no_number_is_not_stored(root: Path) -> None:
    with Writer(root, "test") as writer, pytest.raises(TypeError, match="object"):
        model_files.put(writer, Model("cats", "probe", {}, {"weights": np.array([object()])}))


def test_a_purge_takes_what_was_learned_from_images_that_have_gone(root: Path) -> None:
    ids = Vectors(Reader(root)).ids
    with Writer(root, "test") as writer:
        for name, learned in (("of_all", ids), ("of_some", ids[1:3]), ("of_none", ids[:0])):
            model_files.put(writer, Model(name, "probe", {}, {"learned": learned, "keys": _weights()}))
    with imseek.open(root) as collection:
        place = collection.get(int(ids[0])).place
        assert place is not None
        Path(place.display).unlink()
        assert collection.index().removed == 1
    report = maintenance.purge(root)
    assert models.names(root) == ("of_none", "of_some")
    assert report.notes == ("of_all was trained on images that have been removed, so it was removed too",)
    assert len(list((root / layout.MODELS).iterdir())) == 2
    assert maintenance.verify(root).ok


def test_damage_is_found_and_given_up(root: Path) -> None:
    _put(root, "cats")
    path = root / models._paths(root)["cats"]
    path.write_bytes(path.read_bytes().replace(b'"kind": "probe"', b'"kind": "prone"'))
    with pytest.raises(CorruptCollectionError, match="damaged"):
        models.find(root, "cats")
    assert [problem.kind for problem in maintenance.verify(root).problems] == ["model"]
    report = maintenance.repair(root)
    assert any("trained again" in line for line in report.lost)
    assert maintenance.verify(root).ok
    assert models.find(root, "cats") is None


def test_models_outlive_the_catalog_and_its_backups(root: Path) -> None:
    _put(root, "cats", version=1)
    _put(root, "cats", version=2)
    for name in (layout.CATALOG, *layout.BACKUPS):
        (root / name).write_bytes(b"damaged")
    report = maintenance.repair(root)
    assert any("cats" in line for line in report.restored)
    found = models.find(root, "cats")
    assert found is not None
    assert found.facts == {"version": 2}
    assert maintenance.verify(root).ok


def test_columns_come_with_the_model_that_made_them(root: Path) -> None:
    generation = Reader(root).generation
    ids = Vectors(Reader(root)).ids
    values = {"kind": {int(ids[0]): "cat", int(ids[1]): "dog"}}
    derived_results.store(root, values, Model("kinds", "labels", {"classes": ["cat", "dog"]}))
    reader = Reader(root)
    assert reader.generation == generation + 1
    assert reader.metadata([int(ids[0])])[int(ids[0])]["kind"] == "cat"
    found = models.find(root, "kinds")
    assert found is not None
    assert found.facts == {"classes": ["cat", "dog"]}
    chosen = filter_ids(reader, "kind = 'dog'")
    assert chosen is not None
    assert chosen.ids.tolist() == [int(ids[1])]


def test_vectors_are_those_of_live_images_in_the_order_of_ids(root: Path) -> None:
    reader = Reader(root)
    vectors = Vectors(reader)
    assert len(vectors) == reader.current.images
    whole = np.concatenate([rows for _, rows in vectors.blocks(3)])
    expected = reader.vectors(vectors.ids.tolist(), vectors.space.space_id).astype(np.float32)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.allclose(whole, expected, atol=1e-6)
    assert np.allclose(vectors.at(np.array([2, 0])), expected[[2, 0]], atol=1e-6)
    assert vectors.positions(np.array([vectors.ids[1], 10**9])).tolist() == [1, -1]


def test_vectors_of_some_images_only(root: Path) -> None:
    def work(reader: Reader) -> list[int]:
        return Vectors(reader, allowed=filter_ids(reader, "width < 500")).ids.tolist()

    chosen = run_with_reader(root, work)
    widths = {i: facts["width"] for i, facts in Reader(root).intrinsics(Vectors(Reader(root)).ids.tolist()).items()}
    assert chosen == sorted(i for i, width in widths.items() if width < 500)
    assert 0 < len(chosen) < len(widths)


def _stored(root: Path) -> tuple[str, dict[str, Any]]:
    """The path of the one model, and what its file says."""
    (path,) = models._paths(root).values()
    return path, durable_files.strip_checksum((root / path).read_bytes())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"uuid": str(UUID(int=5))}, "its contents belong to another file name"),
        ({"name": "dogs"}, "its contents belong to another file name"),
        ({"arrays": {"weights": {"dtype": "float32", "shape": [1], "data": 5}}}, "data is not text"),
        ({"arrays": {"weights": {"dtype": "float32", "shape": [3], "data": "AAAA"}}}, "size"),
        ({"arrays": {"weights": {"dtype": "object", "shape": [1], "data": ""}}}, "dtype"),
    ],
    ids=["another collection's", "another name", "no text", "too few bytes", "another type"],
)
def test_a_model_that_is_sealed_but_wrong_is_damaged(root: Path, change: dict[str, Any], message: str) -> None:
    _put(root, "cats", classes=["cat"])
    path, found = _stored(root)
    uuid = Reader(root).identity.uuid
    assert models.load(root, path, uuid).name == "cats"
    (root / path).write_bytes(durable_files.add_checksum({**found, **change}))
    with pytest.raises(CorruptCollectionError, match=message) as error:
        models.load(root, path, uuid)
    assert error.value.hint == f"imseek collection repair {root}"


def test_of_models_that_no_catalog_knows_the_newest_sound_one_comes_back(root: Path) -> None:
    for version in (1, 2, 3):
        _put(root, "cats", version=version)
    _put(root, "dogs")
    paths = sorted(root.glob(f"{layout.MODELS}/cats.*"), key=lambda path: int(path.name.split(".")[1]))
    assert len(paths) == 3
    paths[2].write_bytes(paths[2].read_bytes()[:-9])
    next(root.glob(f"{layout.MODELS}/dogs.*")).write_bytes(b"{}")
    for name in (layout.CATALOG, *layout.BACKUPS):
        (root / name).unlink()
    report = maintenance.repair(root)
    assert report.after.ok
    assert "models cats, from models/" in report.restored
    assert models.names(root) == ("cats",)
    found = models.find(root, "cats")
    assert found is not None
    assert found.facts == {"version": 2}
