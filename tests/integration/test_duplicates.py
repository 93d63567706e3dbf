"""`imseek.duplicates` on real photographs, with the encoder that can tell them apart."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageOps
from templates import Templates

import imseek
from imseek import duplicates
from imseek.analysis.originals import Originals
from imseek.data.catalog.duplicate_judgements import make_judgement, record, withdraw
from imseek.data.reader import Reader
from imseek.data.vectors import open_index
from imseek.data.writing.writer import Writer
from imseek.duplicates import cross_collection_pairs
from imseek.duplicates.collection_pairs import PairComparer
from imseek.duplicates.pixels.verdict import Thresholds
from imseek.duplicates.results import DuplicateGroup, DuplicatePair, DuplicateReport
from imseek.duplicates.unique_contents import load_contents
from imseek.errors import ImageNotFoundError, UsageError
from imseek.progress import Progress


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory, photo_files: list[Path]) -> Path:
    """Eight photographs, and of some of them a copy, a thumbnail, a recoding, a mirrored and a cropped one."""
    folder = tmp_path_factory.mktemp("album")
    for path in photo_files:
        shutil.copyfile(path, folder / path.name)
    shutil.copyfile(folder / "china.jpg", folder / "china copy.jpg")
    with Image.open(folder / "chelsea.png") as opened:
        cat = opened.convert("RGB")
    cat.resize((225, 150)).save(folder / "cat small.webp")
    cat.save(folder / "cat.jpg", quality=40)
    with Image.open(folder / "coffee.png") as opened:
        coffee = opened.convert("RGB")
    ImageOps.mirror(coffee).save(folder / "coffee mirrored.png")
    coffee.crop((40, 30, 580, 380)).save(folder / "coffee cropped.jpg", quality=85)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, album: Path) -> Path:
    path = tmp_path_factory.mktemp("builtin") / "collection"
    with imseek.create(path, encoder="builtin") as collection:
        collection.index([album])
    return path


def names(report: DuplicateReport) -> list[list[str]]:
    """The file names of each group, the keeper first, the others in alphabetical order."""
    found = []
    for group in report.groups:
        keeper, *others = [Path(m.place.path.decode()).name for m in group.members if m.place is not None]
        found.append([keeper, *sorted(others)])
    return found


SAME = [
    ["coffee.png", "coffee cropped.jpg", "coffee mirrored.png"],
    ["chelsea.png", "cat small.webp", "cat.jpg"],
]


class TestFind:
    def test_copies_and_altered_pictures_and_nothing_else(self, made: Path) -> None:
        report = duplicates.find(made)
        assert [group.kind for group in report.groups] == ["exact", "same", "same"]
        assert names(report)[0][0].startswith("china")
        assert sorted(names(report)[1:]) == sorted(SAME)
        assert (report.searched, report.surplus, report.interrupted) == (13, 5, False)
        assert report.notes == ()
        keeper = report.groups[1].keeper
        assert report.groups[1].reason
        for other in report.groups[1].others:
            assert other.pair is not None
            assert {other.pair.a, other.pair.b} == {keeper.image_id, other.image_id}
            assert other.pair.confidence >= 0.9
            assert other.pair.correlation is not None
            assert other.pair.correlation > 0.9

    def test_the_better_picture_is_kept_and_the_reason_says_why(self, tmp_path: Path, photo_files: list[Path]) -> None:
        """Neither the PNG of a bad JPEG, nor what was saved again at a high quality, nor an enlarged copy."""
        folder = tmp_path / "photos"
        folder.mkdir()
        sources = {path.stem: path for path in photo_files}

        def picture(name: str, side: int = 400) -> Image.Image:
            with Image.open(sources[name]) as opened:
                made = opened.convert("RGB")
            made.thumbnail((side, side))
            return made

        picture("china").save(folder / "china bad.jpg", quality=30)
        with Image.open(folder / "china bad.jpg") as bad:
            bad.save(folder / "china.png")
        picture("flower").save(folder / "flower 85.jpg", quality=85)
        picture("flower").save(folder / "flower worse.jpg", quality=40)
        with Image.open(folder / "flower worse.jpg") as worse:
            worse.save(folder / "flower again.jpg", quality=98)
        cat, coffee = picture("chelsea"), picture("coffee")
        cat.save(folder / "cat.jpg", quality=90)
        cat.resize((cat.width * 2, cat.height * 2), Image.Resampling.BICUBIC).save(folder / "cat large.png")
        coffee.save(folder / "coffee.jpg", quality=50)
        picture("coffee", 200).save(folder / "coffee small.png")
        with imseek.create(tmp_path / "collection", encoder="builtin") as collection:
            collection.index([folder])
            report = duplicates.find(collection)
            kept = {row[0]: group.reason for row, group in zip(names(report), report.groups, strict=True)}
            assert set(kept) == {"china bad.jpg", "flower 85.jpg", "cat.jpg", "coffee.jpg"}
            assert kept["china bad.jpg"].startswith("stored at quality 30, the next saved again from quality ")
            assert kept["flower 85.jpg"].startswith("stored at quality 85, the next ")
            assert kept["cat.jpg"].endswith(f"{2 * cat.width} × {2 * cat.height}, was enlarged and has no more detail")
            assert kept["coffee.jpg"].startswith(f"{coffee.width} × {coffee.height} pixels, the next has ")
            largest = names(duplicates.find(collection, keep="largest"))
            assert {"china.png", "flower again.jpg", "cat large.png"} <= {row[0] for row in largest}

    def test_a_mirrored_picture_is_said_to_be(self, made: Path) -> None:
        report = duplicates.find(made, kinds=["same"])
        turned = {
            Path(m.place.path.decode()).name: m.pair.orientation
            for group in report.groups
            for m in group.members
            if m.place is not None and m.pair is not None
        }
        assert turned["coffee mirrored.png"] == "mirrored"
        assert turned["coffee cropped.jpg"] == turned["cat.jpg"] == ""

    def test_the_same_answer_each_time_also_from_what_is_kept(self, made: Path) -> None:
        first = duplicates.find(made, kinds=["exact", "same", "scene"])
        assert duplicates.find(made, kinds=["exact", "same", "scene"]) == first
        shutil.rmtree(made / "cache" / "duplicates")
        assert duplicates.find(made, kinds=["exact", "same", "scene"]) == first

    def test_a_collection_and_its_path(self, made: Path) -> None:
        with imseek.open(made) as opened:
            assert duplicates.find(opened) == duplicates.find(str(made)) == duplicates.find(made)

    def test_progress_is_told(self, made: Path) -> None:
        told: list[Progress] = []
        duplicates.find(made, progress=told.append)
        assert "comparing pairs" in {one.phase for one in told}
        assert all(0 <= one.done <= (one.total or 0) for one in told)

    def test_groups_are_given_while_pairs_are_compared(
        self, tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = tmp_path / "collection"
        shutil.copytree(made, own, ignore=shutil.ignore_patterns("cache"))
        monkeypatch.setattr("imseek.duplicates.pixels.classify._BATCH", 2)
        monkeypatch.setattr("imseek.duplicates.pipeline._GIVE_SECONDS", 0.0)
        monkeypatch.setattr("imseek.duplicates.pipeline._GIVE_PAUSE", 0)
        told: list[int] = []
        given: list[tuple[DuplicateGroup, int]] = []
        report = duplicates.find(
            own,
            on_group=lambda group: given.append((group, len(told))),
            progress=lambda now: told.append(now.done) if now.phase == "comparing pairs" else None,
        )
        assert sorted((group for group, _ in given), key=report.groups.index) == list(report.groups)
        assert duplicates.find(own).groups == report.groups
        assert given[0][1] < given[-1][1] < len(told)
        again: list[DuplicateGroup] = []
        assert duplicates.find(own, on_group=again.append) == report
        assert sorted(again, key=report.groups.index) == list(report.groups)

    def test_stopped_it_gives_the_groups_found_so_far(
        self, tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = tmp_path / "collection"
        shutil.copytree(made, own, ignore=shutil.ignore_patterns("cache"))
        monkeypatch.setattr("imseek.duplicates.pixels.classify._BATCH", 2)
        monkeypatch.setattr("imseek.duplicates.pipeline._GIVE_SECONDS", 0.0)
        monkeypatch.setattr("imseek.duplicates.pipeline._GIVE_PAUSE", 0)
        stop = threading.Event()
        given: list[DuplicateGroup] = []

        def give(group: DuplicateGroup) -> None:
            given.append(group)
            if group.kind == "same":
                stop.set()

        report = duplicates.find(own, on_group=give, stop=stop)
        assert report.interrupted
        assert set(report.groups) == set(given)
        whole = duplicates.find(own)
        assert 2 <= len(given) <= len(whole.groups)
        assert set(given) & set(whole.groups)

    def test_where_there_are_too_many_to_look_at(self, made: Path) -> None:
        whole = duplicates.find(made)
        few = duplicates.find(made, looks=1)
        assert any("since there are too many" in note for note in few.notes)
        # Thumbnail and recoding have the hash of their picture, crop and mirror have not.
        assert {"cat small.webp", "cat.jpg"} <= {name for group in names(few) for name in group}
        assert 0 < few.pairs["same"] < whole.pairs["same"]

    def test_by_hash_and_vector_alone_it_says_so_and_opens_nothing(
        self, made: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = duplicates.find(made)

        def refuse(self: object, image_id: int) -> bytes:
            raise AssertionError(image_id)

        monkeypatch.setattr("imseek.analysis.originals.Originals.read", refuse)
        fast = duplicates.find(made, looks=0)
        assert any("judged by hash and vector alone, without comparing pixels" in note for note in fast.notes)
        assert 0 < fast.pairs["same"] < whole.pairs["same"]
        # What was compared before is still known.
        assert duplicates.find(made) == whole

    def test_pictures_that_cannot_be_read_any_more(self, album: Path, tmp_path: Path) -> None:
        folder = tmp_path / "photos"
        shutil.copytree(album, folder)
        with imseek.create(tmp_path / "collection", encoder="builtin") as collection:
            collection.index([folder])
            (folder / "cat.jpg").unlink()
            report = duplicates.find(collection)
        assert any("could not be read" in note for note in report.notes)
        assert ["chelsea.png", "cat small.webp", "cat.jpg"] in names(report)

    @pytest.mark.parametrize(
        "asked",
        [
            {"kinds": ["similar"]},
            {"kinds": []},
            {"keep": "prettiest"},
            {"protect": "/photos"},
            {"where": "nonsense ("},
            {"where": 5},
        ],
    )
    def test_what_makes_no_sense(self, made: Path, asked: dict[str, object]) -> None:
        with pytest.raises(UsageError):
            duplicates.find(made, **asked)  # type: ignore[arg-type]

    def test_where_there_is_no_collection(self, tmp_path: Path) -> None:
        with pytest.raises(imseek.errors.CollectionNotFoundError):
            duplicates.find(tmp_path / "nothing")


class TestThresholds:
    def test_those_of_another_encoder_are_measured_once(self, tmp_path: Path) -> None:
        folder = tmp_path / "photos"
        folder.mkdir()
        for n in range(70):
            picture = Image.new("RGB", (60, 40), (255 - 3 * n, 2 * n, n))
            picture.paste((3 * n, 90, 200 - n), (n % 30, n % 20, 30 + n % 30, 20 + n % 20))
            picture.save(folder / f"{n}.png")
        with imseek.create(tmp_path / "collection", encoder="fake") as collection:
            collection.index([folder])
            generation = collection.info().generation
            first = duplicates.find(collection)
            assert collection.info().generation == generation + 1
            again = duplicates.find(collection)
            assert collection.info().generation == generation + 1
        assert first.groups == again.groups

    def test_crops_and_thumbnails_are_found_by_what_was_measured(
        self, tmp_path: Path, photo_files: list[Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Builtin, as if nobody had ever chosen limits for it.

        The sample is all 24 pictures, crops too: it gives .88 where .80 was chosen, and .957 where .9 was chosen for
        pairs that are looked at closely. By what was chosen all eight crops are found, by what was measured not those
        of the cat Chelsea and of the rocket, whose cosines with their pictures are .93 and .92.
        """
        from imseek.duplicates import thresholds

        used: list[Thresholds] = []
        real = thresholds.calibrate

        def calibrate(*sample: Any) -> Thresholds:
            used.append(real(*sample))
            return used[-1]

        monkeypatch.setattr(thresholds, "_DEFAULT_ENCODER", "none")
        monkeypatch.setattr(thresholds, "calibrate", calibrate)
        folder = tmp_path / "photos"
        folder.mkdir()
        for path in photo_files:
            with Image.open(path) as opened:
                picture = opened.convert("RGB")
            width, height = picture.size
            picture.save(folder / f"{path.stem}.png")
            picture.resize((width // 3, height // 3)).save(folder / f"{path.stem} small.jpg")
            # 64 % of it.
            picture.crop((width // 5, height // 5, width, height)).save(folder / f"{path.stem} cropped.jpg")
        with imseek.create(tmp_path / "collection", encoder="builtin") as collection:
            collection.index([folder])
            report = duplicates.find(collection)
        (found,) = used
        assert 0.80 < found.near_cosine < 0.90
        together = {Path(keeper).stem: others for keeper, *others in names(report)}
        assert together.keys() == {path.stem for path in photo_files}
        for stem, others in together.items():
            both = [f"{stem} cropped.jpg", f"{stem} small.jpg"]
            assert others == both or (stem in ("chelsea", "rocket") and others == both[1:])


class TestJudging:
    def test_what_makes_no_sense(self, made: Path, album: Path) -> None:
        with pytest.raises(ImageNotFoundError):
            duplicates.judge(made, [0, 4711], "same")
        for images in (
            [0],
            [0, 0],
            [album / "china.jpg", album / "china copy.jpg"],
            "ab",
            [0, "nothing.jpg"],
        ):
            with pytest.raises(UsageError):
                duplicates.judge(made, images, "same")  # type: ignore[arg-type]
        with pytest.raises(UsageError):
            duplicates.judge(made, [0, 1], "maybe")  # type: ignore[arg-type]
        assert duplicates.judgements(made) == ()

    def test_the_latest_first(self, made: Path) -> None:
        days = ("2026-01-02", "2026-01-04", "2026-01-03")
        found = [
            make_judgement("a" * 64, letter * 64, "same", "test", f"{day}T00:00:00+00:00")
            for letter, day in zip("bcd", days, strict=True)
        ]
        with Writer(made, "judge") as writer:
            record(writer, found)
        assert duplicates.judgements(made) == (found[1], found[2], found[0])
        with Writer(made, "judge") as writer:
            assert withdraw(writer, [(one.a, one.b) for one in found]) == 3

    def test_said_again_it_is_the_same_and_it_can_be_taken_back(self, made: Path) -> None:
        (first,) = duplicates.judge(made, [0, 1], "different")
        assert first.a < first.b
        assert duplicates.judge(made, [1, 0], "different") == (first,)
        assert duplicates.images_of(made, [first.a, "0" * 64])["0" * 64] == ()
        assert duplicates.forget(made, [0, 1]) == (first,)
        assert duplicates.judgements(made) == ()


@pytest.fixture(scope="module")
def collages(tmp_path_factory: pytest.TempPathFactory, photo_files: list[Path]) -> Path:
    """Photographs, and a page that shows two of them."""
    folder = tmp_path_factory.mktemp("collages")
    sheet = Image.new("RGB", (1000, 420), "white")
    for n, path in enumerate(photo_files):
        shutil.copyfile(path, folder / path.name)
        if path.name in ("coffee.png", "chelsea.png"):
            with Image.open(path) as opened:
                sheet.paste(opened.convert("RGB").resize((460, 307)), (20 + 480 * (n % 2), 50))
    sheet.save(folder / "page.jpg", quality=90)
    with imseek.create(folder.parent / "inside", encoder="builtin") as collection:
        collection.index([folder])
    return folder.parent / "inside"


class TestInside:
    def test_both_stay_and_no_plan_touches_them(self, collages: Path) -> None:
        report = duplicates.find(collages, kinds=["exact", "same", "inside"])
        assert {group.kind for group in report.groups} == {"inside"}
        assert sorted(sorted(one) for one in names(report)) == [
            ["chelsea.png", "page.jpg"],
            ["coffee.png", "page.jpg"],
        ]
        assert all(group.keeps(member) for group in report.groups for member in group.members)
        assert (report.surplus, report.bytes, report.pairs["inside"]) == (0, 0, 2)
        assert duplicates.plan(collages, report, "trash").files == ()

    def test_only_on_request(self, collages: Path) -> None:
        assert duplicates.find(collages).groups == ()


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory, photo_files: list[Path]) -> Path:
    """Two photographs, a plain copy of each, and one with a sticker."""
    folder = tmp_path_factory.mktemp("edited")
    for path in photo_files:
        if path.stem in ("coffee", "chelsea"):
            with Image.open(path) as opened:
                picture = opened.convert("RGB")
            picture.save(folder / f"{path.stem}.png")
            picture.save(folder / f"{path.stem} copy.jpg", quality=70)
            if path.stem == "coffee":
                side, left, top = picture.width // 8, round(0.6 * picture.width), round(0.2 * picture.height)
                place = (left, top, left + side, top + side)
                ImageDraw.Draw(picture).ellipse(place, fill="#fc3", outline="#a60", width=4)
                picture.save(folder / "coffee sticker.png")
    with imseek.create(folder.parent / "stickers", encoder="builtin") as collection:
        collection.index([folder])
    return folder.parent / "stickers"


class TestEdited:
    def test_it_is_shown_with_its_place_and_in_no_plan(self, edited: Path) -> None:
        report = duplicates.find(edited)
        assert [group.kind for group in report.groups] == ["same", "same", "edited"]
        shown = report.groups[-1]
        assert "coffee sticker.png" in names(report)[-1]
        assert len(shown.members) == 2, "one of two groups is enough"
        for member in shown.members:
            assert shown.keeps(member)
            (box, *_) = shown.boxes_in(member)
            assert 0.6 <= box.left + box.width / 2 <= 0.725
            assert 0.2 <= box.top + box.height / 2 <= 0.4
        assert report.surplus == 2
        assert [group.kind for group in duplicates.plan(edited, report, "trash").groups] == ["same", "same"]
        assert duplicates.find(edited) == report, "from the cache"

    def test_named_it_can_be_planned(self, edited: Path) -> None:
        report = duplicates.find(edited, kinds=["edited"])
        assert {group.kind for group in report.groups} == {"edited"}
        assert report.surplus == 2
        assert [group.kind for group in duplicates.plan(edited, report, "tag").groups] == ["edited"]

    def test_judged_the_same_it_is_the_same(self, edited: Path) -> None:
        ids = [member.image_id for member in duplicates.find(edited).groups[-1].members]
        duplicates.judge(edited, ids, "same")
        try:
            report = duplicates.find(edited)
            assert [group.kind for group in report.groups] == ["same", "same"]
            pairs = [member.pair for group in report.groups for member in group.others]
            assert not any(pair.differences for pair in pairs if pair is not None and pair.judged)
        finally:
            duplicates.forget(edited, ids)


class TestAgainst:
    @pytest.fixture
    def other(self, tmp_path: Path, album: Path, templates: Templates) -> Path:
        folder = tmp_path / "other"
        folder.mkdir()
        shutil.copyfile(album / "china.jpg", folder / "temple.jpg")
        with Image.open(album / "rocket.jpg") as opened:
            opened.resize((320, 213)).save(folder / "rocket small.jpg", quality=80)
        return templates.indexed(tmp_path / "theirs", folder, encoder="builtin")

    def test_the_image_of_the_other_collection_is_the_keeper(self, made: Path, other: Path) -> None:
        report = duplicates.find(made, against=other)
        assert names(report) == [
            ["temple.jpg", "china copy.jpg", "china.jpg"],
            ["rocket small.jpg", "rocket.jpg"],
        ]
        assert report.pairs == {"exact": 1, "same": 1, "edited": 0}
        uuids = {imseek.open(path).uuid: path for path in (made, other)}
        assert report.against == next(uuid for uuid, path in uuids.items() if path == other)
        for group in report.groups:
            assert group.keeper.collection == report.against
            for one in group.others:
                assert one.collection == report.collection
                assert one.pair is not None
                assert (one.pair.a, one.pair.b) == (one.image_id, group.keeper.image_id)
        assert report.groups[1].reason == "the other collection has it, with fewer pixels"
        plan = duplicates.plan(made, report, "tag")
        assert len(plan.files) == 3
        assert not duplicates.apply(made, plan).counts.get("left")

    def test_the_other_way_round(self, made: Path, other: Path) -> None:
        report = duplicates.find(other, kinds=["exact"], against=made, where="name = 'temple.jpg'")
        assert (report.searched, len(report.groups)) == (1, 1)
        assert report.groups[0].reason == "the other collection has it"

    def test_judgements_hold(self, made: Path, other: Path, album: Path) -> None:
        small = other.parent / "other" / "rocket small.jpg"
        duplicates.judge(other, [small, album / "rocket.jpg"], "different")
        report = duplicates.find(made, kinds=["same"], against=other)
        assert (report.groups, report.judged) == ((), 1)

    def test_a_pair_judged_the_same_stays_of_its_kind_where_that_one_is_not_wanted(
        self, tmp_path: Path, templates: Templates, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files, roots = [], []
        for name, colour in (("mine", "red"), ("theirs", "orange")):
            (tmp_path / name).mkdir()
            files.append(tmp_path / name / f"{colour}.png")
            Image.new("RGB", (40, 30), colour).save(files[-1])
            roots.append(templates.indexed(tmp_path / f"{name}.imseek", tmp_path / name))
        found = cross_collection_pairs.Overlap((DuplicatePair(0, 0, "scene", 0.9),), (), interrupted=False)
        monkeypatch.setattr(cross_collection_pairs, "find", lambda *_, **__: found)
        assert duplicates.find(roots[0], kinds=["scene"], against=roots[1]).pairs == {"scene": 1}
        duplicates.judge(roots[0], files, "same")
        assert duplicates.find(roots[0], kinds=["scene"], against=roots[1]).pairs == {"scene": 1}
        both = duplicates.find(roots[0], kinds=["same", "scene"], against=roots[1])
        assert both.pairs == {"same": 1, "edited": 0, "scene": 0}

    def test_what_makes_no_sense(self, made: Path, other: Path) -> None:
        for asked in ({"against": made}, {"against": other, "kinds": ["inside"]}):
            with pytest.raises(UsageError):
                duplicates.find(made, **asked)  # type: ignore[arg-type]


class TestSources:
    @pytest.fixture
    def two(self, tmp_path: Path, photo_files: list[Path]) -> Iterator[tuple[imseek.Collection, Path, Path]]:
        """Two folders of one collection that have a photograph in common, as a file and made smaller."""
        disk, card = tmp_path / "disk", tmp_path / "card"
        for folder in (disk, card):
            folder.mkdir()
            shutil.copyfile(photo_files[0], folder / "a.png")
        with Image.open(photo_files[0]) as opened:
            opened.convert("RGB").resize((250, 250)).save(card / "small.jpg")
        with imseek.create(tmp_path / "collection", encoder="builtin") as collection:
            collection.index([disk, card])
            yield collection, disk, card

    def test_groups_say_which_source_each_is_of_and_one_can_be_protected(self, two) -> None:
        collection, disk, card = two
        sources = {source.path: source.source_id for source in collection.info().sources}
        for kept, other in ((disk, card), (card, disk)):
            (group,) = duplicates.find(collection, protect=[kept]).groups
            assert len(group.members) == 3
            assert group.keeper.place.source_id == sources[str(kept).encode()]
            assert {one.place.source_id for one in group.surplus} == {sources[str(other).encode()]}
            report = duplicates.find(collection, protect=[kept])
            plan = duplicates.plan(collection, report, "quarantine", protect=[kept])
            assert {Path(file.path.decode()).parent for file in plan.files} == {other}

    def test_a_source_that_is_not_there_is_named_and_left_alone(self, two) -> None:
        collection, disk, card = two
        card.rename(card.with_name("away"))
        report = duplicates.find(collection, kinds=["exact"])
        assert report.notes == (f"{card} is not there: no plan touches the 1 of these images that are in it",)
        for protect in ([], [disk]):
            plan = duplicates.plan(collection, duplicates.find(collection, kinds=["exact"], protect=protect), "trash")
            assert plan.files == ()
            (reason,) = {one.reason for one in plan.refused}
            assert reason.endswith(f"its source {card} is not there")
        card.with_name("away").rename(card)
        assert duplicates.find(collection, kinds=["exact"]).notes == ()


def confirm_all(collection: imseek.Collection) -> list[DuplicatePair | None]:
    """What :meth:`PairComparer.confirm` says about each two contents, where none was a candidate."""
    with closing(Reader(collection.path)) as reader:
        space = reader.current.image_spaces[0]
        index = open_index("faiss", reader.segments(space.space_id), space.dim)
        contents = load_contents(reader)
        with Originals(reader) as originals:
            comparer = PairComparer(reader, originals.read, contents, space, index, ("same",))
            found = [comparer.confirm(a, b) for a, b in combinations(contents.ids.tolist(), 2)]
            comparer.save()
            return found


class TestLookedAtOnce:
    @pytest.fixture
    def opened(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """The ids of pictures that are read."""
        read: list[int] = []
        real = Originals.read
        monkeypatch.setattr(Originals, "read", lambda self, i: read.append(i) or real(self, i))
        return read

    @pytest.fixture
    def own(self, album: Path, tmp_path: Path, templates: Templates) -> Iterator[tuple[imseek.Collection, Path]]:
        folder = tmp_path / "photos"
        shutil.copytree(album, folder)
        templates.indexed(tmp_path / "collection", folder, encoder="builtin")
        with imseek.open(tmp_path / "collection") as collection:
            yield collection, folder

    def test_a_second_search_opens_no_picture(self, own, opened) -> None:
        first = duplicates.find(own[0])
        assert len(set(opened)) >= 5
        opened.clear()
        assert duplicates.find(own[0]) == first
        assert opened == []

    def test_a_search_with_a_condition_between_forgets_nothing(self, own) -> None:
        collection, _ = own
        cache = collection.path / "cache" / "duplicates"
        duplicates.find(collection)
        written = {path: path.stat().st_mtime_ns for path in cache.rglob("*.npz")}
        duplicates.find(collection, where="width > 10")
        duplicates.find(collection)
        assert written.items() <= {path: path.stat().st_mtime_ns for path in cache.rglob("*.npz")}.items()

    def test_what_grouping_asks_is_compared_once(self, own, opened) -> None:
        collection, _ = own
        first = confirm_all(collection)
        assert {pair.orientation for pair in first if pair is not None} == {"", "mirrored"}
        assert None in first
        assert opened
        opened.clear()
        assert confirm_all(collection) == first
        assert opened == []

    def test_what_grouping_asked_about_unreadable_pictures_is_asked_again(self, own, opened) -> None:
        collection, folder = own
        (folder / "cat.jpg").rename(folder / "away")
        blind = confirm_all(collection)
        (folder / "away").rename(folder / "cat.jpg")
        opened.clear()
        assert confirm_all(collection) != blind
        assert opened

    def test_what_could_not_be_read_is_tried_again(self, own, opened) -> None:
        collection, folder = own
        (folder / "cat.jpg").rename(folder / "away")
        assert any("could not be read" in note for note in duplicates.find(collection).notes)
        (folder / "away").rename(folder / "cat.jpg")
        report = duplicates.find(collection)
        assert report.notes == ()
        assert sorted(names(report)[1:]) == sorted(SAME)

    def test_a_new_picture_is_compared_and_nothing_is_forgotten(self, own, opened) -> None:
        """Although all of them are in one run."""
        collection, folder = own
        duplicates.find(collection)
        assert len(set(opened)) >= 5
        opened.clear()
        with Image.open(folder / "rocket.jpg") as picture:
            picture.resize((320, 213)).save(folder / "rocket small.jpg")
        collection.index()
        report = duplicates.find(collection)
        assert ["rocket.jpg", "rocket small.jpg"] in names(report)
        assert len(report.groups) == 4
        (added,) = [group for group in report.groups if group.keeper.image_id in opened]
        assert set(opened) == {member.image_id for member in added.members}

    @pytest.mark.parametrize("stops", [False, True])
    def test_stopped_at_the_choice_of_keepers_it_measures_no_picture(self, own, opened, stops: bool) -> None:
        stop = threading.Event()
        before: list[int] = []

        def at_keepers(now: Progress) -> None:
            if now.phase == "choosing what to keep" and not before:
                before.append(len(opened))
                if stops:
                    stop.set()

        report = duplicates.find(own[0], progress=at_keepers, stop=stop)
        assert report.interrupted == stops
        assert (len(opened) == before[0]) == stops
        assert len(report.groups) == 3

    def test_damaged_parts_are_made_again(self, own, opened) -> None:
        collection, _ = own
        first = duplicates.find(collection)
        kept = list((collection.path / "cache" / "duplicates").rglob("looked-*.npz"))
        assert kept
        for path in kept:
            data = bytearray(path.read_bytes())
            for n in range(len(data) // 3, len(data) // 2):
                data[n] ^= 0xFF
            path.write_bytes(data)
        opened.clear()
        assert duplicates.find(collection) == first
        assert opened

    def test_stopped_in_the_middle_it_goes_on(self, own, opened, monkeypatch) -> None:
        collection, _ = own
        monkeypatch.setattr("imseek.duplicates.pixels.verdict_cache._RUN_BITS", 0)  # A run for each picture.
        whole = duplicates.find(collection)
        all_of_them = len(opened)
        shutil.rmtree(collection.path / "cache" / "duplicates")
        opened.clear()
        stop = threading.Event()

        def after_some(now: Progress) -> None:
            if now.phase == "comparing pairs" and now.done >= 3:
                stop.set()

        first = duplicates.find(collection, progress=after_some, stop=stop)
        assert first.interrupted
        assert 0 < len(opened) < all_of_them
        opened.clear()
        assert duplicates.find(collection) == whole
        assert 0 < len(opened) < all_of_them
