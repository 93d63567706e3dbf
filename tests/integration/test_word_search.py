"""Search by pictures and words together, over real photographs with names, captions and folders."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import imseek
from imseek import Query, Term
from imseek.data import layout
from imseek.data.collection_records import Current
from imseek.data.reader import Reader
from imseek.data.repair.verify import verify
from imseek.data.words import matching
from imseek.data.words.values import FOLDER
from imseek.data.writing.writer import Writer
from imseek.errors import QueryError
from imseek.ocr import text_store
from imseek.ocr.results import TextLine
from imseek.search import engine, result_pages
from imseek.search.collection_word_reliability import read_has_names
from imseek.search.cutoff import MIN_SAMPLE
from imseek.search.query_words import words_of
from imseek.search.score_fusion import MAX_WORD_MATCHES, CaptionHits, WordHits, calibrate, caption_agreement
from imseek.types.arrays import Float32
from imseek.types.collection_info import IndexPolicy
from imseek.types.search_results import Hit, Match, SearchResult, describe_matches

AUTO = Query((Term(text="cat"),), 20)


#: In the space of the fake encoder, captions have nothing to do with pictures: they would not count.
AGREEMENT, TRUST = "imseek.search.collection_word_reliability.caption_agreement", "imseek.search.score_fusion._trust"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, small_photo_files: list[Path]) -> Path:
    """Eight photographs in five variants each, of which some are named, and one has a caption."""
    folder = tmp_path_factory.mktemp("pictures")
    for n, path in enumerate(small_photo_files):
        for variant in range(5):
            with Image.open(path) as opened:
                made = opened.convert("RGB").rotate(9 * variant)
            names = {"chelsea": "pets/CatsAndDogs", "coffee": "breakfast/coffee-cup", "rocket": "launch"}
            stem = names.get(path.stem, f"IMG{n}")
            file = folder / f"{stem}_{variant}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            made.save(file)
    (folder / "IMG0_3.txt").write_text("Eileen Collins with a toy cat,\nbefore her flight")
    return folder


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Iterator[imseek.Collection]:
    with imseek.create(tmp_path_factory.mktemp("c") / "c", encoder="fake", also=["fake:32"]) as collection:
        collection.index([pictures])
        yield collection


def ids(result: SearchResult) -> list[int]:
    return [hit.image_id for hit in result]


def names(result: SearchResult) -> list[str]:
    return [Path(hit.path or "").name for hit in result]


def of_images(wanted: npt.NDArray[np.int64], every: npt.NDArray[np.int64], values: Float32) -> Float32:
    """Return the values of wanted images, by id; NaN where there are none."""
    known = dict(zip(every.tolist(), values.tolist(), strict=True))
    return np.array([known.get(i, np.nan) for i in wanted.tolist()], np.float32)


def all_by_evidence(collection: imseek.Collection, query: Query) -> list[int]:
    """Rank every image by its evidence, without the engine's merge."""
    reader = Reader(collection.path)
    found = collection.search(replace(query, by="image", limit=1000, exact=True))
    every = np.array(ids(found))
    cosines = np.array([hit.score for hit in found], np.float32)
    hits = WordHits.of(reader.match_words(words_of(query), MAX_WORD_MATCHES))
    hits = replace(hits, cosines=of_images(hits.ids, every, cosines))
    calibration = calibrate(cosines, "test", words=[hits])
    told = dict(zip(hits.ids.tolist(), calibration.match_evidence(hits).tolist(), strict=True))
    total = calibration.relevance(cosines, np.array([told.get(i, 0.0) for i in every.tolist()]))
    unnamed = ~np.isin(every, hits.ids)
    return every[np.lexsort((every, unnamed, -total))].tolist()


@pytest.mark.parametrize("text", ["cat", "coffee", "a cup of coffee", "a cat, or a launch", "IMG"])
def test_the_order_is_that_of_all_images_by_the_sum_of_evidence(opened: imseek.Collection, text: str) -> None:
    query = Query((Term(text=text),), 40)
    expected = all_by_evidence(opened, query)
    assert ids(opened.search(query)) == expected
    assert expected != ids(opened.search(replace(query, by="image"))), "words change the order"
    for limit in (1, 3, 7):
        assert ids(opened.search(replace(query, limit=limit))) == expected[:limit]


@pytest.mark.parametrize("text", ["xyzzy", "xyzzy plugh", "xyz*"])
def test_words_that_no_image_has_leave_the_order_of_the_pictures(opened: imseek.Collection, text: str) -> None:
    reader = Reader(opened.path)
    for among in (None, ids(opened.search("cat"))[:3]):
        found = reader.match_words(words_of(Query((Term(text=text),))), 100, among=among)
        assert (len(found.ids), found.total, found.is_exact, found.note) == (0, 0, True, None)
        assert found.documents == reader.current.images
    by_words, by_image = (opened.search(text, by=by, limit=9) for by in ("auto", "image"))
    assert by_words.hits == by_image.hits
    assert all(not hit.matches for hit in by_words)


