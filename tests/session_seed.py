"""Where chance begins in a run of the tests: at the commit, so that each commit meets other samples.

``IMSEEK_SEED`` chooses another beginning, for instance that of a run whose failure is to be met again.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
from functools import cache
from pathlib import Path


@cache
def session_seed() -> str:
    """``IMSEEK_SEED``, else the name of the commit, else "0" (no repository)."""
    if given := os.environ.get("IMSEEK_SEED"):
        return given
    command = ["git", "rev-parse", "HEAD"]
    try:
        commit = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "0"
    return commit.stdout.strip() or "0"


def generator(name: str) -> random.Random:
    """A generator of random numbers for what bears this name: the same throughout a run, another in the next commit."""
    return random.Random(f"{session_seed()} {name}")


def number(name: str) -> int:
    """As :func:`generator`, for what takes a whole number of 32 bits as its seed."""
    return int.from_bytes(hashlib.sha256(f"{session_seed()} {name}".encode()).digest()[:4], "big")
