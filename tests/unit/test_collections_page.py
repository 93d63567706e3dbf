"""What the page of collections works out before it draws: paths, progress in words, failures, commands."""

from __future__ import annotations

import json
import os
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import imseek
from imseek import jobs, library
from imseek.errors import CollectionExistsError, EncoderUnavailableError, ImseekError, UnknownEncoderError
from imseek.types.indexing_runs import Failure
from imseek.ui.web import background, folders, plain_text
from imseek.ui.web.background import BackgroundTask
from imseek.ui.web.folders import list_folder, start_folder
from imseek.ui.web.pages.collections import create_task, log_lines, overview, run_descriptions, sources

pytestmark = pytest.mark.slow

NOW = datetime(2026, 1, 2, 12, 0, 30, tzinfo=UTC)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("Pictures", "photos 2025", "Plans", ".hidden", "node_modules"):
        (tmp_path / name).mkdir()
    for name in ("a.jpg", "b.PNG", "notes.txt"):
        (tmp_path / "Pictures" / name).write_bytes(b"")
    (tmp_path / "c.webp").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "Pictures")
    (tmp_path / "broken link").symlink_to(tmp_path / "nowhere")
    return tmp_path


def test_a_folder_shows_its_folders_and_counts_pictures(tree: Path) -> None:
    found = list_folder(f"{tree}/")
    assert [(entry.name, entry.note) for entry in found.entries] == [
        ("link", "2 pictures, a link: passed over unless chosen itself"),
        ("photos 2025", ""),
        ("Pictures", "2 pictures"),
        ("Plans", ""),
    ]
    assert found.chosen == f"{tree}/"
    assert found.above == f"{tree.parent}/"
    assert found.summary == "1 picture, 3 with the folders below"
    assert (found.pictures, found.more) == (3, False)
    (tree / "Pictures" / "deeper").mkdir()
    (tree / "Pictures" / "deeper" / "d.gif").write_bytes(b"")
    (tree / ".hidden" / "e.gif").write_bytes(b"")
    (tree / "node_modules" / "f.gif").write_bytes(b"")
    (tree / "._a.jpg").write_bytes(b"")  # As macOS writes beside pictures on disks of others.
    assert list_folder(f"{tree}/").summary == "1 picture, 4 with the folders below"
    assert list_folder(f"{tree}/").pictures == 4
    assert list_folder(f"{tree}/", hidden=True).pictures == 7
    assert list_folder(f"{tree}/Pictures").pictures == 3
    assert {entry.name: entry.note for entry in list_folder(f"{tree}/P").entries}["Pictures"] == "3 pictures"


def test_a_large_tree_is_counted_as_far_as_there_is_time(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "_SECONDS", -1.0)
    found = list_folder(f"{tree}/")
    assert (found.pictures, found.more) == (1, True)
    assert found.summary == "1 picture, 1 or more with the folders below"


