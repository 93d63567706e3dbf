"""Labels that stay: columns, tags and their record; later images; policies; what is forgotten."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelling import COLOURS, column, found_by, paint
from PIL import Image

import imseek
from imseek import labels, maintenance, probes
from imseek import tags as given
from imseek.analysis.space_vectors import Vectors
from imseek.data.catalog import models, tags
from imseek.data.catalog.tag_reader import is_manual
from imseek.data.reader import Reader
from imseek.data.writing.writer import Writer
from imseek.encoders import load
from imseek.errors import QueryError, UsageError
from imseek.labels import class_vectors as module
from imseek.labels.classes import TEMPLATES


@pytest.fixture
def folder(coloured_pictures: Path) -> Path:
    return coloured_pictures


@pytest.fixture
def root(coloured: Path) -> Path:
    return coloured


def test_columns_that_can_be_asked_for(root: Path) -> None:
    found = labels.label(root, ["red", "green", "blue"], save="colour", caution=True)
    assert found.stored == Reader(root).generation
    assert column(root, "colour") == {f"{c}{n}.png": c for c in COLOURS for n in range(4)}
    assert found_by(root, "colour = 'green'") == [f"green{n}.png" for n in range(4)]
    scores = column(root, "colour_score")
    assert all(0.9 < score <= 1 for score in scores.values())
    assert set(column(root, "colour_caution").values()) <= {False, True}
    record = models.find(root, "colour")
    assert record is not None
    assert record.kind == "labels"
    assert record.facts["classes"] == ["red", "green", "blue"]
    assert record.facts["templates"] == list(TEMPLATES)
    assert maintenance.verify(root).ok


def test_tags_with_where_they_come_from(root: Path) -> None:
    found = labels.label(root, ["red", "green", "blue"], tag=True, save="colour")
    assert found.tagged == 12
    (first, *_) = found.image_ids.tolist()
    assert Reader(root).image(first).tags == (found.label(0),)
    with Writer(root, "test") as writer, writer.catalog.transaction() as connection:
        provenance = tags.current_tags(connection, [first])[first]
    ((_, said),) = provenance.items()
    assert said == f"zero-shot colour: {found.probabilities[0, 0]:.3f}"
    assert found_by(root, "tag('blue')") == [f"blue{n}.png" for n in range(4)]


def test_again_takes_the_place_of_what_was_there(root: Path) -> None:
    labels.label(root, ["red", "green", "blue"], tag=True, save="colour")
    (first, *_) = Vectors(Reader(root)).ids.tolist()
    with Writer(root, "test") as writer:
        tags.put(writer, {(first, "red"): "person", (first, "kept"): "person"})
    found = labels.label(root, ["yellow", "black"], tag=True, save="colour")
    assert set(column(root, "colour").values()) == {"yellow", "black"} & {found.label(n) for n in range(12)}
    assert Reader(root).image(first).tags == tuple(sorted(["red", "kept", str(found.label(0))]))
    assert found_by(root, "tag('green')") == []
    labels.label(root, ["red", "blue"], save="colour")
    assert found_by(root, "tag('yellow') OR tag('black')") == []


def test_later_images_are_labelled_as_the_earlier_ones(
    root: Path, folder: Path, later: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    labels.label(root, ["red", "green", "blue"], save="colour", tag=True, centred=True)
    before = column(root, "colour_score")
    paint(folder, "blue", 5)
    later(10)
    with imseek.open(root) as collection:
        collection.index([folder])
    monkeypatch.setattr(module, "load_encoder", _refused)  # the vectors of the classes are there
    found = labels.again(root, "colour")
    assert [found.label(n) for n in range(len(found.image_ids))] == ["blue"]
    assert found.tagged == 1
    after = column(root, "colour_score")
    assert {name: after[name] for name in before} == before
    assert after["blue5.png"] is not None
    assert found_by(root, "tag('blue') AND colour = 'blue'") == [
        *(f"blue{n}.png" for n in range(4)),
        "blue5.png",
    ]
    generation = Reader(root).generation
    assert len(labels.again(root, "colour").image_ids) == 0
    assert Reader(root).generation == generation  # nothing was written
    assert maintenance.verify(root).ok


def test_later_images_where_only_tags_were_given(root: Path, folder: Path, later: Callable[[float], None]) -> None:
    labels.label(root, ["red", "green", "blue"], tag=True)
    paint(folder, "red", 5)
    later(10)
    with imseek.open(root) as collection:
        collection.index([folder])
    found = labels.again(root)
    assert [found.label(n) for n in range(len(found.image_ids))] == ["red"]
    assert len(found_by(root, "tag('red')")) == 5
    assert len(labels.again(root).image_ids) == 0


def _refused(*args: Any) -> Any:
    raise AssertionError("an encoder was loaded")


def test_where_says_which(root: Path) -> None:
    labels.label(root, ["red", "green", "blue"], save="colour")
    found = labels.label(root, ["yellow", "black"], where="colour = 'red'", save="other")
    assert len(found.image_ids) == 4
    assert sorted(k for k, v in column(root, "other").items() if v) == [f"red{n}.png" for n in range(4)]
    with pytest.raises(QueryError, match="colur"):
        labels.label(root, ["yellow", "black"], where="colur = 'red'")


def test_names_that_are_taken(root: Path) -> None:
    labels.label(root, ["red", "blue"], save="colour")
    labels.evaluate(root, save_temperature="mine")
    with pytest.raises(UsageError, match="'colour_score' already"):
        labels.label(root, ["red", "blue"], save="colour_score")
    with pytest.raises(UsageError, match="'mine' is the name of a temperature already"):
        labels.label(root, ["red", "blue"], save="mine")
    with pytest.raises(UsageError, match="is the name of"):
        labels.evaluate(root, save_temperature="colour")
    with pytest.raises(UsageError, match="cannot be a name"):
        labels.evaluate(root, save_temperature="7")
    with pytest.raises(UsageError, match="no labels are stored as 'mine'"):
        labels.again(root, "mine")
    for name in (
        "path",
        "folder",
        "measured",
        "width",
    ):  # filters know something else by it, or it is not theirs
        with pytest.raises(UsageError, match=f"'{name}' (already|is reserved|is the column set)"):
            labels.label(root, ["red", "blue"], save=name)


def test_labels_whose_record_a_repair_has_lost_are_made_again(root: Path) -> None:
    labels.label(root, ["red", "green", "blue"], save="colour")
    before = column(root, "colour")
    (record,) = (root / "models").iterdir()
    record.write_bytes(b"damaged")
    maintenance.repair(root)
    assert models.find(root, "colour") is None
    labels.label(root, ["red", "green", "blue"], save="colour")
    assert models.find(root, "colour") is not None
    assert column(root, "colour") == before
    with pytest.raises(UsageError, match="keepers of duplicates"):
        labels.label(root, ["red", "blue"], save="inherited")


def test_labels_of_a_probe_are_not_those_of_words(root: Path) -> None:
    given.add(root, "red", where="path LIKE '%red%'")
    given.add(root, "blue", where="path LIKE '%blue%'")
    probes.fit(root, "pair")
    probes.apply(root, "pair", save="said")
    before = column(root, "said")
    with pytest.raises(UsageError, match="no labels are stored as 'said'"):
        labels.again(root, "said")
    with pytest.raises(UsageError, match="'said' is the name of a probe's labels already"):
        labels.label(root, ["red", "blue"], save="said")
    assert column(root, "said") == before
    assert labels.forget(root, "said").tags == 0
    assert set(column(root, "said").values()) == {None}


def test_what_a_model_said_goes_when_the_picture_changes(
    root: Path, folder: Path, later: Callable[[float], None]
) -> None:
    labels.label(root, ["red", "green", "blue"], tag=True)
    given.add(root, "mine", where="path LIKE '%blue1%'")
    later(10)
    Image.new("RGB", (48, 40), COLOURS["red"]).save(folder / "blue" / "blue1.png")
    with imseek.open(root) as collection:
        assert collection.index([folder]).changed == 1
    (changed,) = imseek.tags.of(root, [folder / "blue" / "blue1.png"]).items()
    assert [one.tag for one in changed[1]] == ["mine"]
    labels.again(root)
    assert found_by(root, "tag('mine') AND tag('red')") == ["blue1.png"]
    assert found_by(root, "tag('mine') AND tag('blue')") == []
    labels.forget(root, "labels")
    assert [one.tag for one in imseek.tags.counts(root)] == ["mine"]


def test_another_encoder_than_that_of_the_record(root: Path, tmp_path: Path) -> None:
    labels.label(root, ["red", "blue"], save="colour")
    labels.evaluate(root, save_temperature="mine")
    maintenance.reencode(root, "fake:32")
    with pytest.raises(UsageError, match="made with fake, and the collection has fake:32 now"):
        labels.again(root, "colour")
    with pytest.raises(UsageError, match="learned with fake, not fake:32"):
        labels.label(root, ["red", "blue"], temperature="mine")


POLICY = """\
concepts:
  - name: reddish
    positive: [red]
    negative: [blue, green]
    threshold: 0.9
  - name: bluish
    positive: blue
    negative: [red, green]
    threshold: 0.9