def test_pages_fit_together(opened: imseek.Collection) -> None:
    whole = ids(opened.search(replace(AUTO, limit=40)))
    assert len(whole) == 40
    query, seen = replace(AUTO, limit=6), []
    while True:
        found = opened.search(query)
        seen += ids(found)
        if found.next_page is None:
            break
        query = replace(query, page=found.next_page)
    assert seen == whole


def test_scores_are_still_cosines(opened: imseek.Collection) -> None:
    by_image = {hit.image_id: hit.score for hit in opened.search(replace(AUTO, by="image", limit=40))}
    found = opened.search(replace(AUTO, limit=40))
    assert {hit.image_id: hit.score for hit in found} == by_image
    assert not found.approximate


def test_an_answer_without_words_is_that_by_image(opened: imseek.Collection) -> None:
    for asked in ("zebra", "…", "😀", 3, np.eye(64, dtype=np.float32)[2]):
        one, other = opened.search(asked, limit=40), opened.search(asked, limit=40, by="image")
        assert [(hit.image_id, hit.score) for hit in one] == [(hit.image_id, hit.score) for hit in other]
        assert not any(hit.matches for hit in one)


def test_hits_say_why(opened: imseek.Collection, pictures: Path) -> None:
    matches = {Path(hit.path or "").name: hit.matches for hit in opened.search(replace(AUTO, limit=40))}
    words = {name: tuple(one for one in why if one.field != "picture") for name, why in matches.items()}
    assert words["CatsAndDogs_2.png"] == (Match("name", ("CatsAndDogs_2.png",)),)
    assert words["IMG0_3.png"] == (Match("caption", ("cat",), "Eileen Collins with a toy cat, before her flight"),)
    assert words["launch_1.png"] == ()
    pets = opened.search("pets", by="text")[0]
    assert pets.matches == (Match("name", ("pets/",)),)
    without = {Path(hit.path or "").name: hit.matches for hit in opened.search(AUTO, metadata=False)}
    assert without["IMG0_3.png"][-1] == Match("caption", ("cat",)), "the word of the query"
    assert without["CatsAndDogs_2.png"] == matches["CatsAndDogs_2.png"]
    source = opened.search(f"{pictures.name} launch", by="text")[0]
    (found,) = source.matches
    folder, file = found.words
    # The folder has a number, and so has one of the files.
    assert (found.field, folder, file[:7]) == ("name", f"{pictures.name}/", "launch_")


def test_by_text_finds_only_what_matches(opened: imseek.Collection) -> None:
    found = opened.search(replace(AUTO, by="text"))
    assert sorted(names(found)) == sorted([*(f"CatsAndDogs_{n}.png" for n in range(5)), "IMG0_3.png"])
    assert (found.searched, found.next_page, found.spaces) == (40, None, ())
    assert all(hit.score == 1 for hit in found), "all words of the query"
    half = opened.search(Query((Term(text="cat zebra"),), by="text"))
    assert all(0 < hit.score < 1 for hit in half)
    first = opened.search(replace(AUTO, by="text", limit=4))
    assert first.next_page is not None
    rest = opened.search(replace(AUTO, by="text", limit=4, page=first.next_page))
    assert ids(first) + ids(rest) == ids(found)
    vector = opened.search(replace(AUTO, by="text"), vectors=True)[0].vector
    assert vector is not None
    assert vector.shape == (64,)


def test_phrases_are_phrases(opened: imseek.Collection) -> None:
    assert names(opened.search('"toy cat"', by="text")) == ["IMG0_3.png"]
    assert names(opened.search('"cat toy"', by="text")) == []
    assert opened.search('"cat toy"')[0].matches == ()
    assert names(opened.search('"toy cat', by="text"))[0] == "IMG0_3.png", "an open quote is no syntax"


def test_filters_restrict_words_too(opened: imseek.Collection) -> None:
    for by in ("auto", "text"):
        found = opened.search(replace(AUTO, by=by, where="name LIKE 'Cats%' AND name NOT LIKE '%_0%'"))
        assert sorted(names(found)) == [f"CatsAndDogs_{n}.png" for n in range(1, 5)]
    assert opened.search(replace(AUTO, by="text", where="name LIKE 'Cats%'")).searched == 5
    assert opened.search(replace(AUTO, by="text", where="width > 100000")).hits == ()


