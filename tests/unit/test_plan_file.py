"""Plans as JSON that somebody has edited: all that is wrong with one is told, with the entry that it is in."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from imseek.duplicates.action_results import PlannedFile, PlannedGroup, RefusedFile
from imseek.duplicates.actions import plan_file
from imseek.duplicates.actions.plans import Plan
from imseek.errors import PlanError, StorageError, UsageError

Document: TypeAlias = dict[str, Any]
HASH = "0123456789abcdef" * 4
ODD = b"/photos/caf\xe9.png"


def planned(n: int, path: bytes, action: Any = "quarantine", **more: Any) -> PlannedFile:
    return PlannedFile(n, path, HASH, 100 + n, action, **more)


def plan() -> Plan:
    groups = (
        PlannedGroup("exact", "the first", planned(0, b"/photos/a.png", "keep"), (planned(1, ODD),)),
        PlannedGroup(
            "near",
            "",
            planned(7, b"/theirs/a.png", "keep", collection="theirs"),
            (planned(2, b"/photos/b.png", "hard-link"), planned(3, "/photos/ä.png".encode(), "keep")),
        ),
    )
    return Plan(
        collection="mine",
        generation=4,
        created="2026-01-01T00:00:00+00:00",
        action="quarantine",
        groups=groups,
        to=b"/away\xff",
        tag="twice",
        protect=(b"/safe", b"/saf\xe9"),
        refused=(RefusedFile(5, b"/photos/c.png", "why"), RefusedFile(6, b"", "it is not known")),
    )


def read(file: Path, document: object) -> Plan:
    file.write_text(json.dumps(document))
    return Plan.load(file)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "plan.json"


@pytest.fixture
def document() -> Document:
    made: Document = json.loads(json.dumps(plan_file.to_document(plan())))
    return made


def test_all_of_a_plan_is_written_and_read(file: Path) -> None:
    plan().save(file)
    assert Plan.load(file) == plan()
    assert [name.name for name in file.parent.iterdir()] == ["plan.json"]
    without = Plan("mine", 4, "now", "tag", ())
    without.save(file)
    assert Plan.load(file) == without


def test_people_can_read_and_edit_it(file: Path) -> None:
    """A line for each member, and names as they are where UTF-8 can hold them."""
    plan().save(file)
    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    assert '"path": "/photos/ä.png",' in lines
    assert '"action": "hard-link"' in lines
    assert lines[-1] == "}"


def test_a_plan_in_one_line_is_one_too(file: Path, document: Document) -> None:
    assert read(file, document) == plan()
    assert plan_file.is_plan(file)
    file.write_text("  " + json.dumps(document, separators=(",", ":")))
    assert plan_file.is_plan(file)
    plan().save(file)
    assert Plan.load(file) == plan()


@pytest.mark.parametrize("text", ["", "{}", '{"groups": [], "imseek_plan": 1}', "[1]"])
def test_a_file_of_something_else_is_not_written_over(file: Path, text: str) -> None:
    file.write_text(text)
    assert not plan_file.is_plan(file)
    with pytest.raises(UsageError, match=file.name) as caught:
        plan().save(file)
    assert caught.value.hint
    assert file.read_text() == text


def test_what_is_asked_for_is_in_the_digest_and_nothing_else() -> None:
    from dataclasses import replace

    digest = plan().digest
    assert replace(plan(), refused=()).digest == digest
    for members in ({"groups": plan().groups[:1]}, {"to": None}, {"tag": "x"}, {"protect": ()}):
        assert replace(plan(), **members).digest != digest  # type: ignore[arg-type]
    assert (len(plan().files), plan().bytes) == (2, 101 + 102)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"plan\.json"):
        plan().save(tmp_path / "none" / "plan.json")


def group(document: Document, n: int = 0) -> Document:
    found: Document = document["groups"][n]
    return found


def one(document: Document) -> Document:
    found: Document = group(document)["files"][0]
    return found


def without(of: Document, name: str) -> None:
    del of[name]


IN_GROUP = "group 1"
IN_FILE = "group 1, file 1"
#: What is done to a plan, where the error says that it is, and what it names.
EDITS: dict[str, tuple[Callable[[Document], object], str, str]] = {
    "groups that are no list": (lambda d: d.update(groups={}), "", "groups"),
    "a group that is no object": (lambda d: d["groups"].append(1), "group 3", "object"),
    "a file that is no object": (lambda d: group(d)["files"].append([]), "group 1, file 2", "object"),
    "a keeper that is no object": (lambda d: group(d).update(keep="a.png"), "group 1, keep", "object"),
    "files that are no list": (lambda d: group(d).update(files=None), IN_GROUP, "files"),
    "no kind": (lambda d: group(d).update(kind=""), IN_GROUP, "kind"),
    "a reason that is no text": (lambda d: group(d).update(reason=1), IN_GROUP, "reason"),
    "a strange member of a group": (lambda d: group(d).update(zzz=1), IN_GROUP, "zzz"),
    "a strange member of the plan": (lambda d: d.update(zzz=1), "", "zzz"),
    "a strange member of a keeper": (lambda d: group(d)["keep"].update(zzz=1), "group 1, keep", "zzz"),
    "a keeper that goes": (lambda d: group(d)["keep"].update(action="trash"), "group 1, keep", "action"),
    "no hash": (lambda d: without(one(d), "content_hash"), IN_FILE, "content_hash is missing"),
    "a hash with more behind it": (lambda d: one(d).update(content_hash=HASH + "0"), IN_FILE, "content_hash"),
    "an empty path": (lambda d: one(d).update(path=" "), IN_FILE, "path"),
    "no action": (lambda d: without(one(d), "action"), IN_FILE, "action is missing"),
    "bytes below nothing": (lambda d: one(d).update(bytes=-1), IN_FILE, "bytes"),
    "an image that is text": (lambda d: one(d).update(image_id="1"), IN_FILE, "image_id"),
    "a path of half a character": (lambda d: one(d).update(path="/photos/\ud800"), IN_FILE, "path"),
    "base64 that is none": (lambda d: one(d).update(path_b64="!"), IN_FILE, "path_b64"),
    "base64 that is no text": (lambda d: one(d).update(path_b64=[1]), IN_FILE, "path_b64"),
    "two slashes": (
        lambda d: (without(one(d), "path_b64"), one(d).update(path="//photos/a.png")),
        IN_FILE,
        "path must be absolute",
    ),
    "a place to go that is relative": (lambda d: (without(d, "to_b64"), d.update(to="away")), "", "to must"),
    "base64 of another place to go": (lambda d: d.update(to="/home"), "", "to_b64"),
    "a protected folder that is text": (lambda d: d["protect"].append("/safe"), "protect", "object"),
    "a protected folder without a path": (lambda d: d["protect"].append({}), "protect", "path is missing"),
    "a strange member of a protected one": (lambda d: d["protect"][0].update(zzz=1), "protect", "zzz"),
    "a refused one without a reason": (lambda d: without(d["refused"][1], "reason"), "refused 2", "reason"),
    "a refused one of no image": (lambda d: without(d["refused"][0], "image_id"), "refused 1", "image_id"),
    "a strange member of a refused one": (lambda d: d["refused"][0].update(zzz=1), "refused 1", "zzz"),
    "no collection": (lambda d: without(d, "collection"), "", "collection is missing"),
    "a generation that is text": (lambda d: d.update(generation="4"), "", "generation"),
    "no time": (lambda d: without(d, "created"), "", "created is missing"),
    "an action that is none": (lambda d: d.update(action="keep"), "", "action"),
    "an empty tag": (lambda d: d.update(tag=""), "", "tag"),
}


@pytest.mark.parametrize("name", EDITS)
def test_what_is_wrong_is_told_with_its_place(name: str, file: Path, document: Document) -> None:
    change, place, named = EDITS[name]
    change(document)
    with pytest.raises(PlanError) as caught:
        read(file, document)
    said = str(caught.value)
    assert said.startswith(f"{file}: {place}")
    assert named in said


def test_a_file_that_is_wrong_is_named(file: Path, document: Document) -> None:
    group(document, 1)["files"][1]["bytes"] = None
    with pytest.raises(PlanError, match=r"group 2, file 2 \(/photos/ä\.png\): bytes"):
        read(file, document)


@pytest.mark.parametrize("value", [0, 2**63 - 1])
def test_numbers_go_as_far_as_the_catalog(file: Path, document: Document, value: int) -> None:
    one(document).update(bytes=value)
    document.update(generation=value)
    found = read(file, document)
    assert (found.generation, found.files[0].bytes) == (value, value)


def test_base64_decides_where_text_cannot_hold_a_name(file: Path, document: Document) -> None:
    assert base64.b64decode(one(document)["path_b64"]) == ODD
    assert read(file, document).groups[0].files[0].path == ODD


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b"\xff{}", "UTF-8"),
        (b"{", "not a plan"),
        (b"[" * 100_000, "not a plan"),
        (b'{"imseek_plan": 1, "imseek_plan": 1}', "twice"),
        (b'{"imseek_plan": 1, "groups": [{"kind": 1, "kind": 2}]}', "twice"),
        (b"[]", "not a plan"),
        (b'"imseek_plan"', "not a plan"),
        (b'{"groups": []}', "not a plan"),
        (b'{"imseek_plan": "1"}', "format '1'"),
        (b'{"imseek_plan": 0}', "format 0"),
    ],
)
def test_a_file_that_is_no_plan_is_named(file: Path, text: bytes, named: str) -> None:
    file.write_bytes(text)
    with pytest.raises(PlanError) as caught:
        Plan.load(file)
    assert str(file) in str(caught.value)
    assert named in str(caught.value)


def test_what_has_never_been_a_plan_is_told_how_one_is_made(file: Path) -> None:
    file.write_text("{}")
    with pytest.raises(PlanError) as caught:
        Plan.load(file)
    assert caught.value.hint


def test_where_there_is_no_file_it_is_named(file: Path) -> None:
    with pytest.raises(PlanError, match=r"plan\.json.*No such file"):
        Plan.load(file)
    assert not plan_file.is_plan(file)


def test_a_file_without_end_is_not_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one that is too large, nor one that grows while it is read."""
    file.touch()
    os.truncate(file, 2**30 + 1)
    with pytest.raises(PlanError, match=r"plan\.json is too large"):
        Plan.load(file)
    monkeypatch.setattr(plan_file, "_MAX_BYTES", 1000)
    plan().save(file := file.with_name("small.json"))
    real, size = os.fstat, file.stat().st_size
    assert size > 1000

    def small(fd: int) -> os.stat_result:
        info = real(fd)
        return os.stat_result((*info[:6], 10, *info[7:10]))

    monkeypatch.setattr(os, "fstat", small)
    with pytest.raises(PlanError, match=r"small\.json is too large"):
        Plan.load(file)
    monkeypatch.setattr(os, "fstat", real)
    monkeypatch.setattr(plan_file, "_MAX_BYTES", size)
    assert Plan.load(file) == plan()


