"""Searches that name a reranker: its order within every other option, its failures, servers and several collections."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import reranking
from reranking import StandIn
from starlette.testclient import TestClient

import imseek
from imseek import Query, Term
from imseek.errors import ImseekError, PluginError, QueryError, StaleGenerationError
from imseek.plugins import Plugin
from imseek.search import RerankRequest, known_rerankers, rerankers
from imseek.types.search_results import SearchResult, describe_matches
from imseek.ui.http.app import make_app
from imseek.ui.server.settings import Settings

CAPTIONS = {
    "astronaut": "a woman in an orange suit",
    "chelsea": "a ginger cat looks at you",
    "coffee": "a red cup on a table",
    "rocket": "a white rocket at night",
    "china": "a temple under a blue sky",
    "flower": "a red flower",
}


@pytest.fixture
def told(photos: Path, collection: imseek.Collection) -> imseek.Collection:
    """Eight photographs, six of them with a caption."""
    for path in photos.rglob("*.*"):
        if path.stem in CAPTIONS:
            path.with_suffix(".txt").write_text(CAPTIONS[path.stem])
    collection.index(photos)
    return collection


@pytest.fixture
def backwards(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A reranker that turns the order round."""
    made = StandIn(lambda request: np.arange(len(request), dtype=np.float32), name="backwards")
    reranking.install(monkeypatch, made)
    return made


def ids(result: SearchResult) -> list[int]:
    return [hit.image_id for hit in result]


def names(result: SearchResult) -> list[str]:
    return [Path(hit.path or "").stem for hit in result]


def test_the_order_is_that_of_the_reranker_and_scores_stay(told: imseek.Collection, backwards: StandIn) -> None:
    plain = told.search("red", by="image")
    found = told.search("red", by="image", rerank="backwards")
    assert ids(found) == ids(plain)[::-1]
    assert {hit.image_id: hit.score for hit in found} == {hit.image_id: hit.score for hit in plain}
    assert [hit.matches[0].score for hit in found] == [7, 6, 5, 4, 3, 2, 1, 0]
    assert describe_matches(found[0].matches) == "reranker backwards 7.00"
    assert found.notes == (*plain.notes, "the best 8 are in the order of the reranker backwards 1.0")
    assert plain[0].matches == ()


def test_fewer_than_two_hits_have_no_order_to_tell(told: imseek.Collection, backwards: StandIn) -> None:
    for where, count in (("width < 1", 0), ("path LIKE '%rocket%'", 1)):
        found = told.search("a cup", where=where, rerank="backwards")
        assert (len(found), found.notes) == (count, ())


def test_only_the_best_are_looked_at(told: imseek.Collection, backwards: StandIn) -> None:
    plain = ids(told.search("red"))
    found = told.search("red", rerank="backwards", rerank_limit=3)
    assert ids(found) == [*plain[:3][::-1], *plain[3:]]
    assert backwards.calls == [plain[:3]]
    assert [any(match.field == "reranker" for match in hit.matches) for hit in found] == [True] * 3 + [False] * 5
    assert "the best 3 are" in found.notes[-1]


