"""Killed while files of duplicates are put away or brought back: every file is there, and all can be brought back.

A sample, another one in each commit; ``bench/duplicates_crash.py`` tries many, and pairs of kills.
"""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from session_seed import generator

from durability.acts import AFTER, WAYS
from durability.faults import sample
from durability.forks import Server

#: Tried for each way and command.
KILLS = 1


@pytest.mark.parametrize("what", AFTER)
@pytest.mark.parametrize("way", WAYS)
def test_killed_and_brought_back(
    servers: list[Server], duplicated: Path, fast_folder: Path, tmp_path: Path, way: str, what: str
) -> None:
    whole, chance = fast_folder / "whole", generator(f"acts {way} {what}")
    shutil.copytree(duplicated, whole)
    (tmp_path / "whole").mkdir()
    status, log = servers[0](
        "victim_of_acts", home=whole, way=way, command=what, disk=tmp_path / "whole", die_before=None
    )
    assert status == 0
    assert {"fsync", "append", "commit"} <= set(log), "the harness sees the operations"
    for n in sample(range(len(log)), KILLS, f"kills of {way} {what}"):
        home, disk = fast_folder / f"{n}", tmp_path / f"{n}"
        shutil.copytree(duplicated, home)
        disk.mkdir()
        status, _ = servers[0]("victim_of_acts", home=home, way=way, command=what, disk=disk, die_before=n)
        assert os.WIFSIGNALED(status), f"operation {n} ({log[n]}) did not happen again"
        assert os.WTERMSIG(status) == signal.SIGKILL
        steps = chance.choice(AFTER[what])
        try:
            servers[0]("heir_of_acts", home=home, way=way, disk=disk, steps=steps)
        except AssertionError as error:
            raise AssertionError(f"killed before operation {n} ({log[n]}), then {steps}\n{error}") from error
        shutil.rmtree(home)
