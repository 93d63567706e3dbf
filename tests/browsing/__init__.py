"""``imseek ui`` in a process of its own, for tests in a browser and for pictures of the pages."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlencode

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: Opens a page: see the fixture ``visit``.
Visit: TypeAlias = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Pages:
    """``entrance`` is the address that logs in."""

    url: str
    entrance: str
    process: subprocess.Popen[bytes]
    log: Path

    def at(self, page: str = "", /, **query: str) -> str:
        """The address of a page, which logs in too."""
        return self.entrance.replace("/?", f"/{page}?") + (f"&{urlencode(query)}" if query else "")

    def end(self, sig: int = signal.SIGTERM) -> int:
        """The exit code."""
        self.process.send_signal(sig)
        return self.process.wait(timeout=30)


@contextmanager
def pages(
    folder: Path,
    home: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    program: Sequence[str] = ("-m", "imseek"),
) -> Iterator[Pages]:
    """``imseek ui ARGUMENTS`` on a free port of loopback, with its log in ``folder``."""
    log = folder / "ui.log"
    command = [sys.executable, "-P", *program, "ui", "--port", "0", "--no-browser", *arguments]
    # What encoders keep is known by its content and takes long to make.
    caches = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    own = {"HOME": str(folder), "XDG_CACHE_HOME": caches, "IMSEEK_HOME": str(home)}
    env = {**os.environ, **own, **(environment or {})}
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output, env=env, start_new_session=True)
    try:
        yield Pages(*_addresses(process, log), process, log)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        print(log.read_text())  # pytest shows it where a test fails: a page gives errors only a number.


def _addresses(process: subprocess.Popen[bytes], log: Path) -> Sequence[str]:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        if found := re.search(r"imseek is at (http://\S+)[^\n]*\n\s*(http://\S+)\n", log.read_text()):
            return found.groups()
        time.sleep(0.05)
    raise AssertionError(f"no pages: {log.read_text()}")


@contextmanager
def visits(browser: Any, ui: Pages, **settings: Any) -> Iterator[Visit]:
    """Opens pages in a window with these settings, without what the fixture ``visit`` checks."""
    context = browser.new_context(viewport={"width": 1400, "height": 900}, **settings)

    def open_(page: str = "", /, **query: str) -> Any:
        made = context.new_page()
        made.goto(ui.at(page, **query))
        return made

    yield open_
    context.close()


def top(element: Any) -> float:
    """Distance of an element from the top of the window in px. While a page settles, it is waited for."""
    end = time.monotonic() + 10
    while (box := element.bounding_box()) is None and time.monotonic() < end:
        time.sleep(0.05)
    assert box is not None, "it is not visible"
    return float(box["y"])


#: A run that goes on until it is interrupted.
_RUN = """
import sys, time
from pathlib import Path
from imseek.data.writing.writer import Writer
with Writer(Path(sys.argv[1]), "index") as writer:
    while True:
        writer.note_progress({"phase": "index", "done": 3, "total": 9, "skipped": 1, "seconds": 1.0, "bytes": 0})
        time.sleep(0.2)
"""


@contextmanager
def indexing(collection: Path) -> Iterator[None]:
    """A run of another process, as one in a terminal is."""
    process = subprocess.Popen([sys.executable, "-P", "-c", _RUN, str(collection)], stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


#: Names of files, captions and tags as somebody might give them who means harm.
HOSTILE = (
    "<script>document.title = 'hacked'</script>",
    '"><img src=x onerror="document.title=\'hacked\'">',
    "**bold** _it_ `code` ~~gone~~ $x^2$",
    "![picture](http://elsewhere.example/a.png) [link](http://elsewhere.example)",
    "https://elsewhere.example/x www.elsewhere.example a@elsewhere.example",
    ":smile: :material/home: :red[hi] -> <-> >= --",
    "# head",
    "    four spaces",
    "1. one",
    "- item",
    "\u202egpj.exe",
    "two\nlines\tand\x1b[31m red",
    "x" * 4000,
    "&lt;b&gt; &amp; {{x}} ${y} %s",
)


def wait_until_idle(page: Any) -> None:
    """Wait until the page's script has not run for half a second: it may begin again soon after a change of the
    address."""
    page.wait_for_function(
        """() => {
            const state = document.querySelector("[data-testid=stApp]")?.dataset.testScriptState;
            if (state !== "notRunning") window.idleSince = undefined;
            else window.idleSince ??= performance.now();
            return performance.now() - window.idleSince > 500;
        }"""
    )
