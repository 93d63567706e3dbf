"""Collections that strangers made: whatever they say, nothing around them is read, changed or called, and no command
hangs or fails without words.

Each run tells a third of the lies, once in each family of files, to a kind of file, in a variant and before a command
that chance chooses: ``IMSEEK_SEED``, else the commit, is where chance begins. ``bench/hostile.py`` goes through all.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from samples import part_of

from hostile.commands import BY_NAME, COMMANDS, Command
from hostile.corpus import PARTS
from hostile.findings import report
from hostile.lies import Lie
from hostile.trial import Ground, Trial

#: Of the calls that meet a lie, how many are of each kind; verify is revision apart.
_SHARES = {"read": 5, "write": 4, "care": 2}
#: Commands that take little time are chosen the more often; bench/hostile.py runs all as often.
_LIGHT = frozenset(
    {
        "search",
        "info",
        "lists",
        "extract",
        "export tables",
        "tag",
        "judge",
        "relocate",
        "undo",
        "delete",
        "rename",
    }
)
#: Of the names of lies, what a run takes.
_SHARE = 1 / 3
#: How often the user has said that the collection is to be trusted.
_TRUSTED = 0.75
#: Lies of each part of the corpus that verify is asked about.
_VERIFIED = 8


@pytest.fixture(scope="module")
def ground(memory_folder: Path) -> Iterator[Ground]:
    with Ground(memory_folder) as ground:
        yield ground


@pytest.mark.sample(command=12)
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_sound_collection_is_none(ground: Ground, command: Command) -> None:
    outcome = ground.run_sound(command)
    assert not outcome.findings
    assert outcome.code == 0, outcome.err.decode()


def _find(ground: Ground, kind: str, name: str) -> Lie:
    (found,) = [lie for lies in ground.corpus().values() for lie in lies if (lie.kind, lie.name) == (kind, name)]
    return found


#: What was found on 9059df4, and what is like it: kind, lie, a part of the variant, command.
KNOWN = [
    ("files: retired long ago", "absolute path", "HOME", "tag"),
    ("files: retired long ago", "outside path", "home", "maintain --purge"),
    ("files: retired in the future", "outside path through the layout", "dead", "index"),
    ("table runs", "trigger that lists canaries", "", "tag"),
    ("table meta", "trigger that lists canaries", "", "judge"),
    ("backups: table runs", "trigger that lists canaries", "", "repair"),
    *(
        (f"{folder}/", "link to a canary folder with its content", folder, command)
        for folder in (
            "cache",
            "dead",
            "jobs",
            "judgements",
            "metadata",
            "models",
            "spaces",
            "staging",
            "undo",
        )
        for command in ("maintain --purge", "index more")
    ),
    *(
        (f"{folder}/", "link to any canary folder", folder, "repair")
        for folder in ("columns", "dead", "judgements", "metadata", "models", "spaces", "spaces/3/parts")
    ),
    ("cache/", "link to any canary folder", "", "duplicates --inside"),
    ("staging/", "link to any canary folder", "", "apply"),
    ("undo/", "link to a canary folder with its content", "", "apply"),
    ("ids", "other type", "|b1", "export pictures"),
    ("catalog.sqlite-wal", "a change in the log", "", "index more"),
    ("catalog.sqlite-shm", "hard link to any canary", "", "tag"),
    ("writer.lock", "link to any canary", "", "tag"),
    ("writer.lock", "link to a file that does not exist", "", "judge"),
    ("catalog.bak.0", "link to any canary", "", "index more"),
    ("catalog.sqlite", "hard link to a canary with its content", "", "tag"),
    ("catalog.sqlite-journal", "names a canary as its super-journal", "home", "tag"),
    ("catalog.sqlite-journal", "names a canary as its super-journal", "key", "search"),
    ("undo", "outside path", "path and full", "undo"),
    ("undo", "takes a file of the user", "to and base", "undo"),
    ("undo", "takes a file of the user", "known content, base HOME", "undo"),
    ("places.path", "secret", "id_rsa' folder", "HTTP"),
    ("places.path", "secret", "id_rsa' folder", "extract"),
    ("places.path", "secret", "id_rsa' folder", "export pictures"),
    ("catalog.json", "a server", "u@127.0.0.1:PORT/x alone", "search"),
    ("index/faiss.index", "lists in another file", "a canary", "search"),
    ("index/faiss.index", "lists in another file", "a new file", "search"),
    ("img_emb", "link to a canary with its content", "", "export vectors"),
    ("table meta", "endless view without rows", "", "info"),
    ("table files", "endless view without rows", "", "search --where"),
    ("table runs", "trigger that never ends", "", "tag"),
    ("current.json", "pipe", "", "search"),
    ("dead", "pipe", "", "search"),
    ("img_emb", "link to /dev/zero", "", "search"),
    ("meta.generation", "odd value", "2", "tag"),
    ("current.json", "number as text", "generation", "info"),
    ("current.json", "number as text", "shard_id=1", "search"),
    ("metadata", "bytes", "pages", "export tables"),
    ("columns", "ids", "null", "search --where"),
]


@pytest.mark.parametrize(
    ("kind", "name", "variant", "command"), KNOWN, ids=["-".join(filter(None, known)) for known in KNOWN]
)
def test_a_known_attack_comes_to_nothing(ground: Ground, kind: str, name: str, variant: str, command: str) -> None:
    lie = _find(ground, kind, name)
    label = next(label for label in lie.variants if variant in label)
    trial = ground.run(lie, label, BY_NAME[command])
    assert not trial.outcome.findings, trial.outcome.err.decode()


@pytest.mark.parametrize("part", PARTS)
def test_no_lie_does_harm(ground: Ground, seed: str, part: str) -> None:
    chance = random.Random(f"{seed} {part}")
    lies = _sample(ground.corpus()[part], chance)
    trials = [_meet(ground, lie, chance) for lie in lies]
    bad = [trial for trial in trials if trial.outcome.findings]
    assert not bad, report(bad, trials, seed)


@pytest.mark.parametrize("part", PARTS)
def test_verify_sees_the_lie(ground: Ground, seed: str, part: str) -> None:
    chance = random.Random(f"{seed} verify {part}")
    lies = [lie for lie in _sample(ground.corpus()[part], chance) if lie.verify]
    lies = chance.sample(lies, min(len(lies), _VERIFIED))
    trials = [ground.run(lie, chance.choice(sorted(lie.variants)), BY_NAME["verify"]) for lie in lies]
    silent = [trial for trial in trials if trial.missed]
    assert not silent, report(silent, trials, seed)


@pytest.mark.parametrize(
    ("kind", "name", "command"),
    [
        ("img_emb", "link to a canary with its content", "search"),
        ("metadata", "link to a canary with its content", "search"),
        ("index/faiss.index", "link to a canary with its content", "search"),
        ("catalog.sqlite", "link to a canary with its content", "info"),
        ("files: retired long ago", "absolute path", "tag"),
        ("catalog.json", "a server", "info"),
    ],
)
def test_the_program_itself_touches_nothing(ground: Ground, kind: str, name: str, command: str) -> None:
    """As a user starts it, with every system call watched: libraries in C tell no audit hook what they open."""
    lie = _find(ground, kind, name)
    trial = ground.trace(lie, next(iter(lie.variants)), BY_NAME[command])
    assert not trial.outcome.findings, trial.outcome.err.decode()


def _sample(lies: Iterable[Lie], chance: random.Random) -> list[Lie]:
    """A third of the names of lies in each family, one lie of each; of those that are slow to tell, one."""
    by_name: dict[tuple[str, str], list[Lie]] = {}
    for lie in lies:
        by_name.setdefault((lie.family or lie.kind, lie.name), []).append(lie)
    found = part_of([chance.choice(some) for some in by_name.values()], _SHARE, chance)
    slow = [lie for lie in found if lie.slow]
    return [*(lie for lie in found if not lie.slow), *chance.sample(slow, min(1, len(slow)))]


def _meet(ground: Ground, lie: Lie, chance: random.Random) -> Trial:
    """A lie in some variant, met by some call of some command."""
    (kind,) = chance.choices([*_SHARES], [*_SHARES.values()])
    commands = [command for command in COMMANDS if command.kind == kind]
    weights = [12 if command.name in _LIGHT else 1 for command in commands]
    (command,) = chance.choices(commands, weights)
    call = None if callable(command.calls) else chance.randrange(len(command.calls))
    variant, trusted = chance.choice(sorted(lie.variants)), chance.random() < _TRUSTED
    return ground.run(lie, variant, command, call, trusted=trusted)
