"""SIGKILL while files of duplicates are put away and brought back.

    python bench/duplicates_crash.py [--kills 200] [--seed 1] [--only quarantine]

Each trial kills ``apply`` or ``undo`` of a plan before one of its operations on the disk, or in the midst of a write;
every second trial also kills the next command, which continues or reverts. Then it checks that every file exists with
all its bytes, goes on in one of several ways (undo; apply again and undo; index in between, as in a watched folder),
and compares with the state before: bytes, mtime and mode of every file, ids, tags and other data of each image, and no
leftovers of ours. The operations to kill at are spread over everything that each command does. The folders
are in memory where that can be had (--folder), with the quarantine of the way ``disk`` on another file system.
Exit code 1 where anything was lost or different.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import recorder
from durability.acts import AFTER, WAYS
from durability.forks import Server


@dataclass
class Tally:
    """Counts for one way and command."""

    operations: int = 0
    killed_in: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    pairs: int = 0
    failures: list[str] = field(default_factory=list)


def trial(
    server: Server, template: Path, home: Path, disk: Path, way: str, command: str, seed: str, log: list[str]
) -> Tally:
    chance, tally = random.Random(seed), Tally()
    shutil.copytree(template, home)
    disk.mkdir()
    # Each kind of operation is as likely as any other: most are fsyncs.
    kind = chance.choice(sorted(set(log)))
    at = chance.choice([n for n, name in enumerate(log) if name == kind])
    order = {"home": home, "way": way, "disk": disk}
    status, _ = server("victim_of_acts", command=command, die_before=at, **order)
    tally.killed_in[kind] += 1
    tally.kills += os.WIFSIGNALED(status)
    steps = list(chance.choice(AFTER[command]))
    if chance.random() < 0.5 and steps[0] != "index":
        status, _ = server("victim_of_acts", command=steps[0], die_before=chance.randrange(len(log) // 2), **order)
        tally.kills += os.WIFSIGNALED(status)
        tally.pairs += os.WIFSIGNALED(status)
    try:
        server("heir_of_acts", steps=steps, **order)
    except AssertionError as error:
        tally.failures.append(f"{way}, {command} killed at {at} ({kind}), then {steps} [{seed}]: {error}")
        return tally
    shutil.rmtree(home)
    shutil.rmtree(disk)
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200, help="trials; every second one kills twice")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=WAYS)
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"))
    options = parser.parse_args()
    ways = [(way, what) for way in WAYS for what in AFTER if options.only in (None, way)]
    start = time.monotonic()
    servers = [Server(), Server()]
    tallies: dict[tuple[str, str], Tally] = {}
    with (
        tempfile.TemporaryDirectory(dir=options.folder) as folder,
        tempfile.TemporaryDirectory(dir="/var/tmp") as disks,
    ):
        home = Path(folder)
        servers[0]("prepare_acts", home=home / "template")
        logs: dict[tuple[str, str], list[str]] = {}
        for way, what in ways:
            victim, disk = home / f"{way}-{what}", Path(disks) / f"{way}-{what}"
            shutil.copytree(home / "template", victim)
            disk.mkdir()
            _, logs[way, what] = servers[0](
                "victim_of_acts", home=victim, way=way, command=what, disk=disk, die_before=None
            )
            tallies[way, what] = Tally(len(logs[way, what]))

        def run_trials(which: int) -> None:
            for n in range(which, options.kills, len(servers)):
                way, what = ways[n % len(ways)]
                outcome = trial(
                    servers[which], home / "template", home / f"t{n}", Path(disks) / f"t{n}", way, what,
                    f"{options.seed} {n}", logs[way, what],
                )  # fmt: skip
                tally = tallies[way, what]
                tally.kills += outcome.kills
                tally.pairs += outcome.pairs
                tally.killed_in += outcome.killed_in
                tally.failures += outcome.failures

        with ThreadPoolExecutor(len(servers)) as pool:
            list(pool.map(run_trials, range(len(servers))))
    for server in servers:
        server.close()
    print(f"{'way':<12}{'command':<9}{'operations':>10}{'kills':>7}{'in a row':>9}{'failures':>9}  killed in")
    for (way, what), tally in tallies.items():
        kinds = ", ".join(f"{name} {count}" for name, count in sorted(tally.killed_in.items()))
        print(
            f"{way:<12}{what:<9}{tally.operations:>10}{tally.kills:>7}{tally.pairs:>9}{len(tally.failures):>9}  {kinds}"
        )
        recorder.add_row(
            "ways",
            way=way,
            command=what,
            operations=tally.operations,
            kills=tally.kills,
            in_a_row=tally.pairs,
            failures=len(tally.failures),
            killed_in=dict(tally.killed_in),
        )
    failures = [failure for tally in tallies.values() for failure in tally.failures]
    kills = sum(tally.kills for tally in tallies.values())
    print(f"{kills} kills, {len(failures)} failures, {time.monotonic() - start:.0f} s")
    recorder.put(seed=options.seed, kills=kills, failures=len(failures))
    for failure in failures:
        print("\n" + failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(recorder.run(main))
