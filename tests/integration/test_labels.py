"""Labels by words over a collection of colours: what they are, what stays of them, and how they are judged."""

from __future__ import annotations

import io
import math
import re
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelling import COLOURS, SHADES, by_name, column
from PIL import Image
from scipy.special import expit, softmax

import imseek
from imseek import labels
from imseek.analysis.space_vectors import Vectors
from imseek.data.catalog import models, tags
from imseek.data.reader import Reader
from imseek.data.shards.derived_columns import put_columns
from imseek.data.writing.writer import Writer
from imseek.encoders import load
from imseek.encoders.prompts import class_vectors
from imseek.errors import UsageError
from imseek.labels.classes import BACKGROUND, TEMPLATES
from imseek.labels.zero_shot import WRITING_TEMPLATES
from imseek.probes import labels as labelled


@pytest.fixture
def folder(coloured_pictures: Path) -> Path:
    return coloured_pictures


@pytest.fixture
def root(coloured: Path) -> Path:
    return coloured


def test_each_is_what_it_looks_like(root: Path) -> None:
    found = labels.label(root, ["red", "green", "blue"])
    given = by_name(root, found.image_ids, [found.label(n) for n in range(len(found.image_ids))])
    assert given == {f"{name}{n}.png": name for name in COLOURS for n in range(SHADES)}
    assert [(one.label, one.images) for one in found.counts()] == [("red", 4), ("green", 4), ("blue", 4)]
    assert found.stored is None
    assert models.names(root) == ()


def test_probabilities_are_the_softmax_of_cosines(root: Path) -> None:
    names = ["red", "green", "blue", "yellow"]
    found = labels.label(root, names, temperature=0.1, top=4, templates="imagenet")
    rows = Vectors(Reader(root)).of(found.image_ids)
    from imseek.encoders.prompts import templates

    cosines = rows @ class_vectors(load("fake"), names, templates("imagenet")).T
    expected = softmax(cosines.astype(np.float64) / 0.1, axis=1)
    order = np.argsort(-expected, axis=1)
    assert np.array_equal(found.top, order)
    assert np.allclose(found.probabilities, np.take_along_axis(expected, order, axis=1), atol=1e-5)
    assert found.factor == pytest.approx(10)
    assert found.factor_source == "temperature 0.1"


def test_an_encoder_that_records_no_scale_says_so(root: Path) -> None:
    found = labels.label(root, ["red", "blue"])
    assert (found.factor, found.factor_source) == (100.0, "assumed: fake records none")


def test_none_of_these(root: Path) -> None:
    """Blue ones are liker to what is said of others than to red or green."""
    found = labels.label(root, ["red", "green"], none=["blue"], templates="{}", top=3)
    given = by_name(root, found.image_ids, [found.label(n) for n in range(12)])
    assert {name for name, label in given.items() if label is None} == {f"blue{n}.png" for n in range(4)}
    blue = [n for n in range(12) if found.label(n) is None]
    assert found.top[blue, 0].tolist() == [-1] * 4
    assert found.counts()[-1].label is None
    assert found.counts()[-1].images == 4
    assert len(labels.label(root, ["red"], none=True).image_ids) == 12


def test_what_is_not_sure_enough_is_not_given(root: Path) -> None:
    assert [one.label for one in labels.label(root, ["red", "blue"], threshold=1.0).counts()] in (
        [None],
        ["red", "blue", None],
    )
    found = labels.label(root, ["red", "blue", "yellow"], temperature=10, threshold=0.9)
    assert [(one.label, one.images) for one in found.counts()] == [(None, 12)]
    assert found.given.tolist() == [0] * 12


def test_centred_takes_away_a_head_start(root: Path) -> None:
    names = ["red", "green", "blue"]
    rows = Vectors(Reader(root)).of(Vectors(Reader(root)).ids)
    cosines = rows @ class_vectors(load("fake"), names, TEMPLATES).T
    found = labels.label(root, names, centred=True, top=3, temperature=1)
    expected = softmax((cosines - cosines.mean(axis=0)).astype(np.float64), axis=1)
    assert np.allclose(np.sort(found.probabilities, axis=1), np.sort(expected, axis=1), atol=1e-5)


def test_caution_is_where_writing_is_nearer_than_the_class(root: Path) -> None:
    names = ["red", "green", "blue"]
    found = labels.label(root, names, caution=True, templates="{}")
    rows = Vectors(Reader(root)).of(found.image_ids)
    classes, written = (class_vectors(load("fake"), names, t) for t in (("{}",), WRITING_TEMPLATES))
    own = found.top[:, 0]
    expected = (rows * written[own]).sum(axis=1) > (rows * classes[own]).sum(axis=1)
    assert found.cautions is not None
    assert found.cautions.tolist() == expected.tolist() == [False] * 12
    # The other way round: what writing is said to be is the class, and nearer than a sentence around it.
    nearer = labels.label(root, names, caution=True, templates='an entirely different thing than "{}" is')
    assert nearer.cautions is not None
    assert nearer.cautions.sum() > 6


