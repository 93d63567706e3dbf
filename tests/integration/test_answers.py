"""Pages, groups, diversity, near-duplicates, batches and several collections, on real photographs."""

from __future__ import annotations

import dataclasses
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

import imseek
from imseek import Query, Term, maintenance
from imseek.data.reader import Reader
from imseek.errors import (
    ExpiredPageError,
    ImageNotFoundError,
    QueryError,
    StaleGenerationError,
    UsageError,
)
from imseek.search import cutoff, prepared_query, retrieve
from imseek.search.query_words import words_of

pytestmark = pytest.mark.full_size


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, photo_files: list[Path]) -> Iterator[imseek.Collection]:
    """48 pictures: eight photographs, each in three sizes and three crops; in folders, most with a date."""
    root = tmp_path_factory.mktemp("many")
    for n, path in enumerate(photo_files):
        folder = root / "photos" / f"of{n % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        side = min(picture.size)
        for m in range(6):
            if m < 3:
                made = picture.resize((side * (10 - m) // 20, side * (10 - m) // 20))
            else:
                made = picture.crop((m * side // 9, 0, m * side // 9 + side // 3, side // 3))
            exif = Image.Exif()
            if (n + m) % 4:
                exif[0x9003] = exif[0x0132] = f"20{10 + n:02}:0{1 + m}:0{1 + m} 12:00:00"
                exif.get_ifd(0x8769)[0x9003] = f"20{10 + n:02}:0{1 + m}:0{1 + m} 12:00:00"
            made.save(folder / f"{path.stem}-{m}.jpg", quality=95, exif=exif)
    with imseek.create(root / "collection", encoder="fake") as made_one:
        made_one.index([root / "photos"])
        yield made_one


def ids(result: Any) -> list[int]:
    return [hit.image_id for hit in result]


def words(text: str, **more: Any) -> Query:
    return Query((Term(text=text),), **more)


def all_pages(collection: imseek.Collection, query: Query, limits: list[int]) -> list[imseek.SearchResult]:
    """Every page of an answer; each may have another limit."""
    found = [collection.search(query)]
    while found[-1].next_page is not None:
        limit = limits[len(found) % len(limits)]
        found.append(collection.search(dataclasses.replace(query, page=found[-1].next_page, limit=limit)))
    return found


class TestPages:
    @pytest.mark.parametrize(
        "more",
        [
            {},
            {"sort": "date", "min_score": -1.0},
            {"diversity": 0.4},
            {"hubness": True},
            {"exact": True},
            {"min_score": 0.2},
            {"cutoff": "auto"},
        ],
    )
    def test_hold_what_one_answer_holds_in_its_order(self, many: imseek.Collection, more: dict[str, Any]) -> None:
        whole = many.search(words("a cup of coffee", limit=100, **more))
        assert whole.next_page is None
        pages = all_pages(many, words("a cup of coffee", limit=5, **more), [5, 1, 7])
        assert [hit for page in pages for hit in page] == list(whole)
        assert [len(page) for page in pages[:-1]] == [[5, 1, 7][n % 3] for n in range(len(pages) - 1)]
        if not more:
            assert len(whole) == 48

    def test_of_groups_hold_each_group_once(self, many: imseek.Collection) -> None:
        query = words("a cat", limit=2, group_by="day", per_group=1)
        pages = all_pages(many, query, [2, 3])
        names = [group.name for page in pages for group in page.groups]
        whole = many.search(dataclasses.replace(query, limit=100))
        assert names == [group.name for group in whole.groups]
        assert len({*names}) == len(names) == 37, "36 dated pictures, each of another day, and those without a date"

    def test_of_collapsed_hits_hold_each_image_once(self, many: imseek.Collection) -> None:
        pages = all_pages(many, words("a cat", limit=4, collapse=True), [4])
        shown = [i for page in pages for hit in page for i in (hit.image_id, *hit.duplicates)]
        assert sorted(shown) == list(range(48))
        assert any(hit.duplicates for page in pages for hit in page)

    def test_whose_ranking_is_approximate(self, many: imseek.Collection, monkeypatch: Any) -> None:
        """An index that misses images, others at each depth: pages still hold every image once."""
        from imseek.data.vectors.exact_index import SmallIndex

        real = SmallIndex.search

        def search(self: Any, queries: Any, k: int, *, exact: bool = False, **more: Any) -> Any:
            found = real(self, queries, min(len(self), 2 * k), exact=True, **more)
            if exact:
                return real(self, queries, k, exact=True, **more)
            kept = [(one.ids * 7 + k) % 5 != 0 for one in found]
            return [type(one)(one.ids[keep][:k], one.scores[keep][:k]) for one, keep in zip(found, kept, strict=True)]

        monkeypatch.setattr(SmallIndex, "search", search)
        monkeypatch.setattr(SmallIndex, "exact", False)
        monkeypatch.setattr(retrieve, "APPROXIMATE_DEPTH", 20)
        monkeypatch.setattr(prepared_query, "APPROXIMATE_DEPTH", 20)
        with imseek.open(many.path) as opened:
            pages = all_pages(opened, words("a cat", limit=5), [5, 3])
            assert all(page.approximate for page in pages)
            assert sorted(i for page in pages for i in ids(page)) == list(range(48))
            exact = opened.search(words("a cat", limit=5, exact=True))
            assert not exact.approximate
            boundary = all_pages(opened, words("a cat", limit=20), [20])
            assert sorted(i for page in boundary for i in ids(page)) == list(range(48))
            assert [len(page) for page in boundary] == [20, 20, 8]
            assert ids(exact) == ids(many.search(words("a cat", limit=5, exact=True)))

    def test_of_another_query(self, many: imseek.Collection) -> None:
        token = many.search(words("a cat")).next_page
        for other in (words("a dog"), words("a cat", exact=True), Query((Term(text="a cat", weight=2.0),))):
            with pytest.raises(QueryError, match="another query"):
                many.search(dataclasses.replace(other, page=token))

    def test_of_another_collection(self, many: imseek.Collection, collection: imseek.Collection, photos: Path) -> None:
        collection.index([photos])
        token = many.search(words("a cat")).next_page
        with pytest.raises(QueryError, match="another query"):
            collection.search(words("a cat", page=token))

    @pytest.mark.parametrize("token", ["x", "AQEA", "ä", "A" * 1000, "A" * 51])
    def test_that_are_none(self, many: imseek.Collection, token: str) -> None:
        with pytest.raises(QueryError, match="damaged"):
            many.search(words("a cat", page=token))

    def test_go_on_in_their_generation_while_it_is_kept(self, collection: imseek.Collection, photos: Path) -> None:
        collection.index([photos])
        before = collection.search(words("a cat", limit=100))
        first = collection.search(words("a cat", limit=3))
        best = Path(first[0].path or "")
        best.unlink()
        collection.index()
        assert collection.search(words("a cat", limit=100)).searched == 7
        rest = collection.search(words("a cat", limit=100, page=first.next_page))
        assert (rest.generation, rest.searched) == (before.generation, 8)
        assert list(first) + list(rest) == list(before)
        (photos / "one more.png").write_bytes((photos / "coffee.png").read_bytes())
        collection.index()
        with pytest.raises(ExpiredPageError, match=f"generation {before.generation}") as caught:
            collection.search(words("a cat", page=first.next_page))
        assert isinstance(caught.value, StaleGenerationError)
        assert caught.value.hint == "start again from the first page"

    def test_of_an_encoder_that_is_no_longer_in_use_beside_other_queries(
        self, collection: imseek.Collection, photos: Path
    ) -> None:
        """Texts of many queries are encoded together, but only for one encoder."""
        collection.index([photos])
        first = collection.search(words("a cat", limit=3))
        page = words("a cat", limit=3, page=first.next_page)
        alone = collection.search(page)
        maintenance.reencode(collection.path, "fake:32")
        rest, other = collection.search_many([page, words("a dog", limit=3)])
        assert (rest.generation, rest.encoder, list(rest)) == (alone.generation, alone.encoder, list(alone))
        assert other.encoder == "fake:32"
        assert list(other) == list(collection.search(words("a dog", limit=3)))

    def test_of_a_generation_that_another_process_does_not_have(
        self, collection: imseek.Collection, photos: Path
    ) -> None:
        collection.index([photos])
        token = collection.search(words("a cat", limit=3)).next_page
        with imseek.open(collection.path) as other:
            assert (
                ids(other.search(words("a cat", limit=3, page=token)))
                == ids(collection.search(words("a cat", limit=6)))[3:]
            )
        (photos / "coffee.png").unlink()
        collection.index()
        with imseek.open(collection.path) as other, pytest.raises(ExpiredPageError):
            other.search(words("a cat", limit=3, page=token))

    def test_of_a_generation_whose_files_are_gone(self, collection: imseek.Collection, photos: Path) -> None:
        """A page cannot go on in another generation, so that it is not asked again there."""
        collection.index([photos])
        first = collection.search(words("a cat", limit=3), metadata=False)
        (photos / "coffee.png").unlink()
        collection.index()
        assert collection.search("a cat").searched == 7
        imseek.maintenance.purge(collection.path)
        with pytest.raises(ExpiredPageError, match="of generation 2, and the collection is at 4") as caught:
            collection.search(words("a cat", limit=3, page=first.next_page))
        assert caught.value.hint == "start again from the first page"

    def test_while_a_writer_goes_on(self, collection: imseek.Collection, photos: Path) -> None:
        """From the first page to the last, an answer is one of its generation, or it says that it has expired."""
        collection.index([photos])
        done, wrong, ended, expired = threading.Event(), [], 0, 0

        def write() -> None:
            for n in range(12):
                (photos / "coffee.png").rename(photos / "moving")
                collection.index()
                (photos / "moving").rename(photos / "coffee.png")
                (photos / f"{n}.png").write_bytes((photos / "camera.png").read_bytes())
                collection.index()
            done.set()

        writer = threading.Thread(target=write)
        writer.start()
        try:
            with imseek.open(collection.path) as reader:
                while not done.is_set():
                    query = words("a cat", limit=2)
                    try:
                        pages = all_pages(reader, query, [2, 3])
                    except ExpiredPageError:
                        expired += 1
                        continue
                    shown = [i for page in pages for i in ids(page)]
                    ended += 1
                    if len({page.generation for page in pages}) > 1 or len({*shown}) != len(shown):
                        wrong.append(pages)
                    if len(shown) != pages[0].searched:
                        wrong.append(pages)
        finally:
            writer.join()
        assert wrong == []
        assert ended > 3, (ended, expired)


class TestOrder:
    def test_min_score_keeps_those_that_reach_it(self, many: imseek.Collection) -> None:
        whole = many.search(words("a cat", limit=100))
        score = whole[9].score
        kept = many.search(words("a cat", limit=100, min_score=score))
        assert list(kept) == [hit for hit in whole if hit.score >= score]
        assert many.search(words("a cat", min_score=1.0)).hits == ()

    def test_by_date_the_newest_first_among_the_best(self, many: imseek.Collection) -> None:
        plain = many.search(words("a cat", limit=9))
        dated = many.search(words("a cat", limit=9, sort="date"))
        assert sorted(ids(dated)) == sorted(ids(plain))
        times = [str(hit.metadata.get("taken_at", "")) for hit in dated]
        assert times == sorted(times, reverse=True)
        assert "" in times
        assert len({*times}) > 3

    def test_by_date_among_all_that_reach_a_score(self, many: imseek.Collection) -> None:
        whole = many.search(words("a cat", limit=100))
        score = whole[19].score
        newest = sorted(
            (hit for hit in whole if hit.score >= score),
            key=lambda hit: str(hit.metadata.get("taken_at", "")),
            reverse=True,
        )
        dated = many.search(words("a cat", limit=5, sort="date", min_score=score))
        assert list(dated) == newest[:5]

    def test_scores_are_those_of_the_plain_answer(self, many: imseek.Collection) -> None:
        plain = {hit.image_id: hit.score for hit in many.search(words("a cat", limit=100))}
        for more in (
            {"diversity": 0.7},
            {"collapse": True},
            {"group_by": "folder"},
            {"sort": "date"},
            {"hubness": True},
            {"cutoff": "auto"},
        ):
            result = many.search(words("a cat", limit=7, **more))  # type: ignore[arg-type]
            assert result.hits, more
            assert all(plain[hit.image_id] == hit.score for hit in result), more

    def test_diversity_is_marginal_relevance(self, many: imseek.Collection) -> None:
        whole = many.search(words("a cat", limit=100), vectors=True)
        rows = np.stack([np.float64(hit.vector) for hit in whole])  # type: ignore[arg-type]
        alike = rows @ rows.T / np.std((rows @ rows.T)[np.triu_indices(len(rows), 1)])
        relevance = np.array([hit.score for hit in whole])
        relevance /= relevance.std()
        taken, left = [0], list(range(1, len(rows)))
        while len(taken) < 8:
            marginal = [0.5 * relevance[i] - 0.5 * max(alike[i, j] for j in taken) for i in left]
            taken.append(left.pop(int(np.argmax(marginal))))
        found = many.search(words("a cat", limit=8, diversity=0.5))
        assert ids(found) == [whole[i].image_id for i in taken]
        assert ids(found) != ids(whole)[:8]


class TestGroups:
    def test_folders(self, many: imseek.Collection) -> None:
        whole = many.search(words("a cat", limit=100))
        result = many.search(words("a cat", limit=2, group_by="folder", per_group=4))
        best: dict[str, list[int]] = {}
        for hit in whole:
            best.setdefault(os.path.dirname(hit.path or ""), []).append(hit.image_id)  # noqa: PTH120
        expected = list(best.items())[:2]
        assert [(group.name, ids(group.hits)) for group in result.groups] == [
            (name, members[:4]) for name, members in expected
        ]
        assert [group.size for group in result.groups] == [len(members) for _, members in expected]
        assert result.hits == tuple(hit for group in result.groups for hit in group.hits)
        assert all(hit.group == group.name for group in result.groups for hit in group.hits)

    def test_days_and_none(self, many: imseek.Collection) -> None:
        result = many.search(words("a cat", limit=100, group_by="day", per_group=100))
        for group in result.groups:
            for hit in group.hits:
                assert (str(hit.metadata["taken_at"])[:10] if "taken_at" in hit.metadata else None) == group.name
        assert {group.name is None for group in result.groups} == {True, False}

    def test_sources(self, collection: imseek.Collection, photos: Path) -> None:
        collection.index([photos / "below", photos / "coffee.png"])
        result = collection.search(words("coffee", group_by="source"))
        assert {group.name: group.size for group in result.groups} == {
            str(photos / "below"): 2,
            str(photos / "coffee.png"): 1,
        }


class TestCollapse:
    def test_copies_are_one_hit(self, many: imseek.Collection, photo_files: list[Path]) -> None:
        """The three sizes of each photograph have nearly the same colours in the same places."""
        whole = many.search(words("a cat", limit=100))
        name = {hit.image_id: Path(hit.path or "").name for hit in whole}
        result = many.search(words("a cat", limit=100, collapse=True))
        rank = {image_id: n for n, image_id in enumerate(ids(whole))}
        for hit in result:
            assert all(rank[other] > rank[hit.image_id] for other in hit.duplicates), "the best stands for the others"
        together = {frozenset({hit.image_id, *hit.duplicates}) for hit in result}
        for path in photo_files:
            sizes = {i for i, n in name.items() if n in {f"{path.stem}-{m}.jpg" for m in range(3)}}
            assert any(sizes <= one for one in together), path.stem

    def test_of_taken_over_vectors_the_hash_says_nothing(self, tmp_path: Path) -> None:
        """Two rows near enough for pictures of one hash, and not without."""
        rows = np.eye(8, 64, dtype=np.float32)
        rows[1, :2] = 0.95, 0.3
        np.save(tmp_path / "rows.npy", rows / np.linalg.norm(rows, axis=1, keepdims=True))
        urls = [f"https://example.org/{n}.jpg" for n in range(8)]
        (tmp_path / "rows.csv").write_text("\n".join(["url", *urls]))
        with imseek.create(tmp_path / "c", encoder="fake") as made:
            report = made.index([tmp_path / "rows.npy"], source=imseek.SourceOptions(encoder="fake"))
            assert report.added == 8, report
            result = made.search(Query((Term(vector=rows[0]),), collapse=True))
            assert [len(hit.duplicates) for hit in result] == [0] * 8
            assert [hit.score for hit in result][:2] == pytest.approx([1, 0.9535], abs=1e-3)


class TestCutoff:
    def test_counts_what_it_leaves_out(self, many: imseek.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cutoff, "MIN_SAMPLE", 20)
        whole = many.search(words("a cat", limit=100))
        result = many.search(words("a cat", limit=100, cutoff="auto"))
        assert result.cut is not None
        assert len(result) + result.cut == 48
        assert list(result) == list(whole)[: len(result)]
        assert whole.cut is None

    def test_of_pictures_and_of_an_empty_collection(
        self, many: imseek.Collection, collection: imseek.Collection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cutoff, "MIN_SAMPLE", 20)
        result = many.search(Query((Term(image_id=0),), cutoff="auto", limit=100))
        assert result[0].image_id == 0, "a picture is never irrelevant to itself"
        assert result.cut == 48 - len(result) > 0
        empty = collection.search(words("a cat", cutoff="auto", hubness=True))
        assert (empty.hits, empty.cut, empty.next_page) == ((), 0, None)


class TestWhere:
    def test_only_images_for_which_it_holds(self, many: imseek.Collection) -> None:
        whole = many.search(words("a cat", limit=100))
        for where, holds in {
            "width >= 200": lambda metadata: metadata["width"] >= 200,
            "width < height": lambda metadata: metadata["width"] < metadata["height"],
            "width > 100000": lambda metadata: False,
        }.items():
            expected = [hit for hit in whole if holds(hit.metadata)]
            result = many.search(words("a cat", limit=100, where=where))
            assert list(result) == expected, where
            assert result.searched == len(expected)
            assert 0 <= len(expected) < 48

    @pytest.mark.parametrize(
        "more",
        [
            {},
            {"diversity": 0.5},
            {"collapse": True},
            {"group_by": "day", "per_group": 9},
            {"cutoff": "auto"},
            {"hubness": True},
            {"exact": True},
        ],
    )
    def test_with_every_stage_and_over_pages(self, many: imseek.Collection, more: dict[str, Any]) -> None:
        query = words("a cat", limit=3, where="width >= 200", **more)
        hits = [hit for page in all_pages(many, query, [3]) for hit in page]
        assert hits
        assert all(hit.metadata["width"] >= 200 for hit in hits)
        assert len({hit.image_id for hit in hits}) == len(hits)

    def test_in_several_spaces(self, tmp_path: Path, photos: Path) -> None:
        with imseek.create(tmp_path / "two", encoder="fake", also=["fake:32"]) as made:
            made.index([photos])
            picture = photos / "coffee.png"
            whole = made.search(Query((Term(picture=picture),), limit=100))
            expected = [hit for hit in whole if hit.metadata["width"] > 500]
            result = made.search(Query((Term(picture=picture),), limit=100, where="width > 500"))
            assert 1 < len(expected) < 8
            assert list(result) == expected
            spread = made.search(Query((Term(picture=picture),), limit=4, diversity=0.3, collapse=True, cutoff="auto"))
            assert spread[0].image_id == whole[0].image_id

    def test_that_holds_for_nothing(self, tmp_path: Path, photos: Path) -> None:
        with imseek.create(tmp_path / "two", encoder="fake", also=["fake:32"]) as made:
            made.index([photos])
            for term in (Term(picture=photos / "coffee.png"), Term(text="a cat")):
                for more in ({}, {"cutoff": "auto"}, {"exact": True}, {"group_by": "day", "hubness": True}):
                    result = made.search(Query((term,), where="width < 0", **more))
                    assert (list(result), result.searched, result.next_page) == ([], 0, None)

    def test_what_is_no_condition(self, many: imseek.Collection) -> None:
        with pytest.raises(QueryError):
            many.search(words("a cat", where="DROP TABLE images"))

    def test_of_a_new_generation(self, collection: imseek.Collection, photos: Path) -> None:
        collection.index([photos])
        query = words("a cat", limit=100, where="width > 500")
        before = collection.search(query)
        (photos / "coffee.png").unlink()
        collection.index()
        after = collection.search(query)
        assert [hit for hit in before if Path(hit.path or "").name != "coffee.png"] == list(after)
        assert len(after) == len(before) - 1


class TestMarks:
    def test_more_draws_near_and_less_pushes_away(self, many: imseek.Collection) -> None:
        plain = many.search(words("a cat", limit=100))
        last = plain[30].image_id
        refined = many.search(words("a cat", limit=100, more=(last,)))
        assert ids(refined).index(last) < 30
        first = plain[0].image_id
        refined = many.search(words("a cat", limit=100, less=(first,)))
        assert refined[ids(refined).index(first)].score < plain[0].score

    def test_of_images_that_are_not_there(self, many: imseek.Collection) -> None:
        for marks in ({"more": (99999,)}, {"less": (99999,)}):
            with pytest.raises(ImageNotFoundError):
                many.search(words("a cat", **marks))


class TestVectors:
    def test_on_request(self, many: imseek.Collection) -> None:
        reader = Reader(many.path)
        for hit in many.search("a cat", vectors=True):
            row = reader.vector(hit.image_id, 0).astype(np.float64)
            assert hit.vector is not None
            assert (hit.vector.dtype, hit.vector.shape) == (np.float32, row.shape)
            assert hit.vector == pytest.approx(row / np.linalg.norm(row), abs=1e-6)
        assert many.search("a cat")[0].vector is None

    def test_rows_come_in_the_order_asked_for(self, many: imseek.Collection) -> None:
        reader = Reader(many.path)
        rows = reader.vectors([5, 3, 5], 0)
        assert rows.tolist() == [reader.vector(i, 0).tolist() for i in (5, 3, 5)]
        assert reader.vectors([], 0).shape == (0, rows.shape[1])
        with pytest.raises(ImageNotFoundError, match="no image 777"):
            reader.vectors([1, 777], 0)


class TestBatch:
    def test_answers_are_those_of_single_queries(self, many: imseek.Collection, photo_files: list[Path]) -> None:
        queries: list[Any] = [
            "a cat",
            words("a cup", limit=3),
            photo_files[0],
            7,
            words("red", where=None, min_score=0.1),
            "a rocket",
            words("a cat", collapse=True),
            "a cat",
        ]
        answers = many.search_many(queries, limit=6)
        for query, found in zip(queries, answers, strict=True):
            single = many.search(query, limit=6)
            assert ids(found) == ids(single)
            assert [hit.score for hit in found] == pytest.approx([hit.score for hit in single], abs=1e-5)
            assert (found.next_page, found.searched) == (single.next_page, single.searched)
        assert many.search_many([]) == []

    def test_go_through_the_index_together(self, many: imseek.Collection, monkeypatch: Any) -> None:
        from imseek.data.vectors.exact_index import SmallIndex

        asked: list[int] = []
        real = SmallIndex.search

        def search(self: Any, queries: Any, *args: Any, **more: Any) -> Any:
            asked.append(len(queries))
            return real(self, queries, *args, **more)

        monkeypatch.setattr(SmallIndex, "search", search)
        many.search_many([f"picture {n}" for n in range(20)])
        assert asked == [20]

    def test_texts_are_encoded_together(self, many: imseek.Collection, monkeypatch: Any) -> None:
        from imseek.encoders.fake import FakeEncoder

        encoded: list[list[str]] = []
        real = FakeEncoder.encode_texts

        def encode(self: Any, texts: Any) -> Any:
            encoded.append(list(texts))
            return real(self, texts)

        monkeypatch.setattr(FakeEncoder, "encode_texts", encode)
        many.search_many(["red", 3, "blue", "red"])
        assert encoded == [["red", "blue"]]

    def test_what_hits_carry_is_looked_up_together(self, many: imseek.Collection, monkeypatch: Any) -> None:
        looked_up: list[tuple[str, int]] = []
        for name in ("places", "metadata"):
            real = getattr(Reader, name)

            def look_up(self: Any, ids: Any, name: str = name, real: Any = real) -> Any:
                looked_up.append((name, len(ids)))
                return real(self, ids)

            monkeypatch.setattr(Reader, name, look_up)
        queries = [Query(Term(image_id=n), 4, by="image") for n in (1, 2, 1)]
        first, second, again = many.search_many(queries)
        shown = {hit.image_id for answer in (first, second) for hit in answer}
        assert looked_up == [("places", len(shown)), ("metadata", len(shown))]
        assert [hit.metadata for hit in first] == [hit.metadata for hit in many.search(queries[0])]
        assert [hit.place for hit in second] == [hit.place for hit in many.search(queries[1])]
        cast("dict[str, Any]", first[0].metadata).clear()
        assert again[0].metadata  # Of its own.

    def test_whether_the_collection_is_trusted_is_looked_up_until_it_is(
        self, many: imseek.Collection, monkeypatch: Any
    ) -> None:
        looked_up: list[Path] = []

        def is_trusted(root: Path) -> bool:
            looked_up.append(root)
            return len(looked_up) == 2

        monkeypatch.setattr("imseek.data.reader.is_trusted", is_trusted)
        reader = Reader(many.path)
        notes = [reader.match_words(words_of(Query("red")), 10).note for _ in range(3)]
        assert notes == ["words are searched in trusted collections only", None, None]
        assert looked_up == [many.path, many.path]

    def test_a_query_that_cannot_be_answered_raises(self, many: imseek.Collection) -> None:
        with pytest.raises(ImageNotFoundError):
            many.search_many(["a cat", 12345])


class TestSeveral:
    @pytest.fixture
    def two(self, tmp_path: Path, photo_files: list[Path]) -> Iterator[list[imseek.Collection]]:
        """Two collections whose pictures are those of one; one picture is in both."""
        opened = []
        for n in range(2):
            folder = tmp_path / f"photos{n}"
            folder.mkdir()
            for path in [*photo_files[n::2], photo_files[0]]:
                shutil.copyfile(path, folder / path.name)
            made = imseek.create(tmp_path / f"c{n}", encoder="fake")
            made.index([folder])
            opened.append(made)
        yield opened
        for made in opened:
            made.close()

    def test_by_score_and_then_in_the_order_of_collections(self, two: list[imseek.Collection]) -> None:
        separate = [(hit.score, -n, hit) for n, one in enumerate(two) for hit in one.search("a cat", limit=100)]
        expected = [hit for *_, hit in sorted(separate, key=lambda found: (-found[0], -found[1]))]
        result = imseek.search_all(two, "a cat", limit=100)
        assert list(result) == expected
        assert {hit.collection for hit in result} == {one.uuid for one in two}
        assert result.searched == len(expected) == 9
        assert [(one.collection, one.images) for one in result.collections] == [
            (two[0].uuid, 4),
            (two[1].uuid, 5),
        ]
        tied = [hit.collection for hit in result if (hit.path or "").endswith("astronaut.png")]
        assert tied == [two[0].uuid, two[1].uuid]
        assert list(imseek.search_all(two[:1], "a cat")) == list(two[0].search("a cat"))

    @pytest.mark.parametrize("more", [{}, {"diversity": 0.5}, {"sort": "date", "min_score": -1.0}, {"hubness": True}])
    def test_pages(self, two: list[imseek.Collection], more: dict[str, Any]) -> None:
        whole = imseek.search_all(two, words("a cat", limit=100, **more))
        query, shown = words("a cat", limit=2, **more), []
        while True:
            page = imseek.search_all(two, query)
            shown += list(page)
            if page.next_page is None:
                break
            query = dataclasses.replace(query, page=page.next_page)
        assert shown == list(whole)
        first = imseek.search_all(two, words("a cat", limit=2))
        with pytest.raises(QueryError, match="another query"):
            imseek.search_all(two[::-1], words("a cat", limit=2, page=first.next_page))

    def test_groups_go_across(self, two: list[imseek.Collection], tmp_path: Path) -> None:
        result = imseek.search_all(two, words("a cat", group_by="folder", per_group=100))
        assert {group.name: group.size for group in result.groups} == {
            str(tmp_path / "photos0"): 4,
            str(tmp_path / "photos1"): 5,
        }

    def test_vectors_and_pictures(self, two: list[imseek.Collection], photo_files: list[Path]) -> None:
        result = imseek.search_all(two, photo_files[0], limit=2, vectors=True)
        assert [hit.collection for hit in result] == [two[0].uuid, two[1].uuid]
        assert result[0].vector == pytest.approx(result[1].vector)

    def test_an_encoder_is_loaded_once(self, two: list[imseek.Collection], monkeypatch: Any) -> None:
        from imseek.encoders import registry

        loaded = []
        real = registry.load
        monkeypatch.setattr(registry, "load", lambda *a, **k: loaded.append(a) or real(*a, **k))
        with imseek.open(two[0].path) as a, imseek.open(two[1].path) as b:
            imseek.search_all([a, b], words("a cat", cutoff="auto", hubness=True))
        assert len(loaded) == 1

    def test_what_is_refused(self, two: list[imseek.Collection], tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no collection"):
            imseek.search_all([], "a cat")
        with pytest.raises(UsageError, match="twice"):
            imseek.search_all([two[0], two[0]], "a cat")
        for query in (3, words("a cat", more=(1,)), words("a cat", less=(1,))):
            with pytest.raises(QueryError, match="stored image"):
                imseek.search_all(two, query)
        with (
            imseek.create(tmp_path / "other", encoder="fake:32") as other,
            pytest.raises(UsageError, match="fake:32: their scores cannot be compared"),
        ):
            imseek.search_all([two[0], other], "a cat")
        with pytest.raises(QueryError, match="captions"):
            imseek.search_all(two, "a cat", by="caption")

    def test_files_that_go_meanwhile(self, two: list[imseek.Collection], tmp_path: Path) -> None:
        """A purge takes the files of an opened collection away at once: it is searched in its newest generation."""
        with imseek.open(two[0].path) as a, imseek.open(two[1].path) as b:
            b.engine._generations.newest()
            real, calls = b.engine.find, []

            def find(asked: Any) -> Any:
                calls.append(asked[0].reader.generation)
                if len(calls) == 1:
                    (tmp_path / "photos1" / "chelsea.png").unlink()
                    two[1].index()
                    raise StaleGenerationError("gone", hint="again")
                return real(asked)

            b.engine.find = find  # type: ignore[method-assign]
            result = imseek.search_all([a, b], "a cat", limit=100)
            assert calls[1] > calls[0]
            assert (len(result), [one.images for one in result.collections]) == (8, [4, 4])

    def test_a_generation_that_has_gone(self, two: list[imseek.Collection], tmp_path: Path) -> None:
        first = imseek.search_all(two, words("a cat", limit=2))
        (tmp_path / "photos1" / "chelsea.png").unlink()
        two[1].index()
        with imseek.open(two[0].path) as a, imseek.open(two[1].path) as b, pytest.raises(ExpiredPageError):
            imseek.search_all([a, b], words("a cat", page=first.next_page))
        again = imseek.search_all(two, words("a cat", page=first.next_page, limit=100))
        assert len(again) == 7, "this process has kept the generation"