def test_each_folder_is_walked_once(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    count_below = folders._count_below

    def record(path: str, end: float, *, hidden: bool) -> tuple[int, bool]:
        seen.append(path)
        return count_below(path, end, hidden=hidden)

    monkeypatch.setattr(folders, "_count_below", record)
    (tree / "x.jpg").mkdir()  # Named like a picture.
    assert list_folder(f"{tree}/Pictures").summary == "1 picture, 3 with the folders below"
    assert sorted(seen) == [f"{tree}/{name}" for name in ("Pictures", "Plans", "photos 2025", "x.jpg")]


@pytest.mark.parametrize(
    ("begun", "names"),
    [("p", ["photos 2025", "Pictures", "Plans"]), ("PI", ["Pictures"]), (".h", [".hidden"]), ("x", [])],
)
def test_what_is_typed_goes_on_as_folders_do(tree: Path, begun: str, names: list[str]) -> None:
    found = list_folder(f"{tree}/{begun}")
    assert [entry.name for entry in found.entries] == names
    assert found.chosen is None


def test_hidden_folders_are_shown_where_they_are_asked_for(tree: Path) -> None:
    names = [entry.name for entry in list_folder(f"{tree}/", hidden=True).entries]
    assert ".hidden" in names
    assert "node_modules" in names


def test_a_file_can_be_chosen(tree: Path) -> None:
    found = list_folder(f"{tree}/c.webp")
    assert (found.chosen, found.pictures) == (f"{tree}/c.webp", 1)
    assert list_folder(f"{tree}/broken link").chosen is None


def test_home_has_a_short_name() -> None:
    assert list_folder("~").folder == list_folder("~/").folder == start_folder()


@pytest.mark.parametrize("typed", ["", "Pictures", "./x", "a\0b", "/a\0b", "https://example.org/"])
def test_what_is_no_whole_path_is_told(typed: str) -> None:
    found = list_folder(typed)
    assert found.chosen is None
    assert found.entries == ()
    assert "whole path" in found.summary


def test_folders_that_may_not_be_read_or_named_are_told(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(os.fsdecode(os.fsencode(tree) + b"/na\xefve")).mkdir()
    real = os.scandir

    def scandir(path: Any) -> Any:
        if str(path).rstrip("/").endswith("Plans"):  # Root may read what it likes.
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    entries = {entry.name: entry for entry in list_folder(f"{tree}/").entries}
    assert entries["Plans"].path is None
    assert entries["Plans"].note == "you may not look into this folder"
    assert entries["na\\xefve"].path is None
    assert "UTF-8" in entries["na\\xefve"].note
    assert list_folder(f"{tree}/Plans/").summary == "you may not look into this folder"
    assert list_folder(f"{tree}/nowhere/").summary == "there is no such folder"
    assert list_folder(f"{tree}/c.webp/").summary == "that is a file"


def job(state: str = jobs.RUNNING, kind: str = "index", code: int | None = None, **progress: Any) -> jobs.Job:
    return jobs.Job(7, kind, state, 1, "here", "2026-01-02T12:00:00+00:00", None, code, progress, None)


@pytest.mark.parametrize(
    ("progress", "how", "share"),
    [
        ({}, "running for 30 s; estimating…", None),
        (
            {"phase": "index", "done": 100, "total": 400, "skipped": 2, "seconds": 20.0},
            "100 of 400, 5.0 a second, about 50 s left, 2 skipped",
            0.25,
        ),
        ({"phase": "scan", "done": 0, "total": None, "seconds": 1.0}, "scan, 30 s", None),
        ({"phase": "\x1b[2J", "done": 0, "total": 5, "seconds": 0}, "0 of 5 (\\x1b[2J)", 0.0),
        ({"done": "many", "total": [], "seconds": None}, "running for 30 s; estimating", None),
        ({"done": 9, "total": 3, "seconds": 3.0}, "9 of 3, 3.0 a second", 1.0),
    ],
)
def test_progress_is_told(progress: dict[str, Any], how: str, share: float | None) -> None:
    told = run_descriptions.summarise_run(job(**progress), NOW)
    assert told.title == "Indexing"
    assert told.detail.startswith(how)
    assert told.share == share


@pytest.mark.parametrize(
    ("state", "code", "what"),
    [
        (jobs.DONE, 0, "Indexing: done"),
        (jobs.FAILED, 1, "Indexing: failed"),
        (jobs.INTERRUPTED, 130, "Indexing: stopped"),
        (jobs.INTERRUPTED, None, "Indexing: interrupted (killed, or power lost)"),
    ],
)
def test_ends_are_told(state: str, code: int | None, what: str) -> None:
    told = run_descriptions.summarise_run(job(state, code=code, done=3, total=9, skipped=0), NOW)
    assert told.title == what
    assert told.detail.startswith("3 files checked")
    assert ("kept" in told.detail) == (state == jobs.INTERRUPTED)


def test_kinds_that_are_not_known_are_text() -> None:
    assert run_descriptions.summarise_run(job(kind="**later**\n"), NOW).title == "**later**\\n"


def test_logs_are_shown_from_their_end(tmp_path: Path) -> None:
    log = tmp_path / "1-2.log"
    log.write_bytes(b"first\n" + b"x" * 50 + b"\xff\x1b[31m\n" + b"line\n" * 20_000 + b"last\n")
    text = log_lines.read_end(log)
    assert text is not None
    assert text.startswith("…\nline")
    assert text.endswith("last")
    log.write_bytes(b"\xff\x1b[31m\n")
    assert log_lines.read_end(log) == "\N{REPLACEMENT CHARACTER}\\x1b[31m"
    assert log_lines.read_end(tmp_path / "gone") is None


def test_a_log_that_is_a_link_or_a_pipe_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("what nobody else may see")
    (tmp_path / "link.log").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe.log")
    assert log_lines.read_end(tmp_path / "link.log") is None
    assert log_lines.read_end(tmp_path / "pipe.log") is None


def test_what_was_written_for_programs_is_shown_in_lines(tmp_path: Path) -> None:
    log = tmp_path / "1-2.log"
    result = {
        "schema": 1, "collection": {"name": "c", "path": "/c"}, "map": {"name": "map", "where": None, "seed": 0},
        "columns": ["map_x", "map_y"], "images": 1200, "stale": False, "notes": [], "rows": [{"id": 1}],
    }  # fmt: skip
    lines = [
        *(json.dumps({"progress": {"phase": "reading", "done": n, "total": 8, "skipped": 0}}) for n in (1, 8)),
        json.dumps({"progress": {"phase": "placing", "done": 1200, "total": None, "skipped": 2}}),
        "a line\x1b[2J",
        "{",
        json.dumps(result, indent=1),
        json.dumps({"schema": 1, "error": {"type": "UsageError", "message": "no such", "hint": "another"}}),
        '{"cut',
    ]
    log.write_text("\n".join(lines))
    assert (log_lines.read_end(log) or "").splitlines() == [
        "reading: 8 of 8",
        "placing: 1,200, 2 skipped",
        "a line\\x1b[2J",
        *["{", *json.dumps(result, indent=1).splitlines()],
        "imseek: no such",
        "hint: another",
        '{"cut',
    ]
    assert log_lines.describe_lines(json.dumps(result, indent=1).splitlines()) == [
        "map name: map", "map seed: 0", "columns: map_x, map_y", "images: 1,200", "stale: no",
    ]  # fmt: skip
    assert log_lines.describe_lines(["{}", "[1]", '{"progress": {}}']) == ["[1]"]


def test_failures_are_grouped_with_what_to_do() -> None:
    failures = [Failure(0, b"/p/%d.jpg" % n, "truncated", "ends too early") for n in range(7)]
    failures += [Failure(0, b"/p/\xff\n.jpg", "of a later version", "?")]
    first, second = run_descriptions.group_failures(failures)
    assert (first.reason, first.count, len(first.examples)) == ("Truncated", 7, 5)
    assert "Copy them again" in first.advice
    assert second.examples == ("/p/\\xff\\n.jpg: ?",)
    assert second.advice == "Try again: the cause may be temporary."


def test_commands_of_the_page() -> None:
    assert create_task.IndexRequest().command() == ("index",)
    assert create_task.IndexRequest(retry_failed=True).command() == ("index", "--retry-failed")
    assert create_task.IndexRequest(("-x",), skip_known=True, limit=5).command() == (
        "index", "--skip-known", "--limit", "5", "--", "-x",
    )  # fmt: skip


def test_what_would_be_done_heeds_the_options(tmp_path: Path, photo_files: list[Path]) -> None:
    for n, file in enumerate(photo_files[:3]):
        shutil.copy(file, tmp_path / f"{'.' if n == 0 else ''}{n}.png")
    here = (str(tmp_path),)

    def first(collection: imseek.Collection, **options: Any) -> str:
        return sources.plan_lines(collection, create_task.IndexRequest(here, **options), basic=True)[0]

    with imseek.create(tmp_path / "made.imseek", encoder="fake") as collection:
        assert first(collection) == "would index: 2 new; nothing was read or changed"
        assert first(collection, hidden=True) == "would index: 3 new; nothing was read or changed"
        limited = sources.plan_lines(collection, create_task.IndexRequest(here, limit=1), basic=True)
        assert limited[-1] == "at most 1 picture would be read now"
        assert sources.plan_lines(collection, create_task.IndexRequest(here, limit=2), basic=True) == limited[:-1]
        assert (
            "which of the new"
            in sources.plan_lines(collection, create_task.IndexRequest(here, skip_known=True), basic=True)[-1]
        )


def test_jobs_compute_as_the_pages_do() -> None:
    runtime = imseek.Runtime(device="cpu", threads=2)
    assert create_task.with_runtime(("index", "--", "/x"), runtime) == (
        "index", "--device=cpu", "--threads=2", "--", "/x",
    )  # fmt: skip
    assert create_task.with_runtime(("source", "remove", "1"), runtime) == ("source", "remove", "1")
    assert (
        create_task.with_runtime(("index",), None)
        == create_task.with_runtime(("index",), imseek.Runtime())
        == ("index",)
    )


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("IMSEEK_HOME", str(tmp_path / "home"))
    return {"IMSEEK_HOME": str(tmp_path / "home")}


def test_names_are_judged(environ: dict[str, str]) -> None:
    assert create_task.name_problem("", environ) == "Enter a name"
    assert "letters" in (create_task.name_problem("../x", environ) or "")
    assert create_task.name_problem("fine", environ) is None
    library.path_for("fine", environ).mkdir(parents=True)
    assert "already" in (create_task.name_problem("fine", environ) or "")
    assert create_task.free_name(environ) == "default"
    library.path_for("default", environ).mkdir()
    assert create_task.free_name(environ) == "default-2"


def test_encoders_say_what_they_cost() -> None:
    found = {choice.reference: choice for choice in create_task.encoder_choices()}
    assert list(found) == ["auto", "default", "fast", "multilingual", "best", "builtin"]
    assert "Licence: MIT" in found["default"].facts[1]
    assert "168" in found["fast"].facts[1] or "on this machine" in found["fast"].facts[1]


def test_a_collection_is_made_and_filled(environ: dict[str, str], photos: Path) -> None:
    wanted = create_task.CollectionRequest("new", "fake", index=create_task.IndexRequest((str(photos),)).command())
    work = create_task.start(wanted, environ, imseek.Runtime(device="cpu", threads=1))
    assert work.wait(60)
    assert work.error is None
    assert isinstance(work.result(), jobs.Job)
    path = library.path_for("new", environ)
    assert jobs.wait(path, work.result().run_id, timeout=60).state == jobs.DONE
    with pytest.raises(CollectionExistsError):
        create_task.start(wanted, environ)
    background.forget(work)
    assert background.find(create_task.KIND, "new") is None


@pytest.mark.parametrize(
    ("encoder", "error"), [("no-such", UnknownEncoderError), ("multilingual", EncoderUnavailableError)]
)
def test_what_cannot_be_made_is_told(
    environ: dict[str, str],
    encoder: str,
    error: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    work = create_task.start(create_task.CollectionRequest("new", encoder), environ)
    assert work.wait(60)
    assert isinstance(work.error, error)
    assert not library.path_for("new", environ).exists()
    background.forget(work)


def test_a_folder_that_is_gone_meanwhile_fails_its_run(environ: dict[str, str]) -> None:
    wanted = create_task.CollectionRequest(
        "new", "fake", index=create_task.IndexRequest(("/no/such/folder",)).command()
    )
    work = create_task.start(wanted, environ)
    assert work.wait(60)
    assert isinstance(work.result(), jobs.Job)
    ended = jobs.wait(library.path_for("new", environ), work.result().run_id, timeout=60)
    assert run_descriptions.summarise_run(ended).title == "Indexing: failed"
    end = time.monotonic() + 30  # The run has ended before its process says why.
    while "/no/such/folder" not in (run_descriptions.log_of(ended) or "") and time.monotonic() < end:
        time.sleep(0.05)
    assert "no such file or folder: /no/such/folder" in (run_descriptions.log_of(ended) or "")
    background.forget(work)


def test_work_can_be_stopped_and_is_one_of_a_kind() -> None:
    import threading

    go = threading.Event()

    def wait(work: BackgroundTask[Any]) -> None:
        while True:
            work.say("waiting", 0.5)
            go.wait(0.01)

    work = background.start("test", "x", wait)
    assert background.start("test", "x", wait) is work
    work.stop()
    assert work.wait(10)
    assert work.stopped
    assert work.error is None
    background.forget(work)


def test_mistakes_in_work_are_told_on_the_page_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fail(work: BackgroundTask[Any]) -> None:
        raise ZeroDivisionError("of two pictures")

    work = background.start("test", "y", fail)
    assert work.wait(10)
    assert str(work.error) == background.UNEXPECTED
    assert "ZeroDivisionError: of two pictures" in caplog.text
    with pytest.raises(ImseekError, match="something went wrong"):
        work.result()
    assert background.of_kind("test")["y"] is work
    background.forget(work)


def test_cards_tell_what_cannot_be_opened(tmp_path: Path) -> None:
    named = library.NamedCollection("c", tmp_path / "c")
    imseek.create(named.path, encoder="fake").close()
    assert overview.facts(named) == ["0 pictures"]
    (named.path / "catalog.sqlite").write_bytes(b"no catalog at all")
    assert overview.facts(named) == ["cannot be opened"]


def test_moments_are_told_by_the_clock_of_this_machine_without_a_browser(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert plain_text.local_time("2026-11-25T22:55:16+00:00") == "2026-11-26 07:55:16"
        assert plain_text.local_time("some day\n") == "some day\\n"
    finally:
        monkeypatch.undo()
        time.tzset()
