"""Searching: the right ids and scores, one generation per answer, and clear refusals."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import imseek
from imseek.data import layout
from imseek.data.reader import Reader
from imseek.encoders import registry
from imseek.types.arrays import Float32


def brute_force(path: Path, query: Float32) -> list[tuple[int, float]]:
    """Ids and scores by the definition in docs/format.md, straight from the files."""
    reader = Reader(path)
    scored = []
    for shard in reader.current.shards:
        ids = np.load(path / layout.ids(shard.shard_id))
        rows = np.load(path / layout.vectors(0, shard.shard_id)).astype(np.float64)
        dead = set() if shard.dead is None else set(np.load(path / shard.dead).tolist())
        scores = rows @ query.astype(np.float64) / np.linalg.norm(rows, axis=1)
        scored += [(int(i), float(s)) for n, (i, s) in enumerate(zip(ids, scores, strict=True)) if n not in dead]
    return sorted(scored, key=lambda pair: (-pair[1], pair[0]))


def test_words_and_pictures_rank_as_by_definition(collection: imseek.Collection, photos: Path) -> None:
    collection.index([photos])
    shutil.copy(photos / "coffee.png", photos / "again.png")
    (photos / "rocket.jpg").unlink()
    collection.index()
    encoder = registry.load("fake")
    for words in ("a cup of coffee", "cat"):
        (query,) = encoder.encode_texts([words])
        expected = brute_force(collection.path, query)
        result = collection.search(words, limit=50, by="image")
        assert [hit.image_id for hit in result] == [i for i, _ in expected]
        assert [hit.score for hit in result] == pytest.approx([s for _, s in expected], abs=1e-5)
        assert (result.searched, result.encoder) == (8, "fake")
        assert [h.image_id for h in collection.search(words, limit=3, by="image")] == [i for i, _ in expected[:3]]


def test_all_ways_to_ask_for_the_same_thing_agree(collection: imseek.Collection, photos: Path) -> None:
    collection.index([photos])
    path = photos / "chelsea.png"
    by_path = collection.search(path, limit=8)
    stored = by_path[0].image_id
    by_bytes = collection.search(path.read_bytes(), limit=8)
    by_id = collection.search(stored, limit=8)
    by_vector = collection.search(Reader(collection.path).vector(stored, 0), limit=8)
    by_term = collection.search(imseek.Query((imseek.Term(image_id=stored, weight=3.0),), limit=8))
    assert by_bytes.hits == by_path.hits
    assert by_vector.hits == by_id.hits == by_term.hits
    assert [h.image_id for h in by_id] == [h.image_id for h in by_path]


def test_terms_add_up_and_negative_ones_push_away(collection: imseek.Collection, photos: Path) -> None:
    collection.index([photos])
    cat = collection.search(photos / "chelsea.png")[0].image_id
    cup = collection.search(photos / "coffee.png")[0].image_id
    both = collection.search(imseek.Query((imseek.Term(image_id=cat), imseek.Term(image_id=cup))))
    assert {both[0].image_id, both[1].image_id} == {cat, cup}
    away = collection.search(imseek.Query((imseek.Term(image_id=cup), imseek.Term(image_id=cat, weight=-1.0)), limit=8))
    assert away[len(away) - 1].image_id == cat


@pytest.mark.parametrize("question", ["", "   ", 3.5, None, True, np.zeros(256), np.full(256, np.nan), np.ones(3), b""])
def test_what_cannot_be_asked_is_refused(collection: imseek.Collection, photos: Path, question: object) -> None:
    collection.index([photos / "coffee.png"])
    with pytest.raises((imseek.errors.QueryError, imseek.errors.MediaError)):
        collection.search(question)  # type: ignore[arg-type]


def test_bad_query_pictures_and_ids(collection: imseek.Collection, photos: Path) -> None:
    collection.index([photos / "coffee.png"])
    (photos / "text.jpg").write_text("words")
    with pytest.raises(imseek.errors.QueryError, match="cannot use"):
        collection.search(photos / "text.jpg")
    with pytest.raises(imseek.errors.QueryError, match="cannot read"):
        collection.search(photos / "nowhere.jpg")
    for image_id in (12345, -1, 2**63, 10**30):
        for ask in (collection.search, collection.get):
            with pytest.raises(imseek.errors.ImageNotFoundError):
                ask(image_id)
    with pytest.raises(imseek.errors.QueryError):
        collection.search("words", limit=0)
    with pytest.raises(imseek.errors.QueryError, match="exactly one"):
        imseek.Term(text="a", image_id=1)
    for wrong in ({"text": 5}, {"picture": "cat.jpg"}, {"image_id": "7"}, {"image_id": 1.5}):
        with pytest.raises(imseek.errors.QueryError, match=f"{next(iter(wrong))} of a term is"):
            imseek.Term(**wrong)  # type: ignore[arg-type]
    assert imseek.Term(image_id=np.int64(0)).shows  # type: ignore[arg-type]
    with pytest.raises(imseek.errors.QueryError, match="finite"):
        imseek.Term(text="a", weight=float("nan"))


def test_an_empty_collection_answers_with_nothing(collection: imseek.Collection) -> None:
    result = collection.search("anything")
    assert (result.hits, result.searched, result.generation) == ((), 0, 0)


def test_other_weights_are_refused_with_both_fingerprints(
    collection: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.index([photos / "coffee.png"])
    monkeypatch.setattr("imseek.encoders.fake.FakeEncoder.fingerprint", lambda _: "0123456789abcdef" * 4)
    with imseek.open(collection.path) as again:
        stored = again.info().encoder.fingerprint
        for attempt in (lambda: again.search("words"), lambda: again.index([photos])):
            with pytest.raises(imseek.errors.EncoderMismatchError) as caught:
                attempt()
            assert "0123456789abcdef" in str(caught.value)
            assert stored[:16] in str(caught.value)
        assert len(again.search(0)) == 1, "a stored vector needs no encoder"


def test_an_open_collection_takes_up_what_another_wrote(collection: imseek.Collection, photos: Path) -> None:
    with imseek.open(collection.path) as reader:
        assert len(reader.search("words")) == 0
        collection.index([photos])
        assert len(reader.search("words")) == 8
        (photos / "coffee.png").unlink()
        collection.index()
        assert len(reader.search("words")) == 7


def test_answers_are_of_one_generation_while_a_writer_goes_on(
    collection: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each answer is complete: as many hits as its generation has images, each with its place."""
    monkeypatch.setattr("imseek.indexer.pipeline.COMMIT_IMAGES", 2)
    monkeypatch.setattr("imseek.indexer.encode_stage.ENCODE_BATCH", 2)
    images_at: dict[int, int] = {}
    wrong: list[object] = []
    done = threading.Event()

    def ask() -> None:
        with imseek.open(collection.path) as reader:
            while not done.is_set():
                result = reader.search("words", limit=100)
                images_at.setdefault(result.generation, len(result))
                if len(result) != images_at[result.generation] or any(hit.place is None for hit in result):
                    wrong.append(result)

    askers = [threading.Thread(target=ask) for _ in range(2)]
    for asker in askers:
        asker.start()
    try:
        collection.index([photos])
        for n in range(3):
            (photos / "coffee.png").rename(photos / "moving")
            (photos / "moving").rename(photos / f"coffee{n}.png")
            collection.index()
            (photos / f"coffee{n}.png").rename(photos / "coffee.png")
            collection.index()
    finally:
        done.set()
        for asker in askers:
            asker.join()
    assert wrong == []
    assert len(images_at) >= 3


