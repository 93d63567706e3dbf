"""Detect what the terminal can draw.

One message asks all questions and ends with one that every terminal answers: whatever has not been answered by then
never will be.
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

#: How pictures are drawn. *kitty* and *iterm* are the protocols of these terminals, which others support too; *blocks*
#: are characters of two colours each.
GraphicsProtocol: TypeAlias = Literal["kitty", "iterm", "sixel", "blocks"]

#: Queries: kitty graphics; name of the terminal, size of a cell, device attributes (DA1).
_KITTY: Final = "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\"
_QUERIES: Final = "\x1b[>0q\x1b[16t\x1b[c"
_DA1: Final = re.compile(r"\x1b\[\?([0-9;]*)c")
_CELL: Final = re.compile(r"\x1b\[6;([0-9]{1,4});([0-9]{1,4})t")
_NAME: Final = re.compile(r"\x1bP>\|([^\x1b]*)\x1b\\")
#: Prefixes of the names of terminals that support iTerm2's protocol.
_ITERM: Final = ("iTerm2", "WezTerm", "mintty")
#: Seconds to wait for answers.
_TIMEOUT: Final = 1.0
#: Default size of a cell in pixels, that of the VT340.
_DEFAULT_CELL: Final = (10, 20)
#: Maximum size of a cell; larger answers are ignored.
_MAX_CELL: Final = (100, 200)


@dataclass(frozen=True, slots=True)
class TerminalCapabilities:
    """What standard output can draw. ``cell`` is (width, height) of a character in pixels.

    ``protocol`` is None if pictures cannot be drawn, and ``reason`` says why.
    """

    protocol: GraphicsProtocol | None
    columns: int
    lines: int
    cell: tuple[int, int] = _DEFAULT_CELL
    reason: str = ""


def detect_terminal() -> TerminalCapabilities:
    """Detect the capabilities of standard output, by one query if it is a terminal."""
    columns, lines = _size()
    if not sys.stdout.isatty():
        if os.environ.get("FORCE_COLOR"):  # For example with `less -R`.
            return _with_blocks(columns, lines)
        return TerminalCapabilities(None, columns, lines, reason="standard output is not a terminal")
    if os.environ.get("TERM", "dumb") == "dumb":
        return TerminalCapabilities(None, columns, lines, reason="the terminal is a dumb one (TERM)")
    answer = _query_terminal(sys.stdout.fileno())
    cell = _cell(sys.stdout.fileno(), answer)
    name = match[1] if (match := _NAME.search(answer)) else ""
    features = match[1].split(";") if (match := _DA1.search(answer)) else []
    if "\x1b_Gi=31;OK\x1b\\" in answer:
        return TerminalCapabilities("kitty", columns, lines, cell)
    if name.startswith(_ITERM):
        return TerminalCapabilities("iterm", columns, lines, cell)
    if "4" in features[1:]:
        return TerminalCapabilities("sixel", columns, lines, cell)
    return _with_blocks(columns, lines)


def _with_blocks(columns: int, lines: int) -> TerminalCapabilities:
    """Fall back to block characters if Rich detects colours (TERM, COLORTERM, NO_COLOR) and the encoding has them."""
    from rich.console import Console

    console = Console(file=sys.stdout)
    if console.color_system is None or console.no_color:
        return TerminalCapabilities(None, columns, lines, reason="the terminal shows neither pictures nor colours")
    try:
        "▀…".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return TerminalCapabilities(None, columns, lines, reason=f"{sys.stdout.encoding} has no block characters")
    return TerminalCapabilities("blocks", columns, lines)


def _query_terminal(descriptor: int) -> str:
    """Return the terminal's answers, "" if it cannot be queried."""
    try:
        terminal = os.open(os.ttyname(descriptor), os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return ""
    try:
        if os.tcgetpgrp(terminal) != os.getpgrp():
            return ""  # In the background: a query would stop the process.
        before = termios.tcgetattr(terminal)
    except (OSError, termios.error):
        os.close(terminal)
        return ""
    # A terminal multiplexer takes the kitty query for a title, and answers for itself.
    is_multiplexed = "TMUX" in os.environ or os.environ.get("TERM", "").startswith(("screen", "tmux"))
    try:
        sys.stdout.flush()
        tty.setcbreak(terminal, termios.TCSADRAIN)
        os.write(terminal, f"{'' if is_multiplexed else _KITTY}{_QUERIES}".encode())
        answer, deadline = "", time.monotonic() + _TIMEOUT
        while not _DA1.search(answer) and (left := deadline - time.monotonic()) > 0:
            if select.select([terminal], [], [], left)[0]:
                answer += os.read(terminal, 4096).decode("latin-1")
        return answer
    except OSError:
        return ""
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        # Terminals that do not know a query may have printed it.
        os.write(terminal, b"\r\x1b[K")
        os.close(terminal)


def _size() -> tuple[int, int]:
    import shutil

    return shutil.get_terminal_size()


def _cell(descriptor: int, answer: str) -> tuple[int, int]:
    if match := _CELL.search(answer):
        height, width = int(match[1]), int(match[2])
        if 0 < width <= _MAX_CELL[0] and 0 < height <= _MAX_CELL[1]:
            return width, height
    try:
        import fcntl
        import struct

        size = fcntl.ioctl(descriptor, termios.TIOCGWINSZ, bytes(8))
        lines, columns, across, down = struct.unpack("HHHH", size)
    except OSError:
        return _DEFAULT_CELL
    if not (
        columns and lines and columns <= across <= columns * _MAX_CELL[0] and lines <= down <= lines * _MAX_CELL[1]
    ):
        return _DEFAULT_CELL
    return across // columns, down // lines
