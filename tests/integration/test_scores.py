"""Scores of images that are named, whichever rank they have; what has no place on a map; jobs without a run."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import imseek
from imseek import clusters, jobs, maps, tags
from imseek.data.writing.writer import Writer
from imseek.errors import LockedError, QueryError, UsageError
from imseek.search.query import Query, Term


@pytest.fixture
def photographed(tmp_path, photos, templates):
    templates.indexed(tmp_path / "c", photos)
    with imseek.open(tmp_path / "c") as collection:
        yield collection


class TestScores:
    def test_as_a_search_scores_them(self, photographed) -> None:
        for question in ("red and blue", 3):
            hits = list(photographed.search(question, limit=50))
            ids = [hit.image_id for hit in hits][::-1]
            found = maps.scores(photographed, question, ids)
            assert found.dtype == np.float32
            assert found.tolist() == pytest.approx([hit.score for hit in hits][::-1], abs=1e-6)

    def test_in_two_spaces(self, tmp_path, photos) -> None:
        with imseek.create(tmp_path / "two", encoder="fake", also=["fake:32"]) as collection:
            collection.index([photos])
            hits = list(collection.search(2, limit=50))
            assert maps.scores(collection, 2, [hit.image_id for hit in hits]).tolist() == pytest.approx(
                [hit.score for hit in hits], abs=1e-6
            )

    def test_nothing_to_compare(self, photographed) -> None:
        assert np.isnan(maps.scores(photographed, "red", [999, -1])).tolist() == [True, True]
        assert maps.scores(photographed, "red", []).tolist() == []

    def test_outside_of_the_condition(self, photographed) -> None:
        hits = {hit.image_id: hit for hit in photographed.search("red", limit=50)}
        query = Query((Term(text="red"),), where="format = 'JPEG'", limit=1, cutoff="auto")
        found = dict(zip(hits, maps.scores(photographed, query, list(hits)).tolist(), strict=True))
        for image_id, score in found.items():
            is_jpeg = hits[image_id].metadata["format"] == "JPEG"
            assert score == pytest.approx(hits[image_id].score) if is_jpeg else np.isnan(score)

    def test_what_cannot_be_asked(self, photographed) -> None:
        with pytest.raises(QueryError):
            maps.scores(photographed, " ", [1])


class TestMaps:
    def test_what_came_later_is_missing(self, photographed, photos) -> None:
        maps.lay_out(photographed, method="pca")
        assert maps.missing(photographed) == 0
        shutil.copyfile(photos / "rocket.jpg", photos / "again.jpg")
        with (photos / "again.jpg").open("ab") as file:
            file.write(b"x")
        photographed.index()
        assert maps.missing(photographed) == 1
        maps.lay_out(photographed)
        assert maps.missing(photographed) == 0
        with pytest.raises(UsageError, match="no map 'other'"):
            maps.missing(photographed, "other")

    def test_of_a_map_with_a_condition_others_are_not_missing(self, photographed) -> None:
        maps.lay_out(photographed, method="pca", where="format = 'PNG'", name="pngs")
        assert maps.missing(photographed, "pngs") == 0

    def test_columns(self, photographed) -> None:
        maps.lay_out(photographed, method="pca", name="first")
        found = maps.columns(photographed)
        assert found["width"] == "a whole number"
        assert found["folder"] == "text"
        assert found["taken_at"] == "a time"
        assert found["first_x"] == "a number"
        assert list(found).index("first_x") < list(found).index("folder")
        maps.table(photographed, "first", columns=list(found))


def test_every_tag(photographed) -> None:
    tags.add(photographed, "boat", [1, 2])
    tags.add(photographed, "sea", [2], provenance="probe x")
    assert [(image_id, one.tag, one.provenance) for image_id, one in tags.every(photographed)] == [
        (1, "boat", "person"),
        (2, "boat", "person"),
        (2, "sea", "probe x"),
    ]


class TestWords:
    def test_the_word_that_tells_a_group_from_others(self, tmp_path) -> None:
        from PIL import Image

        colours = {"red": (250, 10, 10), "blue": (10, 10, 250), "green": (10, 250, 10)}
        for name, rgb in colours.items():
            for n in range(12):
                shade = tuple(max(0, value - n) for value in rgb)
                (tmp_path / "p").mkdir(exist_ok=True)
                Image.new("RGB", (16, 16), shade).save(tmp_path / "p" / f"{name}-{n}.png")
        with imseek.create(tmp_path / "c", encoder="fake") as collection:
            collection.index([tmp_path / "p"])
            hits = collection.search("red", limit=50)
            reds = [hit.image_id for hit in hits if hit.place.display.rsplit("/", 1)[-1].startswith("red")]
            found = clusters.word_for(collection, reds, names=["blue", "red", "green"])
            assert found.text == "red"
            everything = clusters.word_for(collection, [hit.image_id for hit in hits], names=["red"])
            assert (everything.text, everything.note) == (None, "there is nothing to tell them from")
            assert clusters.word_for(collection, [], names=["red"]).text is None


class TestLaunched:
    def test_a_map_is_laid_out_in_a_process_of_its_own(self, photographed) -> None:
        launched = jobs.launch(photographed.path, ["map", "--method", "pca", "--json"])
        assert self.wait(launched) == 0
        assert launched.error is None
        assert launched.progress["phase"] == "placing"
        assert maps.find(photographed) is not None

    def test_what_it_ended_with(self, photographed) -> None:
        launched = jobs.launch(photographed.path, ["map", "--where", "knd = 1", "--json"])
        assert self.wait(launched) != 0
        assert "knd" in str(launched.error)
        assert launched.error.hint

    def test_a_writer_is_in_the_way(self, photographed) -> None:
        with Writer(photographed.path, "a test"):
            launched = jobs.launch(photographed.path, ["index", "--json"])
            assert self.wait(launched) == LockedError.exit_code
        assert isinstance(launched.error, LockedError)

    def test_stopped(self, photographed) -> None:
        launched = jobs.launch(photographed.path, ["watch"])
        self.wait_for_run(photographed.path, launched)
        launched.stop()
        assert self.wait(launched) == 130
        assert launched.error is None
        launched.stop()  # There is nothing any more.

    def wait(self, launched: jobs.Launched) -> int | None:
        assert launched.exit_code is None or launched.ended
        assert launched._child.ended.wait(60)
        return launched.exit_code

    def wait_for_run(self, path: Path, launched: jobs.Launched) -> None:
        """Until its run is recorded: from then on it hears signals."""
        ended = launched._child.ended
        while launched._child.pid not in {job.pid for job in jobs.list(path)}:
            assert not ended.wait(0.02), launched.error
