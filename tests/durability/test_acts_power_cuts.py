"""Power cut while files of duplicates are put away or brought back: the bytes of each are there, and come back.

What a command does is recorded once (strace) and replayed up to an operation; then the disk loses what it may lose.
"""

from __future__ import annotations

import random
import shutil
import sys
from pathlib import Path

import pytest
from session_seed import generator, session_seed

from durability.disk import Disk, Exchange, Link, Operation, Rename, Sync, cuts, write_tree
from durability.faults import sample
from durability.forks import Server, environment
from durability.trace import record

pytestmark = pytest.mark.usefixtures("strace")

#: Tried for each way and command.
STATES = 3
AFTER = (["undo"], ["index", "undo"], ["apply", "undo"])


class Trials:
    """A recorded command, and a home in which what a power cut has left of it is laid out."""

    def __init__(self, server: Server, duplicated: Path, folder: Path, way: str, command: str) -> None:
        self.server, self.way, self.home = server, way, folder / "home"
        shutil.copytree(duplicated, self.home)
        server("plan_of_acts", home=self.home, way=way)
        if command == "undo":
            server("apply_or_undo", home=self.home, way=way, command="apply")
        self.template = folder / "template"
        shutil.copytree(self.home, self.template)
        arguments = [sys.executable, "-W", "error", "-m", "durability.acts", str(self.home), way, command]
        (folder / "acknowledged").touch()
        self.operations = record(arguments, self.home / "photos", folder / "acknowledged", environment())

    def try_one(self, operations: list[Operation], n: int, chance: random.Random) -> None:
        disk = Disk.of(self.template / "photos")
        for operation in operations[:n]:
            disk.do(operation)
        cut = chance.choice([*cuts(1, of=f"{session_seed()} {n}"), *disk.alone()])
        shutil.rmtree(self.home)
        shutil.copytree(self.template, self.home, ignore=shutil.ignore_patterns("photos"))
        write_tree(self.home / "photos", disk.after(cut))
        steps = chance.choice(AFTER)
        try:
            self.server("survivor_of_acts", home=self.home, way=self.way, steps=steps)
        except AssertionError as error:
            before = operations[n] if n < len(operations) else "nothing"
            raise AssertionError(
                f"power cut before operation {n}, {before} ({cut.name} survived), then {steps}\n{error}"
            ) from error


@pytest.mark.parametrize("command", ["apply", "undo"])
@pytest.mark.parametrize("way", ["quarantine", "links", "copies", "hard-link", "over"])
def test_power_cuts(servers: list[Server], duplicated: Path, fast_folder: Path, way: str, command: str) -> None:
    trials = Trials(servers[0], duplicated, fast_folder, way, command)
    moves = [n for n, o in enumerate(trials.operations) if isinstance(o, Exchange | Rename | Link)]
    assert len(moves) >= 6, "the harness sees files move"
    chance = generator(f"power cuts of {way} {command}")
    first = next(n for n, o in enumerate(trials.operations) if "undo/" in str(getattr(o, "path", "")))
    for n in sample(range(first, len(trials.operations) + 1), STATES, f"moments of {way} {command}"):
        trials.try_one(trials.operations, n, chance)


@pytest.mark.parametrize(("way", "fsync"), [("links", "album0"), ("copies", ".part")])
def test_a_missing_fsync_is_noticed(
    servers: list[Server], duplicated: Path, fast_folder: Path, way: str, fsync: str
) -> None:
    """Of the folder that a file goes to before its old name ends, and of a copy."""
    trials = Trials(servers[0], duplicated, fast_folder, way, "apply")
    rest: list[Operation] = [
        o for o in trials.operations if not (isinstance(o, Sync) and "quarantine" in o.path and fsync in o.path)
    ]
    assert len(rest) < len(trials.operations)
    chance = random.Random(way)

    def try_many() -> None:
        for _ in range(200):
            trials.try_one(rest, chance.randrange(len(rest) // 2, len(rest) + 1), chance)

    with pytest.raises(AssertionError, match="power cut before"):
        try_many()
