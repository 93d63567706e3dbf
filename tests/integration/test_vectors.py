"""Vectors that another tool has made: which are taken over, which are not, and whose they must be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sourcing.archives import put
from sourcing.cases import draw
from sourcing.exports import npy, parquet, vectors_of

import imseek
from imseek.errors import MediaError, UsageError
from imseek.types.indexing_runs import SourceOptions

FAKE = SourceOptions(encoder="fake")


@pytest.fixture
def collection(tmp_path: Path, later: Callable[[float], None]) -> Iterator[imseek.Collection]:
    later(10)
    with imseek.create(tmp_path / "collection", encoder="fake") as opened:
        yield opened


def export(at: Path, array: np.ndarray[Any, Any], rows: list[dict[str, Any]], shard: str = "0") -> Path:
    put(at / f"img_emb/img_emb_{shard}.npy", npy(array))
    put(at / f"metadata/metadata_{shard}.parquet", parquet(rows))
    return at


def random_rows(count: int, seed: int = 0, dim: int = 64) -> np.ndarray[Any, np.dtype[np.float32]]:
    rows = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def keys(count: int) -> list[dict[str, Any]]:
    return [{"image_path": f"{n:09}", "rank": n} for n in range(count)]


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8", ">f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_scores_are_those_of_the_array(tmp_path: Path, collection: imseek.Collection, dtype: str, order: Any) -> None:
    rows = random_rows(50)
    at = export(tmp_path / "e", np.array(rows, dtype, order=order), keys(50))
    report = collection.index([at], source=FAKE)
    assert (report.added, report.skipped, report.bytes_read) == (50, 0, 0)
    assert any("on trust" in note for note in report.notes)
    query = random_rows(1, 9)[0]
    hits = collection.search(query, limit=50)
    order_of = np.argsort(-(rows @ query))
    assert [hit.metadata["rank"] for hit in hits][:10] == order_of[:10].tolist()
    assert [hit.score for hit in hits] == pytest.approx(sorted(rows @ query, reverse=True), abs=2e-3)


def test_a_picture_that_nobody_knows_the_place_of_is_not_read(tmp_path: Path, collection: imseek.Collection) -> None:
    collection.index([export(tmp_path / "e", random_rows(2), keys(2))], source=FAKE)
    hit = collection.search(random_rows(1)[0])[0]
    assert hit.uri is not None
    assert hit.uri.endswith("img_emb_0.npy#row=0")
    assert hit.metadata["format"] == "unknown"
    with pytest.raises(MediaError, match="only its vector is known"):
        collection.read(hit.image_id)


def test_rows_that_are_no_vectors_are_reported_and_others_normalised(
    tmp_path: Path, collection: imseek.Collection
) -> None:
    rows = random_rows(6)
    rows[1], rows[2, 3], rows[3, 0] = 0, np.nan, np.inf
    rows[4] *= 7
    at = export(tmp_path / "e", rows, keys(6))
    report = collection.index([at], source=FAKE)
    assert (report.added, report.skipped) == (3, 3)
    assert {failure.reason for failure in report.failures} == {"bad_vector"}
    assert sorted(failure.message for failure in report.failures)[0] == "the vector is all zeros"
    assert any("1 row was not of unit length: normalised" in note for note in report.notes)
    best = collection.search(rows[4])[0]
    assert best.metadata["rank"] == 4
    assert best.score == pytest.approx(1, abs=2e-3)
    again = collection.index()
    assert (again.unchanged, again.skipped, again.files_opened) == (3, 3, 0)


def test_shards_come_in_the_order_of_their_numbers(tmp_path: Path, collection: imseek.Collection) -> None:
    rows = random_rows(3)
    for n, shard in enumerate(("2", "10", "1")):
        export(tmp_path / "e", rows[n : n + 1], [{"shard": shard}], shard)
    collection.index([tmp_path / "e"], source=FAKE)
    hits = sorted(collection.search(rows[0]), key=lambda hit: hit.image_id)
    assert [hit.metadata["shard"] for hit in hits] == ["1", "2", "10"]


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_other_metadata(tmp_path: Path, collection: imseek.Collection, ending: str) -> None:
    rows = random_rows(2)
    put(tmp_path / "v.npy", npy(rows))
    told = [{"url": f"https://example.org/{n}.jpg", "caption": f"number {n}", "width": 9} for n in range(2)]
    lines = ["url,caption,width", *(",".join(map(str, row.values())) for row in told)]
    text = "\n".join(lines if ending == "csv" else map(json.dumps, told))
    put(tmp_path / f"v.{ending}", text.encode())
    collection.index([tmp_path / "v.npy"], source=FAKE)
    hit = collection.search(rows[1])[0]
    assert (hit.uri, hit.metadata["caption"]) == ("https://example.org/1.jpg", "number 1")


def test_what_does_not_fit_together_is_reported(tmp_path: Path, collection: imseek.Collection) -> None:
    at = export(tmp_path / "e", random_rows(3), keys(2))
    export(at, random_rows(2, 1), keys(2), "1")
    put(at / "img_emb/img_emb_2.npy", b"no array")
    put(at / "metadata/metadata_2.parquet", parquet(keys(1)))
    put(at / "img_emb/img_emb_3.npy", npy(random_rows(1)))
    put(at / "img_emb/img_emb_4.npy", npy(random_rows(2, 4)))
    put(at / "metadata/metadata_4.parquet", b"no table")
    report = collection.index([at], source=FAKE)
    assert report.added == 2
    messages = {Path(failure.path.decode()).stem: failure.message for failure in report.failures}
    assert messages["img_emb_0"] == "it has 3 rows, but its metadata have 2"
    assert messages["img_emb_2"].startswith("not an array of NumPy")
    assert messages["img_emb_3"].startswith("there are no metadata beside it")
    assert "damaged" in messages["img_emb_4"]


def test_the_encoder_must_be_named_and_be_the_collections(tmp_path: Path, collection: imseek.Collection) -> None:
    at = export(tmp_path / "e", random_rows(3), keys(3))
    with pytest.raises(UsageError, match="nothing in it says which encoder"):
        collection.index([at])
    with pytest.raises(UsageError, match="vectors of fake:32 cannot join"):
        collection.index([at], source=SourceOptions(encoder="fake:32"))
    other = export(tmp_path / "o", random_rows(3, dim=32), keys(3))
    with pytest.raises(UsageError, match="have 32 numbers, those of fake 64"):
        collection.index([other], source=FAKE)
    assert collection.info().sources == ()


def test_two_spaces_refuse(tmp_path: Path) -> None:
    at = export(tmp_path / "e", random_rows(3), keys(3))
    with (
        imseek.create(tmp_path / "two", encoder="fake", also=("fake:32",)) as opened,
        pytest.raises(UsageError, match="one encoder of pictures"),
    ):
        opened.index([at], source=FAKE)


@pytest.mark.parametrize("absolute", [True, False])
def test_pictures_at_hand_tell_whose_the_vectors_are(
    tmp_path: Path, collection: imseek.Collection, absolute: bool
) -> None:
    data = [draw(n) for n in range(4)]
    for n, one in enumerate(data):
        put(tmp_path / f"pics/{n}.png", one)
    base = f"{tmp_path}/" if absolute else ""
    rows = [{"image_path": f"{base}pics/{n}.png"} for n in range(4)]
    wrong = export(tmp_path / "wrong", random_rows(4), rows)
    with pytest.raises(UsageError, match=r"fake did not make these vectors.*4 of the pictures"):
        collection.index([wrong], source=FAKE)
    assert collection.info().sources == ()
    assert collection.info().images == 0
    right = export(tmp_path / "right", vectors_of(data), rows)
    report = collection.index([right], source=FAKE)
    assert report.added == 4
    assert report.notes == ()
    best = collection.search(data[2])[0]
    assert best.path == f"{tmp_path}/pics/2.png"
    assert collection.read(best.image_id) == data[2]


def test_what_has_changed_is_compared_by_its_vectors(tmp_path: Path, collection: imseek.Collection) -> None:
    rows = random_rows(5)
    at = export(tmp_path / "e", rows, keys(5))
    collection.index([at], source=FAKE)
    ids = {hit.metadata["rank"]: hit.image_id for hit in collection.search(rows[0])}
    export(at, np.concatenate([random_rows(1, 7), rows[:4]]), keys(5))
    report = collection.index()
    assert (report.moved, report.added + report.changed, report.live) == (4, 1, 5)
    assert collection.search(rows[3])[0].image_id == ids[3]
