"""Probes of a collection: learned from tags, columns and folders; applied, judged, proposed from, refused."""

from __future__ import annotations

import shutil
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from probing import COLOURS, album, draw
from prompting import make_tower
from templates import Templates

import imseek
from imseek import maintenance, probes, tags
from imseek.analysis.snapshot_session import filter_ids
from imseek.analysis.space_vectors import Vectors
from imseek.data.catalog import models
from imseek.data.reader import Reader
from imseek.encoders import device
from imseek.errors import EncoderError, EncoderMismatchError, EncoderUnavailableError, MissingExtraError, UsageError
from imseek.probes import Labels, probe_store, prompt_learning, training
from imseek.search.encoder_loader import load_prompt_tower


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return album(tmp_path / "album")


@pytest.fixture
def root(tmp_path: Path, pictures: Path, templates: Templates) -> Path:
    return templates.indexed(tmp_path / "made", pictures)


def ids(root: Path, colour: str | None = None) -> list[int]:
    """All images, or those of a colour, by path."""
    reader = Reader(root)
    places = reader.places(Vectors(reader).ids.tolist())
    found = sorted(places, key=lambda i: places[i].path)
    return [i for i in found if colour is None or f"/{colour}/".encode() in places[i].path]


def tagged(root: Path, each: int = 3, colours=tuple(COLOURS)) -> None:
    for colour in colours:
        tags.add(root, colour, ids(root, colour)[:each])


def column(root: Path, name: str) -> dict[int, object]:
    everything = ids(root)
    return {i: one.get(name) for i, one in Reader(root).metadata(everything).items()}


class TestFitting:
    def test_from_a_few_tags_to_all_images(self, root) -> None:
        tagged(root)
        found = probes.fit(root, "colours")
        assert found.classes == ("blue", "lime", "red")
        assert found.counts == (3, 3, 3)
        assert {one.method for one in found.scores} == {"linear", "cache"}
        assert found.score.accuracy is not None
        assert found.score.accuracy.value > 0.9
        assert found.score.tested == 9
        told = probes.apply(root, "colours")
        assert told.images == 24
        assert told.counts == {"blue": 8, "lime": 8, "red": 8}
        assert (told.saved, told.tagged) == (None, 0)
        assert models.find(root, "colours") is not None
        assert maintenance.verify(root).ok

    def test_the_order_of_named_tags_and_a_condition(self, root) -> None:
        tagged(root)
        found = probes.fit(root, "two", "tags:red,blue", where="path LIKE '%/0_.png'")
        assert (found.classes, found.counts) == (("red", "blue"), (3, 3))
        assert found.where == "path LIKE '%/0_.png'"

    @pytest.mark.parametrize("labels", ["folder", "folder:1"])
    def test_from_folders(self, root, labels) -> None:
        assert probes.fit(root, "colours", labels).counts == (8, 8, 8)

    def test_from_a_column_and_of_what_came_later(self, root, pictures, tmp_path) -> None:
        tagged(root)
        probes.fit(root, "first")
        probes.apply(root, "first", save="colour")
        again = probes.fit(root, "second", "column:colour", force=True)
        assert again.counts == (8, 8, 8)
        draw(pictures, "red", 99)
        with imseek.open(root) as collection:
            collection.index()
        assert probes.apply(root, "second").counts == {"blue": 8, "lime": 8, "red": 9}

    def test_it_is_the_same_each_time(self, root) -> None:
        tagged(root)
        for name in ("a", "b"):
            probes.fit(root, name)
        a, b = (models.find(root, name) for name in ("a", "b"))
        assert a is not None
        assert b is not None
        assert a.facts == b.facts
        assert all(np.array_equal(a.arrays[name], b.arrays[name]) for name in a.arrays)

    def test_one_tag_against_the_others(self, root) -> None:
        tagged(root)
        found = probes.fit(root, "reds", Labels("tags", ("red",), several=True))
        assert (found.classes, found.counts, found.several) == (("red",), (3,), True)
        told = probes.apply(root, "reds", save="reds")
        assert (told.counts, told.none) == ({"red": 8}, 16)
        values = column(root, "reds")
        assert {i for i, value in values.items() if value == "red"} == set(ids(root, "red"))
        assert all(values[i] is None for i in ids(root, "blue"))
        chances = column(root, "reds_score")
        assert min(chances[i] for i in ids(root, "red")) > 0.5 > max(chances[i] for i in ids(root, "lime"))

    def test_a_tag_for_what_has_none(self, root) -> None:
        tags.add(root, "red", ids(root, "red")[:3])
        tags.add(root, "other", ids(root, "blue")[:3] + ids(root, "lime")[:3])
        tags.add(root, "elsewhere", ids(root, "red")[3:6])
        found = probes.fit(root, "reds", Labels("tags", ("red",), several=True, negatives="other"))
        assert found.counts == (3,)
        assert probes.apply(root, "reds").counts == {"red": 8}

    def test_several_tags_of_one_image(self, root) -> None:
        tagged(root, 4)
        tags.add(root, "warm", ids(root, "red")[:4])
        tags.add(root, "cold", ids(root, "blue")[:4] + ids(root, "lime")[:4])
        found = probes.fit(root, "both", Labels("tags", ("red", "warm", "cold"), several=True))
        assert found.counts == (4, 4, 8)
        probes.apply(root, "both", save="both")
        values = column(root, "both")
        assert {values[i] for i in ids(root, "red")} == {"red, warm"}
        assert {values[i] for i in ids(root, "lime")} == {"cold"}

    def test_tags_of_probes_and_of_duplicates_teach_nothing(self, root) -> None:
        tagged(root)
        tags.add(root, "red", ids(root, "blue")[5:6], provenance="probe colours")
        tags.add(root, "red", ids(root, "blue")[6:7], provenance="duplicates [undo x]")
        assert probes.fit(root, "colours").counts == (3, 3, 3)


