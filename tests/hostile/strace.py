"""A real process under strace: each file that it opens, by native code too, and each connection."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from hostile.arena import Arena
from hostile.findings import Finding, Outcome, end_findings, leaks
from hostile.watch import Listener, above, canaries

_OPENED: Final = re.compile(r"(?:open|openat|openat2|creat)\(.*\)\s+= \d+<(?P<path>[^>]*)>")
_CONNECTED: Final = re.compile(r"connect\(.*(?P<address>sa_family=AF_INET6?, .*)\}")


def trace(
    arena: Arena,
    listener: Listener,
    argv: Sequence[str],
    *,
    spare: Sequence[Path],
    seconds: float = 60.0,
) -> Outcome:
    """Run a real process under strace: each file that it opens, natively too, and each connection.

    The time limit is that of a process that starts anew, is traced, and may share its processor.
    """
    listener.findings()
    with (
        canaries(arena, spare) as watch,
        tempfile.NamedTemporaryFile(dir=arena.root.parent, prefix="trace-") as log,
    ):
        strace = ["strace", "-f", "-y", "--seccomp-bpf", "-etrace=%file,%network", f"-o{log.name}", *argv]
        hang = False
        with subprocess.Popen(
            strace,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=arena.environment,
            cwd=arena.cwd,
            start_new_session=True,
        ) as process:
            try:
                out, err = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                hang = True
                os.killpg(process.pid, 9)
                out, err = process.communicate()
        found = [*_calls(arena, spare, Path(log.name)), *watch.findings(), *listener.findings()]
    found += end_findings(process.returncode, out, err, hang=hang, memory=0)
    findings = dict.fromkeys([*found, *leaks([out, err])])
    return Outcome(process.returncode, out, err, tuple(findings), 0.0, 0)


def _calls(arena: Arena, spare: Sequence[Path], log: Path) -> Iterator[Finding]:
    apart = [str(path) for path in (*spare, *arena.writable(), *arena.inputs)]
    for line in log.read_text(errors="replace").splitlines():
        if (call := _OPENED.search(line)) is not None:
            path = call["path"]
            inside = path.startswith(f"{arena.root}/") and Path(path) not in above(spare)
            if inside and not any(path == one or path.startswith(f"{one}/") for one in apart):
                yield Finding("canary read", f"strace: {path}")
        elif (call := _CONNECTED.search(line)) is not None:
            yield Finding("socket", f"strace: {call['address']}")
