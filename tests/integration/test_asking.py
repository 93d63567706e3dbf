"""Queries of several terms, and pictures by URL, against a collection on disk."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from sourcing.web import WebServer

import imseek
from imseek.data.reader import Reader
from imseek.data.vectors.base import Segment
from imseek.encoders import registry
from imseek.errors import MediaError, QueryError
from imseek.media import http_fetcher
from imseek.search import row_sample
from imseek.types.pictures import SkipReason

Float64 = npt.NDArray[np.float64]

COUNT = 48


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Noise of many colours: the left half in one, the right half in another."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    drawn = np.random.default_rng(0)
    for n in range(COUNT):
        pixels = np.empty((32, 32, 3), np.uint8)
        pixels[:, :16], pixels[:, 16:] = drawn.integers(0, 256, (2, 3))
        Image.fromarray(pixels).save(folder / f"{n}.png")
    return folder


@pytest.fixture
def indexed(collection: imseek.Collection, pictures: Path) -> imseek.Collection:
    collection.index([pictures])
    return collection


def stored(path: Path) -> tuple[list[int], Float64]:
    """Ids, and their rows (n, dim) of norm 1."""
    (segment,) = Reader(path).segments(0)
    rows = segment.rows.astype(np.float64)
    return segment.ids.tolist(), rows / np.linalg.norm(rows, axis=1, keepdims=True)


def words(text: str) -> Float64:
    (row,) = registry.load("fake").encode_texts([text])
    return row.astype(np.float64)


def picture(path: Path) -> Float64:
    encoder = registry.load("fake")
    pixels = np.asarray(Image.open(path).convert("RGB"))
    (row,) = encoder.encode_images(encoder.prepare(pixels)[None])
    return row.astype(np.float64)


def test_terms_rank_by_their_standardised_scores_added_up(indexed: imseek.Collection, pictures: Path) -> None:
    """Scores are cosines with the direction that orders so; checked from the stored rows."""
    ids, rows = stored(indexed.path)
    chosen = pictures / "7.png"
    terms = (
        imseek.Term(text="harbour"),
        imseek.Term(picture=chosen),
        imseek.Term(image_id=ids[3], weight=-0.5),
    )
    vectors, weights = np.stack([words("harbour"), picture(chosen), rows[3]]), np.array([1, 1, -0.5])
    scores = rows @ vectors.T
    total = ((scores - scores.mean(axis=0)) / scores.std(axis=0)) @ weights
    result = indexed.search(imseek.Query(terms, limit=COUNT))
    assert [hit.image_id for hit in result] == [ids[i] for i in np.argsort(-total)]
    direction = (weights / scores.std(axis=0)) @ vectors
    cosines = rows @ direction / np.linalg.norm(direction)
    assert [hit.score for hit in result] == pytest.approx(sorted(cosines, reverse=True), abs=1e-4)
    plain = rows @ (weights @ vectors)
    assert np.argsort(-plain).tolist() != np.argsort(-total).tolist(), "or the test tells nothing"


def test_in_two_spaces_each_has_deviations_of_its_own(tmp_path: Path, pictures: Path) -> None:
    """Shares are those of the plain sums: words speak to the first space only."""
    encoders = [registry.load("fake"), registry.load("fake:32")]
    with imseek.create(tmp_path / "pair", encoder="fake", also=["fake:32"]) as made:
        made.index([pictures])
        terms = (imseek.Term(text="harbour"), imseek.Term(picture=pictures / "7.png", weight=0.5))
        result = made.search(imseek.Query(terms, limit=COUNT))
        ids, _ = stored(made.path)
        pixels = np.asarray(Image.open(pictures / "7.png").convert("RGB"))
        expected, lengths = np.zeros(COUNT), []
        for space, encoder in enumerate(encoders):
            (segment,) = Reader(made.path).segments(space)
            rows = segment.rows.astype(np.float64)
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            shown = encoder.encode_images(encoder.prepare(pixels)[None])[0].astype(np.float64)
            vectors = np.stack([words("harbour"), shown] if space == 0 else [shown])
            weights = np.array([1, 0.5] if space == 0 else [0.5])
            direction = (weights / (rows @ vectors.T).std(axis=0)) @ vectors
            lengths.append(float(np.linalg.norm(weights @ vectors)) if space == 0 else 0.5)
            expected += lengths[-1] * (rows @ direction) / np.linalg.norm(direction)
    assert [space.weight for space in result.spaces] == pytest.approx(np.array(lengths) / sum(lengths), abs=1e-5)
    expected /= sum(lengths)
    assert [hit.image_id for hit in result] == [ids[i] for i in np.argsort(-expected)]
    assert [hit.score for hit in result] == pytest.approx(sorted(expected, reverse=True), abs=1e-4)


def test_a_single_term_scores_its_cosine_whatever_its_weight(indexed: imseek.Collection) -> None:
    ids, rows = stored(indexed.path)
    cosines = dict(zip(ids, rows @ words("red"), strict=True))
    for weight in (1.0, 5.0, 1e-9):
        result = indexed.search(imseek.Query((imseek.Term(text="red", weight=weight),), limit=COUNT))
        assert {hit.image_id: hit.score for hit in result} == pytest.approx(cosines, abs=1e-5)
    assert indexed.search("red", limit=COUNT).hits == result.hits


def test_a_single_term_reads_no_sample(indexed: imseek.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a sample was read")

    monkeypatch.setattr("imseek.search.generations.sample_rows", refuse)
    assert len(indexed.search("red")) == 10
    with pytest.raises(AssertionError, match="a sample was read"):
        indexed.search(imseek.Query((imseek.Term(text="red"), imseek.Term(text="blue"))))


def test_the_sample_is_read_once_per_generation(
    indexed: imseek.Collection, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def counted(segments: list[Segment], most: int) -> npt.NDArray[np.float32]:
        rows = row_sample.sample_rows(segments, most)
        sizes.append(len(rows))
        return rows

    monkeypatch.setattr("imseek.search.generations.sample_rows", counted)
    query = imseek.Query((imseek.Term(text="red"), imseek.Term(text="blue")))
    for _ in range(3):
        indexed.search(query)
    (pictures / "0.png").unlink()
    indexed.index()
    indexed.search(query)
    assert sizes == [COUNT, COUNT - 1]


def test_words_beside_a_picture_move_the_answer_both_ways(indexed: imseek.Collection) -> None:
    """A picture of half red, half blue: with words for one colour, that colour comes first, and not with "not"."""
    ids, rows = stored(indexed.path)
    reds = rows @ words("red")
    middle = ids[int(np.argsort(reds)[COUNT // 2])]
    like, red = imseek.Term(image_id=middle), imseek.Term(text="red", weight=3)
    away = imseek.Term(text="red", weight=-3)

    def mean_red(*terms: imseek.Term) -> float:
        hits = indexed.search(imseek.Query(terms, limit=10)).hits
        return float(np.mean([reds[ids.index(hit.image_id)] for hit in hits]))

    assert mean_red(like, away) < mean_red(like) < mean_red(like, red)


# -- pictures by URL -------------------------------------------------------------------------------------------


@pytest.fixture
def web(pictures: Path) -> Iterator[WebServer]:
    with WebServer() as server:
        server.pages = {"a picture.png": (pictures / "5.png").read_bytes(), "words": b"no picture"}
        yield server


@pytest.fixture
def neighbourly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loopback interface may be asked: the test's server is there."""
    allowed = functools.partial(http_fetcher.HttpFetcher, allow_private=True)
    monkeypatch.setattr(http_fetcher, "HttpFetcher", allowed)


