"""Collections as sets of data, end to end: quality, measuring later, balance, leaks, coverage, the report's facts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw, ImageFilter

import imseek
from imseek import dataset, duplicates, maintenance
from imseek.data import layout
from imseek.data.reader import Reader
from imseek.data.shards import derived_columns, shard_files
from imseek.data.writing.writer import Writer
from imseek.errors import QueryError, UsageError
from imseek.search.where import Filters


def name_of(image: object) -> str:
    return image.place.display.rsplit("/", 1)[-1]  # type: ignore[attr-defined]


@pytest.fixture
def altered(tmp_path: Path, photos: Path) -> Path:
    """The photographs, with a blurred, a dark and an overexposed one, and a blank page."""
    with Image.open(photos / "coffee.png") as photo:
        rgb = photo.convert("RGB")
    rgb.filter(ImageFilter.GaussianBlur(5)).save(photos / "blurred.png")
    rgb.point(lambda level: level // 5).save(photos / "dark.png")
    rgb.point(lambda level: min(255, level * 4 + 80)).save(photos / "bright.png")
    Image.new("RGB", (300, 200), (240, 240, 236)).save(photos / "empty.png")
    return photos


@pytest.fixture
def indexed(collection: imseek.Collection, altered: Path) -> imseek.Collection:
    collection.index([altered])
    return collection


def forget_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, collections are indexed as by a version that did not measure."""
    old = [field for field in shard_files.INTRINSIC_SCHEMA if field.name not in shard_files.LUMA_COLUMNS.names]
    monkeypatch.setattr(shard_files, "INTRINSIC_SCHEMA", pa.schema(old))
    real = shard_files.row_of

    def row_of(*args: object) -> dict[str, object]:
        return {name: v for name, v in real(*args).items() if name not in shard_files.LUMA_COLUMNS.names}

    monkeypatch.setattr("imseek.indexer.encode_stage.row_of", row_of)


class TestQuality:
    def test_each_list_has_the_picture_that_belongs_there(self, indexed: imseek.Collection) -> None:
        report = dataset.quality(indexed)
        assert (report.images, report.unknown) == (12, 0)
        listed = {one.kind: [name_of(image) for image in one.worst] for one in report.lists}
        assert listed == {
            "blurred": ["blurred.png"],
            "dark": ["dark.png"],
            "bright": ["bright.png"],
            "empty": ["empty.png"],
        }
        assert report.lists[0].worst[0].values["luma_blur"] > 0.7

    def test_rules_say_the_same_to_filters(self, indexed: imseek.Collection) -> None:
        reader = Reader(indexed.path)
        for one in dataset.quality(indexed).lists:
            found = Filters().ids(reader, one.rule).tolist()
            assert found == sorted(image.image_id for image in one.worst)
            assert len(found) == 1

    def test_some_lists_of_some_images(self, indexed: imseek.Collection) -> None:
        report = dataset.quality(indexed, kinds=["dark"], where="name <> 'dark.png'")
        assert [(one.kind, one.count) for one in report.lists] == [("dark", 0)]
        assert report.images == 11
        assert dataset.quality(indexed, limit=0).lists[0].worst == ()

    def test_what_is_asked_wrongly(self, indexed: imseek.Collection) -> None:
        with pytest.raises(UsageError, match="is not a kind of quality") as caught:
            dataset.quality(indexed, kinds=["blurry"])  # type: ignore[list-item]
        assert "blurred" in (caught.value.hint or "")
        with pytest.raises(QueryError):
            dataset.quality(indexed, where="nonsense = 1")

    def test_nothing(self, collection: imseek.Collection) -> None:
        report = dataset.quality(collection)
        assert (report.images, report.unknown, [one.count for one in report.lists]) == (0, 0, [0] * 4)

    def test_copies_and_moved_pictures_keep_their_measures(
        self, indexed: imseek.Collection, altered: Path, later: Callable[[float], None]
    ) -> None:
        later(10)
        shutil.copyfile(altered / "dark.png", altered / "below" / "again.png")
        (altered / "blurred.png").rename(altered / "below" / "moved.png")
        indexed.index([altered])
        report = dataset.quality(indexed)
        assert report.unknown == 0
        listed = {one.kind: sorted(name_of(image) for image in one.worst) for one in report.lists}
        assert listed["dark"] == ["again.png", "dark.png"]
        assert listed["blurred"] == ["moved.png"]

    def test_columns_that_are_dropped_are_not_these(self, tmp_path: Path, altered: Path) -> None:
        with imseek.create(tmp_path / "few", encoder="fake") as few:
            few.index([altered], source=imseek.SourceOptions(columns=("camera",)))
            assert dataset.quality(few).unknown == 0

    def test_tags(self, indexed: imseek.Collection) -> None:
        assert dataset.tag_quality(indexed, kinds=["dark", "empty"]) == {"dark": 1, "empty": 1}
        (dark,) = dataset.quality(indexed, kinds=["dark"]).lists[0].worst
        assert indexed.get(dark.image_id).tags == ("dark",)
        dataset.tag_quality(indexed, kinds=["dark"])
        assert indexed.get(dark.image_id).tags == ("dark",), "once"

    def test_saved_columns(self, indexed: imseek.Collection) -> None:
        assert dataset.save_quality(indexed, "looks", kinds=["dark"]) == {"dark": 1}
        found = Filters().ids(Reader(indexed.path), "looks_dark")
        assert [name_of(indexed.get(int(i))) for i in found] == ["dark.png"]
        for name in ("No", "measured", "a-b"):
            with pytest.raises(UsageError):
                dataset.save_quality(indexed, name)

    def test_nothing_else_is_replaced(self, indexed: imseek.Collection) -> None:
        imseek.clusters.find(indexed, k=2, save="kinds", names="none")
        with pytest.raises(UsageError, match="'kinds' is the name of clusters already"):
            dataset.save_quality(indexed, "kinds")
        assert len(Filters().ids(Reader(indexed.path), "kinds > 0")) == 12
        dataset.save_quality(indexed, "looks")
        assert dataset.save_quality(indexed, "looks", kinds=["dark"]) == {"dark": 1}, "its like is"


