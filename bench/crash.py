"""SIGKILL at random moments, over every command that writes.

    python bench/crash.py [--kills 1000] [--seed 1] [--only "index again"] [--commands 0.1]

Each trial kills one process, or up to four in a row, each while it recovers from the kill before. Then it checks that
everything acknowledged is there, goes on, and compares with an undisturbed run. Moments are uniform over the life of a
process, which is measured first. A share of the trials (``--commands``) kills the command line, the others kill forks
of a process that has imported imseek. Exit code 1 where anything was lost, doubled or left over.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import recorder
from durability.forks import Server
from durability.shots import COMMANDS
from durability.stage import SCENARIOS
from durability.witness import MOMENTS

FAULTS = ("lost", "doubled", "orphans")
#: The last three place a kill among SQLite's commits in an undisturbed process.
COLUMNS = (
    "kills", "of commands", "in a row", "misses", "acknowledged", *FAULTS,
    "before the first commit", "between", "after the last",
)  # fmt: skip
HEADING = " " * 18 + "".join(f"  {column}" for column in COLUMNS)


@dataclass
class Tally:
    """Kills and failures of one scenario."""

    kills: list[dict[str, Any]] = field(default_factory=list)
    misses: int = 0
    in_a_row: int = 0
    commands: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, seed: str, command: bool, result: dict[str, Any]) -> None:
        kills = result["kills"]
        self.kills += [{"seed": seed, **kill} for kill in kills]
        self.misses += not kills
        self.in_a_row += len(kills) > 1
        self.commands += len(kills) if command else 0
        self.counts.update({name: result[name] for name in (*FAULTS, "acknowledged")})
        faults = ", ".join(f"{result[name]} {name}" for name in FAULTS if result[name])
        if result["failure"] is not None or faults:
            self.failures.append(f"seed {seed!r}, kills {kills}: {faults}\n{result['failure'] or ''}")

    def row(self, commits: int) -> dict[str, int]:
        """Return the row of the table; an undisturbed process makes ``commits`` commits."""
        commits_before = [kill["commits"] for kill in self.kills]
        return {
            "kills": len(self.kills),
            "of commands": self.commands,
            "in a row": self.in_a_row,
            "misses": self.misses,
            "before the first commit": sum(n == 0 for n in commits_before),
            "between": sum(0 < n < commits for n in commits_before),
            "after the last": sum(0 < n >= commits for n in commits_before),
            **self.counts,
        }


def run(name: str, kills: int, seed: int, share: float, servers: list[Server], folder: Path) -> tuple[Tally, int]:
    """Kill ``kills`` processes; return the tally, and the commits of an undisturbed run."""
    template = folder / "template"
    servers[0]("prepare", name=name, home=template)
    _, expected = servers[0]("expect", name=name, home=folder / "expected", template=template)
    share = share if name in COMMANDS else 0.0
    lives = {}
    for command in {False, share > 0}:
        order = {"name": name, "home": folder / "life", "template": template, "command": command}
        _, lives[command] = servers[0]("lifetime", **order)
    tally = Tally()

    def work(which: int) -> None:
        for n in range(which, 10 * kills, len(servers)):
            if len(tally.kills) >= kills:
                return
            command = share > 0 and n % round(1 / share) == 0
            order = {"name": name, "home": folder / f"{n}", "template": template, "expected": expected}
            order |= {"seed": f"{seed} {name} {n}", "seconds": lives[command][0], "command": command}
            _, result = servers[which]("trial", **order)
            tally.add(order["seed"], command, result)

    with ThreadPoolExecutor(len(servers)) as pool:
        for _ in pool.map(work, range(len(servers))):
            pass
    shutil.rmtree(template)
    return tally, lives[False][1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=SCENARIOS, action="append", help="may be given more than once")
    parser.add_argument("--commands", type=float, default=0.1, help="share of trials that kill the command line")
    parser.add_argument("--log", type=Path, help="write the seed, delay and moment of each kill to this file")
    options = parser.parse_args()
    names = options.only or list(SCENARIOS)
    start = time.monotonic()
    moments: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    failed = False
    shm = Path("/dev/shm")
    print(HEADING)
    with ExitStack() as stack:
        servers = [Server() for _ in range(len(os.sched_getaffinity(0)))]
        for server in servers:
            stack.callback(server.close)
        # In memory where possible: to a kill that makes no difference.
        fast = shm if os.access(shm, os.W_OK) else None
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=fast)))
        for n, name in enumerate(names):
            quota = options.kills * (n + 1) // len(names) - options.kills * n // len(names)
            tally, commits = run(name, quota, options.seed, options.commands, servers, scratch)
            row = tally.row(commits)
            print_row(name, row)
            recorder.add_row("scenarios", name=name, failures=len(tally.failures), **_snake(row))
            totals.update(row)
            moments.update(kill["moment"] for kill in tally.kills)
            failed |= bool(tally.failures)
            print(*tally.failures, sep="\n", end="\n" if tally.failures else "", flush=True)
            if options.log is not None:
                with options.log.open("a") as log:
                    log.writelines("{seed}\t{delay:.6f}\t{moment}\t{commits}\n".format(**k) for k in tally.kills)
    print_row("all", totals)
    print("\nwhere the kills fell: " + ", ".join(f"{moments[m]} {m}" for m in MOMENTS if moments[m]))
    print(f"seed {options.seed}, {time.monotonic() - start:.0f} s")
    recorder.put(seed=options.seed, moments=dict(moments), total=_snake(totals))
    return int(failed)


def _snake(row: Mapping[str, int]) -> dict[str, int]:
    return {column.replace(" ", "_"): row[column] for column in COLUMNS}


def print_row(name: str, row: Mapping[str, int]) -> None:
    print(f"{name:18}" + "".join(f"{row[column]:>{len(column) + 2}}" for column in COLUMNS), flush=True)


if __name__ == "__main__":
    sys.exit(recorder.run(main))