def test_words_and_pictures_of_candidates_are_looked_up(
    told: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reranking.install(monkeypatch, reranking.by_caption(), reranking.by_brightness())
    assert set(names(told.search("red flower", by="image", rerank="caption-words"))[:2]) == {"flower", "coffee"}
    files = [path for path in photos.rglob("*.*") if path.suffix != ".txt"]
    means = {path.stem: np.asarray(PIL.Image.open(path).convert("RGB")).mean() for path in files}
    assert names(told.search("red", rerank="brightness")) == sorted(means, key=lambda name: -means[name])
    assert known_rerankers() == ["captions", "tokens", "caption-words", "brightness"]


def test_a_picture_that_changed_is_not_shown_to_it(
    told: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[int, Any] = {}

    def look(request: RerankRequest) -> Any:
        seen.update(zip(request.ids.tolist(), request.pictures(), strict=True))
        assert np.array_equal(request.pixels(0), seen[int(request.ids[0])])
        return request.scores

    reranking.install(monkeypatch, StandIn(look, needs=("pictures",)))
    plain = told.search("red", by="image")
    (photos / "coffee.png").write_bytes((photos / "chelsea.png").read_bytes())
    (photos / "rocket.jpg").unlink()
    assert ids(told.search("red", by="image", rerank="stand-in")) == ids(plain)
    gone = {hit.image_id for hit in plain if Path(hit.path or "").stem in ("coffee", "rocket")}
    assert {image_id for image_id, pixels in seen.items() if pixels is None} == gone
    assert all(pixels.dtype == np.uint8 and pixels.ndim == 3 for i, pixels in seen.items() if i not in gone)


def test_the_query_is_told_as_it_was_asked(
    told: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def look(request: RerankRequest) -> Any:
        pixels = [request.term_pixels(term, min_side=32) for term in request.query.terms if term.shows]
        seen.append((request.texts, [one.shape[2] for one in pixels]))
        assert np.allclose(np.linalg.norm(request.vectors(), axis=1), 1, atol=1e-3)
        return request.scores

    reranking.install(monkeypatch, StandIn(look, needs=("pictures", "vectors")))
    terms = ["red", photos / "coffee.png", (photos / "coffee.png").read_bytes(), 0, Term(text="snow", weight=-0.5)]
    told.search(Query(terms, rerank="stand-in"))
    assert seen == [(("red",), [3, 3, 3])]
    lost = told.search(0)[0]
    Path(lost.path or "").unlink()
    with pytest.raises(QueryError, match="the picture of image 0 cannot be read"):
        told.search(0, rerank="stand-in")


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda request: np.full(len(request), np.nan), "returns scores that are not finite"),
        (lambda request: np.full(len(request), 1e300), "returns scores that are not finite"),
        (lambda request: np.zeros(len(request) - 1), r"returns an array \(7,\) of float64, and not 8 scores"),
        (lambda request: np.zeros((len(request), 1)), r"returns an array \(8, 1\) of float64, and not 8 scores"),
        (lambda request: None, "returns a NoneType, and not 8 scores"),
        (lambda request: ["good"] * len(request), "returns a list, and not 8 scores"),
        (lambda request: [[1], [2, 3]], "returns a list, and not 8 scores"),
        (lambda request: 1 / 0, "fails: ZeroDivisionError: division by zero"),
        (lambda request: request.metadata(), "looks up metadata, which its `needs` do not name"),
        (lambda request: request.vectors(), "looks up vectors, which its `needs` do not name"),
        (lambda request: list(request.pictures()), "looks up pictures, which its `needs` do not name"),
        (lambda request: request.pixels(0), "looks up pictures, which its `needs` do not name"),
    ],
)
def test_a_reranker_that_fails_is_named(
    told: imseek.Collection, monkeypatch: pytest.MonkeyPatch, returned: Callable[[RerankRequest], Any], message: str
) -> None:
    reranking.install(monkeypatch, StandIn(returned))
    with pytest.raises(PluginError, match=message) as raised:
        told.search("red", rerank="stand-in")
    assert "stand-in" in str(raised.value)
    assert len(told.search("red")) == 8


