"""A system call fails: any of those by which a command changes the collection, ours, Arrow's or SQLite's.

The command says what and where, with an error of imseek's own, or it did all that it was to do; an fsync that failed
is never taken for one that worked. The collection is intact, and the same command, given again, completes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from session_seed import generator

from durability.faults import ALL, sample, sites
from durability.forks import Server
from durability.stage import PASSING, SCENARIOS, Stage
from imseek.errors import FREE_SPACE

#: How each is told; SQLite has words of its own.
ERRORS = {
    "ENOSPC": ("No space left on device", "disk is full", "the disk may be full", FREE_SPACE),
    "EIO": ("Input/output error", "disk I/O error"),
}
#: Calls of imseek, never of SQLite: each is needed, an fsync too.
OURS = ("write", "fsync", "rename", "renameat", "mkdirat")
#: Where a file cannot be opened, SQLite does not tell why, and tries without the right to write.
UNOPENED = ("unable to open database file", "attempt to write a readonly database")
#: How a run reports that its index is the one before.
UNRENEWED = "the vector index could not be renewed"
#: Trials for each command in every run, of some three hundred calls and two errors.
SAMPLE = 1
#: How often a command is given until the call that is to fail happens, and then the last call that it made.
AGAIN = 5


@pytest.mark.always
@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_call_may_fail(
    servers: list[Server],
    prepared: Callable[[str], Path],
    fast_folder: Path,
    name: str,
    record_property: Callable[[str, object], None],
) -> None:
    template = prepared(name)
    whole = fast_folder / "whole"
    shutil.copytree(template, whole)
    _, done = servers[0]("fault", name=name, home=whole)
    assert done["refusal"] is None
    found = sites(done["calls"], Stage(whole).root)
    assert {"pwrite64", "fsync", "rename"} <= {call for call, _, _ in found}, "SQLite's calls are seen, and ours"
    trials = [(site, error) for site in found for error in ERRORS]
    if not ALL and generator(f"whose calls of {name}").random() < 0.5:
        # Of those that must not be passed over, which are few.
        trials = [trial for trial in trials if trial[0][0] in OURS]
    trials = list(sample(trials, SAMPLE, f"calls of {name}"))
    refused = []

    def try_some(which: int) -> None:
        for n, ((call, ordinal, line), error) in list(enumerate(trials))[which :: len(servers)]:
            home = fast_folder / f"{n}"
            place = f"{error} at {call} {ordinal}: {line}"
            try:
                # Threads that wake each other make some calls more in one run than in another; a slow run makes a
                # commit more, of many calls. The last of a quick run is then the one that fails.
                when = ordinal
                for trial in range(2 * AGAIN):
                    shutil.rmtree(home, ignore_errors=True)
                    shutil.copytree(template, home)
                    inject = f"{call}:error={error}:when={when}"
                    _, after = servers[which]("fault", name=name, home=home, inject=inject)
                    if any("(INJECTED)" in line for line in after["calls"]):
                        break
                    if trial >= AGAIN - 1:
                        made = sites(after["calls"], Stage(home).root)
                        when = max((at for same, at, _ in made if same == call and at <= ordinal), default=1)
                else:
                    raise AssertionError("it did not happen again")
                if after["refusal"] is None:
                    # A run whose index could not be renewed says so: the index before serves, all else is there.
                    reported = any(line.startswith(UNRENEWED) for line in after["reports"])
                    assert reported or call not in OURS, "it was passed over"
                    spared = {"snapshots", "generation"} if reported else set()
                    # Clearing up can wait for the next writer.
                    kept, wanted = (
                        {key: value for key, value in one["state"].items() if key not in spared}
                        for one in (after, done)
                    )
                    assert kept == wanted, "nothing was said, and something is missing"
                else:
                    refused.append(after["refusal"]["kind"])
                    expected = (*ERRORS[error], *(UNOPENED if call == "openat" else ()))
                    message, hint = after["refusal"]["message"], after["refusal"]["hint"]
                    assert str(home) in message
                    assert any(words in f"{message}, {hint}" for words in expected), message
                _, kinds = servers[which]("heir", name=name, home=home)
                assert name.startswith("repair") or set(kinds) <= PASSING, kinds
            except AssertionError as failure:
                raise AssertionError(f"{place}\n{failure}") from failure
            shutil.rmtree(home)

    with ThreadPoolExecutor(len(servers)) as pool:
        for _ in pool.map(try_some, range(len(servers))):
            pass
    assert set(refused) <= {"StorageError", "ReadOnlyError"}
    record_property("trials", len(trials))
    print(f"{name}: {len(trials)} failing calls, {len(refused)} of them refused the command")
