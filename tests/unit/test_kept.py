"""Finished parts come back as they were, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from imseek.data.files.array_cache import Arrays
from imseek.duplicates.part_cache import CacheTable, PartCache, digest

PART = (np.array([3, 1, 2]), np.array([0.5, 0.25, 1], np.float32))
KINDS = (np.int64, np.float32)


def folder(root: Path) -> Path:
    return root / "cache" / "duplicates" / "asked"


def same(found: Arrays | None) -> bool:
    return found is not None and all(
        np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(found, PART, strict=True)
    )


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    PartCache(tmp_path, "asked").save("x-1", PART)
    assert same(PartCache(tmp_path, "asked").load("x-1", KINDS))
    assert PartCache(tmp_path, "asked").load("x-2", KINDS) is None
    assert PartCache(tmp_path, "else").load("x-1", KINDS) is None
    assert os.listdir(folder(tmp_path)) == ["x-1.npz"]


def test_every_damage_is_noticed(tmp_path: Path) -> None:
    """Each byte of the arrays changed, and the file cut off anywhere."""
    kept = PartCache(tmp_path, "asked")
    kept.save("x-1", PART)
    path = folder(tmp_path) / "x-1.npz"
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :])
        found = kept.load("x-1", KINDS)
        assert found is None or same(found), f"byte {at}"
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at])
        assert kept.load("x-1", KINDS) is None
    path.write_bytes(whole)
    assert same(kept.load("x-1", KINDS))


@pytest.mark.parametrize(
    "other",
    [
        (PART[0],),
        (PART[0], PART[1].astype(np.float64)),
        (PART[0], PART[1][:2]),
        (PART[0], PART[1][:, np.newaxis]),
        (PART[0].astype(object), PART[1]),
    ],
)
def test_arrays_of_another_kind_are_none(tmp_path: Path, other: Arrays) -> None:
    kept = PartCache(tmp_path, "asked")
    folder(tmp_path).mkdir(parents=True)
    np.savez(folder(tmp_path) / "x-1.npz", *other)
    assert kept.load("x-1", KINDS) is None


def test_what_is_of_no_use_any_more_is_removed(tmp_path: Path) -> None:
    kept = PartCache(tmp_path, "asked")
    for name in ("x-1", "x-2", "y-1"):
        kept.save(name, PART)
    (folder(tmp_path) / "x-3.77.part").write_bytes(b"of a process that was killed")
    assert kept.only("x", {"x-2", "x-4"}) == {"x-2"}
    assert sorted(os.listdir(folder(tmp_path))) == ["x-2.npz", "y-1.npz"]


def test_only_what_was_asked_lately_is_kept(tmp_path: Path) -> None:
    for n in range(12):
        PartCache(tmp_path, f"q{n:02}").save("x-1", PART)
        os.utime(tmp_path / "cache" / "duplicates" / f"q{n:02}", (n, n))
    assert sorted(os.listdir(tmp_path / "cache" / "duplicates")) == [f"q{n:02}" for n in range(6, 12)]


def test_nothing_is_removed_from_a_collection_that_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(8):
        (tmp_path / "cache" / "duplicates" / f"q{n}").mkdir(parents=True)
    (tmp_path / "cache" / "duplicates" / "q0" / "x-1.npz").write_bytes(b"of no use")
    monkeypatch.delenv("IMSEEK_TRUSTED_FOLDERS")
    monkeypatch.setenv("IMSEEK_HOME", str(tmp_path / "home"))
    kept = PartCache(tmp_path, "q0")
    assert kept.only("x", ()) == set()
    kept.save("x-2", PART)
    assert len(os.listdir(tmp_path / "cache" / "duplicates")) == 8
    assert os.listdir(tmp_path / "cache" / "duplicates" / "q0") == ["x-1.npz"]


def test_what_is_asked_again_is_kept_for_longer(tmp_path: Path) -> None:
    for n in range(6):
        PartCache(tmp_path, f"q{n}").save("x-1", PART)
        os.utime(tmp_path / "cache" / "duplicates" / f"q{n}", (n, n))
    assert same(PartCache(tmp_path, "q0").load("x-1", KINDS))
    PartCache(tmp_path, "q6").save("x-1", PART)
    assert sorted(os.listdir(tmp_path / "cache" / "duplicates")) == ["q0", "q2", "q3", "q4", "q5", "q6"]


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"a file where the folder should be")
    kept = PartCache(tmp_path, "asked")
    kept.save("x-1", PART)
    assert kept.load("x-1", KINDS) is None
    assert kept.only("x", {"x-1"}) == set()
    nowhere = PartCache(None, "asked")
    nowhere.save("x-1", PART)
    assert nowhere.load("x-1", KINDS) is None


def test_digests_tell_values_and_their_borders_apart() -> None:
    one, two = np.array([1, 2]), np.array([3])
    parts = [
        (one, two),
        (np.array([1]), np.array([2, 3])),
        (two, one),
        (one, two, ""),
        ("one", "two"),
        ("onetwo",),
    ]
    assert len({digest(*part) for part in parts}) == len(parts)
    assert digest(one, "x") == digest(one.copy(), "x")


def test_rows_of_a_table_come_back(tmp_path: Path) -> None:
    def table(name: str, stage: str | None = None) -> CacheTable:
        return CacheTable(
            PartCache(tmp_path, "asked"), name, (np.uint64, np.int64), (np.bool_, np.float64), stage=stage
        )

    first = table("x-1")
    assert first.get(1, -2) is None
    first.save()
    assert not folder(tmp_path).exists() or not os.listdir(folder(tmp_path)), "nothing is new"
    first.put(2**64 - 1, -2, row=(True, 0.1))
    first.put(7, 3, row=(False, 2.5))
    assert first.get(7, 3) == (False, 2.5)
    first.save()
    again = table("x-1")
    assert [again.get(2**64 - 1, -2), again.get(7, 3), again.get(3, 7)] == [(True, 0.1), (False, 2.5), None]
    again.put(7, 3, row=(True, 0.0))
    again.save()
    assert table("x-1").get(7, 3) == (True, 0.0)
    assert table("x-2", stage="x").get(7, 3) is None
    assert os.listdir(folder(tmp_path)) == [], "of an earlier version"
    nowhere = CacheTable(PartCache(None, "asked"), "x", (np.int64,), (np.int64,))
    nowhere.put(1, row=(2,))
    nowhere.save()
    assert nowhere.get(1) == (2,)
