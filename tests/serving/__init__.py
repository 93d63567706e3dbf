"""A server in a process of its own, for tests of what talks to one."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TOKEN = "a-token-for-tests-0123456789"


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def end(self, sig: int = signal.SIGTERM) -> int:
        """The exit code."""
        self.process.send_signal(sig)
        return self.process.wait(timeout=30)


@contextmanager
def served(*collections: Path, options: Sequence[str] = (), token: str = TOKEN) -> Iterator[Server]:
    """``imseek serve`` on a free port of loopback."""
    named = [part for path in collections for part in ("-c", str(path))]
    command = [sys.executable, "-P", "-m", "imseek", "serve", "--port", "0", *named, *options]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with log.open("wb") as stderr:
            process = subprocess.Popen(command, stderr=stderr, env={**os.environ, "IMSEEK_TOKEN": token})
        try:
            yield Server(_address(process, log), process, log)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if found := re.search(r"listening on (http://\S+)", log.read_text()):
            return found[1]
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise AssertionError(f"no server: {log.read_text()}")
