"""`imseek jobs`, `imseek index --background` and `imseek watch`, as a user types them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from answers import validate
from PIL import Image

import imseek
from imseek import jobs
from imseek.ui.cli.jobs import _progress


def collection_of(home: Path) -> Path:
    return home / "collections" / "default"


def test_a_missing_folder_before_the_first_collection(cli, home) -> None:
    outcome = cli("index", "/no/such/folder")
    assert outcome.code == 2
    assert "hint: check the spelling" in outcome.err
    assert not collection_of(home).exists()


def test_no_jobs_yet(cli, home) -> None:
    imseek.create(collection_of(home), encoder="fake").close()
    outcome = cli("jobs")
    assert (outcome.code, outcome.out) == (0, "")
    assert "nothing has been run" in outcome.err
    assert cli("jobs", "--json").json("jobs")["jobs"] == []


def test_what_has_been_run(cli, indexed) -> None:
    assert cli("index").code == 0
    outcome = cli("index", "/no/such/folder")
    assert outcome.code == 2
    assert "hint: check the spelling" in outcome.err
    outcome = cli("jobs")
    assert outcome.code == 0
    head, *rows = outcome.out.splitlines()
    assert head.split() == ["job", "state", "exit", "process", "started", "ended", "progress", "command"]
    found = [(row.split()[0], row.split()[1], row.split()[2], row.split()[-1]) for row in rows]
    assert found == [("3", "failed", "2", "index"), ("2", "done", "0", "index"), ("1", "done", "0", "index")]
    assert "3 of 3 files" in rows[2]
    for command in (["jobs", "list", "--json", "-n", "1"], ["jobs", "--json", "-n", "1"]):
        (job,) = cli(*command).json("jobs")["jobs"]
        assert (job["job_id"], job["state"], job["exit_code"], job["log"]) == (3, "failed", 2, None)


def test_the_last_phase_is_no_progress_of_a_finished_run(cli, home, indexed) -> None:
    (job,) = jobs.list(collection_of(home))
    counted = replace(job, progress={"phase": "index", "done": 3, "total": None})
    assert _progress(counted) == ""
    assert _progress(replace(counted, ended=None)) == "index"


@pytest.mark.parametrize(
    ("kind", "progress", "text"),
    [
        ("index", {"phase": "index", "done": 12, "total": 40, "skipped": 1}, "12 of 40 files, 1 skipped"),
        ("index", {"phase": "index", "done": 0, "total": 0, "skipped": 0}, "nothing new"),
        ("maintain --measure", {"phase": "measuring", "done": 12, "total": 1400}, "measuring 12 of 1,400"),
        ("maintain --measure", {"phase": "measuring", "done": 0, "total": 0}, ""),
    ],
)
def test_progress_says_what_it_counts(cli, home, indexed, kind, progress, text) -> None:
    (job,) = jobs.list(collection_of(home))
    assert _progress(replace(job, kind=kind, progress=progress)) == text


def test_index_in_the_background(cli, home, pictures) -> None:
    outcome = cli("index", pictures, "--encoder", "fake", "--background")
    assert outcome.code == 0, outcome.err
    assert "new collection: default" in outcome.err
    found = re.search(r"job (\d+) \(index\) runs in the background, process (\d+)", outcome.out)
    assert found is not None
    job = jobs.wait(collection_of(home), int(found[1]), timeout=60)
    assert (job.state, job.exit_code, job.pid) == (jobs.DONE, 0, int(found[2]))
    assert f"tail -f {job.log}" in outcome.out
    assert f"imseek jobs cancel {job.run_id}" in outcome.out
    assert cli("info", "--json").json("info")["images"] == 3


def test_index_in_the_background_as_json(cli, home, pictures) -> None:
    body = cli("index", pictures, "--encoder", "fake", "--background", "--json").json("job")
    job = jobs.wait(collection_of(home), body["job"]["job_id"], timeout=60)
    assert body["job"]["log"]["path"] == str(job.log)
    assert job.log is not None
    deadline = time.monotonic() + 60
    while not (text := job.log.read_text()).endswith("}\n"):  # The process ends shortly after its run.
        assert time.monotonic() < deadline
        time.sleep(0.02)
    report = json.loads(text)
    assert (report["added"], report["created"]) == (3, False)


def test_what_the_background_has_no_place_for(cli, indexed) -> None:
    for more in (["--dry-run"], ["-"]):
        outcome = cli("index", indexed, "--background", *more)
        assert outcome.code == 2
        assert "--background takes neither" in outcome.err


def test_cancelling_what_is_not_running(cli, indexed) -> None:
    outcome = cli("jobs", "cancel", "1")
    assert (outcome.code, outcome.out) == (2, "")
    assert "job 1 (index) is not running: done" in outcome.err
    assert cli("jobs", "cancel", "9").code == 2
    error = cli("jobs", "cancel", "9", "--json").json("error")["error"]
    assert (error["type"], error["hint"]) == ("JobNotFoundError", "`imseek jobs` lists them")
    assert "the command comes first: imseek jobs cancel" in cli("jobs", "--json", "cancel", "1").err


def test_cancelling(cli, home, tmp_path) -> None:
    slow = tmp_path / "slow"
    slow.mkdir()
    Image.new("RGB", (2000, 2000), "red").save(slow / "0.png", compress_level=1)
    for n in range(1, 90):
        (slow / f"{n}.png").write_bytes((slow / "0.png").read_bytes() + bytes([n]))
    started = cli("index", slow, "--encoder", "fake", "--background", "--json").json("job")["job"]
    outcome = cli("jobs", "cancel", str(started["job_id"]))
    assert outcome.code == 0, outcome.err
    assert f"job {started['job_id']} (index, process {started['pid']}) was asked to stop" in outcome.out
    job = jobs.wait(collection_of(home), started["job_id"], timeout=60)
    assert (job.state, job.exit_code) == (jobs.INTERRUPTED, 130)


# -- watch ---------------------------------------------------------------------------------------------


class Watching:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def report(self) -> Any:
        """The next object, once it agrees with the schema."""
        document = json.loads(self.line())
        validate(document, "index")
        return document

    def end(self, number: int) -> tuple[int, str]:
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=60)
        return self.process.returncode, err


@contextmanager
def watching(*arguments: str | Path) -> Iterator[Watching]:
    command = [sys.executable, "-P", "-W", "error", "-m", "imseek", "watch", "--settle", "0.3", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=os.environ, **pipes) as process:
        # A line that does not come must not hold the tests for ever.
        timer = threading.Timer(120, process.kill)
        timer.start()
        try:
            yield Watching(process)
        finally:
            timer.cancel()
            process.kill()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_watching_as_json_lines(cli, indexed, number, code) -> None:
    with watching("--json") as watch:
        assert watch.report()["unchanged"] == 3
        Image.new("RGB", (40, 30), "yellow").save(indexed / "yellow.png")
        report = watch.report()
        assert (report["added"], report["live"]) == (1, 4)
        (indexed / "below").rename(indexed / "deep")
        assert watch.report()["moved"] == 1
        assert watch.end(number)[0] == code
    assert cli("info", "--json").json("info")["images"] == 4


def test_watching_for_people(cli, indexed) -> None:
    with watching() as watch:
        assert re.fullmatch(r"\d\d:\d\d:\d\d nothing new; 3 images in the collection \(.* s\)\n", watch.line())
        (indexed / "broken.png").write_bytes(b"this is no picture")
        assert re.match(r"\d\d:\d\d:\d\d 1 skipped; 3 images in the collection", watch.line())
        code, err = watch.end(signal.SIGINT)
    assert code == 130
    assert "skipped (not_an_image)" in err
    assert str(indexed / "broken.png") in err


def test_watching_a_new_folder_indexes_it_first(cli, indexed, tmp_path) -> None:
    (tmp_path / "more").mkdir()
    Image.new("RGB", (40, 30), "yellow").save(tmp_path / "more" / "yellow.png")
    with watching(tmp_path / "more", "--json") as watch:
        report = watch.report()
        assert (report["added"], report["live"], report["seen"]) == (1, 4, 1)
    assert len(cli("source", "list", "--json").json("sources")["sources"]) == 2


def test_watching_nothing(cli, home) -> None:
    assert cli("watch").code == 2
    imseek.create(collection_of(home), encoder="fake").close()
    outcome = cli("watch")
    assert outcome.code == 2
    assert "there is no folder to follow" in outcome.err
    assert cli("watch", "/no/such/folder").code == 2
