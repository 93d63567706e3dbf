"""Inputs that are worth keeping, a JSON file of base64 for each target, so that a diff shows one line for each."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path

_FOLDER = Path(__file__).parent / "corpus"


def read_corpus(name: str) -> list[bytes]:
    """The inputs of the target ``name``."""
    path = _FOLDER / f"{name}.json"
    return [base64.b64decode(one) for one in json.loads(path.read_text())] if path.exists() else []


def write_corpus(name: str, inputs: Iterable[bytes]) -> None:
    """Write the inputs of a target anew, the shortest first."""
    _FOLDER.mkdir(exist_ok=True)
    texts = [base64.b64encode(data).decode() for data in sorted(set(inputs), key=lambda one: (len(one), one))]
    (_FOLDER / f"{name}.json").write_text(json.dumps(texts, indent=0) + "\n")
