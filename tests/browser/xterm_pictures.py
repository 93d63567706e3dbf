"""xterm.js, with its image addon, shows what imseek draws on terminals. It runs in chromium.

`make test-counterparts` fetches xterm.js and names this file: by itself, pytest does not collect it.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import terminals

from imseek.media import decode
from imseek.media.thumbnails import fit
from imseek.ui.terminal.graphics import render_picture

XTERM = Path(sys.prefix) / "xterm"
SIZE = (100, 40)
#: Mean absolute differences of 255: kitty and iTerm get PNG; sixels have 256 colours.
CLOSE = {"kitty": 0.5, "iterm": 0.5, "sixel": 2.5}

_OPEN = """([columns, rows, kitty]) => {
    term = new Terminal({cols: columns, rows, allowProposedApi: true, windowOptions: {getCellSizePixels: true}});
    term.loadAddon(new ImageAddon.ImageAddon({kittySupport: kitty}));
    term.open(document.body);
    said = "";
    term.onData(answer => { said += answer; });
}"""
_WRITE = """async coded => {
    await new Promise(done => term.write(Uint8Array.from(atob(coded), c => c.charCodeAt(0)), done));
    const answer = said;
    said = "";
    return answer;
}"""
#: After two frames, so that it has been drawn; null where there was no picture yet.
_SHOWN = """async () => {
    for (let n = 0; n < 2; n++) await new Promise(requestAnimationFrame);
    return document.querySelector(".xterm-image-layer-top")?.toDataURL() ?? null;
}"""
_LINES = """() => Array.from({length: term.rows}, (_, n) => term.buffer.active.getLine(n).translateToString(true))"""


class Terminal:
    """xterm.js on a page. ``cell`` is (width, height) of a character in pixels."""

    def __init__(self, page: Any, *, kitty: bool) -> None:
        self._page = page
        page.set_content("<body style='margin: 0'>")
        page.add_style_tag(path=XTERM / "css/xterm.css")
        for name in ("xterm.js", "addon-image.js"):
            page.add_script_tag(path=XTERM / "lib" / name)
        page.evaluate(_OPEN, [*SIZE, kitty])
        self.cell = tuple(page.evaluate("['width', 'height'].map(side => term.dimensions.css.cell[side])"))

    def write(self, data: bytes) -> str:
        """What it answers."""
        answer: str = self._page.evaluate(_WRITE, base64.b64encode(data).decode())
        return answer

    def lines(self) -> list[str]:
        """The text, without empty lines at the end."""
        return "\n".join(self._page.evaluate(_LINES)).rstrip("\n").split("\n")

    def picture(self, line: int, column: int, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
        """The pixels of that many lines and columns of them that are shown from that cell on."""
        url = self._page.evaluate(_SHOWN)
        assert url is not None, "no picture is shown"
        shown = terminals.opened(base64.b64decode(url.partition(",")[2]))
        left, top = int(column * self.cell[0]), int(line * self.cell[1])
        return shown[top : top + shape[0], left : left + shape[1]]


class Session(terminals.Session):
    """imseek in xterm.js, which answers by itself."""

    def __init__(self, arguments: list[str], terminal: Terminal, extra: dict[str, str]) -> None:
        self._terminal = terminal
        super().__init__(arguments, size=SIZE, extra=extra, stderr=False)

    def _reply(self, part: bytes) -> str:
        return self._terminal.write(part)


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    assert XTERM.exists(), "xterm.js is not there: make test-counterparts"
    errors: list[str] = []
    opened = browser.new_page(viewport={"width": 1200, "height": 900})
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    opened.close()
    assert errors == []


@pytest.fixture(scope="module")
def cat(photo_files: list[Path]) -> npt.NDArray[np.uint8]:
    return decode(next(path for path in photo_files if path.name == "chelsea.png").read_bytes()).pixels


def difference(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    assert a.shape == b.shape
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


@pytest.mark.parametrize("way", CLOSE)
def test_the_photograph_is_shown(page, cat, way) -> None:
    terminal = Terminal(page, kitty=True)
    cell = (int(terminal.cell[0]), int(terminal.cell[1]))
    assert terminal.write(f"\r\n\n     {render_picture(cat, way, (24, 10), cell)}".encode()) == ""
    expected = np.asarray(fit(cat, 24 * cell[0], 10 * cell[1]))
    assert difference(terminal.picture(2, 5, expected.shape), expected) < CLOSE[way]


def test_kitty_leaves_the_cursor_where_it_was(page, cat) -> None:
    """Else a picture at the bottom would scroll."""
    terminal = Terminal(page, kitty=True)
    assert (
        terminal.write(f"\r\n\n     {render_picture(cat, 'kitty', (24, 10), (9, 18))}\x1b[6n".encode()) == "\x1b[3;6R"
    )


@pytest.mark.parametrize("way", ["kitty", "sixel"])
def test_a_preview_by_what_the_terminal_says_of_itself(page, home, cat, way) -> None:
    terminal = Terminal(page, kitty=way == "kitty")
    command = ["search", "a cat", "-c", "photos", "-n", "3", "--cutoff", "none", "--preview"]
    with Session(command, terminal, {"IMSEEK_HOME": str(home)}) as session:
        code, said = session.end()
    assert code == 0, said
    assert ("\x1b_Ga=T" in session.written) == (way == "kitty")
    told = terminals.drawn(session.written)
    assert terminal.lines()[:12] == [line.rstrip() for line in told.lines[:12]]
    assert len(told.pictures) == 3
    for (line, column), pixels in told.pictures.items():
        assert difference(terminal.picture(line, column, pixels.shape), pixels) < CLOSE[way]
    first = told.pictures[0, 0]
    assert "chelsea.png" in told.lines[11]
    assert difference(terminal.picture(0, 0, first.shape), np.asarray(fit(cat, first.shape[1]))) < CLOSE[way]
