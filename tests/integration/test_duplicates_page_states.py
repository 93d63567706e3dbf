"""The page duplicates where there is nothing to show, where it is refused, and where files cannot be acted on."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import imseek
from imseek import duplicates, library
from imseek.data.writing.writer import Writer
from imseek.duplicates.results import DuplicateGroup
from imseek.errors import UsageError
from imseek.progress import Progress

pytest.importorskip("streamlit", reason="the extra ui is not installed")

from streamlit.testing.v1 import AppTest

from imseek.ui.web import app_state
from imseek.ui.web.components.compare import ReviewAction
from imseek.ui.web.components.grid import Card, GridEvents
from imseek.ui.web.pages.duplicates import cleanup, group_data, group_list, group_review
from imseek.ui.web.pages.duplicates.decisions import apply_decisions
from imseek.ui.web.pages.duplicates.workspace import FindOptions, Workspace, open_workspace

pytestmark = pytest.mark.full_size


@pytest.fixture
def place(tmp_path: Path, trash: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The path of an empty collection that the pages show."""
    monkeypatch.setenv("IMSEEK_HOME", str(tmp_path / "home"))
    path = tmp_path / "album"
    imseek.create(path, encoder="fake").close()
    before = app_state._app
    app_state.start(library.NamedCollection("album", path), None).collections()
    yield path
    app_state._app = before


@pytest.fixture
def pictures(place: Path, photos: Path) -> Path:
    """The folder of the collection's pictures: one of them is there twice."""
    shutil.copyfile(photos / "coffee.png", photos / "copy.png")
    with imseek.open(place) as collection:
        collection.index([photos])
    return photos


def page() -> Any:
    def script() -> None:
        from imseek.ui.web.pages import duplicates

        duplicates.show()

    made = AppTest.from_function(script, default_timeout=30)
    made.session_state["c"] = "album"
    return made.run()


def find(app: Any, of: Workspace) -> Any:
    app.button[0].click().run()
    end = time.monotonic() + 60
    while of.finding is not None and time.monotonic() < end:
        of.finding.wait(1)
        app.run()
    assert not app.exception
    return app


def confirmed(app: Any, of: Workspace) -> Any:
    """As if the dialog had been confirmed, whose buttons are out of reach here (they are in the test in a browser)."""
    assert of.report is not None
    of.apply(duplicates.plan(of.root, apply_decisions(of.report, {}, ("exact",)), "trash"))
    assert of.applying is not None
    assert of.applying.wait(60)
    return app.run()


def said(app: Any) -> str:
    return "\n".join(one.value for one in [*app.subheader, *app.text])


def test_nothing_is_indexed(place: Path) -> None:
    app = page()
    assert "No pictures yet" in said(app)
    assert not app.button


def test_nothing_was_looked_for(pictures: Path) -> None:
    assert "to compare 9 pictures" in said(page())


def test_no_duplicates(place: Path, pictures: Path) -> None:
    (pictures / "copy.png").unlink()
    with imseek.open(place) as collection:
        collection.index([pictures])
    assert "Among 8 pictures, none is there more than once" in said(find(page(), open_workspace(place)))