def test_a_condition_finds_what_it_allows_of_a_common_word(
    large: imseek.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images beyond the first that hold the word are found, too."""
    for module, name in (
        (engine, "_MAX_WORDS"),
        (engine, "MAX_WORD_MATCHES"),
        (result_pages, "MAX_CANDIDATES"),
        (matching, "_SCORED"),
    ):
        monkeypatch.setattr(module, name, 30)
    folder = Path(str(large.search("zebra", by="text")[0].path)).parent.name.rstrip("0123456789")
    for by in ("auto", "text"):
        found = large.search(Query((Term(text=folder),), by=by, where="name IN ('007.png', '009.png', '239.png')"))
        assert sorted(names(found)) == ["009.png", "239.png"]
        assert all(any(match.field == "name" for match in hit.matches) for hit in found)


def test_a_minimum_score_is_one_of_cosines_and_of_shares(opened: imseek.Collection) -> None:
    everything = opened.search(replace(AUTO, limit=40))
    least = sorted(hit.score for hit in everything)[20]
    expected = [hit.image_id for hit in everything if hit.score >= least]
    query, seen = replace(AUTO, limit=3, min_score=least), []
    while True:
        found = opened.search(query)
        seen += ids(found)
        if found.next_page is None:
            break
        query = replace(query, page=found.next_page)
    assert seen == expected
    partly = Query((Term(text="toy cat"),), 40, by="text")
    assert names(opened.search(replace(partly, min_score=1.0))) == ["IMG0_3.png"]
    assert len(opened.search(replace(partly, min_score=0.1))) == 6


def test_negative_words_and_pictures_match_no_words(opened: imseek.Collection, pictures: Path) -> None:
    negative = Query((Term(text="zebra"), Term(text="cat", weight=-0.5)), 40)
    assert ids(opened.search(negative)) == ids(opened.search(replace(negative, by="image")))
    picture = Query((Term(picture=pictures / "launch_0.png"),), 40)
    assert ids(opened.search(picture)) == ids(opened.search(replace(picture, by="image")))
    for query in (negative, picture):
        assert not any(hit.matches for hit in opened.search(query))
    both = Query((Term(text="launch"), Term(picture=pictures / "launch_0.png")), 5)
    assert sorted(names(opened.search(both))) == [f"launch_{n}.png" for n in range(5)]


def test_stages_work_on_the_fused_list(opened: imseek.Collection, pictures: Path) -> None:
    whole = ids(opened.search(replace(AUTO, limit=40)))
    collapsed = opened.search(replace(AUTO, limit=40, collapse=True))
    assert sorted([*ids(collapsed), *(other for hit in collapsed for other in hit.duplicates)]) == sorted(whole)
    assert ids(collapsed) == [i for i in whole if i in {*ids(collapsed)}]
    grouped = opened.search(replace(AUTO, group_by="folder", per_group=9))
    assert {Path(group.name or "").name for group in grouped.groups[:2]} == {"pets", pictures.name}
    assert sorted(ids(opened.search(replace(AUTO, limit=40, diversity=0.4)))) == sorted(whole)
    assert sorted(ids(opened.search(replace(AUTO, limit=40, hubness=True)))) == sorted(whole)
    assert len(opened.search(replace(AUTO, limit=40, sort="date", min_score=-1.0))) == 40
    refined = opened.search(replace(AUTO, limit=40, more=(whole[0],)))
    assert any(hit.matches for hit in refined)


@pytest.mark.parametrize(
    "text",
    [
        "AND",
        '"',
        '""',
        "*",
        "cat*",
        'NEAR("cat" dog)',
        "cat OR",
        "names:cat",
        "-cat",
        "(",
        "😀",
        "!!! …",
        "\u202ecat",
        "的",
    ],
)
@pytest.mark.parametrize("by", ["auto", "text"])
def test_what_looks_like_syntax_is_words(opened: imseek.Collection, text: str, by: Any) -> None:
    result = opened.search(text, by=by)
    assert len(result) == 10 or by == "text"


def test_a_collection_whose_words_cannot_be_searched_says_why(tmp_path: Path, opened: imseek.Collection) -> None:
    root = tmp_path / "c"
    shutil.copytree(opened.path, root)
    with closing(sqlite3.connect(root / "catalog.sqlite")) as connection, connection:
        connection.execute("DELETE FROM meta WHERE name = 'indexed_documents'")
    with imseek.open(root) as found:
        text = found.search("cat", by="text")
        assert (text.hits, len(text.notes)) == ((), 1)
        assert "words are not indexed yet" in text.notes[0]
        fused = found.search("cat")
        assert fused.notes == text.notes
        assert ids(fused) == ids(found.search("cat", by="image"))
        assert found.search("cat", by="image").notes == ()


@pytest.mark.parametrize("metadata", [True, False])
def test_starts_of_words_are_shown_where_they_match(opened: imseek.Collection, metadata: bool) -> None:
    def ask(text: str) -> SearchResult:
        return opened.search_many([Query((Term(text=text),), 20, by="text")], metadata=metadata)[0]

    assert sorted(names(ask("cof*"))) == sorted(names(ask("coffee")))
    (hit,) = ask("toy* fli*")
    words = [match.words for match in hit.matches if match.field == "caption"]
    assert words == [("toy", "flight") if metadata else ("toy*", "fli*")]
    assert ask("brea*")[0].matches[0].words[0] == "breakfast/"


def test_by_text_leaves_out_negative_texts(opened: imseek.Collection) -> None:
    def ask(*unwanted: str, **more: Any) -> SearchResult:
        terms = (Term(text="cat"), *(Term(text=text, weight=-0.5) for text in unwanted))
        return opened.search(Query(terms, 20, by="text", **more))

    everything = ids(ask())
    assert len(everything) == 6
    assert names(ask("dog")) == ["IMG0_3.png"]
    assert names(ask("dog", where="name LIKE 'Cats%'")) == []
    assert sorted(ids(ask("toy"))) == sorted(set(everything) - set(ids(ask("dog"))))
    assert ids(ask("toy*", '"cats dogs"')) == ids(ask("toy"))
    assert ids(ask("toy zebra", "the", "…")) == everything, "only what has all the words is left out"
    assert ids(ask("cat")) == []


def test_by_text_says_that_it_passes_over_pictures(opened: imseek.Collection) -> None:
    plain = opened.search(replace(AUTO, by="text"))
    mixed = opened.search(replace(AUTO, by="text", terms=(*AUTO.terms, Term(image_id=1), Term(image_id=2, weight=-1))))
    assert ids(mixed) == ids(plain)
    assert (plain.notes, mixed.notes) == ((), ("a search by text passes over the pictures of a query",))


def test_a_name_goes_before_one_word_within_a_text(
    collection: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "rocket.jpg").rename(photos / "horse.jpg")
    collection.index([photos])
    screen, horse = (collection.search(name, by="text")[0].image_id for name in ("coffee", "horse"))
    with Writer(collection.path, "test") as writer:
        text_store.begin(writer, "none 1")
        text_store.store(writer, {screen: [TextLine(0.1, 0.1, 0.5, 0.1, 0.9, "correct-horse-battery")]})
    monkeypatch.setattr("imseek.search.score_fusion.WORD_WEIGHTS", {"test": 50.0})
    assert ids(collection.search("horse"))[:2] == [horse, screen]
    assert ids(collection.search("horse", by="text")) == [horse, screen]
    for text in ("horse battery", '"correct horse"', "corr* horse"):
        assert ids(collection.search(text))[0] == screen
    monkeypatch.setattr("imseek.search.score_fusion.WORD_WEIGHTS", {})
    strong = collection.search("correct horse")[0]
    assert (strong.image_id, strong.matches[-1].excerpt) == (screen, "correct-horse-battery")


def test_ten_thousand_words(opened: imseek.Collection) -> None:
    long = "cat " + " ".join(f"word{n}" for n in range(10_000))
    assert len(opened.search(long, by="text")) == 6
    assert len(opened.search(long)) == 10


def test_what_is_refused(opened: imseek.Collection) -> None:
    with pytest.raises(QueryError, match="needs words"):
        opened.search(3, by="text")
    with pytest.raises(QueryError, match="more and less"):
        opened.search(replace(AUTO, by="text", more=(1,)))
    with pytest.raises(QueryError, match="no scores of all images"):
        imseek.maps.scores(opened, "cat", [1], by="text")
    assert imseek.maps.scores(opened, AUTO, [1, 2]).tolist() == imseek.maps.scores(opened, "cat", [1, 2]).tolist()


def test_several_collections(tmp_path: Path, opened: imseek.Collection, pictures: Path) -> None:
    """Evidence is counted over the images of all of them; without words in any, it is as by image."""
    with imseek.create(tmp_path / "c", encoder="fake", also=["fake:32"]) as other:
        folder = tmp_path / "other"
        folder.mkdir()
        for n in range(3):
            shutil.copyfile(pictures / f"IMG4_{n}.png", folder / f"{n}.png")
        other.index([folder])
        both = [other, opened]
        found = imseek.search_all(both, "cat", limit=50)
        assert len(found) == 43
        mine = [hit.image_id for hit in found if hit.collection == opened.uuid]
        assert sorted(mine) == sorted(ids(opened.search("cat", limit=50)))
        first = found[0]
        assert first.collection == opened.uuid
        assert any(match.field != "picture" for match in first.matches)
        text = imseek.search_all(both, "cat", by="text")
        assert {hit.collection for hit in text} == {opened.uuid}
        assert (len(text), text.searched) == (6, 43)
        one, two = (imseek.search_all(both, "zebra", limit=50, by=by) for by in ("auto", "image"))
        assert [(h.collection, h.image_id, h.score) for h in one] == [(h.collection, h.image_id, h.score) for h in two]


def test_several_collections_rank_as_one(tmp_path: Path, opened: imseek.Collection, pictures: Path) -> None:
    """Words that only one of them has are rare in all."""
    (folder := tmp_path / "zebras").mkdir()
    for n in range(3):
        with Image.open(pictures / f"launch_{n}.png") as picture:
            picture.crop((5, 5, 60, 60)).save(folder / f"{n}.png")
    with (
        imseek.create(tmp_path / "few", encoder="fake", also=["fake:32"]) as few,
        imseek.create(tmp_path / "all", encoder="fake", also=["fake:32"]) as everything,
    ):
        few.index([folder])
        everything.index([pictures, folder])
        expected = [hit.path for hit in everything.search("zebra", limit=50)]
        assert len(expected) == 43
        for collections in ([few, opened], [opened, few]):
            assert [hit.path for hit in imseek.search_all(collections, "zebra", limit=50)] == expected


def test_many_queries_answer_as_each_alone(opened: imseek.Collection) -> None:
    queries = [replace(AUTO, by=by) for by in ("auto", "image", "text")] + [Query((Term(text="coffee"),))]
    together = opened.search_many(queries)
    assert [ids(one) for one in together] == [ids(opened.search(query)) for query in queries]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[imseek.Collection]:
    """Enough images to tell what is irrelevant: crops of one photograph."""
    import skimage

    folder = tmp_path_factory.mktemp("crops")
    with Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png") as photograph:
        for n in range(MIN_SAMPLE + 40):
            x, y = n % 16 * 24, n // 16 * 24
            photograph.crop((x, y, x + 96, y + 96)).save(folder / f"{n:03}.png")
    (folder / "007.png").rename(folder / "a zebra crossing.png")
    (folder / "008.png").rename(folder / "zebra.png")
    with imseek.create(tmp_path_factory.mktemp("c") / "c", encoder="fake") as collection:
        collection.index([folder])
        yield collection


def test_pages_fit_together_over_an_approximate_index(large: imseek.Collection) -> None:
    """Whose candidates are a few lists of many: what it misses at first comes on a later page."""
    imseek.maintenance.build_index(large.path, IndexPolicy("IVF16,Flat", recall=0.5))
    with imseek.open(large.path) as opened:
        query, seen = Query((Term(text="zebra"),), 7), []
        while True:
            found = opened.search(query)
            assert found.approximate
            seen += ids(found)
            if found.next_page is None:
                break
            query = replace(query, page=found.next_page)
        assert len(seen) == len({*seen}) == opened.info().images
        exact = opened.search(Query((Term(text="zebra"),), len(seen), exact=True))
        assert not exact.approximate
        assert ids(exact) == all_by_evidence(opened, Query((Term(text="zebra"),)))
        by_image = names(opened.search(Query((Term(text="zebra"),), len(seen), by="image", exact=True)))
        for named in ("zebra.png", "a zebra crossing.png"):
            assert names(exact).index(named) < by_image.index(named)


class TestCutoff:
    def test_images_with_all_words_pass(self, large: imseek.Collection) -> None:
        query = Query((Term(text="zebra"),), 300, cutoff="auto")
        by_image = large.search(replace(query, by="image"))
        found = large.search(query)
        assert {"zebra.png", "a zebra crossing.png"} <= {*names(found)}
        assert {*ids(by_image)} <= {*ids(found)}
        assert found.cut == large.info().images - len(found)
        assert len(found) <= len(by_image) + 2

    @pytest.mark.parametrize("quality", ["test", "basic"])
    def test_captions_like_the_query_pass(
        self, large: imseek.Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quality: str
    ) -> None:
        """A caption without a word of the query brings its picture in, and the others are cut as ever."""
        monkeypatch.setattr("imseek.search.score_fusion.WORD_WEIGHTS", {"test": 50.0} if quality == "basic" else {})
        monkeypatch.setattr("imseek.search.score_fusion.CAPTION_WEIGHTS", {"test": 10.0} if quality == "basic" else {})
        monkeypatch.setattr(AGREEMENT, lambda *_: 2.0)
        monkeypatch.setattr(TRUST, lambda *_: 1.0)
        folder = tmp_path / "crops"
        folder.mkdir()
        for n, hit in enumerate(large.search(1, by="image", limit=300)):
            shutil.copy(hit.path or "", folder / f"{n:03}.png")
            (folder / f"{n:03}.txt").write_text("of and" if n == 200 else f"alpha{n} beta{n}")
        with imseek.create(tmp_path / "c", encoder="fake", captions=True) as collection:
            collection.index([folder])
            query = Query((Term(text="of"), Term(text="nothing")), 300, cutoff="auto")
            by_image, found = collection.search(replace(query, by="image")), collection.search(query)
            assert "200.png" not in names(by_image)
            assert {*names(found)} == {*names(by_image), "200.png"}
            assert found.cut == large.info().images - len(found)

    def test_beside_a_basic_encoder_half_of_the_words_pass(
        self, large: imseek.Collection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The best of the fused list are those that words find, and they are not cut before others."""
        query = Query((Term(text="zebra lantern crossing"),), 300, cutoff="auto")
        uncut = names(large.search(replace(query, cutoff=None)))
        monkeypatch.setattr("imseek.search.score_fusion.WORD_WEIGHTS", {"test": 50.0})
        found = large.search(query)
        assert names(found)[0] == "a zebra crossing.png"
        assert found.cut == len(uncut) - len(found) > 0

    def test_by_text_half_of_the_words_pass(self, large: imseek.Collection) -> None:
        query = Query((Term(text="zebra crossing"),), by="text", cutoff="auto")
        assert names(large.search(query))[0] == "a zebra crossing.png"
        weak = large.search(Query((Term(text="zebra crossing highway lantern"),), by="text", cutoff="auto"))
        assert names(weak) == ["a zebra crossing.png"] or not names(weak)
        assert weak.cut

    def test_words_name_things_or_not(
        self, large: imseek.Collection, tmp_path: Path, small_photo_files: list[Path]
    ) -> None:
        """Numbers, and a zebra twice, name nothing; a dog among four does."""
        space = large.engine.reader.current.space
        assert not read_has_names(large.engine.reader, space)
        for n, path in enumerate(small_photo_files[:4]):
            shutil.copy(path, tmp_path / (f"my dogs{path.suffix}" if n == 2 else f"{n}{path.suffix}"))
        with imseek.create(tmp_path / "c", encoder="fake") as collection:
            collection.index([tmp_path])
            assert read_has_names(collection.engine.reader, collection.engine.reader.current.space)

    @pytest.mark.parametrize(
        ("query", "is_empty"), [("lantern", True), ("zebra lantern highway", True), ("zebra", False)]
    )
    def test_where_words_name_things_what_they_do_not_name_is_not_there(
        self, large: imseek.Collection, monkeypatch: pytest.MonkeyPatch, query: str, is_empty: bool
    ) -> None:
        """Beside a basic encoder, by whose pictures nothing stands out here."""
        monkeypatch.setattr("imseek.search.score_fusion.WORD_WEIGHTS", {"test": 50.0})
        monkeypatch.setattr("imseek.search.cutoff.count_relevant", lambda *_: 0)
        monkeypatch.setattr("imseek.search.collection_word_reliability.read_has_names", lambda *_: True)
        with imseek.open(large.path) as opened:
            found = opened.search(query, cutoff="auto", limit=300)
        assert (found.nothing, len(found) == 0) == (is_empty, is_empty)

    def test_one_of_several_collections_has_no_allowed_image(self, large: imseek.Collection, tmp_path: Path) -> None:
        with imseek.create(tmp_path / "c", encoder="fake") as other:
            (folder := tmp_path / "other").mkdir()
            with Image.open(str(large.search("zebra", by="text")[0].path)) as picture:
                picture.save(folder / "other zebra.png")
            other.index([folder])
            query = Query((Term(text="zebra"),), cutoff="auto", where="name LIKE 'other%'")
            for collections in ([large, other], [other, large]):
                assert names(imseek.search_all(collections, query)) == ["other zebra.png"]


def test_the_folder_that_a_collection_lies_in_has_words(tmp_path: Path, small_photo_files: list[Path]) -> None:
    folder = tmp_path / "Lake Garda"
    folder.mkdir()
    for path in small_photo_files[:2]:
        shutil.copy(path, folder)
    (folder / "Garda at Dusk").mkdir()
    shutil.copy(small_photo_files[2], folder / "Garda at Dusk" / "mallard.png")

    def documents() -> set[str]:
        reader = Reader(folder / ".imseek")
        return {document.names for document in reader.documents(range(10)).values()}

    def reasons(text: str) -> list[tuple[str, ...]]:
        with imseek.open(folder) as collection:
            return sorted(match.words for hit in collection.search(text, by="text") for match in hit.matches)

    with imseek.create(folder / ".imseek", encoder="fake", here=True) as collection:
        collection.index([folder])
        collection.index([folder])
    with closing(sqlite3.connect(folder / ".imseek" / layout.CATALOG)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM documents").fetchone() == (3,), "the same name is nothing new"
    first = {f"lake garda {path.stem}" for path in small_photo_files[:2]}
    # A word that the path has as well counts once.
    assert documents() == {*first, "lake garda at dusk mallard"}
    assert reasons("lake") == [("Lake Garda/",)] * 3
    assert reasons("garda") == [("Lake Garda/",), ("Lake Garda/",), ("Lake Garda/", "Garda at Dusk/")]

    folder = folder.rename(tmp_path / "Comer See")
    assert reasons("lake") == [], "it is the name that the folder had when it was indexed"
    with imseek.open(folder) as collection:
        collection.index()
        assert len(collection.search("lake", by="text")) == 0
        assert len(collection.search("comer", by="text")) == 3
    assert documents() == {f"comer see {path.stem}" for path in small_photo_files[:2]} | {
        "comer see garda at dusk mallard"
    }
    assert verify(folder / ".imseek").ok


def test_a_collection_of_an_earlier_version_gets_the_name_of_its_folder(
    tmp_path: Path, small_photo_files: list[Path]
) -> None:
    folder = tmp_path / "Horses"
    folder.mkdir()
    shutil.copy(small_photo_files[0], folder)
    with imseek.create(folder / ".imseek", encoder="fake", here=True) as collection:
        collection.index([folder])
    with closing(sqlite3.connect(folder / ".imseek" / layout.CATALOG, isolation_level=None)) as connection:
        connection.execute("DELETE FROM meta WHERE name = ?", (FOLDER,))
        connection.execute("UPDATE documents SET names = 'earlier'")
    (folder / ".imseek" / layout.CHECKSUMS).unlink()
    with imseek.open(folder) as collection:
        collection.index()
        assert len(collection.search("horse", by="text")) == 1


SPOKEN = Query((Term(text="of whale"),), 40)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory, small_photo_files: list[Path]) -> Iterator[imseek.Collection]:
    """Forty photographs, of which thirty have captions that are embedded: one is like "of whale", though no word of
    the query is indexed for it, since "of" counts in phrases only."""
    folder = tmp_path_factory.mktemp("spoken")
    for n, path in enumerate(small_photo_files):
        for variant in range(5):
            with Image.open(path) as opened:
                opened.convert("RGB").rotate(9 * variant).save(folder / f"{n}_{variant}.png")
            if n < 6:
                (folder / f"{n}_{variant}.txt").write_text(f"alpha{n}{variant} beta{n}{variant}")
    (folder / "3_2.txt").write_text("alpha of")
    (folder / "4_4.txt").write_text("whale beta")
    with (
        imseek.create(tmp_path_factory.mktemp("c") / "c", encoder="fake", captions=True) as collection,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(AGREEMENT, lambda *_: 2.0)
        patch.setattr(TRUST, lambda *_: 1.0)
        collection.index([folder])
        yield collection


def test_captions_that_do_not_belong_to_their_pictures_count_nothing(
    spoken: imseek.Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = spoken.search(SPOKEN)
    assert has_caption_scores(found)
    monkeypatch.setattr(AGREEMENT, caption_agreement)
    with imseek.create(tmp_path / "c", encoder="fake", captions=True) as collection:
        collection.index([Path(found[0].path or "").parent])
        others = collection.search(SPOKEN)
    assert names(others) != names(found)
    assert not has_caption_scores(others)


def has_caption_scores(found: SearchResult) -> bool:
    return any(match.field == "caption" and match.score is not None for hit in found for match in hit.matches)


def all_by_all_evidence(collection: imseek.Collection, query: Query, where: str | None = None) -> list[int]:
    """Rank every image by the evidence of its picture, words and caption, each from a search of its own."""
    found = collection.search(replace(query, by="image", limit=100, where=where))
    every, cosines = np.array(ids(found)), np.array([hit.score for hit in found], np.float32)
    captions = {hit.image_id: hit.score for hit in collection.search(replace(query, by="caption", limit=100))}
    sample = np.array([*captions.values()], np.float32)
    hits = CaptionHits(np.array([*captions]), sample, sample, len(captions))
    whole = collection.search(replace(query, by="image", limit=100))
    samples = np.array([hit.score for hit in whole], np.float32)
    words = WordHits.of(Reader(collection.path).match_words(words_of(query), 100))
    matching = words.take(np.flatnonzero(np.isin(words.ids, every))).with_captions(
        replace(hits, ids=(there := hits.ids[np.isin(hits.ids, every)]), cosines=of_images(there, hits.ids, sample))
    )
    matching = replace(matching, cosines=of_images(matching.ids, every, cosines))
    calibration = calibrate(samples, "test", captions=[hits], words=[matching])
    told = dict(zip(matching.ids.tolist(), calibration.match_evidence(matching).tolist(), strict=True))
    total = calibration.relevance(cosines, np.array([told.get(i, 0.0) for i in every.tolist()]))
    return every[np.lexsort((every, -total))].tolist()


def id_named(collection: imseek.Collection, name: str) -> int:
    return next(
        hit.image_id for hit in collection.search("x", by="image", limit=100) if (hit.path or "").endswith(name)
    )


def caption_scores(hits: Iterable[Hit]) -> set[float | None]:
    return {match.score for hit in hits for match in hit.matches if match.field == "caption"}


def test_captions_like_the_query_are_a_third_witness(spoken: imseek.Collection) -> None:
    expected = all_by_all_evidence(spoken, SPOKEN)
    assert ids(spoken.search(SPOKEN)) == expected
    assert {*expected[:2]} == {id_named(spoken, "3_2.png"), id_named(spoken, "4_4.png")}
    assert {*expected[:2]} != {*ids(spoken.search(replace(SPOKEN, by="image", limit=2)))}
    for limit in (1, 3, 7):
        assert ids(spoken.search(replace(SPOKEN, limit=limit))) == expected[:limit]
    by_image = {hit.image_id: hit.score for hit in spoken.search(replace(SPOKEN, by="image"))}
    assert {hit.image_id: hit.score for hit in spoken.search(SPOKEN)} == by_image, "scores are still cosines"
    (many,) = spoken.search_many([SPOKEN])
    two = spoken.search_many([SPOKEN, AUTO])
    assert ids(many) == ids(two[0]) == expected
    assert ids(spoken.search(replace(SPOKEN, exact=True))) == expected


def test_pages_fit_together_with_captions(spoken: imseek.Collection) -> None:
    first = spoken.search(replace(SPOKEN, limit=3))
    assert first.next_page is not None
    rest = spoken.search(replace(SPOKEN, limit=37, page=first.next_page))
    assert ids(first) + ids(rest) == all_by_all_evidence(spoken, SPOKEN)


def test_hits_say_that_captions_are_like_the_query(spoken: imseek.Collection) -> None:
    by_caption = {hit.image_id: hit.score for hit in spoken.search(replace(SPOKEN, by="caption"))}
    found = {hit.image_id: [one for one in hit.matches if one.field != "picture"] for hit in spoken.search(SPOKEN)}
    like, both = id_named(spoken, "3_2.png"), id_named(spoken, "4_4.png")
    assert found[like] == [Match("caption", (), "alpha of", pytest.approx(by_caption[like]))]
    assert found[both] == [Match("caption", ("whale",), "whale beta", pytest.approx(by_caption[both]))]
    assert all(not why for i, why in found.items() if i not in (like, both))
    assert describe_matches(found[like]) == f'caption {by_caption[like]:.2f} "alpha of"'
    short = {hit.image_id: hit.matches for hit in spoken.search(SPOKEN, metadata=False)}
    assert short[like][-1] == Match("caption", (), None, pytest.approx(by_caption[like]))
    assert short[both][-1] == Match("caption", ("whale",), None, pytest.approx(by_caption[both]))


def test_a_condition_and_a_least_score_hold_for_captions(spoken: imseek.Collection) -> None:
    like = id_named(spoken, "3_2.png")
    where = f"image_id IN ({like}, 1, 2, 5)"
    assert ids(spoken.search(replace(SPOKEN, where=where))) == all_by_all_evidence(spoken, SPOKEN, where)
    score = next(hit.score for hit in spoken.search(SPOKEN) if hit.image_id == like)
    least = spoken.search(replace(SPOKEN, min_score=score + 0.01))
    assert like not in ids(least)
    assert like in ids(spoken.search(replace(SPOKEN, min_score=score - 0.01)))


def test_pictures_beside_texts_leave_captions_their_share(spoken: imseek.Collection) -> None:
    """A caption is compared with the texts of a query, and counts by their share."""
    like = id_named(spoken, "3_2.png")
    mixed = spoken.search(Query((Term(text="of whale"), Term(image_id=0)), 40))
    assert any(match.field == "caption" for hit in mixed if hit.image_id == like for match in hit.matches)
    pictures = spoken.search(Query((Term(image_id=0),), 40))
    assert all(match.field != "caption" for hit in pictures for match in hit.matches)
    several = spoken.search(Query((Term(text="of"), Term(text="whale")), 40))
    assert {*ids(several)[:2]} == {like, id_named(spoken, "4_4.png")}


def test_texts_that_cancel_beside_a_picture_are_compared_with_no_caption(spoken: imseek.Collection) -> None:
    terms = (Term(image_id=0), Term(text="whale"), Term(text="whale", weight=-1.0))
    found = spoken.search(Query(terms, 40))
    assert len(found) == 40
    assert caption_scores(found) <= {None}


@pytest.mark.parametrize("is_there", [True, False])
def test_damaged_captions_are_passed_over(spoken: imseek.Collection, tmp_path: Path, is_there: bool) -> None:
    shutil.copytree(spoken.path, tmp_path / "c")
    for file in (tmp_path / "c" / "spaces").glob("*/text_emb/*.npy"):
        if is_there:
            file.write_bytes(file.read_bytes()[:300])
        else:
            file.unlink()
    with imseek.open(tmp_path / "c") as copy:
        found = copy.search(SPOKEN)
        assert len(found) == 40
        assert caption_scores(found) == {None}, "a word matches in a caption"
        (note,) = (note for note in found.notes if note.startswith("captions were passed over"))
        assert note.endswith(f"imseek collection repair {tmp_path / 'c'})")


def test_without_words_captions_alone_are_the_reason(
    spoken: imseek.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collection that is not trusted has no words to search, so that no hit says that words match."""
    monkeypatch.setattr(Reader, "is_trusted", lambda self: False)
    found = spoken.search(SPOKEN)
    matches = {hit.image_id: [one for one in hit.matches if one.field != "picture"] for hit in found}
    assert found.notes == ("words are searched in trusted collections only",)
    like, both = id_named(spoken, "3_2.png"), id_named(spoken, "4_4.png")
    assert [one.words for i in (like, both) for one in matches[i]] == [(), ()]
    assert all(one.score is not None for why in matches.values() for one in why)


def test_captions_of_another_encoder_are_passed_over(
    spoken: imseek.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = Reader(spoken.path).current.caption_space
    assert space is not None
    before = ids(spoken.search(SPOKEN))
    other = replace(space, fingerprint="another")
    monkeypatch.setattr(Current, "caption_space", property(lambda self: other))
    assert ids(spoken.search(SPOKEN)) != before
    assert all(
        match.score is None for hit in spoken.search(SPOKEN) for match in hit.matches if match.field == "caption"
    )


def test_several_collections_count_captions_the_same(spoken: imseek.Collection, pictures: Path, tmp_path: Path) -> None:
    like = id_named(spoken, "3_2.png")
    with imseek.create(tmp_path / "plain", encoder="fake") as plain:
        plain.index([pictures])
        found = imseek.search_all([plain, spoken], replace(SPOKEN, limit=80))
        assert len(found) == 80
        first = next(hit for hit in found if hit.collection == spoken.uuid and hit.image_id == like)
        assert any(match.field == "caption" and match.score for match in first.matches)
        assert like in [hit.image_id for hit in found[:3] if hit.collection == spoken.uuid]
        assert all(
            match.score is None
            for hit in found
            if hit.collection == plain.uuid
            for match in hit.matches
            if match.field == "caption"
        )
        query = replace(AUTO, limit=80)
        whole = [(hit.collection, hit.image_id, hit.score) for hit in imseek.search_all([plain, spoken], query)]
        for least in sorted(score for *_, score in whole)[::20]:  # A minimum changes no order.
            above = imseek.search_all([plain, spoken], replace(query, min_score=least))
            shown = [(hit.collection, hit.image_id, hit.score) for hit in above]
            assert shown == [one for one in whole if one[2] >= least]
