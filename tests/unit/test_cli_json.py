"""The JSON forms of results, against their schemas: shapes that real runs seldom produce."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers import validate

from imseek.errors import QueryError
from imseek.library import ResolvedCollection
from imseek.metrics.estimate import Estimate
from imseek.probes.results import ClassScore, CurvePoint, ProbeEvaluation
from imseek.types.collection_info import CollectionInfo, SourceInfo, SpaceInfo, SpaceSummary
from imseek.types.indexing_runs import Failure, IndexReport, SpaceRun
from imseek.types.maintenance_reports import Problem, RepairReport, VerifyReport
from imseek.types.pictures import Place
from imseek.types.search_results import Hit, HitGroup, Searched, SearchResult, SpaceShare
from imseek.ui.cli.index import IndexRun
from imseek.ui.cli.info import Overview
from imseek.ui.cli.search_json_types import SearchAnswer
from imseek.ui.render.result_json import (
    Answer,
    CollectionName,
    ErrorAnswer,
    print_answer,
    print_json,
)

CHOSEN = ResolvedCollection(Path("/library/scans"), "scans", "--collection")
LATIN1 = "/p/caf\xe9.jpg".encode("latin-1")


def printed(capsys: pytest.CaptureFixture[str], schema: str, body: Any) -> Any:
    """What ``print_json`` printed, once it agrees with the schema."""
    print_json(body)
    document = json.loads(capsys.readouterr().out)
    validate(document, schema)
    return document


def answered(result: Any) -> Answer[Any]:
    """The result of a command about the collection ``CHOSEN``."""
    return Answer(CollectionName.of(CHOSEN), result)


def test_search(capsys: pytest.CaptureFixture[str]) -> None:
    metadata = {
        "width": np.int32(640),
        "latitude": float("nan"),
        "phash": np.uint64(2**64 - 1),
        "extra": {"rating": np.float32(0.5), "tags": ("a", "b"), "seen": None},
    }
    hits = (
        Hit("uuid", 7, 0.123456789, Place(1, LATIN1), metadata),
        Hit("uuid", 8, -1.0, None),
    )
    spaces = (SpaceShare(0, "fake", 2 / 3), SpaceShare(1, "fake:32", 1 / 3))
    result = SearchResult(hits, 3, 2, "fake", ("a note",), spaces)
    document = printed(capsys, "search", SearchAnswer.of(result, [CHOSEN]))
    assert [share["weight"] for share in document["spaces"]] == [0.666667, 0.333333]
    first, second = document["hits"]
    assert first["path"] == r"/p/caf\xe9.jpg"
    assert first["path_b64"] == "L3AvY2Fm6S5qcGc="
    assert first["score"] == pytest.approx(0.123457, abs=1e-9)
    assert first["metadata"] == {
        "width": 640,
        "latitude": None,
        "phash": 2**64 - 1,
        "extra": {"rating": 0.5, "tags": ["a", "b"], "seen": None},
    }
    assert (second["path"], second["source_id"]) == (None, None)
    assert document["collection"] == {"name": "scans", "path": "/library/scans"}


def test_search_with_everything_that_shaping_adds(capsys: pytest.CaptureFixture[str]) -> None:
    vector = np.array([0.6, -0.8], np.float32)
    hits = (
        Hit("one", 7, 0.5, Place(1, LATIN1), {}, (8, 9), "2024-05-31", vector),
        Hit("two", 3, 0.25, None, {}, (), None, vector),
    )
    result = SearchResult(
        hits,
        3,
        30,
        "fake",
        next_page="AQEA",
        cut=4,
        approximate=True,
        groups=(HitGroup("2024-05-31", 5, hits[:1]), HitGroup(None, 1, hits[1:])),
        collections=(Searched("one", 3, 10), Searched("two", 8, 20)),
    )
    other = ResolvedCollection(Path("/library/more"), "more", "--collection")
    document = printed(capsys, "search", SearchAnswer.of(result, [CHOSEN, other], line=12))
    assert document["line"] == 12
    assert (document["next_page"], document["cut"], document["approximate"]) == ("AQEA", 4, True)
    assert document["groups"] == [
        {"name": "2024-05-31", "size": 5, "hits": 1},
        {"name": None, "size": 1, "hits": 1},
    ]
    assert document["collections"] == [
        {"uuid": "one", "name": "scans", "path": "/library/scans", "generation": 3, "searched": 10},
        {"uuid": "two", "name": "more", "path": "/library/more", "generation": 8, "searched": 20},
    ]
    assert [hit["duplicates"] for hit in document["hits"]] == [[8, 9], []]
    assert [hit["vector"] for hit in document["hits"]] == [[pytest.approx(0.6), pytest.approx(-0.8)]] * 2


def test_a_query_of_many_that_failed(capsys: pytest.CaptureFixture[str]) -> None:
    document = printed(capsys, "error", ErrorAnswer.of(QueryError("no", hint="yes"), 3))
    assert document == {
        "schema": 1,
        "line": 3,
        "error": {"type": "QueryError", "message": "no", "hint": "yes"},
    }


def test_index(capsys: pytest.CaptureFixture[str]) -> None:
    report = IndexReport(
        seen=3,
        unchanged=0,
        added=2,
        changed=0,
        moved=0,
        copied=0,
        removed=0,
        skipped=1,
        live=2,
        bytes_read=10,
        files_opened=3,
        seconds=0.1239,
        generation=1,
        encoder="fake",
        failures=(Failure(1, LATIN1, "truncated", "it ends early"),),
        spaces=(SpaceRun(0, "fake", "bf16"),),
    )
    document = printed(capsys, "index", answered(IndexRun(report)))
    assert (document["added"], document["skipped"], document["seconds"]) == (2, 1, 0.124)
    assert document["failures"][0]["path_b64"] == "L3AvY2Fm6S5qcGc="
    assert document["created"] is False
    assert document["spaces"] == [{"space_id": 0, "encoder": "fake", "precision": "bf16"}]


@pytest.mark.parametrize("failures", [False, True])
def test_info(capsys: pytest.CaptureFixture[str], failures: bool) -> None:
    space = SpaceInfo(1, "fake", "f", 64, "image", "test")
    found = CollectionInfo(
        path="/library/scans",
        uuid="u",
        format=1,
        created="2026-01-01T00:00:00Z",
        generation=2,
        images=1,
        dead_rows=0,
        shards=1,
        bytes_on_disk=100,
        encoder=space,
        sources=(SourceInfo(1, "folder", LATIN1, 1, 1, present=False),),
        failures=(Failure(1, b"a", "corrupt", "x"),),
        index="exact",
        spaces=(SpaceSummary(space, None, ("fp32", "bf16")),),
    )
    document = printed(capsys, "info", answered(Overview(found, found.failures if failures else None)))
    assert ("failures" in document) is failures
    assert document["sources"][0]["present"] is False
    assert document["spaces"] == [
        {"space_id": 1, **document["encoder"], "modalities": None, "precisions": ["fp32", "bf16"]}
    ]


def test_verify_and_repair(capsys: pytest.CaptureFixture[str]) -> None:
    verified = VerifyReport((Problem("missing", "metadata/0.parquet", "gone", repairable=True),), 4, 5)
    document = printed(capsys, "verify", answered(verified))
    assert document["ok"] is False
    repaired = RepairReport(("a from b",), ("c",), VerifyReport((), 4, 5))
    document = printed(capsys, "repair", answered(repaired))
    assert document["after"]["ok"] is True


def test_figures_of_a_probe_that_are_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    unknown = Estimate(0.123456789, float("nan"), float("nan"))
    classes = (ClassScore("red", 0, None, None),)
    points = (CurvePoint(1, 2, unknown, unknown),)
    found = ProbeEvaluation(None, "linear", "tags", 2, 1, 0, (), unknown, unknown, 0.5, classes, (), points)
    print_answer(found, CHOSEN)
    document = json.loads(capsys.readouterr().out)
    validate(document, "probe-evaluate")
    assert document["per_class"] == {"value": 0.123457, "low": None, "high": None}
    assert document["classes"] == [{"name": "red", "tested": 0, "accuracy": None, "precision": None}]


def test_output_is_ascii_whatever_the_file_names(capsys: pytest.CaptureFixture[str]) -> None:
    hit = Hit("uuid", 1, 0.5, Place(1, "/p/写真\n.jpg".encode()))
    print_json(SearchAnswer.of(SearchResult((hit,), 1, 1, "fake"), [CHOSEN]))
    text = capsys.readouterr().out
    assert text.isascii()
    assert json.loads(text)["hits"][0]["path"] == "/p/写真\n.jpg"