@pytest.mark.parametrize(
    ("label", "value", "why"),
    [
        ("Only pictures where", "yeer >= 2020", "yeer"),
        ("Only pictures where", "DROP TABLE images", "drop"),
        ("Protected folders", "/no/such/folder", "There is no folder /no/such/folder"),
        ("Protected folders", "albums", "albums is not a full path"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(
    place: Path, pictures: Path, label: str, value: str, why: str
) -> None:
    app = page()
    (field,) = [one for one in [*app.text_input, *app.text_area] if one.label == label]
    field.set_value(value)
    found = said(find(app, open_workspace(place)))
    assert "⚠️" in found
    assert why.lower() in found.lower()


def test_a_long_search_shows_how_far_it_is_and_can_be_stopped(
    place: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = duplicates.find

    def slow(*arguments: Any, progress: Any, stop: Any, **named: Any) -> Any:
        progress(Progress("comparing pairs", 30, 120, 0, 10.0))
        assert stop.wait(60)
        return replace(real(*arguments, progress=progress, stop=stop, **named), interrupted=True)

    monkeypatch.setattr(duplicates, "find", slow)
    app = page()
    app.button[0].click().run()
    assert app.button[0].disabled  # One search at a time.
    (bar,) = app.get("progress")
    assert (bar.value, bar.text) == (25, "Comparing pairs: 30 of 120, about 30 s more")
    # Another tab, or a reload, shows the same.
    assert [one.text for one in page().get("progress")] == [bar.text]
    next(one for one in app.button if one.key == "duplicates-stop").click().run()
    of = open_workspace(place)
    assert of.finding is None or of.finding.wait(60)
    app.run()
    assert "The search was stopped, and there may be more." in said(app)
    assert not app.button[0].disabled  # It can be started again.
    assert next(one for one in app.button if one.key == "duplicates-again").label == "Continue"


def test_groups_are_there_before_the_search_has_ended(
    place: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, going_on = duplicates.find, threading.Event()

    def slow(*arguments: Any, **named: Any) -> Any:
        report = real(*arguments, **named)
        assert going_on.wait(60)
        return report

    monkeypatch.setattr(duplicates, "find", slow)
    app = page()
    app.button[0].click().run()
    of = open_workspace(place)
    assert of.finding is not None
    end = time.monotonic() + 60
    while not of.group_count and time.monotonic() < end:
        assert not of.finding.wait(0.05)
    shown = said(app.run())
    assert "1 group so far. You can begin to decide." in shown
    assert "1 group among 9 pictures: 1 × the same file" in shown
    assert "0 of 1 group decided" in [bar.text for bar in app.get("progress")]
    app.session_state["duplicates-view"] = "Clean up"
    app.run()
    assert "Files can be cleaned up once the search has ended" in said(app)
    going_on.set()
    assert of.finding.wait(60)
    assert "so far" not in said(app.run())


class TestOrder:
    """The end of a search orders the groups, here the other way round."""

    @pytest.fixture
    def going_on(self, place: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
        """What lets the search end, after two groups were found."""
        shutil.copyfile(pictures / "chelsea.png", pictures / "cat.png")
        with imseek.open(place) as collection:
            collection.index([pictures])
        real, event = duplicates.find, threading.Event()

        def backwards(*arguments: Any, on_group: Any, **named: Any) -> Any:
            report = real(*arguments, on_group=None, **named)
            for group in reversed(report.groups):
                on_group(group)
            assert event.wait(60)
            return report

        monkeypatch.setattr(duplicates, "find", backwards)
        return event

    @staticmethod
    def begin(place: Path) -> tuple[Any, Any]:
        app = page()
        app.button[0].click().run()
        of = open_workspace(place)
        assert of.finding is not None
        end = time.monotonic() + 60
        while of.group_count < 2 and time.monotonic() < end:
            assert not of.finding.wait(0.05)
        return app, of.finding

    def test_the_group_that_is_shown_stays(
        self, place: Path, going_on: threading.Event, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        drawn: list[dict[str, Any]] = []
        keys: list[ReviewAction] = []

        def compare(pictures: Any, **options: Any) -> None:
            drawn.append(options)
            if keys:
                options["acted"](keys.pop())

        monkeypatch.setattr(group_review, "compare", compare)
        app, search = self.begin(place)
        app.run()
        assert drawn[-1]["label"] == "Group 1 of 2"
        shown = drawn[-1]["epoch"]
        going_on.set()
        assert search.wait(60)
        app.run()
        assert drawn[-1]["label"] == "Group 2 of 2"
        assert drawn[-1]["epoch"] == shown
        keys.append(ReviewAction("later", (0,), shown))  # It was pressed while the number was another one.
        app.run()
        app.run()
        assert drawn[-1]["label"] == "Group 1 of 2"
        assert (drawn[0]["turn"], drawn[-1]["turn"]) == (0, 1)

    def test_ticks_stay_with_their_groups(
        self, place: Path, going_on: threading.Event, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        drawn: list[Sequence[Card]] = []
        ticked: list[int] = []

        def grid(cards: Sequence[Card], **options: Any) -> GridEvents:
            drawn.append(cards)
            return GridEvents(tuple(ticked))

        chosen: list[Sequence[DuplicateGroup]] = []
        monkeypatch.setattr(group_list, "grid", grid)
        monkeypatch.setattr(group_list, "_show_bulk_actions", lambda workspace, groups: chosen.append(groups))
        app, search = self.begin(place)
        app.session_state["duplicates-view"] = "All groups"
        app.run()
        first = drawn[-1][0]
        ticked.append(first.id)
        going_on.set()
        assert search.wait(60)
        app.run()
        assert [card.title for card in drawn[-1]].index(first.title) == 1
        assert [group_data.name(group.keeper) for group in chosen[-1]] == [first.title]


def test_a_stopped_search_is_not_started_again_when_files_were_moved(
    place: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, searches = duplicates.find, []

    def stopped(*arguments: Any, **named: Any) -> Any:
        searches.append(1)
        return replace(real(*arguments, **named), interrupted=True)

    monkeypatch.setattr(duplicates, "find", stopped)
    of = open_workspace(place)
    app = find(page(), of)
    report = of.report
    assert report is not None
    surplus = report.surplus
    plan = duplicates.plan(place, report, "quarantine", to=str(pictures.parent / "aside"))
    of.apply(plan)
    assert of.applying is not None
    assert of.applying.wait(60)
    undo_id = of.applying.result().undo_id
    app.run()
    assert "may go" not in said(app)  # What is gone is left out.
    assert of.report is not None
    assert of.report.surplus == 0
    assert undo_id is not None
    of.undo(undo_id)
    assert of.recalling is not None
    assert of.recalling.wait(60)
    app.run()
    assert of.report.surplus == surplus  # And it is back.
    assert len(searches) == 1
    assert "The search was stopped, and there may be more." in said(app)


def test_a_change_of_the_collection_is_told(place: Path, pictures: Path) -> None:
    app = find(page(), open_workspace(place))
    assert "1 × the same file" in said(app)
    assert "has changed since" not in said(app)
    (pictures / "china.jpg").unlink(missing_ok=True)
    (pictures / "rocket.jpg").unlink()
    with imseek.open(place) as collection:
        collection.index([pictures])
    assert "The collection has changed since" in said(app.run())


def test_settings_and_decisions_survive_the_process(place: Path, pictures: Path) -> None:
    of = open_workspace(place)
    of.find(FindOptions(("exact",), "oldest", where="width > 10"))
    assert of.finding is not None
    assert of.finding.wait(60)
    kept = Path(os.environ["IMSEEK_HOME"], "ui", "duplicates")
    (file,) = kept.iterdir()
    assert Workspace(place, file).options == FindOptions(("exact",), "oldest", where="width > 10")


@pytest.mark.parametrize("change", ["other bytes", "gone", "none"])
def test_files_that_have_changed_are_left_alone_with_the_reason(place: Path, pictures: Path, change: str) -> None:
    of = open_workspace(place)
    app = find(page(), of)
    app.session_state["duplicates-view"] = "Clean up"
    app.session_state["duplicates-suggested"] = ["exact"]
    app.run()
    assert "1 file in 1 group" in said(app)
    (file,) = [Path(os.fsdecode(row)) for row in app.dataframe[0].value["file"]]
    if change == "gone":
        file.unlink()
    elif change == "other bytes":
        file.write_bytes(file.read_bytes() + b"more")
    next(one for one in app.button if one.key == "duplicates-apply").click().run()
    assert "will be moved to the trash" in said(app)
    found = said(confirmed(app, of))
    if change == "none":
        assert "✓ 1 file moved to the trash" in found
        assert not file.exists()
    else:
        assert "⚠️ 1 file left alone" in found
        assert app.dataframe[0].value["reason"][0]
        assert file.exists() == (change == "other bytes")


def test_a_writer_at_work_is_named(place: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imseek.data.writing.writer_wait.DEFAULT_TIMEOUT", 0.05)
    of = open_workspace(place)
    app = find(page(), of)
    app.session_state["duplicates-view"] = "Clean up"
    app.session_state["duplicates-suggested"] = ["exact"]
    app.run()
    with Writer(place, "index"):
        next(one for one in app.button if one.key == "duplicates-apply").click().run()
        confirmed(app, of)
    assert "is being written by" in said(app)
    assert "Wait until it has finished, then try again" in said(app)
    assert (pictures / "copy.png").exists()


def test_a_confirmation_names_its_numbers(place: Path, pictures: Path) -> None:
    report = duplicates.find(place, kinds=("exact",))
    asked = cleanup.confirmation(duplicates.plan(place, report, "quarantine", to="/tmp/away"))
    assert asked.startswith("1 file, 466.7 kB, will be moved to /tmp/away. 1 picture stays.")


def test_what_another_collection_has(tmp_path: Path, place: Path, pictures: Path, photo_files: list[Path]) -> None:
    disk = library.path_for("disk", os.environ)
    disk.parent.mkdir(parents=True)
    with imseek.create(disk, encoder="fake") as collection:
        collection.index(names=[path for path in photo_files if path.name == "coffee.png"])
    app = page()
    (against,) = [one for one in app.selectbox if one.label == "Compare with"]
    assert against.options == ["itself", "disk"]
    against.set_value("disk")
    of = open_workspace(place)
    shown = said(find(app, of))
    assert "1 group among 9 pictures: 1 × the same file. 2 pictures may go" in shown
    assert of.report is not None
    assert [of.names("album")(one.collection) for one in of.report.groups[0].members] == [
        "disk",
        "album",
        "album",
    ]


def test_what_a_plan_leaves_out_is_said_beside_the_total(place: Path, pictures: Path) -> None:
    of = open_workspace(place)
    app = find(page(), of)
    assert "sure to be" not in said(app)
    assert of.report is not None
    (group,) = of.report.groups
    keeper, copy = group.members
    assert copy.pair is not None
    unsure = replace(copy, pair=replace(copy.pair, confidence=0.79))
    of._result = replace(of.report, groups=(replace(group, members=(keeper, unsure)),))
    shown = said(app.run())
    assert "1 picture may go" in shown
    assert "1 picture is less than 80 % sure to be a duplicate; a plan leaves it out unless you confirm it." in shown


def test_a_collection_that_is_gone_is_not_compared_with(place: Path, pictures: Path) -> None:
    with pytest.raises(UsageError, match="there is no collection 'gone' any more"):
        open_workspace(place).find(FindOptions(against="gone"))


def test_a_plan_is_of_what_was_found_last_and_of_what_is_protected_now(place: Path, pictures: Path) -> None:
    of = open_workspace(place)

    def planned() -> list[str]:
        assert of.report is not None
        plan = of.plan(of.report, ("exact",), "trash", None, duplicates.TAG)
        return [os.fsdecode(file.path) for file in plan.files]

    def look(**changes: Any) -> None:
        of.find(replace(FindOptions(kinds=("exact",)), **changes))
        assert of.finding is not None
        assert of.finding.wait(60)
        of.take()

    look()
    (going,) = planned()
    assert planned() == [going]
    look(where=f"name != '{Path(going).name}'")
    assert planned() == []
    look()
    assert planned() == [going]
    of.options = replace(of.options, protect=(str(pictures),))
    assert planned() == []
