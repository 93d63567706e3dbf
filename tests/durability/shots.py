"""Kills at random moments: a command is killed from outside, sometimes while it recovers from the kill before.

A victim has a :class:`~durability.witness.Witness` of what it was promised. After each kill the
collection must hold exactly that; in the end it must be as if nobody had been killed.
"""

from __future__ import annotations

import os
import random
import select
import shutil
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from durability.stage import COLUMN, PASSING, Stage, few_rows, go_on, live_ids, ones, perform, small
from durability.witness import Witness, name_of

#: Commands that a user may type for a scenario; those without one are functions of the library only.
COMMANDS: dict[str, list[str]] = {
    "create": ["collection", "create", "{root}", "--encoder", "fake"],
    "create over a rest": ["collection", "create", "{root}", "--encoder", "fake"],
    "index": ["index", "{photos}", "-c", "{root}"],
    "index again": ["index", "{photos}", "-c", "{root}"],
    "remove a source": ["source", "remove", "1", "-c", "{root}"],
    "relocate a source": ["source", "relocate", "1", "{photos}/moved", "-c", "{root}"],
    "merge": ["maintain", "--merge", "-c", "{root}"],
    "sweep": ["maintain", "-c", "{root}"],
    "purge": ["maintain", "--purge", "-c", "{root}"],
    "reencode": ["maintain", "--reencode", "fake:32", "-c", "{root}"],
    "go on reencoding": ["maintain", "--reencode", "fake:32", "-c", "{root}"],
    "switch over a missing picture": ["maintain", "--reencode", "fake:32", "-c", "{root}"],
    "drop a space": ["maintain", "--drop-space", "0", "-c", "{root}"],
    "purge spaces": ["maintain", "--purge", "-c", "{root}"],
    "repair after a switch": ["collection", "repair", "{root}"],
    "index archives": ["index", "{photos}/archives", "-c", "{root}"],
    "index archives again": ["index", "{photos}/archives", "-c", "{root}"],
    "embed captions": ["maintain", "--captions", "-c", "{root}"],
    "repair captions": ["collection", "repair", "{root}"],
    "repair a shard": ["collection", "repair", "{root}"],
    "repair the catalog": ["collection", "repair", "{root}"],
}
#: What they say where the one that was killed before had done its work.
DONE = {
    "create": "there is already a collection",
    "create over a rest": "there is already a collection",
    "remove a source": "no source 1 in this collection",
    "drop a space": "no space 0 in this collection",
}


# -- victims -------------------------------------------------------------------------------------------------


def fork_victim(name: str, home: Path) -> int:
    """A process that performs the scenario, forked from this one; its id."""
    if (pid := os.fork()) == 0:
        status = 1
        try:
            Witness(home).install()
            perform(name, Stage(home))
            status = 0
        except BaseException:
            import traceback

            (home / "error").write_text(traceback.format_exc())
        os._exit(status)
    return pid


def command_victim(name: str, home: Path) -> int:
    """A process of the command line that does what the scenario does; its id."""
    stage = Stage(home)
    arguments = [part.format(root=stage.root, photos=stage.photos) for part in COMMANDS[name]]
    with (home / "error").open("wb") as error:
        # Not Popen: it would warn of a process that is not waited for here.
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-W", "error", "-m", "durability.shots", name, str(home), *arguments],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, error.fileno(), 2),
            ],
        )


def run_command(name: str, home: Path, arguments: Sequence[str]) -> int:
    """The command line, with a witness and the small commits of the scenarios."""
    from imseek.__main__ import main
    from imseek.data.writing import writer

    Witness(home).install()
    small(merging=name != "index")
    few_rows()
    if name == "sweep":
        writer.GRACE_SECONDS = -1.0
    sys.argv = ["imseek", *arguments]
    return main()


def shot(pid: int, delay: float) -> int:
    """Kill a process after so many seconds, unless it ends before; its wait status."""
    descriptor = os.pidfd_open(pid)
    try:
        select.select([descriptor], [], [], delay)
        os.kill(pid, signal.SIGKILL)
        return os.waitpid(pid, 0)[1]
    finally:
        os.close(descriptor)


def lifetime(name: str, home: str, template: str, command: bool) -> tuple[float, int]:
    """Seconds that an undisturbed victim lives (the median of three), and the transactions that it commits."""
    lives = []
    for n in range(3):
        own = Path(f"{home}.{n}")
        shutil.copytree(template, own)
        witness = Witness(own)
        start = time.monotonic()
        pid = (command_victim if command else fork_victim)(name, own)
        status = os.waitpid(pid, 0)[1]
        lives.append(time.monotonic() - start)
        assert status == 0, (own / "error").read_text()
        commits = witness.commits
        shutil.rmtree(own)
    return sorted(lives)[1], commits


# -- trials --------------------------------------------------------------------------------------------------


