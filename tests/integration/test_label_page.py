"""The page of labels without a browser: what it says where there is nothing, or something is in the way."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest

import imseek
from imseek import labels, probes, tags
from imseek.analysis.space_vectors import Vectors
from imseek.data.reader import Reader
from imseek.data.writing.writer import Writer

AppTest = pytest.importorskip("streamlit.testing.v1", reason="streamlit is not installed").AppTest
from imseek.ui.web import app_state  # noqa: E402 - they need Streamlit
from imseek.ui.web.background import BackgroundTask  # noqa: E402
from imseek.ui.web.components.labeller import SKIP  # noqa: E402
from imseek.ui.web.pages.labels import batches, label_tasks, tag_label_sets  # noqa: E402


@pytest.fixture
def root(coloured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMSEEK_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(app_state, "_app", None)
    path = tmp_path / "home" / "collections" / "colours"
    path.parent.mkdir(parents=True)
    shutil.move(coloured, path)
    return path


def run(how: str, **state: Any) -> Any:
    def page() -> None:
        from imseek.ui.web import app_state
        from imseek.ui.web.pages import labels

        app_state.current_app().collections()
        labels.show()

    test = AppTest.from_function(page, default_timeout=60)
    test.session_state["c"] = "colours"
    test.query_params["how"] = how
    for name, value in state.items():
        test.session_state[name] = value
    test.run()
    assert not test.exception
    return test


def said(test: Any) -> str:
    return "\n".join(one.value for one in test.text)


def ended(root: Path, slot: str) -> BackgroundTask[Any]:
    task = label_tasks.find(root, slot)
    assert task is not None
    assert task.wait(30)
    return task


def ids(root: Path) -> list[int]:
    return [int(i) for i in Vectors(Reader(root)).ids]


class TestWords:
    def test_nothing_is_typed(self, root: Path) -> None:
        test = run("By words")
        assert "Type one class per line" in said(test)
        assert not [one for one in test.button if "save" in one.label]

    def test_it_is_saved_as_the_command_does(self, root: Path) -> None:
        test = run("By words", **{"labels-typed": "red\ngreen", "labels-none": False})
        assert "All 12 pictures." in said(test)
        test.text_input(key="labels-name").set_value("colour").run()
        test.checkbox(key="labels-tag").check().run()
        assert labels.saved(root) == ()
        test.button(key="labels-go").click().run()
        assert ended(root, "labels-save").error is None
        made = Reader(root).metadata(ids(root))
        tagged = tags.counts(root)
        labels.forget(root, "colour")
        labels.label(root, ["red", "green"], save="colour", tag=True)
        again = Reader(root).metadata(ids(root))
        assert [one["colour"] for one in made.values()] == [one["colour"] for one in again.values()]
        assert tags.counts(root) == tagged
        test.run()
        assert "Saved as colour: labels of 12 pictures, and 12 tags." in said(test)
        assert "This replaces the saved labels colour." in said(test)
        test.text_input(key="labels-name").set_value("").run()
        test.button(key="labels-go").click().run()
        assert ended(root, "labels-save").error is None
        assert [one.name for one in labels.saved(root)] == ["colour", "labels"]

    def test_a_name_that_is_taken_is_told_in_place(self, root: Path) -> None:
        probed(root)
        test = run("By words", **{"labels-typed": "red\ngreen", "labels-name": "red_blue"})
        test.button(key="labels-go").click().run()
        ended(root, "labels-save")
        test.run()
        assert "'red_blue' is the name of a probe already" in said(test)
        assert "Choose another name" in said(test) or "choose another name" in said(test)
        assert labels.saved(root) == ()

    @pytest.mark.parametrize(
        ("state", "what"),
        [
            ({"labels-typed": "red\nred"}, "Two classes are called 'red' (line 1 and line 2)"),
            ({"labels-typed": "red:"}, "Line 1: 'red' has no words after the colon"),
            ({"labels-typed": "red\nblue", "labels-where": "nothing ="}, "⚠️"),
            ({"labels-typed": "red\nblue", "labels-where": "image_id < 0"}, "No pictures match this condition"),
            (
                {
                    "labels-typed": "red\nblue",
                    "labels-sentences": "Custom",
                    "labels-own": "no place",
                },
                "has no place for the class name",
            ),
        ],
    )
    def test_what_cannot_be_read_is_told_in_place(self, root: Path, state: dict[str, Any], what: str) -> None:
        test = run("By words", **state)
        assert what in said(test)
        assert not [one for one in test.button if "and save" in one.label]

    def test_without_words_examples_still_work(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from imseek.errors import EncoderError
        from imseek.ui.web.pages.labels import by_words

        def wordless(collection: Any) -> Any:
            raise EncoderError("the encoder knows no words")

        monkeypatch.setattr(by_words, "text_encoder", wordless)
        shown = said(run("By words"))
        assert "cannot be labelled by words: the encoder knows no words" in shown
        assert "“By examples” works with every encoder" in shown


def probed(root: Path) -> None:
    some = ids(root)
    tags.choose(root, {one: ("red", "blue")[n % 2] for n, one in enumerate(some[:8])}, ["red", "blue"])
    probes.fit(root, "red_blue", "tags:red,blue")


class TestExamples:
    def test_nothing_is_named(self, root: Path) -> None:
        assert "Enter the classes you want to tell apart" in said(run("By examples"))

    def test_too_little_is_labelled(self, root: Path) -> None:
        test = run("By examples", classes="red, blue")
        assert test.button(key="learn-go").disabled
        assert "Nothing is labelled yet" in said(test)
        tags.add(root, "red", ids(root)[:2])
        test.run()
        assert test.button(key="learn-go").disabled
        assert "So far only red is labelled (2)" in said(test)

    def test_it_learns_says_what_and_forgets(self, root: Path) -> None:
        some = ids(root)
        tags.choose(root, {one: "red" if n < 3 else "blue" for n, one in enumerate(some[:6])}, ["red", "blue"])
        test = run("By examples", classes="red, blue", **{"set-name": "mine"})
        assert probes.list_(root) == ()
        test.button(key="learn-go").click().run()
        assert ended(root, "learn-mine").error is None
        test.run()
        assert "What it says of 12 pictures" in said(test)
        assert "held out in turn" in said(test)
        assert probes.get(root, "mine").classes == ("red", "blue")
        assert tags.counts(root)[0].by == {"person": 3}
        test.checkbox(key="learn-mine-tag").check().run()
        test.button(key="learn-mine-go").click().run()
        ended(root, "learn-mine-save")
        test.run()
        assert "Saved as the columns mine and mine_score" in said(test)
        test.button(key="learn-mine-drop").click().run()
        assert probes.list_(root) == ()
        assert {one.tag: one.by for one in tags.counts(root)} == {"blue": {"person": 3}, "red": {"person": 3}}

    def test_a_name_that_is_taken(self, root: Path) -> None:
        probed(root)
        test = run("By examples", classes="sky, sea", **{"set-name": "red_blue"})
        assert "Red_blue has been learned already, with other classes" in said(test)

    def test_a_probe_of_other_labels_is_used_and_not_taught(self, root: Path) -> None:
        probes.fit(root, "folders", "folder")
        test = run("By examples", set="folders")
        assert "it is not taught by keys here" in said(test)
        test.button[0].click().run()
        ended(root, "learn-folders")
        test.run()
        assert "What it says of 12 pictures" in said(test)


class TestBatches:
    def test_keys_are_kept_and_taken_back(self, root: Path) -> None:
        one = tag_label_sets.parse_set("red, blue")
        with imseek.open(root) as collection:
            batch = batches.propose_batch("colours", collection, one, None, {})
            a, b, c = (card.id for card in batch.cards[:3])
            batch.keep(collection, one, {a: "1", b: "0", c: SKIP})
            assert {t.tag: t.by for t in tags.counts(root)} == {
                "not red or blue": {"person": 1},
                "red": {"person": 1},
            }
            batch.keep(collection, one, {a: "2", c: SKIP})
            assert {t.tag: t.images for t in tags.counts(root)} == {"blue": 1}
            after = batches.propose_batch(
                "colours", collection, one, batch, tag_label_sets.count_labels(tags.counts(root))
            )
            assert after.number == batch.number + 1
            assert not {a, c} & {card.id for card in after.cards}
            batch.keep(collection, one, {})
            assert batch.skipped == set()
            assert tags.counts(root) == ()

    def test_while_another_writes_nothing_is_lost(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(batches, "_LOCK_TIMEOUT", 0.1)
        one = tag_label_sets.parse_set("red, blue")
        with imseek.open(root) as collection:
            batch = batches.propose_batch("colours", collection, one, None, {})
            a, b = (card.id for card in batch.cards[:2])
            with Writer(root, "index"):
                began = time.monotonic()
                batch.keep(collection, one, {a: "1"})
                assert time.monotonic() - began < 5
                assert batch.error is not None
                assert batch.stored_keys == {}
            batch.keep(collection, one, {a: "1", b: "2"})
            assert batch.error is None
            assert {t.tag: t.images for t in tags.counts(root)} == {"blue": 1, "red": 1}

    def test_words_find_what_is_not_labelled_yet(self, root: Path) -> None:
        one = tag_label_sets.parse_set("red, it's")
        with imseek.open(root) as collection:
            first = batches.search_batch("colours", collection, one, None, {}, "red")
            assert len(first.cards) == 12
            a = first.cards[0].id
            first.keep(collection, one, {a: "2", first.cards[1].id: SKIP})
            given = tag_label_sets.count_labels(tags.counts(root))
            second = batches.search_batch("colours", collection, one, first, given, "red")
            assert [card.id for card in second.cards] == [card.id for card in first.cards[2:]]

    def test_of_a_large_collection_another_part_each_time(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(batches, "POOL", 4)
        one = tag_label_sets.parse_set("red, blue")
        with imseek.open(root) as collection:
            first = batches.propose_batch("colours", collection, one, None, {})
            assert first.notes == ("Chosen from one picture in 3; from others next time.",)
            assert {card.id % 3 for card in first.cards} == {1}
            labelled = [card.id for card in first.cards[:2]]
            first.keep(collection, one, dict.fromkeys(labelled, "1"))
            second = batches.propose_batch("colours", collection, one, first, {"red": 2})
            assert {card.id % 3 for card in second.cards} == {2}


class TestTags:
    def test_none(self, root: Path) -> None:
        assert "No tags yet." in said(run("Tags"))

    def test_they_are_listed_with_who_gave_them(self, root: Path) -> None:
        tags.add(root, "boat", ids(root)[:3])
        tags.add(root, "boat", ids(root)[3:5], provenance="probe x")
        (table,) = run("Tags").dataframe
        assert table.value.to_dict("records") == [
            {"tag": "boat", "pictures": 5, "given by": "hand: 3, examples (x): 2"}
        ]

    def test_what_was_typed_for_one_is_no_name_of_another(self, root: Path) -> None:
        tags.add(root, "boat", ids(root)[:3])
        tags.add(root, "cat", ids(root)[3:5])

        def page() -> None:
            import streamlit as st

            from imseek import tags
            from imseek.ui.web.app_state import current_app
            from imseek.ui.web.pages.labels import tag_list

            current_app().collections()
            collection = current_app().open("colours")
            there = tags.counts(collection)
            st.session_state.setdefault("tags-changes", 0)
            tag_list._one("colours", collection, there[st.session_state.get("row", 0)], there)

        test = AppTest.from_function(page, default_timeout=60).run()
        test.text_input[0].input("ship").run()
        test.session_state["row"] = 1
        test.run()
        assert "cat" in said(test)
        assert test.text_input[0].value == ""
        test.text_input[0].input("kitten").run()
        (rename,) = [one for one in test.button if one.label == "Rename tag"]
        rename.click().run()
        assert not test.exception
        assert [(one.tag, one.images) for one in tags.counts(root)] == [("boat", 3), ("kitten", 2)]
