"""Every kind of damage to every kind of file: found, mended or named, and nothing that was fine gets worse.

What is promised: `verify` notices any changed byte of any file of a collection that its last writer left in peace.
`repair` brings back all of it from what is left, except vectors and metadata of a damaged shard (encoded again by the
next ``index``, under the same ids) and derived columns, which it names. Of two damaged files the same is true, but
for pairs that vouch for each other: see `test_two_damages`.

``IMSEEK_DAMAGES=n`` sets how often each damage is tried in another place (once by default; 7 make over 500), and a run
takes a sample of them all (tests/durability/faults.py).
"""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import imseek
from durability.damages import (
    DAMAGES,
    KINDS,
    RANDOM,
    SINGLE,
    State,
    Target,
    build,
    collection,
    has_older_version,
    index,
    paths_of,
    shard_of,
)
from durability.faults import sample
from imseek.data import layout

TIMES = int(os.environ.get("IMSEEK_DAMAGES", "1"))
TRIALS = [
    (kind, damage, n)
    for kind in KINDS
    for damage in DAMAGES
    if damage != "an older version" or has_older_version(kind)
    for n in range(TIMES if damage in RANDOM else 1)
]
CATALOGS = {"catalog", "newer backup", "older backup"}


@pytest.fixture(scope="module")
def before(original: Path) -> State:
    return State.of(collection(original))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another collection, just like the first."""
    home = tmp_path_factory.mktemp("stranger") / "home"
    build(home)
    return home


@pytest.fixture
def home(fast_folder: Path, original: Path) -> Path:
    return shutil.copytree(original, fast_folder / "home")


@pytest.fixture(scope="module")
def tally() -> Iterator[Counter[tuple[str, str]]]:
    """Outcomes by kind of file, printed at the end (``pytest -s``)."""
    counted: Counter[tuple[str, str]] = Counter()
    yield counted
    outcomes = ("damaged", "found", "whole again", "named as lost")
    print(f"\n{'':14}" + "".join(f"{outcome:>15}" for outcome in outcomes))
    for kind in dict.fromkeys(kind for kind, _ in counted):
        print(f"{kind:14}" + "".join(f"{counted[kind, outcome]:15}" for outcome in outcomes))


@pytest.mark.parametrize(
    ("kind", "damage", "n"), sample(TRIALS, 48, "damage"), ids=lambda value: str(value).replace(" ", "-")
)
def test_damage(
    kind: str,
    damage: str,
    n: int,
    home: Path,
    stranger: Path,
    before: State,
    tally: Counter[tuple[str, str]],
) -> None:
    root, chance = collection(home), random.Random(f"{kind} {damage} {n}")
    target = Target.choose(home, stranger, kind, damage, chance)
    tally[kind, "damaged"] += 1
    DAMAGES[damage](target, chance)
    harmed = _harmed(root, target, damage)

    problems = imseek.maintenance.verify(root).problems
    # A sound record of another generation: which of the two is wrong cannot be told.
    expected = {layout.CATALOG} if (kind, damage) == ("checksums", "an older version") else harmed
    assert expected <= {problem.file for problem in problems}, problems
    tally[kind, "found"] += 1
    _repair_and_compare(home, before, kind, harmed)
    tally[kind, "named as lost" if kind in ("metadata", "vectors", "column") else "whole again"] += 1


def _harmed(root: Path, target: Target, damage: str) -> set[str]:
    both = [target.path, target.other] if damage == "swapped" and target.swaps else [target.path]
    return {str(path.relative_to(root)) for path in both}


def _repair_and_compare(home: Path, before: State, kind: str, harmed: set[str]) -> None:
    """Everything is as before but what can only be lost, and that is named; pictures of lost rows come back."""
    root = collection(home)
    report = imseek.maintenance.repair(root)
    assert report.after.ok, report.after.problems
    after = State.of(root)
    lost_files = {file for file in harmed if file.startswith((layout.METADATA, layout.SPACES, layout.COLUMNS))}
    lost_files = {file for file in lost_files if not file.endswith(".ids.npy")}
    lost_rows = {layout.shard_of(file) for file in lost_files if not file.startswith(layout.COLUMNS)}
    lost_columns = {layout.shard_of(file) for file in lost_files}
    named = {file for file in lost_files if any(file in line for line in report.lost)}
    # The file of a shard that went with another one need not be named as well.
    assert {layout.shard_of(file) for file in named} == lost_columns
    if kind != "checksums":  # An older one speaks against a sound catalog, which then may have lost something.
        assert len(report.lost) == len(named), report.lost
    assert report.restored or report.lost, "what was done is named"

    assert after.images == before.images, "places, ids, states and tags are not in the shards"
    assert after.others == before.others
    kept = {i: row for i, row in before.rows.items() if shard_of(before, i) not in lost_rows}
    assert after.rows == kept
    assert after.found == before.found & kept.keys()
    columns = {i: value for i, value in before.columns.items() if shard_of(before, i) not in lost_columns}
    assert after.columns == columns

    index(home)
    assert imseek.maintenance.verify(root).ok
    again = State.of(root)
    assert (again.images, again.others, again.columns) == (before.images, before.others, columns)
    # A suspended image has no picture to make its row from again, nor has one whose file is put away: they wait.
    waiting = before.rows.keys() - again.rows.keys()
    assert all(before.images[place][2] != "live" for place in before.images if _id(before, place) in waiting)
    assert again.rows == {i: row for i, row in before.rows.items() if i not in waiting}
    assert again.found == before.found


def _id(state: State, place: str) -> int:
    return int(state.images[place][0])


PAIRS = random.Random(2).sample(
    [(a, b) for n, a in enumerate(KINDS) for b in KINDS[n:] if a != b or a not in SINGLE], k=len(KINDS) + 9
)


@pytest.mark.parametrize("n", range(TIMES))
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: "+".join(pair).replace(" ", "-"))
def test_two_damages(pair: tuple[str, str], n: int, home: Path, stranger: Path, before: State) -> None:
    """All of what is promised of one, for both of them. Except:

    without checksums.json, of which catalogs are said to be sound only what SQLite can tell; without the catalog and
    its younger copy, what the last run did is lost, and named.
    """
    root, chance = collection(home), random.Random(f"{pair} {n}")
    damages = [chance.choice([d for k, d, _ in TRIALS if k == kind]) for kind in pair]
    targets = [Target.choose(home, stranger, *both, chance) for both in zip(pair, damages, strict=True)]
    harmed: set[str] = set()
    for target, damage in zip(targets, damages, strict=True):
        if target.path.exists():  # Both may be of one kind.
            DAMAGES[damage](target, chance)
            harmed |= _harmed(root, target, damage)
    report = imseek.maintenance.verify(root)
    assert not report.ok
    if not set(pair) & {"catalog", "checksums"}:
        assert harmed <= {problem.file for problem in report.problems}, report.problems
    if ("checksums" in pair and set(pair) & CATALOGS) or set(pair) == {"catalog", "newer backup"}:
        mended = imseek.maintenance.repair(root)
        assert mended.after.ok, mended.after.problems
        index(home)
        assert imseek.maintenance.verify(root).ok
        assert State.of(root).rows.items() >= {i: before.rows[i] for i in before.found}.items()
    else:
        _repair_and_compare(home, before, "checksums" if "checksums" in pair else pair[0], harmed)


def test_the_pairs_are_all_kinds(original: Path) -> None:
    assert {kind for pair in PAIRS for kind in pair} == set(KINDS) == paths_of(collection(original)).keys()


def test_the_lock_holds_nothing(home: Path, before: State) -> None:
    """Nor do thumbnails and unfinished work: damaged or not, they are no part of what is promised."""
    root = collection(home)
    (root / layout.LOCK).write_bytes(b"damaged")
    for name in (layout.CACHE, layout.STAGING):
        (root / name).mkdir()
        (root / name / "left.tmp").write_bytes(b"damaged")
    assert imseek.maintenance.verify(root).ok
    index(home)
    assert State.of(root) == before
