"""The corpus of each target, and some new inputs for each commit: nothing is raised that is not documented."""

from __future__ import annotations

import random

import pytest

from fuzz.corpus import read_corpus
from fuzz.targets import TARGETS

#: New inputs of each target.
NEW = 150


def change_bytes(data: bytes, draw: random.Random) -> bytes:
    """Some bytes changed, taken out, or put in."""
    result = bytearray(data)
    for _ in range(draw.randint(1, 6)):
        at = draw.randrange(len(result) + 1)
        match draw.randrange(3):
            case 0 if at < len(result):
                result[at] = draw.randrange(256)
            case 1:
                del result[at : at + draw.randint(1, 8)]
            case _:
                result[at:at] = draw.randbytes(draw.randint(1, 8))
    return bytes(result)


@pytest.mark.parametrize("name", TARGETS)
def test_corpus(name: str) -> None:
    target = TARGETS[name]
    for data in (*target.seeds(), *read_corpus(name)):
        target.run(data)


@pytest.mark.parametrize("name", TARGETS)
def test_new_inputs(name: str, seed: str) -> None:
    target = TARGETS[name]
    draw = random.Random(f"{seed} {name}")
    begin = [*target.seeds(), *read_corpus(name)]
    for _ in range(NEW):
        data = change_bytes(draw.choice(begin), draw)
        try:
            target.run(data)
        except Exception as error:
            error.add_note(f"IMSEEK_SEED={seed}, input: {data!r}")
            raise
