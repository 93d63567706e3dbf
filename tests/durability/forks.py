"""A server that imports imseek once and then forks a process for each trial, since a trial may die."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent.parent


def environment() -> dict[str, str]:
    """For processes that import this package, and the imseek that these tests are about."""
    paths = [str(TESTS), str(TESTS.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


class Server:
    """``server(work, **arguments)`` runs one of the functions in :func:`serve` in a fork of the server."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "durability.forks"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )

    def __call__(self, what: str, **arguments: Any) -> tuple[int, Any]:
        """Its wait status and what it returned. Raises AssertionError where it raised anything."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"what": what, **arguments}, default=str) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if isinstance(answer["result"], dict) and "error" in answer["result"]:
            raise AssertionError(f"{what}: {answer['result']['error']}")
        return answer["status"], answer["result"]

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def forked(work: Callable[[], object]) -> tuple[int, Any]:
    """The wait status of a child that does ``work``, and the JSON value that it returned (an error: its text)."""
    read, write = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            result = json.dumps(work())
        except BaseException:
            import traceback

            result = json.dumps({"error": traceback.format_exc()})
        with os.fdopen(write, "wb") as pipe:
            pipe.write(result.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        text = pipe.read()
    return os.waitpid(pid, 0)[1], json.loads(text) if text else None


def import_everything() -> None:
    """What a trial needs, imported before the forks, or each of them would; none of it starts a thread."""
    import acting  # noqa: F401
    import faiss  # noqa: F401
    import filelock  # noqa: F401
    import numpy.ma
    import numpy.random  # noqa: F401
    import pyarrow.compute  # noqa: F401
    import send2trash.plat_other  # noqa: F401
    from PIL import Image, ImageOps  # noqa: F401

    Image.preinit()


def serve() -> None:
    from durability import acts, faults, kills, power, shots, stage, upgrades
    from imseek.data.trust import create_records

    import_everything()
    create_records()  # Made once in a home: otherwise the first trial would do more than the others.
    work = {
        "prepare": stage.prepare,
        "victim": kills.victim,
        "heir": kills.heir,
        "facts": power.facts_of,
        "problems": power.problems,
        "survive": power.survive,
        "lifetime": shots.lifetime,
        "expect": shots.expect,
        "trial": shots.trial,
        "fault": faults.trial,
        "attempt": faults.attempt,
        "few_files": faults.few_files,
        "upgrade": upgrades.victim,
        "prepare_acts": acts.prepare,
        "victim_of_acts": acts.victim,
        "heir_of_acts": acts.heir,
        "plan_of_acts": acts.plan,
        "apply_or_undo": acts.main,
        "survivor_of_acts": acts.survivor,
    }
    for line in sys.stdin:
        order = json.loads(line)
        status, result = forked(partial(work[order.pop("what")], **order))
        print(json.dumps({"status": status, "result": result}), flush=True)


if __name__ == "__main__":
    serve()
