"""Duplicates and actions on them as JSON: shapes that real runs seldom produce."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from answers import validate

from imseek.duplicates.action_results import AppliedFile, ApplyReport, RefusedFile
from imseek.duplicates.results import (
    Box,
    Difference,
    Duplicate,
    DuplicateGroup,
    DuplicatePair,
    DuplicateReport,
    count_by_confidence,
)
from imseek.library import ResolvedCollection
from imseek.progress import Progress
from imseek.types.pictures import Place
from imseek.ui.cli.duplicates import DuplicatesAnswer, PlanSummary, _GroupProgress
from imseek.ui.render.result_json import CollectionName, print_answer

CHOSEN = ResolvedCollection(Path("/library/scans"), "scans", "--collection")
LATIN1 = "/p/caf\xe9.jpg".encode("latin-1")


def answer(capsys: pytest.CaptureFixture[str], schema: str, result: Any, uuid: str | None = None) -> Any:
    print_answer(result, CHOSEN, uuid)
    document = json.loads(capsys.readouterr().out)
    validate(document, schema)
    return document


def image(image_id: int, place: Place | None, pair: DuplicatePair | None = None, **values: Any) -> Duplicate:
    return Duplicate("uuid", image_id, place, "0f" * 32, 640, 480, 1000, "JPEG", pair=pair, **values)


def duplicates() -> DuplicatesAnswer:
    places = (Difference(Box(0.1, 0.2, 1 / 3, 0.4), Box(0, 0.2, 1 / 3, 0.4)),)
    pair = DuplicatePair(1, 2, "same", 2 / 3, cosine=1 / 3, distance=4, differences=places)
    members = (image(1, Place(1, LATIN1)), image(2, None, pair), image(3, None, pair, protected=True))
    group = DuplicateGroup("same", members, "it is larger")
    report = DuplicateReport("uuid", 3, 9, (group,), {"same": 2}, against="other")
    other = ResolvedCollection(Path("/library/more"), "more", "--against")
    plan = PlanSummary(
        "trash", 1, 1000, count_by_confidence([(2 / 3, 1000)]), (RefusedFile(3, b"", "it is protected"),)
    )
    written = {"csv": Path("/tmp/a.csv"), "plan": Path("/tmp/plan.json")}
    return DuplicatesAnswer(report, CollectionName.of(other, "other"), written, plan)


def test_duplicates(capsys: pytest.CaptureFixture[str]) -> None:
    document = answer(capsys, "duplicates", duplicates(), "uuid")
    assert document["collection"] == {"uuid": "uuid", "name": "scans", "path": "/library/scans"}
    assert document["against"] == {"uuid": "other", "name": "more", "path": "/library/more"}
    assert (document["surplus"], document["bytes"]) == (1, 1000)
    assert document["sure"] == [{"at_least": 0, "images": 1, "bytes": 1000}] == document["plan"]["sure"]
    assert document["written"] == {"csv": {"path": "/tmp/a.csv"}, "plan": {"path": "/tmp/plan.json"}}
    assert document["plan"]["refused"] == [{"image_id": 3, "path": "", "reason": "it is protected"}]
    keeper, other, protected = document["groups"][0]["members"]
    assert [one["keep"] for one in (keeper, other, protected)] == [True, False, True]
    assert (keeper["path_b64"], keeper["pair"]) == ("L3AvY2Fm6S5qcGc=", None)
    assert (other["source_id"], other["path"], other["uri"]) == (None, None, None)
    assert (other["pair"]["confidence"], other["pair"]["cosine"]) == (0.666667, 0.333333)
    here, there = ({"left": left, "top": 0.2, "width": 0.333333, "height": 0.4} for left in (0.1, 0))
    assert other["pair"]["differences"] == [{"a": here, "b": there}]
    assert "protected" not in protected


def test_at_a_terminal_the_progress_says_how_many_groups_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Progress] = []
    now = Progress("comparing pairs", 256, 1024, 0, 1.0)
    found = _GroupProgress(None, as_lines=False)
    assert found.progress(shown.append) == shown.append, "for a program that reads it"
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    show = found.progress(shown.append)
    assert show is not None
    show(now)
    found(duplicates().report.groups[0])
    show(now)
    assert [one.phase for one in shown] == ["comparing pairs", "comparing pairs (1 group, 1.0 kB so far)"]
    assert _GroupProgress(None, as_lines=False).progress(None) is None


@pytest.mark.parametrize(
    ("where", "wrong"),
    [
        (("pairs",), {"alike": 1}),
        (("pairs",), {"same": -1}),
        (("written",), {"pdf": {"path": "/tmp/a.pdf"}}),
        (("plan",), "none"),
        (("groups", 0, "kind"), "alike"),
        (("groups", 0, "members", 0, "content_hash"), "0F" * 32),
        (("groups", 0, "members", 0, "source_id"), -1),
        (("groups", 0, "members", 0, "pair"), {}),
        (("groups", 0, "members", 1, "pair", "cosine"), "high"),
        (("groups", 0, "members", 1, "pair", "distance"), 65),
    ],
)
def test_the_schema_refuses(capsys: pytest.CaptureFixture[str], where: tuple[str | int, ...], wrong: Any) -> None:
    from imseek.ui.cli.json_schemas import schemas

    document = answer(capsys, "duplicates", duplicates(), "uuid")
    *way, last = where
    holder = document
    for name in way:
        holder = holder[name]
    holder[last] = wrong
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schemas()["duplicates"], cls=jsonschema.Draft202012Validator)


def test_what_was_applied(capsys: pytest.CaptureFixture[str]) -> None:
    moved = AppliedFile(2, b"/p/b.jpg", "quarantine", "done", LATIN1, bytes=10)
    left = AppliedFile(3, LATIN1, "quarantine", "left", reason="it has changed")
    document = answer(capsys, "apply", ApplyReport(False, "20260301-120000-1f2e3d", 4, (moved, left), 10))
    assert document["counts"] == {"done": 1, "left": 1}
    first, second = document["files"]
    assert first["to"] == {"path": r"/p/caf\xe9.jpg", "path_b64": "L3AvY2Fm6S5qcGc="}
    assert (second["to"], second["path_b64"]) == (None, "L3AvY2Fm6S5qcGc=")