class TestMeasuringLater:
    def test_an_old_collection(
        self, collection: imseek.Collection, altered: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as early:
            forget_measures(early)
            collection.index([altered])
        assert dataset.quality(collection).unknown == 12
        assert "luma_mean" not in collection.get(1).metadata
        report = maintenance.measure(collection.path)
        assert (report.images, report.missing, report.measured, report.unreadable) == (12, 12, 12, 0)
        after = dataset.quality(collection)
        assert after.unknown == 0
        assert [one.count for one in after.lists] == [1] * 4
        assert maintenance.verify(collection.path).ok
        assert maintenance.measure(collection.path).missing == 0

    def test_the_same_as_at_indexing(self, tmp_path: Path, altered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """But for the size that pictures are decoded to, which encoders decide at indexing."""
        with (
            imseek.create(tmp_path / "old", encoder="builtin") as old,
            imseek.create(tmp_path / "new", encoder="builtin") as new,
        ):
            new.index([altered])
            with monkeypatch.context() as early:
                forget_measures(early)
                old.index([altered])
            maintenance.measure(old.path)
            for image_id in range(12):
                mine, theirs = (
                    {k: v for k, v in one.get(image_id).metadata.items() if k.startswith("luma_")} for one in (old, new)
                )
                assert mine.keys() == theirs.keys()
                for name in ("mean", "sd", "dark", "bright"):
                    assert mine[f"luma_{name}"] == pytest.approx(theirs[f"luma_{name}"], abs=0.01)
            lists = [[(o.kind, o.count) for o in dataset.quality(one).lists] for one in (old, new)]
            assert lists[0] == lists[1] == [(kind, 1) for kind in dataset.KINDS]

    def test_shards_of_both_kinds_merge(
        self, collection: imseek.Collection, altered: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("imseek.data.shards.compaction.FACTOR", 2)
        with monkeypatch.context() as early:
            forget_measures(early)
            collection.index([altered / "below"])
        collection.index([altered])
        assert len(Reader(collection.path).current.shards) == 1
        report = dataset.quality(collection)
        assert (report.images, report.unknown) == (12, 2)
        assert maintenance.verify(collection.path).ok
        assert maintenance.measure(collection.path).measured == 2
        assert dataset.quality(collection).unknown == 0
        collection.index([altered])
        assert maintenance.purge(collection.path).images == 0
        assert dataset.quality(collection).unknown == 0

    def test_what_cannot_be_read_stays_unknown(
        self, collection: imseek.Collection, altered: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as early:
            forget_measures(early)
            collection.index([altered])
        (altered / "dark.png").unlink()
        shutil.copyfile(altered / "empty.png", altered / "bright.png")
        report = maintenance.measure(collection.path)
        assert (report.measured, report.unreadable) == (10, 2)
        assert dataset.quality(collection).unknown == 2

    def test_what_is_added_goes_beside_what_is_there(
        self, collection: imseek.Collection, altered: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("imseek.maintenance.missing_measures._COMMIT_IMAGES", 3)
        with monkeypatch.context() as early:
            forget_measures(early)
            collection.index([altered])
        (altered / "dark.png").rename(altered / "aside")
        assert maintenance.measure(collection.path).measured == 11
        (altered / "aside").rename(altered / "dark.png")
        assert maintenance.measure(collection.path).measured == 1
        assert [one.count for one in dataset.quality(collection).lists] == [1] * 4

    def test_its_columns_are_nobody_elses(self, indexed: imseek.Collection) -> None:
        with Writer(indexed.path, "test") as writer:
            with pytest.raises(ValueError, match="maintain --measure"):
                derived_columns.put_columns(writer, layout.MEASURED, {"x": {1: 1.0}})
            with pytest.raises(ValueError, match="intrinsic"):
                derived_columns.put_columns(writer, "mine", {"luma_mean": {1: 1.0}})


@pytest.fixture
def parted(tmp_path: Path, photos: Path) -> imseek.Collection:
    """A table that says which part a picture belongs to, and how heavy it is (with NaN); one is in both parts, one
    again as JPEG."""
    with Image.open(photos / "coffee.png") as photo:
        photo.convert("RGB").save(photos / "coffee again.jpg", quality=90)
    shutil.copyfile(photos / "chelsea.png", photos / "cat.png")
    parts = {
        "astronaut.png": "train",
        "chelsea.png": "train",
        "coffee.png": "train",
        "rocket.jpg": "train",
        "camera.png": "test",
        "cat.png": "test",
        "coffee again.jpg": "test",
    }
    rows = [
        {"path": name, "part": part, "weight": float("nan") if n % 2 else float(n), "same": "one"}
        for n, (name, part) in enumerate(parts.items())
    ]
    pq.write_table(pa.Table.from_pylist(rows), photos / "table.parquet")
    made = imseek.create(tmp_path / "parted", encoder="builtin")
    made.index([photos / "table.parquet"])
    return made


class TestBalanceOfACollection:
    def test_by_a_column(self, parted: imseek.Collection) -> None:
        found = dataset.balance(parted, "part")
        assert [(one.name, one.count) for one in found.classes] == [("train", 4), ("test", 3)]
        assert found.classes[0].share == pytest.approx(4 / 7)
        assert (found.images, found.without, found.ratio) == (7, 0, pytest.approx(4 / 3))
        assert found.classes[0].duplicates is None

    def test_nan_is_no_class(self, parted: imseek.Collection) -> None:
        found = dataset.balance(parted, "weight")
        assert ([one.name for one in found.classes], found.without) == (["0", "2", "4", "6"], 3)

    def test_one_class(self, parted: imseek.Collection) -> None:
        found = dataset.balance(parted, "same")
        assert (len(found.classes), found.effective, found.ratio) == (1, pytest.approx(1), 1)

    def test_by_folder(self, indexed: imseek.Collection, altered: Path) -> None:
        found = dataset.balance(indexed, "folder")
        assert {one.name: one.count for one in found.classes} == {str(altered): 10, str(altered / "below"): 2}
        assert [one.count for one in dataset.balance(indexed, "folder", where="name LIKE 'd%'").classes] == [1]

    def test_by_tag(self, indexed: imseek.Collection) -> None:
        none = dataset.balance(indexed)
        assert (none.classes, none.effective, none.ratio, none.without) == ((), None, None, 12)
        dataset.tag_quality(indexed, kinds=["dark", "empty"])
        found = dataset.balance(indexed)
        assert ([one.name for one in found.classes], found.without) == (["dark", "empty"], 10)

    def test_an_unknown_column_has_near_matches(self, parted: imseek.Collection) -> None:
        with pytest.raises(QueryError, match="no column 'prat'") as caught:
            dataset.balance(parted, "prat")
        assert "part" in (caught.value.hint or "")

    def test_repeated_ones(self, parted: imseek.Collection) -> None:
        found = dataset.balance(parted, "same", duplicates=True, looks=100)
        assert [one.duplicates for one in found.classes] == [4]
        apart = dataset.balance(parted, "part", duplicates=True, looks=100)
        assert [one.duplicates for one in apart.classes] == [0, 0]


class TestLeakage:
    def test_between_parts(self, parted: imseek.Collection) -> None:
        report = dataset.leakage(parted, "part")
        assert report.splits == {"test": 3, "train": 4}
        counts = {(one.split, one.other): (one.exact, one.same) for one in report.counts}
        assert counts == {("test", "train"): (1, 1), ("train", "test"): (1, 1)}
        groups = {(group.kind, tuple(sorted(name_of(one) for one in group.images))) for group in report.groups}
        assert groups == {
            ("exact", ("cat.png", "chelsea.png")),
            ("same", ("coffee again.jpg", "coffee.png")),
        }

    def test_between_folders(self, tmp_path: Path, photos: Path, collection: imseek.Collection) -> None:
        shutil.copyfile(photos / "camera.png", photos / "below" / "copy.png")
        (photos / "upper").mkdir()
        for path in photos.glob("*.*"):
            path.rename(photos / "upper" / path.name)
        collection.index([photos])
        report = dataset.leakage(collection, {"a": [photos / "upper"], "b": [photos / "below"]})
        assert report.splits == {"a": 6, "b": 3}
        (group,) = report.groups
        assert (group.kind, sorted(name_of(one) for one in group.images)) == (
            "exact",
            ["camera.png", "copy.png"],
        )
        assert sorted(one.split for one in group.images) == ["a", "b"]

    def test_between_collections(self, tmp_path: Path, parted: imseek.Collection, photos: Path) -> None:
        with imseek.create(tmp_path / "other", encoder="builtin") as other:
            other.index([photos / "coffee.png", photos / "rocket.jpg"])
            report = dataset.leakage_against(other, parted, names=("new", "old"))
        assert report.splits == {"new": 2, "old": 7}
        assert [(one.split, one.exact, one.same) for one in report.counts] == [("new", 2, 0)]

    def test_an_edited_picture_leaks_as_a_copy_does(
        self, tmp_path: Path, parted: imseek.Collection, photos: Path
    ) -> None:
        with Image.open(photos / "rocket.jpg") as opened:
            picture = opened.convert("RGB")
        side, left, top = picture.width // 8, picture.width // 10, picture.height // 5
        ImageDraw.Draw(picture).ellipse((left, top, left + side, top + side), fill="#fc3", outline="#a60", width=4)
        picture.save(tmp_path / "edited.png")
        with imseek.create(tmp_path / "other", encoder="builtin") as other:
            other.index([tmp_path / "edited.png"])
            (found,) = duplicates.find(other, against=parted).groups
            assert found.kind == "edited"
            report = dataset.leakage_against(other, parted)
        assert [(one.exact, one.same) for one in report.counts] == [(0, 1)]
        assert [group.kind for group in report.groups] == ["same"]

    @pytest.mark.parametrize(
        ("split", "message"), [("same", "1 part only"), ("caption", "0 parts"), ("tag", "several tags")]
    )
    def test_a_leak_takes_two(self, parted: imseek.Collection, split: str, message: str) -> None:
        with pytest.raises(UsageError, match=message):
            dataset.leakage(parted, split)

    def test_a_picture_in_two_parts(self, parted: imseek.Collection, photos: Path) -> None:
        with pytest.raises(UsageError, match="lies in two parts"):
            dataset.leakage(parted, {"a": [photos], "b": [photos]})
        with pytest.raises(UsageError, match="0 parts"):
            dataset.leakage(parted, {"a": ["/nowhere"], "b": ["/nowhere else"]})


class TestReport:
    def test_what_is_counted(self, indexed: imseek.Collection, altered: Path) -> None:
        (altered / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
        indexed.index([altered])
        report = imseek.report.gather(indexed, skip=["clusters"])
        held = report.contents
        assert held.images == 12
        assert dict(held.formats) == {"PNG": 9, "JPEG": 3}
        assert held.total_bytes == sum(p.stat().st_size for p in altered.rglob("*.*") if p.name != "broken.jpg")
        assert sum(held.megapixels.counts) == sum(held.light.counts) == 12
        assert held.having["tag"] == 0
        assert report.quality is not None
        assert [one.count for one in report.quality.lists] == [1] * 4
        assert report.clusters is None
        assert report.outliers is not None
        assert report.duplicates is not None
        assert len(report.info.failures) == 1

    def test_an_empty_collection(self, collection: imseek.Collection) -> None:
        report = imseek.report.gather(collection)
        assert report.contents.images == 0
        assert (report.quality, report.clusters, report.outliers, report.duplicates) == (None,) * 4

    def test_unknown_parts(self, collection: imseek.Collection) -> None:
        with pytest.raises(UsageError, match="not part of a report"):
            imseek.report.gather(collection, skip=["pictures"])  # type: ignore[list-item]
        with pytest.raises(UsageError):
            imseek.report.gather(collection, looks=-1)
