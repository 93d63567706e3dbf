"""What the terminal can draw, found by asking it.

One message asks for all that we want to know, and ends with a question that every terminal answers: what has not been
answered before that will never be.
"""

from __future__ import annotations

import os
import re
import select
import sys
import termios
import time
import tty
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

#: How pictures are drawn. *kitty* and *iterm* are these terminals' own protocols, which others speak too; *blocks* are
#: characters of two colours each.
Way: TypeAlias = Literal["kitty", "iterm", "sixel", "blocks"]

#: Kitty's graphics? Which terminal? How large is a cell? What are you (DA1)?
_KITTY: Final = "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\"
_OTHERS: Final = "\x1b[>0q\x1b[16t\x1b[c"
_DA1: Final = re.compile(r"\x1b\[\?([0-9;]*)c")
_CELL: Final = re.compile(r"\x1b\[6;([0-9]{1,4});([0-9]{1,4})t")
_NAME: Final = re.compile(r"\x1bP>\|([^\x1b]*)\x1b\\")
#: Terminals that speak iTerm2's protocol, by how their names begin.
_ITERM: Final = ("iTerm2", "WezTerm", "mintty")
#: Seconds until a terminal that says nothing counts as one that cannot do anything.
_PATIENCE: Final = 1.0
#: Of a cell, in pixels, where nobody knows: that of the VT340.
_USUAL: Final = (10, 20)
#: Nobody has larger ones: what says so is no answer.
_LARGEST: Final = (100, 200)


@dataclass(frozen=True, slots=True)
class Screen:
    """How pictures can be drawn on standard output; ``cell`` is (width, height) of a character in pixels. ``way`` is
    None where they cannot, and ``reason`` says why."""

    way: Way | None
    columns: int
    lines: int
    cell: tuple[int, int] = _USUAL
    reason: str = ""


def screen() -> Screen:
    """Asks the terminal once, if standard output is one."""
    columns, lines = _size()
    if not sys.stdout.isatty():
        if os.environ.get("FORCE_COLOR"):  # such as for `less -R`
            return _with_blocks(columns, lines)
        return Screen(None, columns, lines, reason="standard output is no terminal")
    if os.environ.get("TERM", "dumb") == "dumb":
        return Screen(None, columns, lines, reason="the terminal is a dumb one (TERM)")
    answer = _ask(sys.stdout.fileno())
    cell = _cell(sys.stdout.fileno(), answer)
    name = match[1] if (match := _NAME.search(answer)) else ""
    features = match[1].split(";") if (match := _DA1.search(answer)) else []
    if "\x1b_Gi=31;OK\x1b\\" in answer:
        return Screen("kitty", columns, lines, cell)
    if name.startswith(_ITERM):
        return Screen("iterm", columns, lines, cell)
    if "4" in features[1:]:
        return Screen("sixel", columns, lines, cell)
    return _with_blocks(columns, lines)


def _with_blocks(columns: int, lines: int) -> Screen:
    """Whether it has colours is told by the environment (TERM, COLORTERM, NO_COLOR), as Rich reads it."""
    from rich.console import Console

    console = Console(file=sys.stdout)
    if console.color_system is None or console.no_color:
        return Screen(None, columns, lines, reason="the terminal shows neither pictures nor colours")
    try:
        "▀…".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return Screen(None, columns, lines, reason=f"{sys.stdout.encoding} has no block characters")
    return Screen("blocks", columns, lines)


def _ask(descriptor: int) -> str:
    """What the terminal answers, without what it answers to nobody; "" where it cannot be asked."""
    try:
        terminal = os.open(os.ttyname(descriptor), os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return ""
    try:
        if os.tcgetpgrp(terminal) != os.getpgrp():
            return ""  # In the background: asking would stop us.
        before = termios.tcgetattr(terminal)
    except (OSError, termios.error):
        os.close(terminal)
        return ""
    # A terminal inside another takes the first question for a title, and answers for itself.
    inside = "TMUX" in os.environ or os.environ.get("TERM", "").startswith(("screen", "tmux"))
    try:
        sys.stdout.flush()
        tty.setcbreak(terminal, termios.TCSADRAIN)
        os.write(terminal, f"{'' if inside else _KITTY}{_OTHERS}".encode())
        answer, until = "", time.monotonic() + _PATIENCE
        while not _DA1.search(answer) and (left := until - time.monotonic()) > 0:
            if select.select([terminal], [], [], left)[0]:
                answer += os.read(terminal, 4096).decode("latin-1")
        return answer
    except OSError:
        return ""
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        # Those that do not know the questions may have shown them.
        os.write(terminal, b"\r\x1b[K")
        os.close(terminal)


def _size() -> tuple[int, int]:
    import shutil

    return shutil.get_terminal_size()


def _cell(descriptor: int, answer: str) -> tuple[int, int]:
    if match := _CELL.search(answer):
        height, width = int(match[1]), int(match[2])
        if 0 < width <= _LARGEST[0] and 0 < height <= _LARGEST[1]:
            return width, height
    try:
        import fcntl
        import struct

        told = fcntl.ioctl(descriptor, termios.TIOCGWINSZ, bytes(8))
        lines, columns, across, down = struct.unpack("HHHH", told)
    except OSError:
        return _USUAL
    if not (
        columns
        and lines
        and columns <= across <= columns * _LARGEST[0]
        and lines <= down <= lines * _LARGEST[1]
    ):
        return _USUAL
    return across // columns, down // lines