def trial(
    name: str, home: str, template: str, expected: dict[str, Any], seed: str, seconds: float, command: bool
) -> dict[str, Any]:
    """Kill up to four victims in a row, at moments within ``seconds``, then go on and compare with what is expected.

    Returns the kills, and the numbers of images that were lost and doubled and of files that nobody knows.
    """
    from imseek.data.reader import Reader

    chance = random.Random(seed)
    own = Path(home)
    shutil.copytree(template, own)
    witness = Witness(own)
    if not name.startswith("repair") and (Stage(own).root / "current.json").exists():
        with closing(Reader(Stage(own).root)) as reader:
            witness.may(reader.generation, facts_of(reader))
            witness.did(reader.generation)
    found: Counter[str] = Counter()
    kills: list[dict[str, Any]] = []
    in_a_row = 1 if chance.random() < 0.7 else chance.randrange(2, 5)
    failure = None
    try:
        for _ in range(in_a_row):
            delay = chance.uniform(0, seconds)
            witness.begin()
            status = shot((command_victim if command else fork_victim)(name, own), delay)
            kill = {"delay": delay, "moment": witness.moment, "commits": witness.commits}
            if status != signal.SIGKILL:
                # It had ended before the shot: a miss.
                said = (own / "error").read_text() if (own / "error").exists() else ""
                done_before = bool(kills) and name in DONE and DONE[name] in said
                assert status == 0 or done_before, f"wait status {status}: {said}"
                break
            kills.append(kill)
            found += survey(name, own, witness)
        if kills:
            go_on(name, Stage(own))
            found += difference(expected, outcome(Stage(own), expected["first_new_id"]))
            found["orphans"] += len(strangers(Stage(own).root))
    except Exception:
        import traceback

        failure = traceback.format_exc()
    possible, acknowledged = witness.promises()
    shutil.rmtree(own)
    return {
        "kills": kills,
        "acknowledged": sum(generation <= acknowledged for generation in possible),
        "failure": failure,
        **{what: found[what] for what in ("lost", "doubled", "orphans")},
    }


def survey(name: str, home: Path, witness: Witness) -> Counter[str]:
    """A collection just after a kill: what is lost of what was acknowledged, and what is there twice.

    Raises AssertionError where it does not open, verify shows more than a kill may leave, or a search does not find
    what is live.
    """
    import imseek
    from imseek.data.reader import Reader

    stage = Stage(home)
    possible, acknowledged = witness.promises()
    if not (stage.root / "collection.json").exists():
        assert acknowledged < 0, "the collection is lost"
        return Counter()
    kinds = {problem.kind for problem in imseek.maintenance.verify(stage.root).problems}
    if name.startswith("repair"):
        if kinds & {"catalog", "vectors"}:
            return Counter()  # It was damaged before.
    else:
        assert kinds <= PASSING, kinds
    reader = Reader(stage.root)
    there = facts_of(reader)
    with imseek.open(stage.root) as collection:
        hits = collection.search(ones(stage), limit=1000).hits
    assert sorted(hit.image_id for hit in hits) == sorted(image_id for image_id, *_ in there)
    assert reader.generation >= acknowledged, "an acknowledged generation is lost"
    if reader.generation in possible:
        return compared(possible[reader.generation], there)
    # The first generation is noted by nobody, and a repair makes some that it does not speak of.
    assert reader.generation == 0 or name.startswith("repair"), "a generation that nobody made"
    return Counter()


def compared(promised: list[Any], there: list[Any]) -> Counter[str]:
    wanted, found = Counter(map(tuple, promised)), Counter(map(tuple, there))
    return Counter(lost=(wanted - found).total(), doubled=(found - wanted).total())


def facts_of(reader: Any) -> list[Any]:
    """Id, content and place of every live image, as readers see them."""
    ids = live_ids(reader)
    places, rows = reader.places(sorted(set(ids))), reader.metadata(sorted(set(ids)))
    named = {image_id: name_of(place.path) for image_id, place in places.items()}
    return [[i, rows[i]["content_hash"].upper(), named.get(i)] for i in ids]


def outcome(stage: Stage, first_new_id: int) -> dict[str, Any]:
    """What a collection holds in the end, by place. New images may have got any ids."""
    from imseek.data.reader import Reader

    reader = Reader(stage.root)
    images: dict[str, list[Any]] = {}
    for image_id in live_ids(reader):
        image = reader.image(image_id)
        old = image_id if image_id < first_new_id else "new"
        place = "nowhere" if image.place is None else os.path.relpath(os.fsdecode(image.place.path), stage.photos)
        value = [old, image.content_hash, list(image.tags), image.metadata.get(COLUMN)]
        images.setdefault(place, []).append(value)
    with closing(sqlite3.connect(stage.root / "catalog.sqlite")) as connection:
        judgements = connection.execute("SELECT hex(hash_a), hex(hash_b), verdict FROM judgements").fetchall()
    return {"images": images, "judgements": sorted(map(list, judgements)), "first_new_id": first_new_id}


def expect(name: str, home: str, template: str) -> dict[str, Any]:
    """The outcome where nobody is killed."""
    from imseek.data.current_generation import read_current

    shutil.copytree(template, home)
    stage = Stage(Path(home))
    first_new_id = read_current(stage.root).next_image_id if (stage.root / "current.json").exists() else 0
    perform(name, stage)
    go_on(name, stage)
    found = outcome(stage, first_new_id)
    shutil.rmtree(home)
    return found


def difference(expected: dict[str, Any], found: dict[str, Any]) -> Counter[str]:
    """Raises AssertionError where tags, columns, ids or judgements differ: that is neither lost nor doubled."""
    wanted, there = expected["images"], found["images"]
    lost = sum(max(0, len(images) - len(there.get(place, []))) for place, images in wanted.items())
    doubled = sum(max(0, len(images) - len(wanted.get(place, []))) for place, images in there.items())
    if not lost and not doubled:
        for place, images in wanted.items():
            assert there[place] == images, f"{place}: {there[place]} instead of {images}"
        assert found["judgements"] == expected["judgements"]
    return Counter(lost=lost, doubled=doubled)


def strangers(root: Path) -> list[str]:
    """Files in a collection that nothing speaks of."""
    from imseek.data import layout

    with closing(sqlite3.connect(root / layout.CATALOG)) as connection:
        listed = {path for (path,) in connection.execute("SELECT path FROM files")}
    own = {layout.COLLECTION, layout.CURRENT, layout.CATALOG, layout.CHECKSUMS, layout.LOCK, *layout.BACKUPS}
    there = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
    return [name for name in there if name not in listed | own and not layout.is_set_aside(name)]


if __name__ == "__main__":
    sys.exit(run_command(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