class TestRefused:
    def test_one_class(self, root) -> None:
        tagged(root, colours=["red"])
        with pytest.raises(UsageError, match=r"only one class is labelled, 'red' \(3\)") as error:
            probes.fit(root, "reds")
        assert "propose" in (error.value.hint or "")
        with pytest.raises(UsageError, match="every labelled image has the tag 'red'"):
            probes.fit(root, "reds", Labels("tags", ("red",), several=True))
        assert probes.list_(root) == ()

    def test_no_tags(self, root) -> None:
        with pytest.raises(UsageError, match="no image is tagged"):
            probes.fit(root, "colours")
        tags.add(root, "red", ids(root)[:2], provenance="probe x")
        with pytest.raises(UsageError, match="no image is tagged by somebody"):
            probes.fit(root, "colours")

    def test_names_with_near_matches(self, root) -> None:
        tagged(root)
        with pytest.raises(UsageError, match="no image has the tag 'rad'") as error:
            probes.fit(root, "colours", "tags:rad,blue")
        assert "did you mean red?" in (error.value.hint or "")
        probes.fit(root, "colours")
        with pytest.raises(UsageError, match="no probe is called 'colors'") as error:
            probes.apply(root, "colors")
        assert error.value.hint == "did you mean colours?"
        with pytest.raises(UsageError, match="no column 'nam'"):
            probes.fit(root, "x", "column:nam")

    def test_an_image_with_two_of_the_tags_is_named(self, root) -> None:
        tagged(root)
        both = ids(root, "red")[0]
        tags.add(root, "blue", [both])
        with pytest.raises(UsageError, match=rf"image {both}: blue, red") as error:
            probes.fit(root, "colours")
        assert "--several" in (error.value.hint or "")
        assert probes.fit(root, "others", "tags:lime,blue").counts == (3, 4)

    def test_a_name_that_is_taken(self, root) -> None:
        tagged(root)
        first = probes.fit(root, "colours")
        with pytest.raises(UsageError, match="there is a probe colours already"):
            probes.fit(root, "colours", "tags:red,blue")
        assert probes.get(root, "colours") == first
        assert probes.fit(root, "colours", "tags:red,blue", force=True).classes == ("red", "blue")
        probes.apply(root, "colours", save="saved")
        with pytest.raises(UsageError, match="is the name of something else: labels"):
            probes.fit(root, "saved", force=True)
        probes.fit(root, "other")
        with pytest.raises(UsageError, match="is the name of a probe already"):
            probes.apply(root, "colours", save="other")

    @pytest.mark.parametrize(
        ("labels", "said"),
        [
            ("column:width", "different values|only one class"),
            ("column:path", "holds no classes"),
            ("column:year", "holds no classes"),
            ("column:latitude", "holds no classes"),
            ("folder:0", "is not a folder"),
            ("folder:9", "no image is labelled by folder 9"),
            ("", "no labels are named"),
            ("tags:red,red", "named twice"),
            (Labels("tags", ("red", "blue"), several=True, negatives="red"), "'red' is to be a class, and"),
        ],
    )
    def test_labels_that_make_no_sense(self, root, labels, said) -> None:
        tagged(root)
        with pytest.raises(UsageError, match=said):
            probes.fit(root, "colours", labels)

    @pytest.mark.parametrize("name", ["Colours", "", "a b", "../x"])
    def test_a_name_that_cannot_be_one(self, root, name) -> None:
        with pytest.raises(UsageError, match="cannot be a name"):
            probes.fit(root, name)

    @pytest.mark.parametrize("save", ["a-b", "Cats", "width", "x" * 64, "image_id"])
    def test_columns_that_cannot_be(self, root, save) -> None:
        tagged(root)
        probes.fit(root, "colours")
        with pytest.raises(UsageError, match=r"cannot be a name of columns|there is a column|reserved"):
            probes.apply(root, "colours", save=save)

    def test_a_threshold_that_is_none(self, root) -> None:
        tagged(root)
        probes.fit(root, "colours")
        for threshold in (0.0, 1.5, float("nan")):
            with pytest.raises(UsageError, match="no probability"):
                probes.apply(root, "colours", tag=True, threshold=threshold)
        with pytest.raises(UsageError, match="a threshold is for tags"):
            probes.apply(root, "colours", threshold=0.5)

    def test_a_space_that_is_none(self, root) -> None:
        tagged(root)
        with pytest.raises(UsageError, match="no space '7'"):
            probes.fit(root, "colours", space="7")

    def test_vectors_of_another_encoder(self, root, monkeypatch) -> None:
        tagged(root)
        probes.fit(root, "colours")
        monkeypatch.setattr("imseek.encoders.fake.FakeEncoder.fingerprint", lambda self: "f" * 64)
        maintenance.reencode(root, "fake")
        with pytest.raises(EncoderMismatchError, match="has learned from other vectors") as error:
            probes.apply(root, "colours")
        assert "--force" in (error.value.hint or "")
        probes.fit(root, "colours", force=True)
        assert probes.apply(root, "colours").counts["red"] == 8

    def test_without_the_extra(self, root, monkeypatch) -> None:
        tagged(root)
        probes.fit(root, "colours")
        monkeypatch.setitem(sys.modules, "sklearn", None)
        for work in (
            lambda: probes.fit(root, "again"),
            lambda: probes.propose(root),
            lambda: probes.evaluate(root, "colours", "folder"),
        ):
            with pytest.raises(MissingExtraError, match="scikit-learn is not installed"):
                work()
        assert probes.apply(root, "colours").images == 24  # it needs nothing but the probe

    def test_stopped_it_learns_nothing(self, root) -> None:
        tagged(root)
        stop = threading.Event()
        seen = []

        def progress(now) -> None:
            seen.append((now.phase, now.done < now.total))
            stop.set()

        with pytest.raises(InterruptedError):
            probes.fit(root, "colours", progress=progress, stop=stop)
        assert seen == [("learning", True)]
        assert probes.list_(root) == ()

    def test_of_too_many_labelled_images_a_sample_counts(self, root, monkeypatch) -> None:
        monkeypatch.setattr("imseek.probes.training.MAX_LABELLED", 12)
        found = probes.fit(root, "colours", "folder")
        assert found.counts == (4, 4, 4)
        assert "24 images are labelled: a sample of 12 counts" in found.notes

    def test_no_image_to_label(self, root) -> None:
        tagged(root)
        probes.fit(root, "colours")
        told = probes.apply(root, "colours", where="width > 5000", save="colour", tag=True)
        assert (told.images, told.surest, told.tagged) == (0, (), 0)
        assert set(told.counts.values()) == {0}