@pytest.mark.usefixtures("neighbourly")
def test_a_picture_by_url_is_as_good_as_its_file(indexed: imseek.Collection, pictures: Path, web: WebServer) -> None:
    query = imseek.Query((imseek.Term(url=web.url("a picture.png")),), limit=COUNT)
    assert indexed.search(query).hits == indexed.search(pictures / "5.png", limit=COUNT).hits
    assert web.asked == ["a picture.png"]


@pytest.mark.usefixtures("neighbourly")
def test_what_the_web_gives_that_is_no_picture(indexed: imseek.Collection, web: WebServer) -> None:
    with pytest.raises(QueryError, match=r"cannot use http://.*/words as a query"):
        indexed.search(imseek.Query((imseek.Term(url=web.url("words")),)))
    with pytest.raises(MediaError, match="404") as failed:
        indexed.search(imseek.Query((imseek.Term(url=web.url("nowhere")),)))
    assert failed.value.reason == SkipReason.FETCH_FAILED


def test_private_addresses_are_not_asked(indexed: imseek.Collection, web: WebServer) -> None:
    for url in (web.url("a picture.png"), "http://169.254.169.254/latest", "http://[::1]:8000/a.png"):
        with pytest.raises(QueryError, match=r"Loopback|metadata|loopback") as refused:
            indexed.search(imseek.Query((imseek.Term(url=url),)))
        assert "imseek search -" in str(refused.value.hint)
    assert web.asked == []


# -- what cannot be asked --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (imseek.Term(vector=np.ones(3)), "a vector of shape .3,. in a space of 64 dimensions"),
        (imseek.Term(vector=np.full(64, np.nan)), "not finite"),
        (imseek.Term(vector=np.zeros(64)), "zero"),
        (imseek.Term(picture=b"words"), "cannot use the bytes given"),
        (imseek.Term(picture=Path("/")), "cannot read the picture /: Is a directory"),
    ],
)
def test_terms_that_have_no_vector(indexed: imseek.Collection, term: imseek.Term, message: str) -> None:
    for terms in ((term,), (imseek.Term(text="red"), term)):
        with pytest.raises(QueryError, match=message):
            indexed.search(imseek.Query(terms))


def test_terms_that_cancel_out(indexed: imseek.Collection) -> None:
    terms = (imseek.Term(image_id=3), imseek.Term(image_id=3, weight=-1))
    with pytest.raises(QueryError, match="the query has no direction"):
        indexed.search(imseek.Query(terms))


def test_a_weight_that_dwarfs_the_others_leaves_only_its_term(indexed: imseek.Collection) -> None:
    terms = (imseek.Term(text="red", weight=1e300), imseek.Term(text="blue"))
    assert [hit.image_id for hit in indexed.search(imseek.Query(terms, limit=COUNT))] == [
        hit.image_id for hit in indexed.search("red", limit=COUNT)
    ]
