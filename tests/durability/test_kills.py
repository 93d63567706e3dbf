"""Killed before a durable operation: the collection opens, searches, verifies, and goes on where it stopped.

An operation is a rename, an unlink, a new or removed folder, a commit of SQLite or the closing of the catalog. Of
each command a sample is tried, another one in each commit. ``IMSEEK_FAULTS=all`` tries all of them, and those that
should make no difference: what happens within ``staging/``, which nobody reads, and ``os.fsync``, around which a kill
finds the same files.
Power cuts, which find other files, are in test_power_cuts.py.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from session_seed import generator

from durability.faults import ALL, sample
from durability.forks import Server
from durability.stage import PASSING, SCENARIOS, Stage, check, draw, made

#: Tried for each command, in every run.
KILLS = 1


@pytest.mark.always
@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_before_an_operation(
    servers: list[Server],
    prepared: Callable[[str], Path],
    fast_folder: Path,
    name: str,
    record_property: Callable[[str, object], None],
) -> None:
    template = prepared(name)
    whole = fast_folder / "whole"
    shutil.copytree(template, whole)
    status, done = servers[0]("victim", name=name, home=whole, die_before=None, count_all=ALL)
    assert status == 0
    assert done["counted"] > 10, "the harness sees the operations"
    assert any(line.startswith("fsync") for line in done["log"])
    trials = sample(range(done["counted"]), KILLS, f"kills of {name}")

    def try_some(which: int) -> None:
        for n in trials[which :: len(servers)]:
            home = fast_folder / f"{n}"
            shutil.copytree(template, home)
            status, _ = servers[which]("victim", name=name, home=home, die_before=n, count_all=ALL)
            assert os.WIFSIGNALED(status), f"operation {n} did not happen again"
            assert os.WTERMSIG(status) == signal.SIGKILL
            try:
                _, kinds = servers[which]("heir", name=name, home=home)
            except AssertionError as error:
                raise AssertionError(f"killed before operation {n}\n{error}") from error
            assert name.startswith("repair") or set(kinds) <= PASSING, f"killed before operation {n}: {kinds}"
            shutil.rmtree(home)

    with ThreadPoolExecutor(len(servers)) as pool:
        for _ in pool.map(try_some, range(len(servers))):
            pass
    record_property("trials", len(trials))
    print(f"{name}: killed before {len(trials)} of {done['counted']} operations")


INDEX = """
import sys, imseek
from imseek.indexer import encode_stage, pipeline
def commit(writer, batch, commit=pipeline.commit):
    generation = commit(writer, batch)
    print(len(batch.new), flush=True)
    return generation
pipeline.COMMIT_IMAGES, encode_stage.ENCODE_BATCH, pipeline.commit = 4, 4, commit
with imseek.open(sys.argv[1]) as collection:
    collection.index([sys.argv[2]])
"""


def test_twenty_kills_while_indexing_600_images(fast_folder: Path) -> None:
    """At random moments: between commits, inside them, in SQLite, while files are being written."""
    import imseek

    stage = Stage(fast_folder)
    stage.photos.mkdir()
    for n in range(600):
        draw(stage.photos / f"{n:03}.png", n)
    made(stage)
    chance = generator("twenty kills")
    acknowledged = 0
    for _ in range(20):
        command = [sys.executable, "-W", "error", "-c", INDEX, str(stage.root), str(stage.photos)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(chance.randrange(4))]
            time.sleep(chance.random() * 0.05)
            process.kill()
            lines += process.stdout.readlines()
        assert process.returncode == -signal.SIGKILL
        acknowledged += sum(int(line) for line in lines if line.endswith("\n"))
        problems = imseek.maintenance.verify(stage.root).problems
        assert {problem.kind for problem in problems} <= PASSING, problems
        with imseek.open(stage.root) as collection:
            assert collection.info().images >= acknowledged
    assert 0 < acknowledged < 600, "the kills came while there was work to do"
    stage.index()
    check(stage, removed=False)