class TestFewImages:
    def test_a_class_of_one_image(self, root) -> None:
        tagged(root, colours=["red", "blue"])
        tags.add(root, "lime", ids(root, "lime")[:1])
        found = probes.fit(root, "colours")
        assert found.counts == (3, 1, 3)
        assert found.score.tested == 6
        assert any("only one image (or copies of one) is labelled lime" in note for note in found.notes)
        assert probes.apply(root, "colours").counts == {"blue": 8, "lime": 8, "red": 8}

    def test_one_image_of_each_class(self, root) -> None:
        tagged(root, 1)
        found = probes.fit(root, "colours")
        assert found.score.accuracy is None
        assert any("nothing was measured" in note for note in found.notes)
        assert probes.apply(root, "colours").counts == {"blue": 8, "lime": 8, "red": 8}

    def test_an_image_whose_file_is_put_away(self, root, pictures) -> None:
        tagged(root)
        gone = ids(root, "red")[0]
        (pictures / "red" / "00.png").unlink()
        with imseek.open(root) as collection:
            collection.index()
        assert gone not in ids(root)
        assert probes.fit(root, "colours").counts == (3, 3, 2)

    def test_copies_with_other_labels_are_named(self, root, pictures) -> None:
        shutil.copyfile(pictures / "red" / "00.png", pictures / "blue" / "copy.png")
        with imseek.open(root) as collection:
            collection.index()
        found = probes.fit(root, "colours", "folder")
        assert any("copies or near-duplicates have different labels" in note for note in found.notes)
        assert any("1 of the labelled images are copies" in note for note in found.notes)


