"""Inputs in the repository: for each target a JSON file of base64, one input a line.

``coverage`` are the shortest that reach each line, written by ``bench/fuzz.py --write-corpus``; ``findings`` are those
that once made a reader fail, put in by hand.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

_FOLDER = Path(__file__).parent / "corpus"


def read_corpus(name: str) -> list[bytes]:
    """The inputs of the target ``name``."""
    return [base64.b64decode(one) for inputs in _read(name).values() for one in inputs]


def write_corpus(name: str, inputs: Iterable[bytes]) -> None:
    """Write the inputs of a target anew, but for those of ``findings``."""
    coverage = [base64.b64encode(data).decode() for data in inputs]
    found = {**_read(name), "coverage": coverage}
    _FOLDER.mkdir(exist_ok=True)
    (_FOLDER / f"{name}.json").write_text(json.dumps(found, indent=0) + "\n")


def _read(name: str) -> Mapping[str, list[str]]:
    path = _FOLDER / f"{name}.json"
    found: dict[str, list[str]] = json.loads(path.read_text()) if path.exists() else {}
    return found