"""


def test_a_policy_flags(root: Path, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY)
    found = labels.moderate(root, tmp_path / "policy.yaml", temperature=0.05, save="flags", tag=True)
    assert [(one.name, one.images) for one in found.concepts] == [("reddish", 4), ("bluish", 4)]
    rows = Vectors(Reader(root)).of(found.image_ids).astype(np.float64)
    red, blue, green = load("fake").encode_texts(["red", "blue", "green"]).astype(np.float64)
    yes, no = np.exp(rows @ red / 0.05), (np.exp(rows @ blue / 0.05) + np.exp(rows @ green / 0.05)) / 2
    assert np.allclose(found.probabilities[:, 0], yes / (yes + no), atol=1e-5)
    assert column(root, "flags") == {
        f"{colour}{n}.png": {"red": "reddish", "blue": "bluish", "green": None}[colour]
        for colour in COLOURS
        for n in range(4)
    }
    assert found_by(root, "flags_reddish > 0.9 AND tag('reddish')") == [f"red{n}.png" for n in range(4)]
    assert found.tagged == 8
    labels.moderate(root, tmp_path / "policy.yaml", temperature=0.05, save="flags", where="flags IS NULL")
    assert found_by(root, "tag('reddish') OR flags = 'reddish'") == []


def test_what_is_forgotten_is_gone(root: Path) -> None:
    labels.label(root, ["red", "green", "blue"], save="colour", tag=True)
    labels.label(root, ["red", "blue"], save="other", tag=True)
    labels.evaluate(root, save_temperature="my-own")
    with Writer(root, "test") as writer:
        tags.put(writer, {(int(Vectors(Reader(root)).ids[0]), "kept"): "person"})
    gone = labels.forget(root, "colour")
    assert (gone.name, gone.kind, gone.tags) == ("colour", "labels", 12)
    assert set(column(root, "colour").values()) == {None}
    assert set(column(root, "other").values()) <= {"red", "blue"}
    assert found_by(root, "tag('green')") == []
    assert len(found_by(root, "tag('kept')")) == 1
    assert models.names(root) == ("my-own", "other")
    assert labels.forget(root, "my-own").kind == "temperature"
    with pytest.raises(UsageError, match="no labels are stored as 'colour'") as caught:
        labels.forget(root, "colour")
    assert caught.value.hint == "there are: other"
    assert maintenance.verify(root).ok


@pytest.mark.parametrize(
    ("provenance", "said"),
    [
        ("person", True),
        ("carried over from 3: person", True),
        ("probe pets", False),
        ("carried over from 3: zero-shot pet: 0.913", False),
        ("carried over from 4: carried over from 3: probe pets", False),
    ],
)
def test_nothing_is_learned_from_what_was_carried_over(provenance: str, said: bool) -> None:
    assert is_manual(provenance) is said
