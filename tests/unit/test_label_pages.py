"""What the page of labels asks for and says, without Streamlit's own running."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("streamlit", reason="streamlit is not installed")
from imseek import labels, overview
from imseek.errors import UsageError
from imseek.labels.classes import Classes
from imseek.labels.results import LabelExamples, SavedLabels
from imseek.metrics.estimate import Estimate
from imseek.probes import Labels
from imseek.probes.results import ProbeApplyReport, ProbeInfo, ProbeScore
from imseek.progress import Progress
from imseek.types.pictures import Place
from imseek.types.tags import TagCount
from imseek.ui.web import search_state
from imseek.ui.web.background import BackgroundTask
from imseek.ui.web.pages.labels import (
    label_options,
    label_shelves,
    label_tasks,
    probe_training,
    tag_label_sets,
    tag_list,
)
from imseek.ui.web.pages.labels.label_options import LabelOptions

pytestmark = pytest.mark.slow


class TestAsking:
    def test_classes_are_read_as_from_a_file(self, tmp_path: Path) -> None:
        text = "# things\ncat\nbird: bird, seagull\n"
        (tmp_path / "kinds.txt").write_text(text)
        found = LabelOptions(text).read()
        assert found == labels.read_classes(tmp_path / "kinds.txt")
        assert isinstance(found, Classes)
        assert label_options.as_text(found.names, found.words) == "cat\nbird: bird, seagull"

    @pytest.mark.parametrize(
        ("text", "none", "what"),
        [
            ("", None, "Type one class per line"),
            (" \n ", "", "Type one class"),
            ("# nothing", "", "No classes yet"),
            ("cat", None, "none of these"),
            ("cat\nCat", "", "Two classes are called 'Cat' (line 1 and line 2)"),
            ("cat\nbird:", "", "Line 2: 'bird' has no words after the colon"),
        ],
    )
    def test_what_is_no_list_of_classes_is_told_in_place(self, text: str, none: str | None, what: str) -> None:
        found = LabelOptions(text, none=none).read()
        assert isinstance(found, str)
        assert what in found

    def test_one_class_is_enough_where_some_are_none(self) -> None:
        assert isinstance(LabelOptions("cat", none="").read(), Classes)
        assert isinstance(LabelOptions("cat", several=True).read(), Classes)

    def test_arguments_are_those_of_the_command(self) -> None:
        made = LabelOptions("cat\ndog", "pets", "", threshold=0.3, where=" year > 2020 ").arguments()
        assert made == {
            "templates": "pets",
            "none": True,
            "multi": False,
            "threshold": 0.3,
            "temperature": None,
            "centred": False,
            "where": "year > 2020",
        }
        made = LabelOptions("cat", "a {}\n\n the {} ", "a wall\na floor", several=False).arguments()
        assert made["templates"] == ["a {}", "the {}"]
        assert made["none"] == ["a wall", "a floor"]
        assert LabelOptions("cat", "", None).arguments()["templates"] == [label_options.DEFAULT_TEMPLATE]
        # Never a file, whatever it is called.
        assert LabelOptions("cat", __file__).arguments()["templates"] == [__file__]
        assert LabelOptions("cat", none="", several=True).arguments()["none"] is False

    def test_tags_that_look_like_lines_of_words_are_classes_still(self) -> None:
        names = ("a: b", "c:", "d")
        found = LabelOptions(label_options.as_text(names), none="").read()
        assert isinstance(found, Classes)
        assert found.names == ("a:b", "c:", "d")
        assert found.words == (("a: b",), ("c:",), ("d",))

    def test_a_preview_says_that_it_is_one(self) -> None:
        assert label_options.preview_line(5000, 100_000) == "Preview of 5,000 of 100,000 pictures, evenly sampled."
        assert label_options.preview_line(8, 8) == "All 8 pictures."

    def test_words_for_builtin_come_with_a_warning(self) -> None:
        assert "only roughly" in (label_options.encoder_caveat("builtin") or "")
        assert label_options.encoder_caveat("openclip:ViT-B-32/x") is None

    def test_what_is_saved_is_said_in_a_line(self) -> None:
        one = SavedLabels(
            "pet", ("cat", "dog"), (("cat",), ("dog",)), ("{}",), (), False, None, False, None, "", "builtin", True,
            True, True, "2026-11-25T21:00:00Z",
        )  # fmt: skip
        assert label_options.saved_line(one) == "cat, dog · as columns and tags · builtin · 2026-11-25"
        assert label_options.free_name([]) == "labels"
        assert label_options.free_name(["labels", "labels_2"]) == "labels_3"
        assert label_options.SaveResult("pet", 0, 0).line() == "No picture has come since pet was made."
        assert label_options.SaveResult("pet", 8, 3).line() == "Saved as pet: labels of 8 pictures, and 3 tags."


class TestSets:
    def test_keys_give_classes_and_nothing(self) -> None:
        one = tag_label_sets.parse_set("cat, dog\n Cat ,", "My pets!")
        assert (one.name, one.classes) == ("my_pets", ("cat", "dog"))
        assert one.keys() == {"1": "cat", "2": "dog", "0": "not cat or dog"}
        assert one.choices({4: "1", 5: "0", 6: "s"}) == {4: "cat", 5: "not cat or dog", 6: None}

    def test_the_tag_of_none_does_not_hang_on_the_name(self) -> None:
        assert tag_label_sets.parse_set("cat, dog", "a").none == tag_label_sets.parse_set("cat, dog", "b").none
        assert tag_label_sets.parse_set("cat, dog").none != tag_label_sets.parse_set("cat, dog, cow").none

    @pytest.mark.parametrize(
        ("text", "what"),
        [
            (" , ", "no classes are named"),
            (",".join(map(str, range(10))), "10 classes, and there are keys for 9"),
            ("a\x1bb", "one line of 100"),
            ("a" * 101, "one line of 100"),
            (",".join(f"{n}" + "x" * 90 for n in range(3)), "too long"),
        ],
    )
    def test_what_is_no_set(self, text: str, what: str) -> None:
        with pytest.raises(UsageError, match=what):
            tag_label_sets.parse_set(text)

    def test_a_name_can_always_be_had(self) -> None:
        for text in ("Ünïcode", "123", "", "a b-c", "_", "x" * 80):
            name = label_shelves.column_name(text)
            assert name[0].isalpha()
            assert name == name.lower()
            assert len(name) <= 40

    def test_labels_are_of_what_is_there(self) -> None:
        pets = tag_label_sets.parse_set("cat, dog", "pets")
        assert pets.labels([]) == Labels("tags", ("cat", "dog", "not cat or dog"))
        assert pets.labels(["dog", "else", "not cat or dog"]) == Labels("tags", ("dog", "not cat or dog"))
        sunset = tag_label_sets.parse_set("sunset")
        assert sunset.labels(["sunset"]) == Labels("tags", ("sunset",))
        assert sunset.labels(["not sunset"]) == Labels("tags", ("not sunset",))
        assert sunset.labels(["sunset", "not sunset"]) == Labels(
            "tags", ("sunset",), several=True, negatives="not sunset"
        )

    def test_what_is_lacking_is_said(self) -> None:
        pets, sunset = tag_label_sets.parse_set("cat, dog"), tag_label_sets.parse_set("sunset")
        assert "Nothing is labelled yet" in (tag_label_sets.why_not_learnable(pets, {}) or "")
        assert "only cat is labelled (3). Label some pictures of another class" in (
            tag_label_sets.why_not_learnable(pets, {"cat": 3}) or ""
        )
        assert "of not sunset too" in (tag_label_sets.why_not_learnable(sunset, {"sunset": 1}) or "")
        assert tag_label_sets.why_not_learnable(pets, {"cat": 1, "not cat or dog": 1}) is None
        advice = tag_label_sets.advice(pets, {"cat": 1, "not cat or dog": 9})
        assert "None is labelled dog yet" in advice
        assert "Few pictures of cat:" in advice
        assert tag_label_sets.advice(pets, {"cat": 9, "dog": 5}) == ""

    def test_only_what_people_gave_counts(self) -> None:
        counts = [
            TagCount("cat", 7, {"person": 2, "probe pets": 5}),
            TagCount("dog", 1, {"zero-shot pets: 0.9": 1}),
        ]
        assert tag_label_sets.count_labels(counts) == {"cat": 2}

    def test_changes_are_what_is_other_than_before(self) -> None:
        assert tag_label_sets.changes({}, {1: "1", 2: "s"}) == {1: "1"}
        assert tag_label_sets.changes({1: "1", 2: "2"}, {1: "0", 2: "2"}) == {1: "0"}
        assert tag_label_sets.changes({1: "1", 2: "s"}, {}) == {1: "s"}

    def test_a_set_is_known_again_by_its_probe(self) -> None:
        def info(classes: tuple[str, ...], labels: str = "tags x", several: bool = False) -> ProbeInfo:
            counts = (1,) * len(classes)
            return ProbeInfo("p", "linear", classes, counts, several, labels, None, "e", "f", 1, "", 1.0, (), ())

        assert tag_label_sets.of_probe(info(("cat", "dog", "not cat or dog"))) == tag_label_sets.parse_set(
            "cat, dog", "p"
        )
        assert tag_label_sets.of_probe(info(("cat", "dog"))) == tag_label_sets.parse_set("cat, dog", "p")
        assert tag_label_sets.of_probe(info(("cat",), several=True)) == tag_label_sets.parse_set("cat", "p")
        assert tag_label_sets.of_probe(info(("a", "b"), several=True)) is None
        assert tag_label_sets.of_probe(info(("a", "b"), "folder")) is None
        assert tag_label_sets.of_probe(info(tuple("abcdefghij"))) is None


class TestSaying:
    def test_how_good_a_probe_is(self) -> None:
        none = ProbeScore("linear", {}, None, None, None, 0)
        assert "could not be measured" in probe_training.score_line(none)
        some = ProbeScore("linear", {}, Estimate(0.93, 0.8, 1.0), 0.1, 0.1, 30)
        assert probe_training.score_line(some).startswith("Right for 93% of 30 labelled pictures")

    def test_what_was_stored(self) -> None:
        told = ProbeApplyReport("p", 9, {}, 0, (), (), saved="p", tagged=3, untagged=1, kept=2)
        assert probe_training.saved_line(told) == (
            "Saved as the columns p and p_score, 3 tags given, 1 of before taken back, 2 left as people labelled them."
        )

    def test_who_gave_tags(self) -> None:
        by = {"person": 2, "zero-shot pet: 0.91": 1, "zero-shot pet: 0.52": 2, "probe p": 1}
        assert tag_list.givers(by) == "words (pet): 3, hand: 2, examples (p): 1"
        (row,) = tag_list.rows([TagCount("a\x1b[31m", 6, by)])
        assert "\x1b" not in str(row["tag"])

    def test_conditions_quote_what_is_in_them(self) -> None:
        assert search_state.sql_literal("it's") == "'it''s'"


def test_shelves_leave_out_what_no_picture_has(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(1, b"/somewhere/<b>a.png")
    monkeypatch.setattr(overview, "find_places", lambda root, ids: {1: place})
    examples = (
        LabelExamples("cat", 2, 0.5, ((1, 0.9), (2, 0.1)), ()),
        LabelExamples("dog", 0, 0.0, (), ()),
        LabelExamples(None, 1, 0.4, ((3, 0.4),), ()),
    )
    cat, none = label_shelves.shelves("photos", Path("/nowhere"), examples, of=4)
    assert (cat.title, cat.note) == ("cat", "2 pictures, 50%; mean probability 0.50")
    assert [(row.title, [card.id for card in row.cards]) for row in cat.rows] == [("most certain", [1, 2])]
    assert [card.title for card in cat.rows[0].cards] == ["<b>a.png", "place unknown"]
    assert none.title == "none of these"
    assert label_shelves.unused_labels(examples) == ("dog",)


class TestWorking:
    def wait(self, root: Path, slot: str) -> BackgroundTask[Any]:
        task = label_tasks.find(root, slot)
        assert task is not None
        assert task.wait(20)
        return task

    def test_it_ends_with_a_result(self, tmp_path: Path) -> None:
        def task(progress: Any, stop: Any) -> int:
            progress(Progress("labels", 5, 10, 0, 0.1))
            return 7

        label_tasks.begin(tmp_path, "a", "Counting", task)
        work = self.wait(tmp_path, "a")
        assert work.result() == 7
        assert label_tasks.describe_progress(work) == (0.5, "Counting: labelling, 5 of 10")
        label_tasks.forget(tmp_path, "a")
        assert label_tasks.find(tmp_path, "a") is None

    def test_what_is_refused_is_kept(self, tmp_path: Path) -> None:
        def task(progress: Any, stop: Any) -> None:
            raise UsageError("no")

        label_tasks.begin(tmp_path, "a", "Trying", task)
        assert isinstance(self.wait(tmp_path, "a").error, UsageError)

    def test_one_at_a_time_and_it_can_be_stopped(self, tmp_path: Path) -> None:
        def task(progress: Any, stop: Any) -> None:
            assert stop.wait(10)
            raise InterruptedError

        first = label_tasks.begin(tmp_path, "a", "Waiting", task)
        assert label_tasks.begin(tmp_path, "a", "Another", task) is first
        assert label_tasks.describe_progress(first) == (None, "Waiting …")
        first.stop()
        assert self.wait(tmp_path, "a").stopped
        assert label_tasks.begin(tmp_path, "a", "Another", lambda progress, stop: 1) is not first
