"""Power cut at any operation: what was acknowledged is there, and the collection goes on where it stopped.

A sample of the states, another one in each commit. ``bench/power_cuts.py`` tries all of them, and leaves out each fsync
in turn to see that one of the states then fails.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from session_seed import generator, session_seed

import imseek
from durability.disk import EVERYTHING, Acknowledge, Disk, MakeFolder, Operation, Rename, Sync, Write, cuts
from durability.faults import sample
from durability.forks import Server, environment
from durability.power import Outage, Recording, continued, outages, recorded, try_outage
from durability.stage import SCENARIOS
from durability.trace import record

pytestmark = pytest.mark.usefixtures("strace")

#: Moments tried for each command, beside the last one.
STATES = 3


def try_all(recording: Recording, states: list[Outage], servers: list[Server], folder: Path) -> None:
    def try_some(which: int) -> None:
        for n, state in enumerate(states[which :: len(servers)]):
            try_outage(recording, state, servers[which], folder / f"{which}-{n}")

    with ThreadPoolExecutor(len(servers)) as pool:
        for _ in pool.map(try_some, range(len(servers))):
            pass


@pytest.mark.parametrize("name", SCENARIOS)
def test_power_cuts(servers: list[Server], prepared: Callable[[str], Path], fast_folder: Path, name: str) -> None:
    template = shutil.copytree(prepared(name), fast_folder / "template")
    recording = recorded(name, template, servers[0])
    chance = generator(f"power cuts of {name}")
    last = len(recording.operations)
    moments = sample(range(last), STATES, f"moments of {name}")
    states = [
        chance.choice(found)
        for n in [*moments, last]
        if (found := list(outages(recording, seeds=1, first=n, last=n, seed=session_seed())))
    ]
    try_all(recording, states, servers, fast_folder)


def test_a_missing_fsync_is_noticed(servers: list[Server], fast_folder: Path) -> None:
    """Of vectors, of current.json, and of their folders."""
    recording = recorded("index", fast_folder / "template", servers[0])
    operations = recording.operations
    for path in ("staging/spaces_0_img_emb_000001.npy", "spaces/0/img_emb", "staging/current.json", "."):
        whole = [n for n, o in enumerate(operations) if isinstance(o, Sync) and _is(o.path, path)]
        assert whole
        rest = [operation for n, operation in enumerate(operations) if n not in whole]
        states = list(_worst(recording, rest))
        with pytest.raises(AssertionError, match="power cut before"):
            try_all(recording, states, servers, fast_folder)
        shutil.rmtree(fast_folder / "0-0", ignore_errors=True)


@pytest.mark.parametrize(("name", "folders"), [("create", 2), ("index", 5)])
def test_power_cut_after_a_kill(servers: list[Server], fast_folder: Path, name: str, folders: int) -> None:
    """What a killed process made and did not live to fsync: the next one may not take it for durable."""
    recording = recorded(name, fast_folder / "template", servers[0])
    made = [n for n, operation in enumerate(recording.operations) if isinstance(operation, MakeFolder)]
    assert len(made) == folders
    for n in made:
        after = continued(recording, n + 1, servers[0])
        try_all(after, list(_worst(after, after.operations)), servers, fast_folder)


def _is(path: str, wanted: str) -> bool:
    return path == ".imseek" if wanted == "." else path.startswith(f".imseek/{wanted}")


def _worst(recording: Recording, operations: list[Operation]) -> Iterator[Outage]:
    """Just after each acknowledgement: nothing that was not fsynced is there, or only the names are."""
    for n, operation in enumerate(operations):
        if isinstance(operation, Acknowledge):
            found = outages(recording, seeds=0, operations=operations, first=n + 1, last=n + 1)
            yield from (state for state in found if state.cut in ("nothing", "names only"))


COMMANDS = {
    "rename": "library.rename('old', 'new', {'IMSEEK_HOME': str(home)})",
    "delete": "library.delete(home / 'collections/old', 'old')",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_power_cuts_of_collections_as_a_whole(fast_folder: Path, name: str) -> None:
    """Renamed or deleted: the old name is whole, or it is gone; and it is gone once that was said."""
    home = fast_folder / "collections"
    imseek.create(home / "old", encoder="fake").close()
    whole = Disk.of(home)
    before = {path.removeprefix("old/"): data for path, data in whole.after(EVERYTHING).items()}
    code = f"import pathlib, sys; from imseek import library; home = pathlib.Path(sys.argv[1]); {COMMANDS[name]}"
    command = [sys.executable, "-c", code, str(fast_folder)]
    operations = record(command, home, fast_folder / "acknowledged", environment())
    assert any(isinstance(operation, Rename) for operation in operations)
    for n in range(len(operations) + 1):
        for cut in (*cuts(1, of=n), *whole.alone()):
            left = whole.after(cut)
            old = {path.removeprefix("old/"): data for path, data in left.items() if path.startswith("old/")}
            new = {path.removeprefix("new/"): data for path, data in left.items() if path.startswith("new/")}
            assert old.items() in ({}.items(), before.items()), f"half of it is left before {n}, {cut.name}"
            assert n < len(operations) or not old, "it has come back"
            assert name == "delete" or before.items() in (old.items(), new.items())
        if n < len(operations):
            whole.do(operations[n])


# -- the model -----------------------------------------------------------------------------------------------


def after(disk: Disk, cut: str) -> dict[str, bytes | None]:
    return next(disk.after(c) for c in cuts(1) if c.name == cut)


def test_what_is_not_fsynced_may_be_lost() -> None:
    disk = Disk({"a": b"old"})
    disk.do(Write("a", 0, b"new"))
    assert after(disk, "nothing") == {"a": b"old"}
    assert after(disk, "everything") == {"a": b"new"}
    assert after(disk, "names and lengths") == {"a": b"\0\0\0"}
    disk.do(Sync("a", ours=True))
    assert after(disk, "nothing") == {"a": b"new"}


def test_torn_writes_tear_between_sectors() -> None:
    disk = Disk({"a": b""})
    disk.do(Write("a", 0, b"x" * 8192))
    torn = after(disk, "torn 0")["a"]
    assert torn is not None
    sectors = {torn[start : start + 512] for start in range(0, len(torn), 512)}
    assert {bytes(512), b"x" * 512} <= sectors


def test_a_rename_may_leave_both_names_but_never_none() -> None:
    left = set()
    for seed in range(20):
        disk = Disk({"a": b"content", "folder": None})
        disk.do(Rename("a", "folder/b"))
        for cut in (*cuts(1, of=seed), *disk.alone()):
            left.add(frozenset(path for path, data in disk.after(cut).items() if data == b"content"))
    assert left == {frozenset(["a"]), frozenset(["folder/b"]), frozenset(["a", "folder/b"])}