def test_several_labels_by_a_learned_sigmoid(root: Path) -> None:
    with pytest.raises(UsageError, match="not trained with a sigmoid") as caught:
        labels.label(root, ["red", "green"], multi=True)
    assert "--save-temperature" in str(caught.value.hint)
    report = labels.evaluate(root, ["red", "green", "blue"], multi=True, save_temperature="mine")
    learned = report.calibration
    assert learned is not None
    assert learned.bias is not None
    found = labels.label(
        root, ["red", "green", "blue", "black"], multi=True, temperature="mine", save="colours", threshold=0.3
    )
    rows = Vectors(Reader(root)).of(found.image_ids)
    cosines = rows @ class_vectors(load("fake"), ["red", "green", "blue", "black"], TEMPLATES).T
    expected = expit(learned.factor * cosines + learned.bias)
    assert np.allclose(np.sort(found.probabilities, axis=1), np.sort(expected, axis=1), atol=1e-4)
    assert found.given.tolist() == (expected >= 0.3).sum(axis=1).tolist()
    joined = column(root, "colours_all")
    assert all(name[:-5] in str(value).split(", ") for name, value in joined.items())


def test_how_good_they_are_by_folders(root: Path) -> None:
    found = labels.evaluate(root)
    assert found.images == 12
    assert found.classes == ("blue", "green", "red")
    assert (found.top1.value, found.top5.value, found.mean_per_class.value) == (1, 1, 1)
    assert found.confusions == ()
    assert [(one.name, one.images, one.accuracy) for one in found.per_class] == [
        ("blue", 4, 1.0), ("green", 4, 1.0), ("red", 4, 1.0),
    ]  # fmt: skip


def known_colours(root: Path) -> None:
    """What somebody knows of each picture, as the column ``colour``."""
    ids = Vectors(Reader(root)).ids.tolist()
    said = {image_id: re.sub(r"\d+\.png", "", name) for name, image_id in by_name(root, ids, ids).items()}
    with Writer(root, "test") as writer:
        put_columns(writer, "known", {"colour": said})


def test_how_good_they_are_by_tags_and_columns(root: Path) -> None:
    ids = Vectors(Reader(root)).ids.tolist()
    names = by_name(root, ids, ids)
    with Writer(root, "test") as writer:
        given = {(names["red0.png"], "Red"): "person", (names["red1.png"], "blue"): "person"}
        both = {(names["green0.png"], "red"): "person", (names["green0.png"], "blue"): "person"}
        tags.put(writer, {**given, **both, (names["blue0.png"], "blue"): "zero-shot colour: 0.9"})
    found = labels.evaluate(root, ["red", "blue"], truth="tags")
    assert found.images == 2
    assert found.top1.value == 0.5
    assert [(one.truth, one.label, one.images) for one in found.confusions] == [("blue", "red", 1)]
    assert "1 images that have more than one" in found.notes[0]
    known_colours(root)
    by_column = labels.evaluate(root, truth="colour")
    assert (by_column.images, by_column.top1.value) == (12, 1)
    labels.label(root, ["red", "green", "blue"], save="given")
    with pytest.raises(UsageError, match="judged by themselves"):
        labels.evaluate(root, truth="Given")


def test_a_temperature_makes_them_honest(root: Path) -> None:
    found = labels.evaluate(root, temperature=10, save_temperature="mine")
    learned = found.calibration
    assert learned is not None
    assert learned.name == "mine"
    assert learned.nll_after < learned.nll_before
    assert learned.ece_after < learned.ece_before
    assert not learned.held_out
    assert any("too few" in note for note in learned.notes)
    used = labels.label(root, ["red", "blue"], temperature="mine")
    assert used.factor == learned.factor
    assert used.factor_source == "temperature 'mine'"


