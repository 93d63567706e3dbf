"""One suite over every kind of source: what is in it is indexed once, found again, followed, and never lost."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sourcing.cases import CASES, Case, Picture, draw, opens_pictures

import imseek
from imseek.types.indexing_runs import IndexReport


@dataclass
class Stand:
    """A source of one kind, and the collection that it is indexed into."""

    case: Case
    at: Path
    collection: imseek.Collection

    def index(self, pictures: Mapping[str, Picture], **options: Any) -> IndexReport:
        path = self.case.write(self.at, pictures)
        return self.collection.index([path], source=self.case.options, **options)

    def ids(self) -> dict[bytes, int]:
        """Live images by the bytes that ``read`` gives."""
        result = self.collection.search(np.ones(64), limit=1000, metadata=False)
        found = {self.collection.read(hit.image_id): hit.image_id for hit in result}
        assert len(found) == len(result), "two images lead to the same bytes"
        return found


pytestmark = pytest.mark.sample(stand=6)


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def stand(request: pytest.FixtureRequest, tmp_path: Path, later: Callable[[float], None]) -> Iterator[Stand]:
    later(10)  # What was written a moment ago is trusted.
    with imseek.create(tmp_path / "collection", encoder="fake") as collection:
        yield Stand(request.param, tmp_path, collection)


#: Only kinds of sources that say something of their pictures.
OF_THOSE_THAT_TELL = pytest.mark.parametrize(
    "stand", [case for case in CASES if case.tells], ids=lambda case: case.name, indirect=True
)


def pictures(*seeds: int) -> dict[str, Picture]:
    return {
        f"{seed:03}.png": Picture(draw(seed), f"picture number {seed}", {"licence": "MIT", "rank": seed})
        for seed in seeds
    }


def test_every_picture_is_there_and_leads_back(stand: Stand) -> None:
    made = pictures(1, 2, 3)
    report = stand.index(made)
    assert (report.seen, report.added, report.skipped, report.live) == (3, 3, 0, 3)
    read = sum(len(picture.data) for picture in made.values()) if opens_pictures(stand.case) else 0
    assert report.bytes_read == read
    ids = stand.ids()
    assert ids.keys() == {picture.data for picture in made.values()}
    for picture in made.values():
        best = stand.collection.search(picture.data, limit=1)[0]
        assert best.image_id == ids[picture.data]
        assert best.score == pytest.approx(1, abs=1e-3)
    uris = {hit.uri for hit in stand.collection.search(np.ones(64))}
    assert len(uris) == 3
    assert all(uri is not None and "://" in uri for uri in uris)


@OF_THOSE_THAT_TELL
def test_what_the_source_says_becomes_metadata(stand: Stand) -> None:
    made = pictures(1, 2)
    stand.index(made)
    for data, image_id in stand.ids().items():
        (picture,) = (one for one in made.values() if one.data == data)
        metadata = stand.collection.get(image_id).metadata
        assert metadata["caption"] == picture.caption
        assert {name: metadata[name] for name in picture.extra} == picture.extra


def test_a_second_run_reads_nothing(stand: Stand) -> None:
    first = stand.index(pictures(1, 2, 3))
    for again in (stand.index(pictures(1, 2, 3)), stand.collection.index()):
        assert (again.seen, again.unchanged, again.files_opened, again.added) == (3, 3, 0, 0)
        assert again.generation == first.generation


def test_rehash_reads_everything_and_changes_nothing(stand: Stand) -> None:
    stand.index(pictures(1, 2, 3))
    ids = stand.ids()
    again = stand.index(pictures(1, 2, 3), rehash=True)
    assert (again.unchanged, again.files_opened, again.added, again.removed) == (3, 3, 0, 0)
    assert stand.ids() == ids


def test_changes_are_followed(stand: Stand) -> None:
    before = pictures(1, 2, 3, 4)
    stand.index(before)
    ids = stand.ids()
    after = {**before, "002.png": Picture(draw(12)), "005.png": Picture(draw(5))}
    del after["003.png"]
    report = stand.index(after)
    if stand.case.numbered:  # Those after the row that was taken out have moved, whatever lies in their old places.
        assert (report.added + report.changed, report.added - report.removed, report.moved) == (2, 0, 1)
    else:
        assert (report.added, report.changed, report.removed, report.moved) == (1, 1, 1, 0)
    assert report.live == 4
    now = stand.ids()
    assert now.keys() == {picture.data for picture in after.values()}
    for name in ("001.png", "004.png"):
        assert now[before[name].data] == ids[before[name].data]
    assert now[draw(12)] not in ids.values()


def test_a_renamed_picture_keeps_its_id(stand: Stand) -> None:
    before = pictures(1, 2)
    stand.index(before)
    ids = stand.ids()
    report = stand.index({"001.png": before["001.png"], "later.png": before["002.png"]})
    assert (report.moved, report.added, report.removed) == (1 if stand.case.named else 0, 0, 0)
    assert report.live == 2
    assert stand.ids() == ids


def test_a_copy_is_an_image_of_its_own(stand: Stand) -> None:
    one = Picture(draw(1), "the first", {"rank": 1})
    other = Picture(draw(1), "the second", {"rank": 2})
    report = stand.index({"a.png": one, "b.png": other})
    assert (report.added, report.copied, report.live) == (1, 1, 2)
    hits = stand.collection.search(draw(1))
    assert [hit.score for hit in hits] == [pytest.approx(1, abs=1e-3)] * 2
    if stand.case.tells:
        told = [(hit.metadata["caption"], hit.metadata["rank"]) for hit in hits]
        assert told == [("the first", 1), ("the second", 2)]


@pytest.mark.parametrize(
    "stand", [case for case in CASES if opens_pictures(case)], indirect=True, ids=lambda case: case.name
)
def test_a_broken_picture_is_reported_once_and_costs_no_other(stand: Stand) -> None:
    """Not of vectors, for which no picture is opened: tests/integration/test_vectors.py has broken rows."""
    made = {**pictures(1, 2), "bad.png": Picture(draw(3)[:60])}
    report = stand.index(made)
    assert (report.added, report.skipped) == (2, 1)
    (failure,) = report.failures
    assert failure.reason in ("truncated", "corrupt")
    places = {hit.path for hit in stand.collection.search(np.ones(64))}
    assert os.fsdecode(failure.path) not in places
    again = stand.index(made)
    assert (again.files_opened, again.skipped, again.failures) == (0, 1, ())
    mended = stand.index({**made, "bad.png": Picture(draw(3))})
    assert (mended.added, mended.skipped, mended.live) == (1, 0, 3)
    assert stand.collection.info().failures == ()


def test_a_limited_run_is_gone_on_with(stand: Stand) -> None:
    made = pictures(*range(5))
    first = stand.index(made, limit=2)
    assert (first.added, first.live, first.interrupted) == (2, 2, False)
    ids = stand.ids()
    second = stand.index(made, limit=2)
    assert (second.added, second.unchanged, second.removed, second.live) == (2, 2, 0, 4)
    last = stand.index(made)
    assert (last.added, last.unchanged, last.live) == (1, 4, 5)
    assert stand.ids().items() >= ids.items()


def test_a_source_that_is_missing_loses_nothing(stand: Stand) -> None:
    made = pictures(1, 2)
    stand.index(made)
    stand.case.lose(stand.at)
    report = stand.collection.index()
    assert (report.removed, report.live) == (0, 2)
    assert any("missing" in note or "not mounted" in note for note in report.notes)
    assert stand.index(made).live == 2


def test_a_dry_run_tells_what_there_is_to_do_and_does_nothing(stand: Stand) -> None:
    before = pictures(1, 2, 3)
    planned = stand.index(before, dry_run=True)
    assert (planned.seen, planned.added, planned.live, planned.files_opened) == (3, 3, 0, 0)
    assert stand.collection.info().sources == ()
    stand.index(before)
    after = {**before, "004.png": Picture(draw(4))}
    del after["001.png"]
    planned = stand.index(after, dry_run=True)
    if not stand.case.numbered:
        assert (planned.added, planned.removed) == (1, 1)
    elif stand.case.named:  # Whether a row is one that has moved is known when its picture has been read.
        assert (planned.added, planned.changed, planned.removed) == (3, 0, 3)
    else:
        assert (planned.added, planned.changed, planned.removed) == (0, 3, 0)
    assert planned.live == 3
    assert stand.collection.info().images == 3


@OF_THOSE_THAT_TELL
def test_columns_are_kept_or_dropped(stand: Stand) -> None:
    from dataclasses import replace

    path = stand.case.write(stand.at, pictures(1))
    options = replace(stand.case.options or imseek.SourceOptions(), columns=("-rank", "-caption"))
    stand.collection.index([path], source=options)
    (hit,) = stand.collection.search(np.ones(64))
    assert hit.metadata["licence"] == "MIT"
    assert not {"rank", "caption"} & hit.metadata.keys()
