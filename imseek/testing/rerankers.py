"""What every reranker promises: a class to derive the tests of a reranker from."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imseek.collection import Collection, create
from imseek.errors import QueryError
from imseek.search.query import TermSource
from imseek.search.rerankers import Reranker, load_reranker
from imseek.types.search_results import Hit, Match, SearchResult

#: Photographs that ship inside scikit-image, and their captions.
PHOTOS = {
    "astronaut.png": "an astronaut in an orange suit",
    "chelsea.png": "the face of a ginger cat",
    "coffee.png": "a red cup of coffee on a table",
    "rocket.jpg": "a white rocket at night",
}
TEXT = "a red cup of coffee"


class RerankerContract:
    """Tests that a reranker keeps its promises: derive a class ``Test…`` from it, and set ``reranker``."""

    reranker: str

    @pytest.fixture
    def made(self) -> Reranker:
        return load_reranker(self.reranker).reranker

    @pytest.fixture
    def photos(self, tmp_path: Path) -> Iterator[Collection]:
        """Photographs with captions, in a collection."""
        import skimage

        folder = tmp_path / "photos"
        folder.mkdir()
        for name, caption in PHOTOS.items():
            shutil.copy(Path(skimage.__file__).parent / "data" / name, folder)
            (folder / name).with_suffix(".txt").write_text(caption)
        with create(tmp_path / "collection", encoder="fake") as collection:
            collection.index(folder)
            yield collection

    @pytest.fixture
    def query(self, made: Reranker, photos: Collection) -> TermSource:
        """A query that the reranker reads: words if it can, else a picture."""
        return TEXT if "text" in made.reads else photos.read(0)

    def test_states_its_facts(self, made: Reranker) -> None:
        assert isinstance(made, Reranker)
        assert made.name == self.reranker
        assert made.version
        assert {*made.reads}
        assert {*made.reads} <= {"text", "picture"}
        assert {*made.needs} <= {"pictures", "metadata", "vectors"}

    def test_orders_the_hits_by_its_scores(self, photos: Collection, query: TermSource) -> None:
        before = photos.search(query, by="image")
        after = photos.search(query, by="image", rerank=self.reranker)
        assert {hit.image_id: hit.score for hit in after} == {hit.image_id: hit.score for hit in before}
        scores = [_score(hit.matches) for hit in after]
        assert all(map(math.isfinite, scores))
        assert scores == sorted(scores, reverse=True)

    def test_what_it_does_not_see_follows(self, photos: Collection, query: TermSource) -> None:
        before = photos.search(query, by="image")
        after = photos.search(query, by="image", rerank=self.reranker, rerank_limit=2)
        assert {hit.image_id for hit in after.hits[:2]} == {hit.image_id for hit in before.hits[:2]}
        assert after.hits[2:] == before.hits[2:]

    def test_repeats_itself_in_threads_and_from_page_to_page(self, photos: Collection, query: TermSource) -> None:
        def search(_: int) -> SearchResult:
            return photos.search(query, by="image", rerank=self.reranker)

        whole = search(0)
        with ThreadPoolExecutor(4) as pool:
            assert all(result.hits == whole.hits for result in pool.map(search, range(8)))
        page: str | None = None
        hits: list[Hit] = []
        for _ in PHOTOS:
            result = photos.search(query, by="image", rerank=self.reranker, limit=1, page=page)
            page = result.next_page
            hits += result.hits
        assert (tuple(hits), page) == (whole.hits, None)

    def test_one_candidate_and_none(self, photos: Collection, query: TermSource) -> None:
        for where, count in (("path LIKE '%rocket%'", 1), ("width < 1", 0)):
            assert len(photos.search(query, by="image", where=where, rerank=self.reranker)) == count

    def test_a_picture_that_is_gone_breaks_nothing(self, photos: Collection, query: TermSource) -> None:
        for image in list(photos)[1:3]:
            assert image.place is not None
            Path(image.place.path.decode()).unlink()
        assert len(photos.search(query, by="image", rerank=self.reranker)) == len(PHOTOS)

    def test_terms_that_it_does_not_read_are_refused(self, made: Reranker, photos: Collection) -> None:
        terms: dict[str, TermSource] = {"text": TEXT, "picture": photos.read(0), "image": 0}
        kinds = {"text": "text", "picture": "picture", "image": "picture"}
        for name, term in terms.items():
            if kinds[name] in made.reads:
                assert len(photos.search(term, by="image", rerank=self.reranker)) == len(PHOTOS)
            else:
                with pytest.raises(QueryError, match=self.reranker):
                    photos.search(term, by="image", rerank=self.reranker)


def _score(matches: tuple[Match, ...]) -> float:
    (score,) = (match.score for match in matches if match.field == "reranker")
    assert score is not None
    return score