class TestApplying:
    def test_columns_filter_and_say_how_they_were_made(self, root) -> None:
        tagged(root)
        probes.fit(root, "colours")
        told = probes.apply(root, "colours", save="colour")
        assert told.saved == "colour"
        values = column(root, "colour")
        assert all(values[i] == "lime" for i in ids(root, "lime"))
        found = filter_ids(Reader(root), "colour = 'lime' AND colour_score > 0.5")
        assert found is not None
        assert len(found) > 4
        assert set(found.ids.tolist()) <= set(ids(root, "lime"))
        record = models.find(root, "colour")
        assert record is not None
        assert (record.kind, record.facts["probe"]) == ("labels", "colours")
        assert record.facts["fingerprint"] == probes.get(root, "colours").fingerprint

    def test_columns_of_others_are_left(self, root) -> None:
        tagged(root)
        probes.fit(root, "colours")
        probes.apply(root, "colours", save="one")
        for name in ("one_score", "measured", "folder"):
            with pytest.raises(UsageError, match=f"'{name}' (already|is reserved|is the column set)"):
                probes.apply(root, "colours", save=name)
        assert column(root, "one_score")[ids(root)[0]] > 0.5

    def test_a_probe_with_a_name_that_is_none_of_columns(self, root) -> None:
        tagged(root)
        probes.fit(root, "measured")
        assert probes.drop(root, "measured") == 0
        assert probes.list_(root) == ()

    def test_under_its_own_name_the_probe_stays(self, root) -> None:
        tagged(root)
        probes.fit(root, "colours")
        probes.apply(root, "colours", save="colours")
        assert column(root, "colours")[ids(root, "red")[5]] == "red"
        assert probes.apply(root, "colours").counts["red"] == 8
        assert probes.drop(root, "colours") == 0
        assert probes.list_(root) == ()
        assert "colours" not in Reader(root).metadata(ids(root)[:1])[ids(root)[0]]

    def test_tags_with_provenance_and_what_people_say_stays(self, root) -> None:
        tagged(root)
        said = ids(root, "red")[7]
        tags.add(root, "blue", [said])  # a person, who may be wrong
        probes.fit(root, "colours", "tags:lime,red", where=f"image_id <> {said}")
        told = probes.apply(root, "colours", tag=True, threshold=0.5)
        assert told.kept == 6
        given = {i: {t.tag: t.provenance for t in found} for i, found in tags.of(root, ids(root)).items()}
        assert given[ids(root, "red")[0]] == {"red": "person"}
        assert given[ids(root, "red")[5]] == {"red": "probe colours"}
        assert told.tagged == sum("probe colours" in one.values() for one in given.values())
        # The same again changes nothing; a stricter threshold takes away what it would not give now.
        again = probes.apply(root, "colours", tag=True, threshold=0.5)
        assert (again.tagged, again.untagged) == (0, 0)
        stricter = probes.apply(root, "colours", tag=True, threshold=1.0)
        assert stricter.tagged == 0
        assert stricter.untagged > 0
        left = sum(one.by.get("probe colours", 0) for one in tags.counts(root))
        assert left == told.tagged - stricter.untagged
        assert probes.drop(root, "colours") == left
        assert all("probe colours" not in one.by for one in tags.counts(root))
        assert {one.tag: one.images for one in tags.counts(root)} == {"blue": 4, "lime": 3, "red": 3}

    def test_in_blocks_it_says_the_same(self, root, monkeypatch) -> None:
        tagged(root)
        probes.fit(root, "colours")
        whole = probes.apply(root, "colours")
        blocks = Vectors.blocks
        monkeypatch.setattr(Vectors, "blocks", lambda self, size=5: blocks(self, 5))
        seen = []
        told = probes.apply(root, "colours", progress=seen.append)
        assert told == whole
        assert (seen[0].done, seen[-1].done) == (5, 24)  # those between are reported now and then

    def test_stopped_it_stores_nothing(self, root) -> None:
        from imseek.progress import StopRequest

        tagged(root)
        probes.fit(root, "colours")
        stop = StopRequest()
        stop.set()
        before = Reader(root).generation
        assert probes.apply(root, "colours", save="colour", tag=True, stop=stop).interrupted
        assert Reader(root).generation == before