def test_files_swept_under_a_reader_make_it_take_a_new_generation(
    collection: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.index([photos])
    with imseek.open(collection.path) as reader:
        stale = reader.engine.reader  # takes up the generation, opens no file
        (photos / "coffee.png").unlink()
        collection.index()
        for name in (layout.ids(0), layout.vectors(0, 0)):
            assert (collection.path / name).exists()
        current = stale.current
        gone = dataclasses.replace(current.shards[0], dead="dead/000000.999.npy")
        stale.current = dataclasses.replace(current, shards=(gone,), generation=Reader(collection.path).generation)
        assert len(reader.search("words")) == 7


def test_no_faiss_names_the_install(collection: imseek.Collection, photos: Path) -> None:
    """A few queries of a small collection do without."""
    collection.index([photos / "coffee.png"])
    script = (
        "import sys; sys.modules['faiss'] = None\n"
        "import imseek\n"
        f"c = imseek.open({str(collection.path)!r})\n"
        "assert len(c.search('words')) == 1\n"
        "try: c.search_many([f'word {n}' for n in range(16)])\n"
        "except imseek.errors.MissingExtraError as error: print(error, '/', error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "faiss is not installed / in imseek's folder: pip install .\n"


def test_the_read_path_loads_nothing_heavy(collection: imseek.Collection, photos: Path) -> None:
    collection.index([photos])
    script = (
        "import sys, imseek\n"
        f"c = imseek.open({str(collection.path)!r})\n"
        "assert len(c.search('words', metadata=False)) == 8\n"
        "heavy = {'torch', 'open_clip', 'timm', 'pydantic', 'duckdb', 'PIL', 'pyarrow', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_read_only_collection_can_be_searched(
    collection: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root everything can be written, so the answer of the system is simulated."""
    collection.index([photos])
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK)
    with imseek.open(collection.path) as reader:
        assert len(reader.search("words")) == 8
        with pytest.raises(imseek.errors.ReadOnlyError):
            reader.index()
