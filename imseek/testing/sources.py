"""What every kind of source promises: what is in it is indexed once, found again, followed, and never lost.

A class to derive the tests of a kind from, and what it needs of the kind: a source that can be written, and written
anew with other pictures.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from PIL import Image

from imseek.collection import Collection, create
from imseek.types.indexing_runs import IndexReport, SourceOptions


@dataclass(frozen=True)
class Picture:
    """The bytes of a picture, and its metadata from the source where there is any."""

    data: bytes
    caption: str | None = None
    extra: Mapping[str, str | int | float | bool] = field(default_factory=dict)


def draw(seed: int, size: tuple[int, int] = (48, 32)) -> bytes:
    """A PNG of coloured blocks, different for each seed."""
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()


class SourceCase(Protocol):
    """One kind of source. ``options`` are what ``index`` is told of it; ``tells`` whether it carries captions and
    extra columns; ``numbered``, whether a place is the number of a row, so that those after one that is taken out have
    moved; ``named``, whether a place has the name of the picture; ``opens``, whether a run reads
    the pictures, and not only vectors that were made of them."""

    name: str
    options: SourceOptions | None
    tells: bool
    numbered: bool
    named: bool
    opens: bool

    def write(self, at: Path, pictures: Mapping[str, Picture]) -> str | Path:
        """Make the source below ``at``, or write it anew; returns what `index` is given. Keys are file names."""
        ...

    def lose(self, at: Path) -> None:
        """Take the source away as a whole, as an unmounted disk does."""
        ...


@dataclass(frozen=True)
class FolderCase:
    name: str = "folder"
    options: SourceOptions | None = None
    tells: bool = True
    numbered: bool = False
    named: bool = True
    opens: bool = True

    def write(self, at: Path, pictures: Mapping[str, Picture]) -> Path:
        """Write only the files that differ, so that the others keep their times."""
        folder = at / "pictures"
        folder.mkdir(exist_ok=True)
        files: dict[str, bytes] = {}
        for name, picture in pictures.items():
            files[name] = picture.data
            if picture.caption is not None:
                files[f"{Path(name).stem}.txt"] = picture.caption.encode()
            if picture.extra:
                files[f"{Path(name).stem}.json"] = json.dumps(dict(picture.extra)).encode()
        for path in folder.iterdir():
            if path.name not in files:
                path.unlink()
        for name, data in files.items():
            path = folder / name
            if not path.exists() or path.read_bytes() != data:
                path.write_bytes(data)
        return folder

    def lose(self, at: Path) -> None:
        shutil.rmtree(at / "pictures")


@dataclass
class IndexedSource:
    """A source of one kind, and the collection that it is indexed into."""

    case: SourceCase
    at: Path
    collection: Collection

    def index(self, pictures: Mapping[str, Picture], **options: Any) -> IndexReport:
        """Write the source with these pictures, and index it."""
        path = self.case.write(self.at, pictures)
        return self.collection.index([path], source=self.case.options, **options)

    def ids(self) -> dict[bytes, int]:
        """Return the ids of live images by their content, as ``read`` returns it."""
        result = self.collection.search(np.ones(64), limit=1000, metadata=False)
        ids_by_content = {self.collection.read(hit.image_id): hit.image_id for hit in result}
        assert len(ids_by_content) == len(result), "two images lead to the same bytes"
        return ids_by_content


def pictures(*seeds: int) -> dict[str, Picture]:
    return {
        f"{seed:03}.png": Picture(draw(seed), f"picture number {seed}", {"licence": "MIT", "rank": seed})
        for seed in seeds
    }


class SourceContract:
    """Tests that a kind of source keeps its promises: derive a class ``Test…`` from it, and set ``source``."""

    source: SourceCase

    @pytest.fixture
    def case(self) -> SourceCase:
        return self.source

    @pytest.fixture
    def stand(self, case: SourceCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[IndexedSource]:
        # A clock ten seconds ahead: files written a moment ago are read again.
        now = time.time_ns
        monkeypatch.setattr("imseek.indexer.sources.local_files.time.time_ns", lambda: now() + 10_000_000_000)
        with create(tmp_path / "collection", encoder="fake") as collection:
            yield IndexedSource(case, tmp_path, collection)

    def test_every_picture_is_there_and_leads_back(self, stand: IndexedSource) -> None:
        samples = pictures(1, 2, 3)
        report = stand.index(samples)
        assert (report.seen, report.added, report.skipped, report.live) == (3, 3, 0, 3)
        bytes_read = sum(len(picture.data) for picture in samples.values()) if stand.case.opens else 0
        assert report.bytes_read == bytes_read
        ids = stand.ids()
        assert ids.keys() == {picture.data for picture in samples.values()}
        for picture in samples.values():
            best = stand.collection.search(picture.data, limit=1)[0]
            assert best.image_id == ids[picture.data]
            assert best.score == pytest.approx(1, abs=1e-3)
        uris = {hit.uri for hit in stand.collection.search(np.ones(64))}
        assert len(uris) == 3
        assert all(uri is not None and "://" in uri for uri in uris)

    def test_what_the_source_says_becomes_metadata(self, stand: IndexedSource) -> None:
        if not stand.case.tells:
            return  # It says nothing of its pictures.
        samples = pictures(1, 2)
        stand.index(samples)
        for data, image_id in stand.ids().items():
            (picture,) = (one for one in samples.values() if one.data == data)
            metadata = stand.collection.get(image_id).metadata
            assert metadata["caption"] == picture.caption
            assert {name: metadata[name] for name in picture.extra} == picture.extra

    def test_a_second_run_reads_nothing(self, stand: IndexedSource) -> None:
        first = stand.index(pictures(1, 2, 3))
        for again in (stand.index(pictures(1, 2, 3)), stand.collection.index()):
            assert (again.seen, again.unchanged, again.files_opened, again.added) == (3, 3, 0, 0)
            assert again.generation == first.generation

    def test_rehash_reads_everything_and_changes_nothing(self, stand: IndexedSource) -> None:
        stand.index(pictures(1, 2, 3))
        ids = stand.ids()
        again = stand.index(pictures(1, 2, 3), rehash=True)
        assert (again.unchanged, again.files_opened, again.added, again.removed) == (3, 3, 0, 0)
        assert stand.ids() == ids

    def test_changes_are_followed(self, stand: IndexedSource) -> None:
        before = pictures(1, 2, 3, 4)
        stand.index(before)
        ids = stand.ids()
        after = {**before, "002.png": Picture(draw(12)), "005.png": Picture(draw(5))}
        del after["003.png"]
        report = stand.index(after)
        if stand.case.numbered:  # Rows after the removed one have moved, whatever their old places hold now.
            assert (report.added + report.changed, report.added - report.removed, report.moved) == (2, 0, 1)
        else:
            assert (report.added, report.changed, report.removed, report.moved) == (1, 1, 1, 0)
        assert report.live == 4
        now = stand.ids()
        assert now.keys() == {picture.data for picture in after.values()}
        for name in ("001.png", "004.png"):
            assert now[before[name].data] == ids[before[name].data]
        assert now[draw(12)] not in ids.values()

    def test_a_renamed_picture_keeps_its_id(self, stand: IndexedSource) -> None:
        before = pictures(1, 2)
        stand.index(before)
        ids = stand.ids()
        report = stand.index({"001.png": before["001.png"], "later.png": before["002.png"]})
        assert (report.moved, report.added, report.removed) == (1 if stand.case.named else 0, 0, 0)
        assert report.live == 2
        assert stand.ids() == ids

    def test_a_copy_is_an_image_of_its_own(self, stand: IndexedSource) -> None:
        one = Picture(draw(1), "the first", {"rank": 1})
        other = Picture(draw(1), "the second", {"rank": 2})
        report = stand.index({"a.png": one, "b.png": other})
        assert (report.added, report.copied, report.live) == (1, 1, 2)
        hits = stand.collection.search(draw(1))
        assert [hit.score for hit in hits] == [pytest.approx(1, abs=1e-3)] * 2
        if stand.case.tells:
            metadata = [(hit.metadata["caption"], hit.metadata["rank"]) for hit in hits]
            assert metadata == [("the first", 1), ("the second", 2)]

    def test_a_broken_picture_is_reported_once_and_costs_no_other(self, stand: IndexedSource) -> None:
        if not stand.case.opens:
            return  # It holds vectors; tests/integration/test_vectors.py has broken rows.
        samples = {**pictures(1, 2), "bad.png": Picture(draw(3)[:60])}
        report = stand.index(samples)
        assert (report.added, report.skipped) == (2, 1)
        (failure,) = report.failures
        assert failure.reason in ("truncated", "corrupt")
        places = {hit.path for hit in stand.collection.search(np.ones(64))}
        assert os.fsdecode(failure.path) not in places
        again = stand.index(samples)
        assert (again.files_opened, again.skipped, again.failures) == (0, 1, ())
        mended = stand.index({**samples, "bad.png": Picture(draw(3))})
        assert (mended.added, mended.skipped, mended.live) == (1, 0, 3)
        assert stand.collection.info().failures == ()

    def test_a_limited_run_is_gone_on_with(self, stand: IndexedSource) -> None:
        samples = pictures(*range(5))
        first = stand.index(samples, limit=2)
        assert (first.added, first.live, first.interrupted) == (2, 2, False)
        ids = stand.ids()
        second = stand.index(samples, limit=2)
        assert (second.added, second.unchanged, second.removed, second.live) == (2, 2, 0, 4)
        last = stand.index(samples)
        assert (last.added, last.unchanged, last.live) == (1, 4, 5)
        assert stand.ids().items() >= ids.items()

    def test_a_source_that_is_missing_loses_nothing(self, stand: IndexedSource) -> None:
        samples = pictures(1, 2)
        stand.index(samples)
        stand.case.lose(stand.at)
        report = stand.collection.index()
        assert (report.removed, report.live) == (0, 2)
        assert any("missing" in note or "not mounted" in note for note in report.notes)
        assert stand.index(samples).live == 2

    def test_a_dry_run_tells_what_there_is_to_do_and_does_nothing(self, stand: IndexedSource) -> None:
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
        elif stand.case.named:  # Only reading its picture tells whether a row has moved.
            assert (planned.added, planned.changed, planned.removed) == (3, 0, 3)
        else:
            assert (planned.added, planned.changed, planned.removed) == (0, 3, 0)
        assert planned.live == 3
        assert stand.collection.info().images == 3

    def test_columns_are_kept_or_dropped(self, stand: IndexedSource) -> None:
        if not stand.case.tells:
            return  # It says nothing of its pictures.
        path = stand.case.write(stand.at, pictures(1))
        options = replace(stand.case.options or SourceOptions(), columns=("-rank", "-caption"))
        stand.collection.index([path], source=options)
        (hit,) = stand.collection.search(np.ones(64))
        assert hit.metadata["licence"] == "MIT"
        assert not {"rank", "caption"} & hit.metadata.keys()
