"""Plans in files, which people edit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from acting import (
    Document,
    done,
    edited,
    first,
    planned,
    reasons,
    state,
)

import imseek
from imseek.curate.acts import journal
from imseek.curate.acts.plans import Plan
from imseek.curate.acts.undo import undo
from imseek.errors import PlanError, UsageError


def test_a_plan_is_written_and_read(collection: imseek.Collection, twins: list[Path], tmp_path: Path) -> None:
    odd = twins[1].with_name("\udcff\n.png")
    twins[1].rename(odd)
    collection.index()
    plan = planned(collection, [twins[0], odd, *twins[2:]], to=tmp_path / "away", protect=[tmp_path / "safe"])
    file = tmp_path / "plan.json"
    plan.save(file)
    assert Plan.load(file) == plan
    assert Plan.load(file).digest == plan.digest
    plan.save(file)
    other = tmp_path / "other.json"
    other.write_text("{}")
    with pytest.raises(UsageError, match="is no plan"):
        plan.save(other)
    assert done(collection, Plan.load(file)).counts == {"done": 3}
    assert undo(collection.path, dry_run=False).counts == {"done": 3}


def renamed(document: Document, before: str, after: str) -> None:
    first(document, path=document["groups"][0]["files"][0]["path"].replace(before, after))


def folder(document: Document) -> str:
    return str(Path(document["groups"][0]["keep"]["path"]).parent)


def keeper_goes(document: Document) -> None:
    (group,) = document["groups"]
    kept = {**group["files"].pop(), "action": "keep"}
    document["groups"].append({**group, "keep": kept, "files": [{**group["keep"], "action": "trash"}]})


EDITS: dict[str, tuple[Callable[[Document], object], str]] = {
    "outside": (lambda d: first(d, path="/etc/passwd"), "outside the sources"),
    "beside": (lambda d: renamed(d, "photos", "photos2"), "outside the sources"),
    "steps back": (lambda d: renamed(d, "/a.png", "/below/../a.png"), "without `.` and `..`"),
    "relative": (lambda d: first(d, path="a.png"), "must be absolute"),
    "no keeper": (lambda d: d["groups"][0].pop("keep"), "group 1: keep is missing"),
    "twice": (lambda d: d["groups"][0]["files"].append(d["groups"][0]["files"][0]), "in the plan twice"),
    "keeper goes": (keeper_goes, "to be kept in one group"),
    "unknown image": (lambda d: first(d, image_id=99_999), "never was an image"),
    "other collection": (lambda d: d.update(collection="x"), "another collection"),
    "unknown action": (lambda d: first(d, action="delete"), "action is 'delete'"),
    "unknown member": (lambda d: first(d, force=True), "nothing is known of 'force'"),
    "hash": (lambda d: first(d, content_hash="abc"), "not a sha256"),
    "protected": (lambda d: d["protect"].append({"path": folder(d)}), "is protected"),
    "quarantine over a source": (lambda d: d.update(to=folder(d)), "would not be scanned any more"),
    "later format": (lambda d: d.update(imseek_plan=2), "format 2"),
    "base64": (lambda d: first(d, path_b64="L2V0Yy9wYXNzd2Q="), "name different files"),
    "links other bytes": (
        lambda d: first(d, action="hard-link", content_hash="0" * 64),
        "only files of the same bytes",
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_plan_that_cannot_be_trusted_is_refused_as_a_whole(
    name: str, photos: Path, collection: imseek.Collection, twins: list[Path], tmp_path: Path
) -> None:
    change, message = EDITS[name]
    before = state(photos)
    with pytest.raises((PlanError, UsageError), match=message):
        done(collection, edited(planned(collection, twins), tmp_path, change))
    assert state(photos) == before
    assert journal.list_(collection.path) == ()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"imseek_plan": 1}', '{"a": 1, "a": 2}', "[" * 100_000, "\xff"]
)
def test_what_is_no_plan(text: str, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(PlanError):
        Plan.load(file)


def test_a_path_of_another_picture_is_left_alone(
    photos: Path, collection: imseek.Collection, twins: list[Path], tmp_path: Path
) -> None:
    """Within the sources, but not where the collection has this image."""
    plan = edited(
        planned(collection, twins),
        tmp_path,
        lambda d: d["groups"][0]["files"][0].update(path=str(photos / "astronaut.png")),
    )
    report = done(collection, plan)
    assert report.counts == {"left": 1, "done": 2}
    assert "it lies elsewhere now" in reasons(report)["astronaut.png"]
    assert twins[1].exists()


def test_files_can_be_kept_by_hand(collection: imseek.Collection, twins: list[Path], tmp_path: Path) -> None:
    plan = edited(
        planned(collection, twins),
        tmp_path,
        lambda d: d["groups"][0]["files"][0].update(action="keep"),
    )
    assert done(collection, plan).counts == {"done": 2}
    assert [path.exists() for path in twins] == [True, True, False, False]


def test_what_lies_in_archives_is_refused(
    collection: imseek.Collection, photos: Path, tmp_path: Path
) -> None:
    archive = shutil.make_archive(str(tmp_path / "photos"), "zip", photos)
    collection.index([photos, archive])
    plan = planned(collection, [photos / "coffee.png", Path(f"{archive}!/coffee.png")])
    assert plan.files == ()
    assert plan.refused[0].reason == "it lies in an archive"
