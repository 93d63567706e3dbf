"""How well captions find their pictures: against plain sorting, from every place where captions come from."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from templates import Templates

import imseek
from imseek import maintenance
from imseek.encoders import registry
from imseek.encoders.fake import FakeEncoder
from imseek.errors import QueryError, UsageError
from imseek.evaluate import retrieval

ENCODER = "fake:64"
#: By the name of a photograph, one or more captions that the fake encoder makes something of.
CAPTIONS = {
    "astronaut.png": ["a woman in an orange suit", "white and red and black"],
    "chelsea.png": ["a cat, red and yellow", "yellow", "red"],
    "coffee.png": ["a cup on a table"],
    "rocket.jpg": ["black and blue", "blue"],
    "camera.png": ["white and black"],
}


@pytest.fixture
def indexed(tmp_path: Path, photos: Path, templates: Templates) -> Iterator[imseek.Collection]:
    templates.indexed(tmp_path / "c", photos, encoder=ENCODER)
    with imseek.open(tmp_path / "c") as made:
        yield made


def ids_of(collection: imseek.Collection) -> dict[str, int]:
    hits = collection.search(np.ones(64), limit=100, metadata=False)
    return {Path(str(hit.path)).name: hit.image_id for hit in hits}


def plain(collection: imseek.Collection, captions: dict[str, list[str]], among: list[str]) -> dict[str, object]:
    """Ranks in both directions, by sorting all scores."""
    ids = ids_of(collection)
    rows = np.array([collection.search(ids[name], limit=1, vectors=True)[0].vector for name in among], float)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    texts = [(name, text) for name in among for text in captions.get(name, [])]
    asked = registry.load(ENCODER).encode_texts([text for _, text in texts]).astype(float)
    scores = asked @ rows.T
    forth = []
    for (name, _), row in zip(texts, scores, strict=True):
        forth.append(1 + sum(score >= row[among.index(name)] for n, score in enumerate(row) if among[n] != name))
    back, precision = [], []
    for n, name in enumerate(among):
        good = sorted((scores[t, n] for t, (owner, _) in enumerate(texts) if owner == name), reverse=True)
        wrong = [scores[t, n] for t, (owner, _) in enumerate(texts) if owner != name]
        if good:
            places = [1 + m + sum(score >= one for score in wrong) for m, one in enumerate(good)]
            back.append(places[0])
            precision.append(np.mean([(m + 1) / place for m, place in enumerate(places)]))
    return {"forth": forth, "back": back, "precision": float(np.mean(precision))}


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows))
    else:
        names = list(rows[0])
        cells = [[str(row[name]) for name in names] for row in rows]
        path.write_text("\n".join(",".join(f'"{cell}"' for cell in line) for line in [names, *cells]))
    return path


@pytest.mark.parametrize("among", ["captioned", "all"])
def test_equals_plain_sorting(indexed: imseek.Collection, among: str) -> None:
    ids = ids_of(indexed)
    given = {ids[name]: texts for name, texts in CAPTIONS.items()}
    report = retrieval(indexed, captions=given, among=among, ks=(1, 2, 3))  # type: ignore[arg-type]
    names = list(CAPTIONS) if among == "captioned" else sorted(ids, key=lambda name: name not in CAPTIONS)
    wanted = plain(indexed, CAPTIONS, names)
    forth, back = np.array(wanted["forth"]), np.array(wanted["back"])
    assert (report.images, report.captions, report.captions_from) == (len(names), 9, "given")
    assert report.text_to_image is not None
    assert report.image_to_text is not None
    assert (report.text_to_image.questions, report.text_to_image.items) == (9, len(names))
    assert (report.image_to_text.questions, report.image_to_text.items) == (5, 9)
    for k in (1, 2, 3):
        assert report.text_to_image.recall[k].value == pytest.approx((forth <= k).mean())
        assert report.image_to_text.recall[k].value == pytest.approx((back <= k).mean())
    assert report.text_to_image.median_rank.value == np.median(forth)
    assert report.text_to_image.mean_rank.value == pytest.approx(forth.mean())
    assert report.text_to_image.mean_average_precision.value == pytest.approx((1 / forth).mean())
    assert report.image_to_text.mean_average_precision.value == pytest.approx(wanted["precision"])
    assert report.text_to_image.recall[1].low <= report.text_to_image.recall[1].value
    if among == "all":
        assert forth.max() > 5, "pictures without a caption come before right ones, else this shows nothing"


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("key", ["image_id", "path", "absolute"])
def test_tables_name_images_by_id_and_by_path(
    indexed: imseek.Collection, tmp_path: Path, photos: Path, suffix: str, key: str
) -> None:
    ids = ids_of(indexed)
    places = {path.name: path for path in photos.rglob("*.*")}
    rows = []
    for name, texts in CAPTIONS.items():
        said = {"image_id": ids[name], "path": name, "absolute": str(places[name])}[key]
        rows += [{"image_id" if key == "image_id" else "path": said, "caption": text} for text in texts]
    table = write(tmp_path / f"captions{suffix}", rows)
    given = {ids[name]: texts for name, texts in CAPTIONS.items()}
    found, wanted = retrieval(indexed, captions=table), retrieval(indexed, captions=given)
    assert found == wanted
    assert found.captions == 9


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_lists_of_captions(indexed: imseek.Collection, tmp_path: Path, suffix: str) -> None:
    rows: list[dict[str, object]] = [{"file_name": name, "captions": texts} for name, texts in CAPTIONS.items()]
    table = write(tmp_path / f"captions{suffix}", rows)
    ids = ids_of(indexed)
    given = {ids[name]: texts for name, texts in CAPTIONS.items()}
    assert retrieval(indexed, captions=table) == retrieval(indexed, captions=given)


def test_unknown_images_and_empty_captions_are_counted_and_named(indexed: imseek.Collection, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(
        '{"path": "coffee.png", "caption": "a cup"}\n'
        '{"path": "rocket.jpg", "caption": "black"}\n'
        '{"path": "nowhere.png", "caption": "nothing"}\n'
        '{"path": "camera.png", "caption": NaN}\n'
        '{"path": "chelsea.png", "caption": "  "}\n'
        '{"path": 1, "caption": "a number is no path"}\n'
        '{"path": null, "caption": "nor is nothing"}\n'
        '{"path": "astronaut.png", "caption": []}\n'
        '{"path": "china.jpg", "caption": 3}\n'
    )
    report = retrieval(indexed, captions=tmp_path / "t.jsonl")
    assert (report.captions, report.images) == (2, 2)
    assert report.left_out.unknown == 3
    assert report.left_out.names == ("nowhere.png", "1", "None")
    assert report.left_out.empty == 4
    assert report.text_to_image is not None
    assert set(report.text_to_image.recall) == {1}, "R@5 of two pictures says nothing"


def test_a_name_that_two_images_end_with_names_neither(
    indexed: imseek.Collection, tmp_path: Path, photos: Path
) -> None:
    (photos / "other").mkdir()
    (photos / "other" / "coffee.png").write_bytes((photos / "rocket.jpg").read_bytes())
    indexed.index()
    rows: list[dict[str, object]] = [
        {"path": "coffee.png", "caption": "which?"},
        {"path": "other/coffee.png", "caption": "black"},
        {"path": "chelsea.png", "caption": "red"},
    ]
    report = retrieval(indexed, captions=write(tmp_path / "t.csv", rows))
    assert (report.captions, report.left_out.unknown, report.left_out.names) == (2, 1, ("coffee.png",))


def test_own_captions_embedded_or_not_give_the_same(tmp_path: Path, photos: Path) -> None:
    for name, texts in CAPTIONS.items():
        (photos / name).with_suffix(".txt").write_text(texts[0])
    with imseek.create(tmp_path / "c", encoder=ENCODER) as made:
        made.index([photos])
        ids = ids_of(made)
        if not any(made.get(image_id).metadata.get("caption") for image_id in ids.values()):
            pytest.fail("captions beside pictures are read")
        before = retrieval(made)
        maintenance.embed_captions(made.path)
        after = retrieval(made)
    assert (before.captions_from, after.captions_from) == ("metadata", "space")
    assert (before.captions, before.images) == (5, 5)
    assert before.text_to_image == after.text_to_image
    assert before.image_to_text == after.image_to_text


def test_only_images_that_meet_a_condition(indexed: imseek.Collection) -> None:
    ids = ids_of(indexed)
    given = {ids[name]: texts for name, texts in CAPTIONS.items()}
    report = retrieval(indexed, captions=given, where="format = 'PNG'", among="all")
    assert (report.captions, report.left_out.unknown) == (7, 1)
    assert report.images == 5
    with pytest.raises(QueryError):
        retrieval(indexed, captions=given, where="nonsense >")


def test_several_captions_of_a_picture_are_drawn_together(indexed: imseek.Collection) -> None:
    ids = ids_of(indexed)
    once = {ids[name]: [texts[0]] for name, texts in CAPTIONS.items()}
    often = {image_id: texts * 6 for image_id, texts in once.items()}
    one, six = retrieval(indexed, captions=once), retrieval(indexed, captions=often)
    assert one.text_to_image is not None
    assert six.text_to_image is not None
    assert six.text_to_image.recall == one.text_to_image.recall


def test_what_cannot_be_evaluated(indexed: imseek.Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(QueryError, match="no image has a caption"):
        retrieval(indexed)
    with pytest.raises(QueryError, match="no caption is left: 1 rows name no image"):
        retrieval(indexed, captions={10**6: ["red"]})
    one = {ids_of(indexed)["coffee.png"]: ["a cup"]}
    with pytest.raises(UsageError, match="R@2 among 1"):
        retrieval(indexed, captions=one, ks=(2,))
    with pytest.raises(UsageError, match="nothing to rank among"):
        retrieval(indexed, captions=one, among="some")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no space of pictures is 7"):
        retrieval(indexed, captions=one, space=7)
    with pytest.raises(UsageError, match="cannot be read"):
        retrieval(indexed, captions=tmp_path / "none.csv")
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(UsageError, match="cannot be read"):
        retrieval(indexed, captions=tmp_path / "damaged.parquet")
    (tmp_path / "columns.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="which image") as refused:
        retrieval(indexed, captions=tmp_path / "columns.csv")
    assert refused.value.hint == "columns: a, b"
    (tmp_path / "uncaptioned.csv").write_text("path,b\nx,2\n")
    with pytest.raises(UsageError, match="captions"):
        retrieval(indexed, captions=tmp_path / "uncaptioned.csv")
    single = retrieval(indexed, captions=one)
    assert single.text_to_image is not None
    assert single.text_to_image.recall[1].value == 1
    from dataclasses import replace

    without = property(lambda self: replace(self._info, modalities=("image",)))
    monkeypatch.setattr(FakeEncoder, "info", without)
    with pytest.raises(UsageError, match="knows no words"):
        retrieval(indexed, captions=one)


def test_stopped(indexed: imseek.Collection) -> None:
    stop = threading.Event()
    stop.set()
    report = retrieval(indexed, captions={ids_of(indexed)["coffee.png"]: ["a cup"]}, stop=stop)
    assert report.interrupted
    assert report.text_to_image is None
