"""Client of the fork server :mod:`hostile.child`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hostile.arena import Arena
from hostile.findings import SECONDS, Finding, Outcome, end_findings


class Runner:
    """A fork server for an arena: :meth:`run` calls a function in a fresh child. A context manager.

    ``modules`` are imported once, before any child is forked.
    """

    def __init__(self, arena: Arena, modules: Sequence[str]) -> None:
        self._arena, self._modules = arena, modules

    def __enter__(self) -> Runner:
        self._scratch = Path(tempfile.mkdtemp(prefix="runner-", dir=self._arena.root.parent))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-m", "hostile.child", *self._modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._arena.environment,
            cwd=self._arena.cwd,
        )
        self._reply()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()
        shutil.rmtree(self._scratch)

    def run(
        self,
        function: str,
        arguments: Mapping[str, Any],
        *,
        writes: Sequence[str],
        reads: Sequence[str] = (),
        folders: Sequence[str] = (),
        seconds: float = SECONDS,
    ) -> Outcome:
        """Call ``function`` (``module:name``) with JSON ``arguments``; what it returns is the exit code.

        ``reads`` and ``writes`` are real paths that it may use beside those of the system, with all below them;
        ``folders`` are those that it may list.
        """
        files = {name: self._scratch / name for name in ("out", "err", "findings")}
        request = {
            "function": function,
            "arguments": arguments,
            "cwd": str(self._arena.cwd),
            "env": {},
            "reads": [*self._arena.readable, *reads],
            "writes": [*writes, *_coverage_folder()],
            "folders": list(folders),
            "seconds": seconds,
            **{name: str(path) for name, path in files.items()},
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        reply = self._reply()
        out, err = (files[name].read_bytes() for name in ("out", "err"))
        findings = [Finding(*json.loads(line)) for line in files["findings"].read_bytes().splitlines()]
        findings += end_findings(reply["code"], out, err, hang=reply["hang"], memory=reply["memory"])
        return Outcome(reply["code"], out, err, tuple(findings), reply["cpu"], reply["memory"])

    def _reply(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the fork server ended with {self._process.wait()}"
        found: dict[str, Any] = json.loads(line)
        return found


def _coverage_folder() -> list[str]:
    """Return the folder where `make coverage` has each process write what it reached."""
    return [str(Path(path).parent)] if (path := os.environ.get("COVERAGE_FILE")) else []