class TestEvaluating:
    def test_on_what_it_has_not_seen(self, root) -> None:
        tagged(root)
        probes.fit(root, "colours")
        found = probes.evaluate(root, "colours", "folder")
        assert (found.learned, found.tested, found.left_out) == (9, 15, 9)
        assert found.accuracy.value == found.per_class.value == 1.0
        assert [(one.name, one.tested, one.accuracy) for one in found.classes] == [
            ("blue", 5, 1.0),
            ("lime", 5, 1.0),
            ("red", 5, 1.0),
        ]
        assert found.confusions == ()

    def test_mistakes_are_counted(self, root) -> None:
        tagged(root)
        probes.fit(root, "colours")
        wrong = ids(root, "red")[3:5]
        for colour in COLOURS:
            tags.add(root, f"{colour}2", [i for i in ids(root, colour)[3:] if i not in wrong])
        tags.add(root, "blue2", wrong)
        probes.fit(root, "renamed", Labels("tags", ("red", "blue", "lime")))
        for colour in COLOURS:
            tags.remove(root, colour, everywhere=True)
            tags.add(root, colour, where=f"tag('{colour}2')")
        found = probes.evaluate(root, "renamed", "tags:red,blue,lime")
        assert (found.tested, found.accuracy.value) == (15, pytest.approx(13 / 15))
        assert [(one.truth, one.predicted, one.count) for one in found.confusions] == [("blue", "red", 2)]
        by_name = {one.name: one for one in found.classes}
        assert (by_name["blue"].tested, by_name["blue"].accuracy) == (7, pytest.approx(5 / 7))
        assert (by_name["red"].accuracy, by_name["red"].precision) == (1.0, pytest.approx(3 / 5))
        assert found.accuracy.low < found.accuracy.value < found.accuracy.high

    def test_copies_of_what_it_learned_from_do_not_count(self, root, pictures) -> None:
        tagged(root)
        shutil.copyfile(pictures / "red" / "00.png", pictures / "red" / "copy.png")
        with imseek.open(root) as collection:
            collection.index()
        probes.fit(root, "colours")
        assert probes.evaluate(root, "colours", "folder").left_out == 10
        # The image that it learned from is gone; its content is known all the same.
        (pictures / "red" / "00.png").rename(pictures.parent / "away.png")
        with imseek.open(root) as collection:
            collection.index()
        assert probes.evaluate(root, "colours", "folder").left_out == 9

    def test_held_out_by_content_with_a_curve(self, root, pictures) -> None:
        for number in range(8):
            shutil.copyfile(pictures / "red" / f"{number:02}.png", pictures / "red" / f"copy{number}.png")
        with imseek.open(root) as collection:
            collection.index()
        found = probes.evaluate(root, None, "folder", curve=[1, 2])
        by_name = {one.name: one.tested for one in found.classes}
        assert by_name == {"blue": 4, "lime": 4, "red": 8}
        assert (found.learned, found.tested) == (16, 16)
        assert [(one.shots, one.learned) for one in found.curve] == [(1, 3), (2, 6)]
        assert all(one.accuracy.value > 0.9 for one in found.curve)

    def test_one_tag_against_the_others(self, root) -> None:
        tagged(root)
        probes.fit(root, "reds", Labels("tags", ("red",), several=True))
        found = probes.evaluate(root, "reds", "folder")
        assert (found.tested, found.accuracy.value, found.per_class.value) == (15, 1.0, 1.0)
        assert [(one.name, one.tested, one.precision) for one in found.classes] == [("red", 5, 1.0)]

    def test_refused(self, root) -> None:
        tagged(root)
        probes.fit(root, "colours")
        with pytest.raises(UsageError, match="has learned from all 9 images"):
            probes.evaluate(root, "colours")
        with pytest.raises(UsageError, match="a learning curve"):
            probes.evaluate(root, "colours", "folder", curve=[1])
        with pytest.raises(UsageError, match="so few images"):
            probes.evaluate(root, None, "folder", curve=[0])
        tags.add(root, "square", ids(root)[:2])
        with pytest.raises(UsageError, match="no class in common") as error:
            probes.evaluate(root, "colours", "tags:square")
        assert "square" in (error.value.hint or "")

    def test_classes_that_the_probe_does_not_know(self, root) -> None:
        tagged(root, colours=["red", "blue"])
        probes.fit(root, "two")
        found = probes.evaluate(root, "two", "folder")
        assert (found.unknown, found.tested) == (("lime",), 10)