def test_stopped_nothing_is_stored(root: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(InterruptedError):
        labels.label(root, ["red", "blue"], save="colour", stop=stop)
    assert models.names(root) == ()


@pytest.mark.parametrize(
    ("named", "match"),
    [
        ({"classes": []}, "no classes"),
        ({"classes": ["red"]}, "with one class every image is 'red'"),
        ({"classes": ["red", "RED "]}, "two classes are called"),
        ({"classes": ["red", "blue"], "templates": []}, "no templates"),
        ({"classes": ["red", "blue"], "templates": ["a photo"]}, "no place for the class name"),
        ({"classes": ["red", "blue"], "templates": "imagnet"}, "neither a set of templates"),
        ({"classes": ["red", "blue"], "temperature": math.nan}, "positive number"),
        ({"classes": ["red", "blue"], "temperature": "nan"}, "positive number"),
        ({"classes": ["red", "blue"], "temperature": -1.0}, "positive number"),
        ({"classes": ["red", "blue"], "temperature": 0}, "positive number"),
        ({"classes": ["red", "blue"], "temperature": math.inf}, "positive number"),
        ({"classes": ["red", "blue"], "temperature": "mine"}, "no temperature is called"),
        ({"classes": ["red", "blue"], "threshold": math.nan}, "a threshold is"),
        ({"classes": ["red", "blue"], "threshold": 1.5}, "a threshold is"),
        ({"classes": ["red", "blue"], "top": 0}, "number of classes"),
        ({"classes": ["red", "blue"], "none": [" "]}, "is empty"),
        ({"classes": ["red", "blue"], "none": True, "multi": True}, "need no class for none"),
        ({"classes": ["red", "blue"], "save": "Kind"}, "cannot be a name"),
        ({"classes": ["red", "blue"], "save": "width"}, "a column 'width' already"),
    ],
)
def test_what_makes_no_sense(root: Path, named: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match) as caught:
        labels.label(root, **named)
    assert caught.value.hint is not None or "threshold" in match or "number of" in match


def test_truth_that_says_nothing(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no column 'colur'"):
        labels.evaluate(root, truth="colur")
    with pytest.raises(UsageError, match="tags say many things"):
        labels.evaluate(root, truth="tags")
    with pytest.raises(UsageError, match="no image has one of the classes"):
        labels.evaluate(root, ["cat", "dog"])
    with pytest.raises(UsageError, match="nothing to tell apart"):
        labels.evaluate(root, truth="format")
    with pytest.raises(UsageError, match="two classes at least"):
        labels.evaluate(root, ["red", "cat"], save_temperature="mine")


def test_an_empty_collection(tmp_path: Path) -> None:
    imseek.create(tmp_path / "empty", encoder="fake").close()
    found = labels.label(tmp_path / "empty", ["red", "blue"], save="colour", centred=True)
    assert len(found.image_ids) == 0
    assert found.counts() == ()


def test_sentences_for_none_of_them_are_those_that_are_documented() -> None:
    assert all(text.strip() for text in BACKGROUND)


def test_a_hundred_thousand_classes(root: Path) -> None:
    """In tiles; the right one is found among all of them, and the probabilities still sum to one over all."""
    names = [f"thing {n}" for n in range(99_997)] + list(COLOURS)
    found = labels.label(root, names, templates="{}", top=2, temperature=0.02)
    given = by_name(root, found.image_ids, [found.label(n) for n in range(len(found.image_ids))])
    assert given == {f"{name}{n}.png": name for name in COLOURS for n in range(SHADES)}
    assert (found.probabilities.sum(axis=1) <= 1.0001).all()


def test_folders_in_an_archive_are_classes_and_the_archive_is_none(root: Path, tmp_path: Path) -> None:
    (tmp_path / "zipped").mkdir()
    with zipfile.ZipFile(tmp_path / "zipped" / "all.zip", "w") as archive:
        for colour in ("red", "blue"):
            for n in range(2):
                drawn = io.BytesIO()
                Image.new("RGB", (50 + n, 30), colour).save(drawn, "png")
                archive.writestr(f"{colour}/{n}.png", drawn.getvalue())
    with imseek.create(tmp_path / "archived", encoder="fake") as collection:
        collection.index([tmp_path / "zipped"])
        found = labels.evaluate(collection, truth="folder")
    reader = Reader(tmp_path / "archived")
    read = labelled.read_labels(reader, labelled.Labels.parse("folder:1"), Vectors(reader).ids)
    assert (set(found.classes), found.images) == ({"red", "blue"}, 4)
    assert (read.classes, read.counts()) == (("blue", "red"), (2, 2))


def test_a_column_is_found_as_a_filter_finds_it(root: Path) -> None:
    known_colours(root)
    labels.label(root, ["red", "green", "blue"], save="colour_of")
    assert labels.evaluate(root, truth="COLOUR").images == 12
    with pytest.raises(UsageError, match="'colour_of_score' holds no classes"):
        labels.evaluate(root, truth="colour_of_score")


class TestPreviews:
    def test_all_of_a_small_collection_as_label_says_it(self, root: Path) -> None:
        with imseek.open(root) as collection:
            found = labels.preview(collection, ["red", "green"], none=True)
        whole = labels.label(root, ["red", "green"], none=True)
        assert found.of == len(whole.image_ids)
        assert not found.multi_known
        np.testing.assert_array_equal(found.labels.image_ids, whole.image_ids)
        np.testing.assert_array_equal(found.labels.top, whole.top)
        np.testing.assert_allclose(found.labels.probabilities, whole.probabilities, rtol=1e-6)
        assert found.labels.stored is None

    def test_of_a_large_one_some_evenly_taken(self, root: Path) -> None:
        whole = labels.label(root, ["red", "green"]).image_ids
        with imseek.open(root) as collection:
            found = labels.preview(collection, ["red", "green"], images=4)
            assert found.of == len(whole) == 12
            assert found.labels.image_ids.tolist() == whole[[0, 3, 7, 11]].tolist()
            part = labels.preview(collection, ["red", "green"], images=4, where=f"id > {whole[5]}")
            assert part.of == 6
            with pytest.raises(UsageError, match="number of images to show"):
                labels.preview(collection, ["red", "green"], images=0)

    def test_the_encoder_that_a_collection_has_is_asked_once(self, root: Path, monkeypatch: Any) -> None:
        from imseek import collection as collections
        from imseek.labels import class_vectors

        monkeypatch.setattr(class_vectors, "load_encoder", None)
        loaded = []
        load_encoder = collections.load_encoder
        monkeypatch.setattr(collections, "load_encoder", lambda *a: loaded.append(a) or load_encoder(*a))
        with imseek.open(root) as collection:
            for name in ("something new", "something newer"):
                labels.preview(collection, ["red", f"{name} {root}"])
        assert len(loaded) == 1

    def test_nothing_is_stored(self, root: Path) -> None:
        before = Reader(root).generation
        with imseek.open(root) as collection:
            labels.preview(collection, ["red", "green"])
        assert Reader(root).generation == before
        assert labels.saved(root) == ()

    def test_what_makes_no_sense(self, root: Path) -> None:
        with imseek.open(root) as collection:
            with pytest.raises(UsageError, match="with one class"):
                labels.preview(collection, ["red"])
            with pytest.raises(UsageError, match="sigmoid"):
                labels.preview(collection, ["red", "green"], multi=True)


def test_examples_are_the_surest_and_the_least_sure(root: Path) -> None:
    found = labels.label(root, ["red", "green", "violet"], none="blue")
    red, green, violet, none = found.examples(2)
    sure = dict(zip(found.image_ids.tolist(), found.probabilities[:, 0].tolist(), strict=True))
    assert (red.label, red.images, len(red.surest), len(red.unsurest)) == ("red", 4, 2, 2)
    order = [p for _, p in (*red.surest, *reversed(red.unsurest))]
    assert order == sorted(order, reverse=True)
    assert all(math.isclose(sure[i], p, abs_tol=1e-6) for i, p in (*red.surest, *red.unsurest))
    assert math.isclose(red.probability, found.counts()[0].probability, abs_tol=1e-6)
    assert green.images == 4
    assert (violet.images, violet.probability, violet.surest, violet.unsurest) == (0, 0.0, (), ())
    assert (none.label, none.images) == (None, 4)
    (few, *_) = found.examples(8)
    assert (len(few.surest), few.unsurest) == (4, ())


def test_classes_are_typed_as_a_file_has_them() -> None:
    found = labels.parse_classes("# kinds\ncat\n\nbird: bird, seagull \n")
    assert (found.names, found.words) == (("cat", "bird"), (("cat",), ("bird", "seagull")))
    with pytest.raises(UsageError, match="line 2: 'dog' has no words"):
        labels.parse_classes("cat\ndog:")
    with pytest.raises(UsageError, match="no classes yet"):
        labels.parse_classes("\n#\n")


def test_what_is_saved_can_be_listed(root: Path) -> None:
    labels.label(root, ["red", "green"], save="colour", none=True, threshold=0.2)
    labels.label(root, labels.parse_classes("red: red, crimson\nblue"), save="other", tag=True)
    colour, other = labels.saved(root)
    assert (colour.name, colour.classes, colour.threshold, colour.none) == (
        "colour", ("red", "green"), 0.2, BACKGROUND,
    )  # fmt: skip
    assert (colour.columns, colour.tags, colour.current, colour.encoder) == (True, False, True, "fake")
    assert (other.words, other.columns, other.tags) == ((("red", "crimson"), ("blue",)), True, True)
    assert colour.created
    labels.forget(root, "colour")
    assert [one.name for one in labels.saved(root)] == ["other"]
