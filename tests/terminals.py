"""A terminal for tests: it answers what it is asked, and tells which pictures were drawn where."""

from __future__ import annotations

import base64
import io
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fcntl import ioctl
from typing import Final

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

#: What terminals say of themselves, after all that they were asked.
KITTY: Final = "\x1b_Gi=31;OK\x1b\\\x1bP>|kitty(0.42.0)\x1b\\\x1b[6;20;10t\x1b[?62;c"
ITERM: Final = "\x1bP>|iTerm2 3.5.0\x1b\\\x1b[6;20;10t\x1b[?62;4c"
SIXEL: Final = "\x1bP>|foot(1.20.0)\x1b\\\x1b[6;20;10t\x1b[?62;4;22c"
PLAIN: Final = "\x1b[?1;2c"
MUTE: Final = ""

_CONTROLLING: Final = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
_ESCAPE: Final = re.compile(
    r"\x1b_G(?P<kitty>[^\x1b]*)\x1b\\"
    r"|\x1b\]1337;File=(?P<iterm>[^\x07]*)\x07"
    r"|\x1bP(?P<sixel>[0-9;]*q[^\x1b]*)\x1b\\"
    r"|\x1b\[(?P<number>[0-9]*)(?P<move>[AG])"
    r"|\x1b(?P<cursor>[78])"
    r"|\x1b\[(?P<style>[0-9;]*)m"
)


@dataclass
class Drawn:
    """``pictures`` by (line, column) of their upper left corner, from 0; ``lines`` of text; ``rest`` is every escape
    that was not understood."""

    pictures: dict[tuple[int, int], npt.NDArray[np.uint8]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)


class Session:
    """``imseek ARGUMENTS`` in a terminal of ``size`` (columns, lines), which ``answers`` what it is asked.

    With ``piped``, standard output goes elsewhere, and only keys and standard error are of the terminal.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        answers: Mapping[str, str] | None = None,
        *,
        size: tuple[int, int] = (80, 30),
        extra: Mapping[str, str] | None = None,
        piped: bool = False,
        stderr: bool = True,
    ) -> None:
        self.written = ""
        self._answers = dict(answers or {})
        self._answered = 0
        self._expected = 0
        self._master, slave = pty.openpty()
        ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        unwanted = ("COLUMNS", "LINES", "TMUX")
        environment = {name: value for name, value in os.environ.items() if name not in unwanted}
        environment |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", **(extra or {})}
        imseek = [sys.executable, "-P", "-W", "error", "-m", "imseek", *arguments]
        self.process = subprocess.Popen(
            [sys.executable, "-c", _CONTROLLING, *imseek],
            stdin=slave,
            stdout=subprocess.PIPE if piped else slave,
            stderr=slave if stderr else subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        os.close(slave)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def expect(self, *texts: str) -> None:
        """Waits until all of them are written, in any order, after what was expected before."""
        until = time.monotonic() + 60
        while min(found := [self.written.find(text, self._expected) for text in texts]) < 0:
            missing = [text for text, at in zip(texts, found, strict=True) if at < 0]
            assert time.monotonic() < until, f"never {missing}: {self.written[-2000:]!r}"
            assert self._read(), f"it has ended without {missing}: {self.written[-2000:]!r}"
        self._expected = max(found)

    def end(self) -> tuple[int, str]:
        """The exit code, and what went to where standard output, or else standard error, was led."""
        until = time.monotonic() + 60
        while self._read():
            assert time.monotonic() < until, "it does not end"
        stream = self.process.stdout or self.process.stderr
        led = "" if stream is None else os.fsdecode(stream.read())
        return self.process.wait(10), led

    def _read(self) -> bool:
        """Whether there may be more."""
        if not select.select([self._master], [], [], 0.1)[0]:
            return True
        try:
            part = os.read(self._master, 65536)
        except OSError:  # the other end is closed
            return False
        self.written += part.decode("utf-8", "surrogateescape")
        if answer := self._reply(part):
            os.write(self._master, answer.encode())
        return bool(part)

    def _reply(self, part: bytes) -> str:
        """What the terminal says to what has been ``written``, of which that is the newest part."""
        for question, answer in self._answers.items():
            if self.written.find(question, self._answered) >= 0:
                self._answered = len(self.written)
                return answer
        return ""


def run(arguments: Sequence[str], answer: str, *, extra: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """The exit code of ``imseek ARGUMENTS`` in a terminal that answers so once it has been asked all, what was written
    there, and to standard error."""
    with Session(arguments, {"\x1b[c": answer}, extra=extra, stderr=False) as session:
        code, said = session.end()
    return code, session.written, said


def drawn(written: str) -> Drawn:
    """What such a terminal shows, from the first column of an empty screen that has as many lines as it takes."""
    written = written.partition("\r\x1b[K")[2] or written
    out = Drawn()
    line = column = position = 0
    saved = (0, 0)
    waiting = ""
    cells: dict[int, dict[int, str]] = {}
    while position < len(written):
        if written[position] == "\x1b":
            match = _ESCAPE.match(written, position)
            if match is None:
                out.rest.append(written[position : position + 12])
                position += 1
                continue
            position = match.end()
            if match["move"] == "A":
                line -= int(match["number"] or 1)
                assert line >= 0
            elif match["move"] == "G":
                column = int(match["number"] or 1) - 1
            elif match["cursor"] == "7":
                saved = (line, column)
            elif match["cursor"] == "8":
                line, column = saved
            elif match["kitty"] is not None:
                keys, _, payload = match["kitty"].partition(";")
                waiting += payload
                if "m=0" in keys.split(","):
                    out.pictures[line, column] = opened(base64.b64decode(waiting))
                    waiting = ""
            elif match["iterm"] is not None:
                out.pictures[line, column] = opened(base64.b64decode(match["iterm"].partition(":")[2]))
                line, column = line + 3, 0  # Where it goes is not to matter.
            elif match["sixel"] is not None:
                out.pictures[line, column] = unsixel(match["sixel"])
                line, column = line + 3, 0
            continue
        character = written[position]
        position += 1
        if character == "\n":
            line += 1
        elif character == "\r":
            column = 0
        else:
            cells.setdefault(line, {})[column] = character
            column += 1
    for n in range(max(cells, default=-1) + 1):
        row = cells.get(n, {})
        out.lines.append("".join(row.get(at, " ") for at in range(max(row, default=-1) + 1)))
    return out


def opened(data: bytes) -> npt.NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def unsixel(body: str) -> npt.NDArray[np.uint8]:
    """The pixels of sixels, from after ``ESC P``, by libsixel. Without its programs such tests skip."""
    if shutil.which("sixel2png") is None:
        pytest.skip("sixel2png is missing (Debian: apt install libsixel-bin)")
    code = f"\x1bP{body}\x1b\\".encode()
    return opened(subprocess.run(["sixel2png"], input=code, capture_output=True, check=True).stdout)