class TestProposing:
    def test_before_anything_is_labelled(self, root) -> None:
        found = probes.propose(root, n=6)
        assert len({one.image_id for one in found.proposals}) == 6
        assert {one.reason for one in found.proposals} == {"typical"}
        assert {colour for colour in COLOURS for one in found.proposals if one.image_id in ids(root, colour)} == {
            *COLOURS
        }

    def test_one_class_gives_a_second(self, root) -> None:
        tagged(root, colours=["red"])
        found = probes.propose(root, None, "tags:red,blue", n=2)
        assert not {one.image_id for one in found.proposals} & set(ids(root, "red"))
        assert found.labelled == 3
        assert any("no image has the tag blue yet" in note for note in found.notes)
        assert any("only red is labelled" in note for note in found.notes)

    def test_what_a_probe_is_unsure_of(self, root, pictures) -> None:
        from PIL import Image

        for number in range(2):
            halves = Image.new("RGB", (40, 40), COLOURS["red"])
            halves.paste(COLOURS["blue"], (0, 0, 19 + 2 * number, 40))
            halves.save(pictures / f"half{number}.png")
        with imseek.open(root) as collection:
            collection.index()
        tagged(root, 7, colours=["red", "blue"])
        probes.fit(root, "two")
        found = probes.propose(root, "two", n=1, where="NOT path LIKE '%/lime/%'")
        (one,) = found.proposals
        assert one.place is not None
        assert (one.reason, found.labelled, found.looked) == ("unsure", 14, 4)
        assert b"half" in one.place.path

    def test_no_copy_of_what_is_labelled_nor_of_another(self, root, pictures) -> None:
        for number in range(8):
            shutil.copyfile(pictures / "lime" / f"{number:02}.png", pictures / "lime" / f"copy{number}.png")
        with imseek.open(root) as collection:
            collection.index()
        reader = Reader(root)
        content = {i: one["content_hash"] for i, one in reader.intrinsics(ids(root)).items()}
        tags.add(root, "lime", ids(root, "lime")[:4])
        tagged(root, 3, colours=["red"])
        labelled = {content[i] for i in ids(root, "lime")[:4] + ids(root, "red")[:3]}
        found = probes.propose(root, n=100)
        proposed = [content[one.image_id] for one in found.proposals]
        assert len(proposed) == len(set(proposed))
        assert not labelled & set(proposed)
        assert found.copies >= 1
        # All that is left and no copy is proposed where so much is asked for.
        assert len(proposed) == len({*content.values()} - labelled)

    @pytest.mark.parametrize("n", [0, -1, 1001])
    def test_so_many_cannot_be(self, root, n) -> None:
        with pytest.raises(UsageError, match="cannot be proposed"):
            probes.propose(root, n=n)

    def test_a_typo_among_tags_is_told(self, root) -> None:
        tagged(root)
        found = probes.propose(root, None, "tags:rad,blue", n=2)
        assert any("no image has the tag rad yet" in note for note in found.notes)


