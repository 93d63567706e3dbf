"""The corpus of each target, and some new inputs for each commit: nothing is raised that is not documented."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from fuzz.corpus import read_corpus
from fuzz.targets import TARGETS

SCRIPT = Path(__file__).parent.parent.parent / "bench" / "fuzz.py"
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


def fuzz(*arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code and the last line of ``bench/fuzz.py``, before that which names the file of its figures."""
    with tempfile.TemporaryDirectory() as results:
        done = subprocess.run(
            (sys.executable, SCRIPT, *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "IMSEEK_BENCH_RESULTS": results, **environment},
            text=True,
            check=False,
            timeout=120,
        )
    return done.returncode, [line for line in done.stdout.splitlines() if results not in line][-1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nothing",), "no target 'nothing'"),
        (("--input", "here"), "--input FILE and --target TARGET go together"),
        (("--input", "nowhere", "--target", "tar"), "no file nowhere"),
        (("where", "--seconds", "0"), "--seconds and --jobs are 1 or more"),
        (("where", "--folder", str(SCRIPT)), "is not a folder"),
    ],
)
def test_wrong_arguments_are_named(arguments: tuple[str, ...], said: str) -> None:
    code, line = fuzz(*arguments)
    assert code == 2
    assert said in line


def test_a_target_that_does_not_start_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "atheris.py").write_text("raise ImportError('not for this Python')\n")
    code, line = fuzz("where", "--folder", str(tmp_path / "runs"), PYTHONPATH=str(tmp_path))
    assert code == 1
    assert line.startswith("where failed: ImportError: not for this Python")