def test_its_own_errors_are_shown_as_they_are(told: imseek.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(request: RerankRequest) -> Any:
        raise QueryError("it reads Latin only")

    reranking.install(monkeypatch, StandIn(refuse))
    with pytest.raises(QueryError, match="it reads Latin only"):
        told.search("red", rerank="stand-in")


def test_a_purge_meanwhile_is_none_of_its_failures(told: imseek.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = iter([StaleGenerationError("files of this generation are gone", hint="search again")])

    def look(request: RerankRequest) -> Any:
        for error in failures:
            raise error
        return request.scores

    stand_in = StandIn(look)
    reranking.install(monkeypatch, stand_in)
    assert len(told.search("red", rerank="stand-in")) == 8
    assert len(stand_in.calls) == 2


def test_its_time_is_limited(told: imseek.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    for look in (lambda request: list(request.pictures()), lambda request: request.check_time()):
        reranking.install(monkeypatch, StandIn(look, name="slow", needs=("pictures",)))
        monkeypatch.setattr(rerankers, "MAX_SECONDS", -1.0)
        with pytest.raises(PluginError, match=r"the reranker slow 1\.0 took more than") as raised:
            told.search("red", rerank="slow")
        assert "smaller rerank limit" in (raised.value.hint or "")


def test_names_and_what_cannot_be_a_reranker(told: imseek.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(QueryError, match="there is no reranker 'colours'") as raised:
        told.search("red", rerank="colours")
    assert raised.value.hint == "there are: captions, tokens"

    class Entry:
        def __init__(self, made: Callable[..., Any]) -> None:
            self.made = made

        def load(self) -> Callable[..., Any]:
            return self.made

    def fail(**_: object) -> None:
        raise ImseekError("its weights are missing")

    made = {
        "nothing": (lambda **_: 42, "the plugin nothing of some 1.0 makes no Reranker of that name, but 42"),
        "other": (lambda **_: reranking.by_caption(), "makes no Reranker of that name"),
        "raising": (lambda **_: 1 / 0, "the plugin raising of some 1.0 fails: ZeroDivisionError"),
        "refusing": (fail, "its weights are missing"),
        "strict": (lambda: None, "the plugin strict of some 1.0 fails: TypeError"),
    }
    plugins = {name: Plugin("imseek.rerankers", name, "some", "1.0", Entry(one)) for name, (one, _) in made.items()}
    monkeypatch.setattr(rerankers, "find_plugins", lambda group: plugins)
    for name, (_, message) in made.items():
        with pytest.raises(ImseekError, match=message):
            told.search("red", rerank=name)
    with pytest.raises(QueryError) as raised:
        told.search("red", rerank="nothin")
    assert raised.value.hint == "did you mean nothing?"


def test_terms_that_it_does_not_read(told: imseek.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    reranking.install(monkeypatch, reranking.by_caption(), StandIn(lambda request: request.scores))
    for query, has in ((0, "picture"), (Query(["red", 0]), "picture"), (np.ones(64), "vector")):
        with pytest.raises(QueryError, match=f"caption-words compares texts, and the query has a {has}"):
            told.search(query, rerank="caption-words")
    with pytest.raises(QueryError, match="compares pictures and texts, and the query has a vector"):
        told.search(np.ones(64), rerank="stand-in")
    with pytest.raises(QueryError, match="both sorted by date and by a reranker"):
        told.search("red", rerank="stand-in", sort="date")


def test_captions_are_compared_by_their_meaning(told: imseek.Collection) -> None:
    plain = told.search("a domestic animal", by="image", where="caption IS NOT NULL")
    found = told.search("a domestic animal", by="image", where="caption IS NOT NULL", rerank="captions")
    place = names(plain).index("chelsea"), names(found).index("chelsea")
    assert place[1] < max(place[0], 1)  # No word of the query is in "a ginger cat looks at you".
    assert "the best 6 are in the order of the reranker captions 1" in found.notes
    unwanted = told.search(Query(["a picture", Term(text="a cat", weight=-1)], rerank="captions"), by="image")
    assert names(unwanted)[-1] == "chelsea"
    bare = told.search("an animal", where="caption IS NULL", rerank="captions")
    assert ids(bare) == ids(told.search("an animal", where="caption IS NULL"))
    assert len(bare) > 1
    assert not [match for hit in bare for match in hit.matches if match.field == "reranker"]
    (note,) = (note for note in bare.notes if "reranker" in note)
    assert note.startswith("no hit has a caption, so the reranker captions changes nothing: `imseek index`")


# -- other options ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"group_by": "folder"}, {"diversity": 0.3}, {"collapse": True}])
def test_pages_follow_one_order(told: imseek.Collection, backwards: StandIn, options: dict[str, Any]) -> None:
    whole = told.search("red", rerank="backwards", **options)
    found, page = [], None
    while True:
        part = told.search("red", rerank="backwards", limit=1 if "group_by" in options else 3, page=page, **options)
        found += part.hits
        page = part.next_page
        if page is None:
            break
    assert found == list(whole.hits)


def test_pages_agree_even_if_the_reranker_does_not(told: imseek.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(5)
    moody = StandIn(lambda request: noise.random(len(request), np.float32), name="moody")
    reranking.install(monkeypatch, moody)
    found, page = [], None
    for _ in range(4):
        part = told.search("red", rerank="moody", limit=2, page=page)
        found += ids(part)
        page = part.next_page
    assert sorted(found) == list(range(8))
    assert len(moody.calls) == 1
    with pytest.raises(QueryError, match="page token belongs to another query"):
        told.search("red", rerank="moody", rerank_limit=5, page=told.search("red", rerank="moody", limit=2).next_page)


def test_pages_of_an_earlier_generation_keep_its_order(
    told: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reranking.install(monkeypatch, reranking.by_caption())

    def search(**options: Any) -> SearchResult:
        return told.search("red cup", by="image", rerank="caption-words", **options)

    before, first = search(), search(limit=2)
    for path in photos.rglob("*.txt"):
        path.write_text("a red cup" if path.stem == "rocket" else "nothing")
    told.index()
    assert names(search())[0] == "rocket"
    rest = search(limit=20, page=first.next_page)
    assert (rest.generation, ids(first) + ids(rest)) == (before.generation, ids(before))


def test_filters_and_cutoffs_come_before_it(told: imseek.Collection, backwards: StandIn) -> None:
    plain = told.search("red", where="caption IS NOT NULL")
    assert ids(told.search("red", where="caption IS NOT NULL", rerank="backwards")) == ids(plain)[::-1]
    least = plain[3].score
    found = told.search("red", by="image", min_score=least, rerank="backwards")
    assert min(hit.score for hit in found) >= least
    assert told.search("red", cutoff="auto", rerank="backwards").cut == told.search("red", cutoff="auto").cut
    assert len(told.search("red", where="width < 1", rerank="backwards")) == 0


def test_diversity_and_near_duplicates(told: imseek.Collection, backwards: StandIn) -> None:
    plain = told.search(0, hubness=True)
    assert ids(told.search(0, rerank="backwards", hubness=True)) == ids(plain)[::-1]
    first, *_ = ids(told.search(0, rerank="backwards"))
    varied = told.search(0, rerank="backwards", diversity=0.5)
    assert ids(varied)[0] == first
    assert sorted(ids(varied)) == sorted(ids(plain))


def test_words_captions_and_feedback(told: imseek.Collection, backwards: StandIn) -> None:
    for options in ({"by": "text"}, {"by": "auto"}, {"more": (1,), "less": (2,)}):
        plain = told.search("red cup", **options)
        found = told.search("red cup", rerank="backwards", **options)
        assert ids(found) == ids(plain)[::-1]
        assert found[0].matches[1:] == plain[-1].matches


def test_many_queries(told: imseek.Collection, backwards: StandIn) -> None:
    found = told.search_many(["red", Query("blue", rerank="backwards"), "green"])
    assert [any("reranker" in note for note in one.notes) for one in found] == [False, True, False]
    assert ids(found[1]) == ids(told.search("blue"))[::-1]


def test_several_collections(
    told: imseek.Collection, photo_files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = reranking.by_brightness()
    loads: list[None] = []
    load = made.load
    monkeypatch.setattr(made, "load", lambda: loads.append(None) or load(), raising=False)
    reranking.install(monkeypatch, made)
    with imseek.create(tmp_path / "others", encoder="fake") as others:
        others.index(names=photo_files[:3])
        plain = imseek.search_all([told, others], "red", limit=20)
        found = imseek.search_all([told, others], "red", limit=20, rerank="brightness")
        assert {(hit.collection, hit.image_id) for hit in found} == {(hit.collection, hit.image_id) for hit in plain}
        scores = [hit.matches[0].score for hit in found]
        assert scores == sorted(scores, reverse=True)  # type: ignore[type-var]
        assert len(scores) == 11
        assert (len(made.calls), len(loads)) == (1, 1)
        first = imseek.search_all([told, others], "red", limit=6, rerank="brightness")
        second = imseek.search_all([told, others], "red", limit=6, rerank="brightness", page=first.next_page)
        assert [*first.hits, *second.hits] == list(found.hits)


def test_threads_share_one_reranker(told: imseek.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    made = reranking.by_brightness()
    reranking.install(monkeypatch, made)
    expected = ids(told.search("red", rerank="brightness"))
    found: list[list[int]] = []
    threads = [
        threading.Thread(target=lambda: found.append(ids(told.search("red", rerank="brightness")))) for _ in range(4)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert found == [expected] * 4


# -- servers ---------------------------------------------------------------------------------------------------


def test_a_server_reranks_and_says_which_failed(told: imseek.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    reranking.install(monkeypatch, reranking.by_caption(), StandIn(lambda request: None, name="broken"))
    expected = told.search("red flower", by="image", rerank="caption-words")
    app = make_app(Settings((("photos", told.path),), token="a-token-for-tests-0123456789", rate=0))
    with closing(told), TestClient(app, base_url="http://localhost:1234") as client:
        at = "/collections/photos/search"
        body = {"text": "red flower", "by": "image", "rerank": "caption-words"}
        found = client.post(at, json=body).json()
        assert [hit["image_id"] for hit in found["hits"]] == ids(expected)
        assert found["hits"][0]["matches"][0] | {"excerpt": None} == {
            "field": "reranker",
            "words": ["caption-words"],
            "excerpt": None,
            "score": 2,
        }
        assert found["notes"][-1] == "the best 8 are in the order of the reranker caption-words 1.0"
        assert "the best 2 are" in client.post(at, json={**body, "rerank_limit": 2}).json()["notes"][-1]
        refused = client.post(at, json={**body, "rerank": "unknown"})
        assert (refused.status_code, refused.json()["detail"][:30]) == (422, "there is no reranker 'unknown'"[:30])
        assert client.post(at, json={**body, "rerank_limit": 201}).status_code == 422
        failed = client.post(at, json={**body, "rerank": "broken"})
        assert (failed.status_code, failed.json()["detail"].partition(";")[0]) == (503, "a plugin of this server fails")