def test_list_and_show(root) -> None:
    tagged(root)
    made = [probes.fit(root, name) for name in ("b", "a")]
    assert [one.name for one in probes.list_(root)] == ["a", "b"]
    assert probes.get(root, "b") == made[0]
    with pytest.raises(UsageError, match="no probe is called 'c'"):
        probes.drop(root, "c")


class TestPrompts:
    """Prompts that learn, by a small tower in place of an encoder's."""

    @pytest.fixture
    def towered(self, root, monkeypatch) -> Path:
        """A collection whose tower knows the mean picture of each colour; three of each are tagged."""
        tagged(root)
        vectors = Vectors(Reader(root))
        rows = vectors.of(vectors.ids)
        means = {one: vectors.of(np.array(sorted(ids(root, one)))).mean(axis=0) - rows.mean(axis=0) for one in COLOURS}
        tower = make_tower({one: mean / np.linalg.norm(mean) for one, mean in means.items()})
        for module in (training, probe_store):
            monkeypatch.setattr(module, "load_prompt_tower", lambda *_: tower)
        return root

    @pytest.mark.parametrize("method", ["coop", "cocoop"])
    def test_stored_applied_and_dropped(self, towered, monkeypatch, method) -> None:
        monkeypatch.setattr(training, "DEFAULT_METHODS", ())  # A linear probe tells colours apart as well.
        contexts = 2
        found = probes.fit(towered, "colours", method=method, contexts=contexts)
        assert (found.method, found.score.settings["contexts"]) == (method, contexts)
        assert probes.get(towered, "colours") == found
        assert probes.list_(towered) == (found,)
        report = probes.apply(towered, "colours", save="colours")
        assert report.counts == dict.fromkeys(sorted(COLOURS), 8)
        assert probes.evaluate(towered, "colours", "folder").method == method
        assert len(probes.propose(towered, "colours", n=3).proposals) == 3
        facts = models.find(towered, "colours").facts
        assert facts["version"] == 1
        probes.drop(towered, "colours")
        assert not probes.list_(towered)

    def test_an_evaluation_can_be_stopped(self, towered, monkeypatch) -> None:
        monkeypatch.setattr(training, "DEFAULT_METHODS", ())
        probes.fit(towered, "colours", method="coop")
        stop = threading.Event()
        stop.set()
        with pytest.raises(InterruptedError):
            probes.evaluate(towered, "colours", "folder", stop=stop)

    def test_coop_is_applied_without_torch(self, towered, monkeypatch) -> None:
        monkeypatch.setattr(training, "DEFAULT_METHODS", ())
        probes.fit(towered, "colours", method="coop", per_class=True)
        monkeypatch.setitem(sys.modules, "torch", None)
        assert probes.apply(towered, "colours").images == 24

    def test_cocoop_needs_torch_and_says_so(self, towered, monkeypatch) -> None:
        monkeypatch.setattr(training, "DEFAULT_METHODS", ())
        probes.fit(towered, "colours", method="cocoop")
        monkeypatch.setattr(probe_store, "load_prompt_tower", load_prompt_tower)
        monkeypatch.setattr(device, "has_torch", lambda: False)
        assert probes.get(towered, "colours").method == "cocoop"
        with pytest.raises(EncoderUnavailableError, match="needs PyTorch"):
            probes.apply(towered, "colours")

    def test_refused_where_they_do_not_help(self, root, monkeypatch) -> None:
        tagged(root)
        dim = Vectors(Reader(root)).dim
        generator = np.random.default_rng(0)
        tower = make_tower({one: generator.standard_normal(dim) / np.sqrt(dim) for one in COLOURS})
        monkeypatch.setattr(training, "load_prompt_tower", lambda *_: tower)
        monkeypatch.setattr(prompt_learning, "STEPS", (1,))
        with pytest.raises(UsageError, match="CoOp does not help here: held-out images have log loss") as caught:
            probes.fit(root, "colours", method="coop")
        assert "leave out --method" in str(caught.value.hint)
        assert not probes.list_(root)
        monkeypatch.setattr(prompt_learning, "CONDITIONAL_STEPS", (1,))
        found = probes.fit(root, "colours", method="all")
        assert {one.method for one in found.scores} == {"linear", "cache", "coop", "cocoop"}
        assert found.method in ("linear", "cache")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"method": "copo"}, "no method is called 'copo'"),
            ({"method": "coop", "contexts": 0}, "cannot begin with 0 context vectors"),
            ({"method": "coop", "contexts": 33}, "cannot begin with 33 context vectors"),
            ({"method": "linear", "contexts": 4}, "context vectors belong to prompts that learn"),
            ({"per_class": True}, "context vectors belong to prompts that learn"),
            ({"method": "cocoop", "per_class": True}, "CoCoOp's vectors are shared"),
            ({"method": "coop", "words": False}, "learns from the names of the classes"),
            ({"method": "coop", "labels": Labels("tags", several=True)}, "of which an image has one"),
        ],
    )
    def test_options_that_do_not_go_together(self, root, options, message) -> None:
        with pytest.raises(UsageError, match=message):
            probes.fit(root, "colours", **options)

    def test_an_encoder_that_cannot_learn(self, root) -> None:
        tagged(root)
        with pytest.raises(EncoderError, match="the encoder fake cannot learn prompts"):
            probes.fit(root, "colours", method="coop")

    @pytest.mark.parametrize("method", ["linear", "cache"])
    def test_a_method_by_name(self, root, method) -> None:
        tagged(root)
        found = probes.fit(root, "colours", method=method)
        assert found.method == method
        assert [one.method for one in found.scores] == [method]
