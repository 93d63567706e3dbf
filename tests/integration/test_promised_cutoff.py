"""Lists that lose a promised share of the relevant images at most, on crops of a photograph."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import imseek
from imseek import Query, Term, evaluate, maintenance
from imseek.data.catalog import models
from imseek.data.catalog.model_files import put
from imseek.data.writing.writer import Writer
from imseek.errors import CorruptCollectionError, QueryError, UsageError
from imseek.evaluate.results import CutoffReport
from imseek.search import is_calibrated, promised_cutoff
from imseek.search.query_vectors import QueryEncoder
from imseek.types.arrays import Float32
from imseek.types.spaces import SpaceInfo

COUNT = 240
TEXTS = {f"text {n // 2}": (n - n % 2, n - n % 2 + 1) for n in range(0, COUNT, 2)}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import skimage

    folder = tmp_path_factory.mktemp("crops")
    with Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png") as photograph:
        for n in range(COUNT):
            x, y = n % 16 * 24, n // 16 * 24
            photograph.crop((x, y, x + 64, y + 64)).save(folder / f"{n:03}.png")
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, photographs: Path) -> Iterator[imseek.Collection]:
    with imseek.create(tmp_path_factory.mktemp("c") / "c", encoder="fake") as made:
        made.index([photographs])
        yield made


@pytest.fixture(scope="module")
def judged(plain: imseek.Collection) -> dict[int, list[str]]:
    """A text for each two images."""
    ids = sorted(hit.image_id for hit in plain.search("any", limit=COUNT))
    return {ids[n]: [text] for text, pair in TEXTS.items() for n in pair}


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, plain: imseek.Collection, judged: dict[int, list[str]]
) -> tuple[Path, CutoffReport]:
    """A calibrated copy, and the report of the calibration."""
    path = tmp_path_factory.mktemp("d") / "c"
    shutil.copytree(plain.path, path)
    maintenance.trust(path)
    return path, evaluate.cutoff(path, captions=judged)


@pytest.fixture(scope="module")
def calibrated(made: tuple[Path, CutoffReport]) -> Iterator[imseek.Collection]:
    with imseek.open(made[0]) as opened:
        yield opened


class TestCalibration:
    def test_each_kind_keeps_its_promise_on_held_out_queries(
        self, plain: imseek.Collection, made: tuple[Path, CutoffReport]
    ) -> None:
        path, report = made
        assert [(one.kind, one.queries, one.relevant) for one in report.kinds] == [
            ("auto", 120, 240),
            ("image", 120, 240),
            ("picture", 120, 120),
        ]
        for kind in report.kinds:
            assert [one.promise for one in kind.promises] == [0.05, 0.1, 0.2, 0.3]
            for one in kind.promises:
                assert abs(one.loss - one.promise) < 0.05  # 60 queries calibrate, 60 are searched
                assert 0 < one.length <= COUNT
            assert [one.length for one in kind.promises] == sorted((p.length for p in kind.promises), reverse=True)
        assert is_calibrated(path)
        assert not is_calibrated(plain.path)

    def test_a_stop_stores_nothing(self, plain: imseek.Collection, judged: dict[int, list[str]]) -> None:
        import threading

        stop = threading.Event()
        stop.set()
        report = evaluate.cutoff(plain.path, captions=judged, stop=stop)
        assert (report.interrupted, report.kinds) == (True, ())
        assert not is_calibrated(plain.path)

    def test_too_few_texts_are_refused(self, plain: imseek.Collection, judged: dict[int, list[str]]) -> None:
        few = dict(list(judged.items())[:120])
        with pytest.raises(QueryError, match="60 different texts are too few to calibrate the cutoff: it takes 100"):
            evaluate.cutoff(plain.path, captions=few)

    def test_without_captions_it_says_where_these_come_from(self, plain: imseek.Collection) -> None:
        with pytest.raises(QueryError, match="no image has a caption"):
            evaluate.cutoff(plain.path)

    def test_columns_cannot_take_its_name(self, plain: imseek.Collection) -> None:
        from imseek.analysis.score_columns import check_name

        with pytest.raises(UsageError, match="imseek evaluate cutoff"):
            check_name(plain.engine.reader, promised_cutoff.NAME, (), "labels")


def test_each_text_is_encoded_once(plain: imseek.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[str] = []
    texts_of = QueryEncoder.texts_of

    def record(self: QueryEncoder, queries: Sequence[Query], space: SpaceInfo) -> Mapping[str, Float32]:
        found = texts_of(self, queries, space)
        encoded.extend(found)
        return found

    monkeypatch.setattr(QueryEncoder, "texts_of", record)
    queries = [Query(Term(text=text), by=by) for by in ("auto", "image", "text") for text in ("text 1", "text 2")]
    assert len(plain.search_many(queries, limit=3, metadata=False)) == 6
    assert sorted(encoded) == ["text 1", "text 2"]


class TestSearch:
    @pytest.mark.parametrize("by", ["auto", "image"])
    @pytest.mark.parametrize("cutoff", ["10%", "30%"])
    def test_lists_lose_what_was_promised(
        self, calibrated: imseek.Collection, judged: dict[int, list[str]], by: str, cutoff: str
    ) -> None:
        wanted: dict[str, set[int]] = {}
        for image_id, (text,) in judged.items():
            wanted.setdefault(text, set()).add(image_id)
        found = calibrated.search_many(list(wanted), by=by, cutoff=cutoff, limit=COUNT, metadata=False)
        lost = [
            len(right - {hit.image_id for hit in result}) / len(right)
            for right, result in zip(wanted.values(), found, strict=True)
        ]
        promise = float(cutoff[:-1]) / 100
        assert promise - 2 / 121 - 1 / 240 <= np.mean(lost) <= promise
        for result in found:
            assert result.cut == COUNT - len(result)
            # What is below the first image that is dropped, which may lie far below the threshold.
            assert result.lost is None if not len(result) else 0 <= result.lost <= np.mean(lost) + 1e-9

    def test_a_list_is_a_prefix_and_shrinks_with_the_promise(self, calibrated: imseek.Collection) -> None:
        whole = [hit.image_id for hit in calibrated.search("text 7", limit=COUNT)]
        lengths = []
        for cutoff in ("2%", "10%", "25.5%", "60%"):
            part = [hit.image_id for hit in calibrated.search("text 7", limit=COUNT, cutoff=cutoff)]
            assert part == whole[: len(part)]
            lengths.append(len(part))
        assert lengths == sorted(lengths, reverse=True)
        assert lengths[0] > lengths[-1]

    def test_pictures(self, calibrated: imseek.Collection) -> None:
        (first, *_) = calibrated.search(Term(image_id=3), cutoff="10%")
        assert first.image_id == 3

    def test_auto_says_what_it_loses(self, calibrated: imseek.Collection, plain: imseek.Collection) -> None:
        result = calibrated.search("text 7", limit=COUNT, cutoff="auto", by="image")
        assert [hit.image_id for hit in result] == [
            hit.image_id for hit in plain.search("text 7", limit=COUNT, cutoff="auto", by="image")
        ]
        assert result.lost is None if result.nothing else 0 <= result.lost <= 1
        assert plain.search("text 7", cutoff="auto").lost is None
        assert calibrated.search("text 7").lost is None

    def test_a_promise_of_less_than_the_calibration_allows(self, calibrated: imseek.Collection) -> None:
        with pytest.raises(QueryError, match=r"120 queries of calibration cannot promise 0\.5%") as refused:
            calibrated.search("text 7", cutoff="0.5%")
        assert "0.83% is the least" in str(refused.value.hint)

    def test_without_calibration(self, plain: imseek.Collection) -> None:
        with pytest.raises(QueryError, match="cutoff 10% needs a calibration, and this collection has none") as refused:
            plain.search("text 7", cutoff="10%")
        assert "imseek evaluate cutoff" in str(refused.value.hint)

    @pytest.mark.parametrize(
        "query",
        [
            Query((Term(text="red"), Term(text="blue", weight=-0.5))),
            Query((Term(text="red"), Term(image_id=1))),
            Query("red", by="text"),
            Query("red", more=(1,)),
            Query(np.ones(64)),
        ],
    )
    def test_queries_that_no_calibration_covers(self, calibrated: imseek.Collection, query: Query) -> None:
        with pytest.raises(QueryError, match="calibrated for words and for pictures"):
            calibrated.search(query, cutoff="10%")

    def test_several_collections(self, calibrated: imseek.Collection, tmp_path: Path, photographs: Path) -> None:
        with imseek.create(tmp_path / "c", encoder="fake") as other:
            other.index([photographs])
            with pytest.raises(QueryError, match="holds for one collection"):
                imseek.search_all([calibrated, other], "red", cutoff="10%")

    def test_another_encoder_needs_another_calibration(self, calibrated: imseek.Collection, tmp_path: Path) -> None:
        path = tmp_path / "c"
        shutil.copytree(calibrated.path, path)
        maintenance.trust(path)
        _store(path, fingerprint="other")
        with imseek.open(path) as opened:
            with pytest.raises(QueryError, match="was calibrated for another encoder"):
                opened.search("red", cutoff="10%")
            assert opened.search("red", cutoff="auto").lost is None

    def test_a_collection_that_has_grown_says_so(self, calibrated: imseek.Collection, tmp_path: Path) -> None:
        path = tmp_path / "c"
        shutil.copytree(calibrated.path, path)
        maintenance.trust(path)
        _store(path, images=100)
        with imseek.open(path) as opened:
            notes = opened.search("red", cutoff="10%").notes
        assert any("calibrated when the collection had 100 images" in note for note in notes)
        assert not any("calibrated" in note for note in calibrated.search("red", cutoff="10%").notes)

    def test_a_calibration_that_lacks_something_is_named(self, calibrated: imseek.Collection, tmp_path: Path) -> None:
        path = tmp_path / "c"
        shutil.copytree(calibrated.path, path)
        maintenance.trust(path)
        _store(path, queries={"auto": 1, "other": 2})
        with imseek.open(path) as opened, pytest.raises(CorruptCollectionError, match="lacks 'other_relevance'"):
            opened.search("red", cutoff="10%")

    @pytest.mark.parametrize("what", ["bytes", "curve"])
    def test_a_damaged_calibration_leaves_the_other_cutoff(
        self, calibrated: imseek.Collection, tmp_path: Path, what: str
    ) -> None:
        path = tmp_path / "c"
        shutil.copytree(calibrated.path, path)
        maintenance.trust(path)
        (file,) = (one for one in path.rglob("*cutoff_calibration*") if one.is_file())
        if what == "bytes":
            data = file.read_bytes()
            file.write_bytes(data[: len(data) // 2])
        else:
            _store(path, queries={"auto": 1}, arrays={"auto_relevance": [2.0, 1.0], "auto_weights": [0.5, 0.5]})
        sound = [hit.image_id for hit in calibrated.search("red", cutoff="auto", limit=COUNT)]
        with imseek.open(path) as opened:
            for _ in range(2):  # what is known of a generation
                found = opened.search("red", cutoff="auto", limit=COUNT)
                assert ([hit.image_id for hit in found], found.cut, found.lost) == (sound, COUNT - len(sound), None)
                (note,) = (note for note in found.notes if note.startswith("how much is lost is not known: "))
                with pytest.raises(CorruptCollectionError, match=r"is damaged|has a wrong curve of 'auto'"):
                    opened.search("red", cutoff="10%")
        if what == "bytes":
            problems = maintenance.verify(path).problems
            assert [(one.kind, one.file) for one in problems] == [("model", str(file.relative_to(path)))]
            assert f"{file} is damaged" in note
            assert "imseek collection repair" in note
        else:
            assert "imseek evaluate cutoff makes it again" in note

    def test_it_is_read_once_a_generation(
        self, tmp_path: Path, calibrated: imseek.Collection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "c"
        shutil.copytree(calibrated.path, path)
        maintenance.trust(path)
        reads: list[str] = []
        load = models.load
        monkeypatch.setattr(models, "load", lambda root, name: reads.append(name) or load(root, name))
        with imseek.open(path) as opened:
            before = opened.search_many(["red", "blue"], cutoff="10%", limit=COUNT)
            opened.search("red", cutoff="auto")
            assert len(reads) == 1
            _store(path, images=2 * COUNT)
            assert opened.search("red", cutoff="10%").notes != before[0].notes
        assert len(set(reads)) == 2


def _store(path: Path, arrays: Mapping[str, list[float]] | None = None, **facts: object) -> None:
    """Store the calibration with other facts, and arrays."""
    model = models.find(path, promised_cutoff.NAME)
    assert model is not None
    made = model.arrays if arrays is None else {name: np.array(values) for name, values in arrays.items()}
    with Writer(path, "test") as writer:
        put(writer, models.Model(model.name, model.kind, {**model.facts, **facts}, made))
