"""Files that strangers made and a user gives to imseek: nothing around them is read, changed or called, and no command
hangs, fills the memory, or fails without words.

A run tells a third of the lies about each kind of file once, in a variant that chance chooses, and a few of those that
can be told about any file. ``IMSEEK_SEED``, else the commit, is where chance begins. ``bench/hostile_inputs.py``
goes through all.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from samples import part_of

from hostile.findings import report
from hostile.inputs.place import Input, Kind
from hostile.inputs.trial import Field, corpus

#: Kinds that are told about in one test each, by the first word of their titles.
_FAMILIES = tuple(dict.fromkeys(kind.title.split(":")[0] for kind, _ in corpus()))
#: Of the lies of a kind's own, what a run takes.
_SHARE = 1 / 3
#: Lies about any file, of each kind.
_ANY = 2


@pytest.fixture(scope="module")
def field(memory_folder: Path) -> Iterator[Field]:
    with Field(memory_folder) as field:
        yield field


def _kinds(family: str) -> list[tuple[Kind, tuple[Input, ...]]]:
    return [(kind, lies) for kind, lies in corpus() if kind.title.split(":")[0] == family]


@pytest.mark.parametrize("family", _FAMILIES)
def test_a_sound_file_is_taken(field: Field, family: str) -> None:
    for kind, _ in _kinds(family):
        outcome = field.run_sound(kind)
        assert not outcome.findings, (kind.title, outcome.findings)
        assert outcome.code == 0, (kind.title, outcome.err.decode())


@pytest.mark.parametrize("family", _FAMILIES)
def test_no_lie_does_harm(field: Field, seed: str, family: str) -> None:
    chance = random.Random(f"{seed} {family}")
    trials = [field.run(kind, lie) for kind, lies in _kinds(family) for lie in _sample(kind, lies, chance)]
    bad = [trial for trial in trials if trial.outcome.findings]
    assert not bad, report(bad, trials, seed)


def _sample(kind: Kind, lies: Sequence[Input], chance: random.Random) -> list[Input]:
    """One variant of a third of the lies of a kind's own, and a few of those about any file."""
    small = [lie for lie in lies if not lie.large]
    own = [lie for lie in small if lie in kind.lies]
    by_name: dict[str, list[Input]] = {}
    for lie in own:
        by_name.setdefault(lie.lie, []).append(lie)
    chosen = part_of([chance.choice(some) for some in by_name.values()], _SHARE, chance)
    return [*chosen, *chance.sample([lie for lie in small if lie not in own], _ANY)]


#: What was found on da69c12, and what is like it: kind, lie, a part of the variant.
KNOWN = [
    ("table: csv", "rows name: absolute", "secret"),
    ("table: parquet", "rows name: steps back", "secret"),
    ("table: jsonl", "rows name: a file beside it", "a link to a secret"),
    ("table: csv", "rows name: a text beside it", "an object that is a link"),
    ("text beside a picture", "another name", "a link to a secret"),
    ("table: arrow", "lengths", "2^40 at 600, zstd"),
    ("table: arrow", "lengths", "2^40 at 2600, lz4"),
    ("table: arrow", "what it says of itself", "features, deep"),
    ("vectors: clip-retrieval", "metadata name", "a secret"),
    ("vectors: clip-retrieval", "array: header", "deeper"),
    ("vectors: exported Parquet", "says that it was encoded by", "local-dir"),
    ("vectors: exported Parquet", "says that it was encoded by", "hf-hub"),
    ("vector as a query", "a pipe", "alone"),
    ("queries", "pictures", "a pipe"),
    ("queries", "a link", "to /dev/zero"),
    ("tags: csv", "paths", "secrets"),
    ("policy", "a pipe", "alone"),
    ("classes", "endless", "a hole of 1 TiB"),
    ("plan", "endless", "nothing but a hole"),
    ("backup", "a pipe", "alone"),
    ("weights: torch", "a pickle", "that runs code"),
    ("weights: torch", "a link", "to /dev/zero"),
    ("weights: safetensors", "numbers", "a scale that is huge"),
]


@pytest.mark.parametrize(("title", "name", "variant"), KNOWN, ids=["-".join(known) for known in KNOWN])
def test_a_known_attack_comes_to_nothing(field: Field, title: str, name: str, variant: str) -> None:
    kind, lies = next((kind, lies) for kind, lies in corpus() if kind.title == title)
    lie = next(one for one in lies if one.lie == name and variant in one.variant)
    outcome = field.run(kind, lie).outcome
    assert not outcome.findings, outcome.err.decode()