# -- plans that contradict themselves -----------------------------------------------------------------------


def of(*files: PlannedFile, keeper: PlannedFile | None = None) -> PlannedGroup:
    return PlannedGroup("exact", "", keeper or planned(0, b"/photos/a.png", "keep"), files)


def check(*groups: PlannedGroup, **members: Any) -> None:
    Plan("mine", 0, "now", "quarantine", groups, **members).check()


def test_a_plan_is_one_where_each_file_has_one_end() -> None:
    check(of(planned(1, b"/photos/b.png")), of(planned(2, b"/photos/c.png")))
    theirs = planned(1, b"/theirs/a.png", "keep", collection="theirs")
    check(of(planned(1, b"/photos/b.png"), keeper=theirs))
    check(of(planned(1, b"/photos/b.png", "keep")), of(planned(2, b"/photos/c.png")))


@pytest.mark.parametrize(
    ("group", "named"),
    [
        (of(planned(1, b"/photos/x.png")), "x.png"),
        (of(planned(9, b"/photos/b.png")), "b.png"),
        (of(planned(0, b"/photos/x.png")), "x.png"),
        (of(planned(9, b"/photos/a.png")), "a.png"),
        (of(PlannedFile(9, b"/photos/x.png", "f" * 64, 1, "reflink")), "x.png"),
        (of(planned(9, b"/safe/below/x.png")), "/safe is protected"),
        (of(planned(1, b"/photos/b.png", "keep")), "b.png"),
        (of(planned(8, b"/photos/k.png", "keep"), planned(0, b"/photos/x.png")), "x.png"),
    ],
)
def test_one_that_gives_a_file_two_ends_or_a_wrong_one_is_refused(group: PlannedGroup, named: str) -> None:
    sound = of(planned(1, b"/photos/b.png"))
    with pytest.raises(PlanError) as caught:
        check(sound, group, protect=(b"/safe",))
    assert str(caught.value).startswith("group 2, /")
    assert named in str(caught.value)
