"""What keepers gain from duplicates that are put away, and lose when these come back: tags, captions, other values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from acting import copies, done, ids_by_path, planned, report_of

import imseek
from imseek.data.catalog import tags
from imseek.data.reader import Reader
from imseek.data.writing.writer import Writer
from imseek.duplicates.actions import journal as journals
from imseek.duplicates.actions import metadata_transfer, plans
from imseek.duplicates.actions.apply import apply
from imseek.duplicates.actions.undo import undo

#: What lies beside each picture: its values, its caption and its tags.
FACTS: dict[str, tuple[dict[str, object], str, set[str]]] = {
    "a.png": ({"rating": 4, "album": "rome"}, "a cup of coffee", {"red", "cup"}),
    "b.png": ({"rating": 2, "year": 1999, "album": "rome"}, "coffee", {"red", "blue"}),
    "c.png": ({"year": 1999, "place": "bar"}, "", {"blue"}),
}
KEEPER = "coffee.png"


class Cups:
    """A picture, and copies of it that know more than it does."""

    def __init__(self, collection: imseek.Collection, photos: Path) -> None:
        self.root, self.photos = collection.path, photos
        made = copies(photos, photos / KEEPER, list(FACTS))
        for path in made:
            values, caption, _ = FACTS[path.name]
            path.with_suffix(".json").write_text(json.dumps(values))
            if caption:
                path.with_suffix(".txt").write_text(caption)
        collection.index([photos])
        found = ids_by_path(self.root)
        self.ids = {name: found[str(photos / name)] for name in (KEEPER, *FACTS)}
        with Writer(self.root, "test") as writer:
            given = {(self.ids[name], tag): "me" for name, (_, _, own) in FACTS.items() for tag in own}
            tags.put(writer, {**given, (self.ids[KEEPER], "cup"): "me"})
        self.before = self.known()

    def known(self) -> dict[str, tuple[tuple[str, ...], Mapping[str, Any]]]:
        """The tags and values of those that are not away."""
        with closing(Reader(self.root)) as reader:
            images = reader.images(list(self.ids.values()))
        return {name: (images[i].tags, images[i].metadata) for name, i in self.ids.items() if i in images}

    def of(self, name: str = KEEPER) -> tuple[tuple[str, ...], dict[str, Any]]:
        """The tags of an image, and what it knows that it did not know before."""
        own, values = self.known()[name]
        before = self.before[name][1]
        return own, {key: value for key, value in values.items() if before.get(key) != value}

    def apply(self, *names: str, keeper: str = KEEPER, action: str = "quarantine") -> str:
        report = report_of(self.root, [[self.photos / keeper, *(self.photos / name for name in names)]])
        told = apply(self.root, plans.make_plan(report, action, root=self.root), dry_run=False)  # type: ignore[arg-type]
        assert told.counts == {"done": len(names)}
        return str(told.undo_id)


@pytest.fixture
def cups(collection: imseek.Collection, photos: Path) -> Cups:
    return Cups(collection, photos)


ALL = {"rating": 4, "album": "rome", "year": 1999, "place": "bar", "inherited_caption": "a cup of coffee"}


@pytest.fixture(params=[1, 256])
def batch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imseek.duplicates.actions.apply.BATCH", request.param)
    monkeypatch.setattr("imseek.duplicates.actions.undo.BATCH", request.param)


@pytest.mark.usefixtures("batch")
def test_a_keeper_gains_from_each_and_loses_all(cups: Cups) -> None:
    """Values of the first that has some count; how many files a commit takes makes no difference."""
    cups.apply("a.png", "b.png", "c.png")
    assert cups.of() == (("blue", "cup", "red"), ALL)
    (journal,) = journals.load_journals(cups.root)
    gained = {i.image_id: (set(i.tags), dict(i.columns)) for i in journal.intents.values()}
    assert gained == {
        cups.ids["a.png"]: ({"red"}, {"rating": 4, "album": "rome", "inherited_caption": "a cup of coffee"}),
        cups.ids["b.png"]: ({"red", "blue"}, {"year": 1999}),
        cups.ids["c.png"]: ({"blue"}, {"place": "bar"}),
    }
    assert undo(cups.root, dry_run=False).counts == {"done": 3}
    assert cups.known() == cups.before


@pytest.mark.usefixtures("batch")
def test_what_another_one_that_is_away_gave_too_stays(cups: Cups) -> None:
    cups.apply("a.png", "b.png", "c.png")
    (cups.photos / "b.png").write_bytes(b"in the way")
    (cups.photos / "a.png").write_bytes(b"in the way")
    assert undo(cups.root, dry_run=False).counts == {"done": 1, "left": 2}
    assert cups.of() == (("blue", "cup", "red"), {k: v for k, v in ALL.items() if k != "place"})
    (cups.photos / "a.png").unlink()
    assert undo(cups.root, dry_run=False).counts == {"done": 1, "left": 1}
    assert cups.of() == (("blue", "cup", "red"), {"year": 1999})
    (cups.photos / "b.png").unlink()
    assert undo(cups.root, dry_run=False).counts == {"done": 1}
    assert cups.known() == cups.before


def test_values_go_on_with_a_keeper_that_is_put_away(cups: Cups) -> None:
    """What it has inherited too, and each undo takes back its own part."""
    first = cups.apply("b.png", keeper="c.png")
    assert cups.of("c.png") == (
        ("blue", "red"),
        {"rating": 2, "album": "rome", "inherited_caption": "coffee"},
    )
    second = cups.apply("c.png")
    assert cups.of() == (
        ("blue", "cup", "red"),
        {"rating": 2, "album": "rome", "year": 1999, "place": "bar", "inherited_caption": "coffee"},
    )
    undo(cups.root, second, dry_run=False)
    assert cups.of() == (("cup",), {})
    undo(cups.root, first, dry_run=False)
    assert cups.known() == cups.before


def test_what_a_keeper_knows_itself_is_not_replaced(cups: Cups) -> None:
    """A caption of its own, or one that it has inherited, is no worse than a later one."""
    cups.apply("a.png")
    cups.apply("b.png")
    assert cups.of() == (
        ("blue", "cup", "red"),
        {"rating": 4, "album": "rome", "year": 1999, "inherited_caption": "a cup of coffee"},
    )
    undo(cups.root, dry_run=False)
    undo(cups.root, dry_run=False)
    cups.apply("a.png", keeper="b.png")
    assert cups.of("b.png") == (("blue", "cup", "red"), {})


def test_what_a_person_has_changed_since_stays(cups: Cups) -> None:
    """A tag that was given again by hand; a value that is another one by now."""
    undo_id = cups.apply("a.png")
    keeper = cups.ids[KEEPER]
    with Writer(cups.root, "test") as writer:
        tags.replace_tags(writer, [(keeper, "red")], {})
        tags.replace_tags(writer, (), {(keeper, "red"): "me too"})
    with Writer(cups.root, "test") as writer:
        from imseek.data.catalog.quarantined_duplicates import QuarantineChange, apply_change

        columns = {"rating": {keeper: 5}, "album": {keeper: "rome"}}
        apply_change(writer, QuarantineChange(columns=columns, column_set=metadata_transfer.COLUMN_SET))
    undo(cups.root, undo_id, dry_run=False)
    assert cups.of() == (("cup", "red"), {"rating": 5})


@pytest.mark.parametrize("action", ["tag", "hard-link"])
def test_from_files_that_stay_nothing_is_gained(cups: Cups, action: str) -> None:
    cups.apply("a.png", action=action)
    assert cups.of() == (("cup",), {})
    assert cups.of("a.png")[1] == {}
    undo(cups.root, dry_run=False)
    assert cups.known() == cups.before


def test_a_keeper_of_another_collection_gains_nothing_here(
    cups: Cups, tmp_path: Path, collection: imseek.Collection
) -> None:
    """Not even the image of ours that has its number."""
    from dataclasses import replace

    plan = planned(collection, [cups.photos / KEEPER, cups.photos / "a.png"])
    (group,) = plan.groups
    theirs = replace(group.keeper, collection="theirs")
    assert done(collection, replace(plan, groups=(replace(group, keeper=theirs),))).counts == {"done": 1}
    assert cups.of() == (("cup",), {})
    (journal,) = journals.load_journals(cups.root)
    (intent,) = journal.intents.values()
    assert (intent.keeper_id, intent.tags, intent.columns) == (None, (), {})
    undo(cups.root, dry_run=False)
    assert cups.known() == cups.before


@pytest.mark.parametrize("way", ["on", "back"])
def test_killed_when_the_keeper_has_gained_it_keeps_or_loses_all(
    cups: Cups, collection: imseek.Collection, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    plan = planned(collection, [cups.photos / name for name in (KEEPER, "a.png", "b.png")])
    with monkeypatch.context() as patched:
        patched.setattr("imseek.duplicates.actions.execute.execute_intent", kill)
        with pytest.raises(Killed):
            done(collection, plan)
    gained = {"rating": 4, "album": "rome", "year": 1999, "inherited_caption": "a cup of coffee"}
    assert cups.of() == (("blue", "cup", "red"), gained)
    if way == "on":
        assert done(collection, plan).counts == {"done": 2}
        assert cups.of() == (("blue", "cup", "red"), gained)
    undo(cups.root, dry_run=False)
    assert cups.known() == cups.before


def test_of_a_file_that_is_left_alone_in_the_end_nothing_stays(
    cups: Cups, collection: imseek.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another one gave too stays."""
    from imseek.data.user_files import file_moves, safe_path

    real = file_moves.rename_noreplace

    def rename(source: safe_path.FolderEntry, target: safe_path.FolderEntry) -> None:
        if source.name == b"a.png":
            raise PermissionError(13, "Permission denied")
        real(source, target)

    monkeypatch.setattr(file_moves, "rename_noreplace", rename)
    report = done(collection, planned(collection, [cups.photos / name for name in (KEEPER, "a.png", "b.png")]))
    assert report.counts == {"left": 1, "done": 1}
    assert cups.of() == (("blue", "cup", "red"), {"year": 1999})
    undo(cups.root, dry_run=False)
    assert cups.known() == cups.before
