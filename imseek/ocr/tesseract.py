"""Read lines in scripts that the networks were not trained on, by Tesseract, where the system has it.

Tesseract runs as a process of its own, once a picture: it gets the pixels of all lines as one file through a pipe, and
answers with words and confidences. It never sees a user's file.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.media.multipage_tiff_writer import multipage_tiff
from imseek.media.resize import resize
from imseek.types.arrays import Pixels

_Page: TypeAlias = npt.NDArray[np.uint8]
"""A line (h, w) as Tesseract gets it: dark letters on white."""

_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)
#: Tesseract's names of languages, by the Unicode name of their script.
LANGUAGES: Final = {
    "CYRILLIC": ("rus", "ukr", "bel", "bul", "srp", "mkd", "kaz", "kir", "mon", "tgk", "tat", "uzb_cyrl", "aze_cyrl"),
    "GREEK": ("ell", "grc"),
}
#: Languages of a script that are tried at most: each takes its time.
_MAX_LANGUAGES: Final = 4
#: The first version with the networks that languages have today.
_LEAST_VERSION: Final = 4
#: Height in pixels of the lines that Tesseract gets, of the blank around them, and their width by height at most.
_LINE_HEIGHT: Final = 48
_MARGIN: Final = 8
_MAX_ASPECT: Final = 60.0
#: Below this confidence, a line is tried with nothing but its lightest and darkest pixels, this share of their
#: range, as letters over a photograph are.
_UNSURE: Final = 0.75
_INK: Final = 0.3
#: Letters of its script that a line has, at least and of all letters.
MIN_LETTERS: Final = 3
_MIN_SHARE: Final = 0.6
#: The level of those rows of Tesseract's tables that hold words.
_WORD: Final = "5"
#: Seconds for one call, of any kind and of processor time, and between two looks whether its answer is still wanted.
_MAX_SECONDS: Final = 120.0
_PROCESSOR_SECONDS: Final = 120
_POLL_SECONDS: Final = 0.5
#: Seconds to say which version and languages there are.
_ANSWER_SECONDS: Final = 10.0
#: Where it runs: a missing configuration would be looked for in the current folder, as data are by a relative
#: TESSDATA_PREFIX.
_ROOT: Final = "/"


@dataclass(frozen=True, slots=True)
class ScriptLine:
    """A line that was read, in a script as Unicode names it, with the mean confidence of its letters."""

    script: str
    text: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Tesseract:
    """An installed Tesseract, and its languages in scripts that the networks do not know, by script."""

    program: str
    version: str
    languages: tuple[tuple[str, tuple[str, ...]], ...]

    def __str__(self) -> str:
        return f"Tesseract {self.version} ({', '.join(name for _, names in self.languages for name in names)})"

    def read(
        self, lines: Sequence[Pixels], scripts: Sequence[Collection[str]], is_over: Callable[[], bool] = lambda: False
    ) -> list[ScriptLine | None]:
        """Read pictures of lines, (h, w, 3) uint8 sRGB, each in one of the ``scripts`` that it may be in.

        A line is None where it is in none of them; so are all where the process fails, or once ``is_over`` is true.
        """
        results: list[ScriptLine | None] = [None] * len(lines)
        for script, languages in self.languages:
            for pages in (_plain_page,), (_light_page, _dark_page):
                left = [at for at in range(len(lines)) if script in scripts[at] and _confidence(results[at]) < _UNSURE]
                readings = self._read([page(lines[at]) for at in left for page in pages], languages, is_over)
                for at, (text, confidence) in zip(np.repeat(left, len(pages)).tolist(), readings, strict=True):
                    if _is_in(script, text) and confidence > _confidence(results[at]):
                        results[at] = ScriptLine(script, text, confidence)
        return results

    def _read(
        self, pages: Sequence[_Page], languages: Sequence[str], is_over: Callable[[], bool]
    ) -> list[tuple[str, float]]:
        """Return the text of each page and its confidence, all of them by one process."""
        if not pages or is_over():
            return [("", 0.0)] * len(pages)
        command = [self.program, "stdin", "stdout", "-l", "+".join(languages), "--dpi", "300", "--psm", "7", "tsv"]
        words: dict[int, list[tuple[str, float]]] = defaultdict(list)
        for row in _run(command, multipage_tiff(pages), is_over).split("\n"):
            with suppress(ValueError):  # the head of the table, or what a later version writes
                level, page, *_, confidence, text = row.split("\t")
                if level == _WORD and text.strip() and 0 <= float(confidence) <= 100:
                    words[int(page) - 1].append((text, float(confidence) / 100))
        return [_join(words[at]) for at in range(len(pages))]


@cache
def find_tesseract() -> Tesseract | None:
    """Return the installed Tesseract; None if there is none, or if it has no language to offer.

    Relative folders of the PATH do not count: a program in a folder of pictures is not run.
    """
    program = shutil.which("tesseract", path=os.pathsep.join(filter(os.path.isabs, os.get_exec_path())))
    if program is None:
        return None
    version = re.search(r"^tesseract v?((\d{1,4})\b[\w.+-]{0,40})", _say([program, "--version"]), re.MULTILINE)
    if version is None or int(version[2]) < _LEAST_VERSION:
        return None
    installed = set(_say([program, "--list-langs"]).split())
    languages = {
        script: tuple(name for name in names if name in installed)[:_MAX_LANGUAGES]
        for script, names in LANGUAGES.items()
    }
    offered = tuple((script, names) for script, names in languages.items() if names)
    return Tesseract(program, version[1], offered) if offered else None


def letters_of(script: str, text: str) -> int:
    """Count the letters of a text that are in a script, as Unicode names it."""
    return sum(unicodedata.name(character, "").startswith(script) for character in text)


def _is_in(script: str, text: str) -> bool:
    letters = letters_of(script, text)
    return letters >= max(MIN_LETTERS, _MIN_SHARE * sum(map(str.isalpha, text)))


def _confidence(line: ScriptLine | None) -> float:
    return 0.0 if line is None else line.confidence


def _say(command: list[str]) -> str:
    """Return what a command prints; nothing where it fails."""
    try:
        return subprocess.run(  # noqa: S603 - the program on the PATH
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # where version 4 prints
            cwd=_ROOT,
            timeout=_ANSWER_SECONDS,
            check=True,
            text=True,
            errors="replace",
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _run(command: list[str], data: bytes, is_over: Callable[[], bool]) -> str:
    """Return what a command answers to ``data``; nothing where it fails or ``is_over``. No process of it stays.

    Should this process be killed, the limit of processor time ends one that does not notice.
    """
    ends = time.monotonic() + _MAX_SECONDS
    try:
        process = subprocess.Popen(  # noqa: S603 - the program on the PATH
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=_ROOT,
            env=os.environ | {"OMP_THREAD_LIMIT": "1"},
            start_new_session=True,  # An interrupt at the terminal ends the run, not a picture.
        )
    except OSError:
        return ""
    remaining: bytes | None = data
    with process:
        try:
            _limit_processor_time(process.pid)
            while not is_over() and time.monotonic() < ends:
                with suppress(subprocess.TimeoutExpired):
                    output, _ = process.communicate(remaining, timeout=_POLL_SECONDS)
                    return output.decode("utf-8", "replace") if process.returncode == 0 else ""
                remaining = None  # The rest is sent by the next call.
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(
                        process.pid, signal.SIGKILL
                    )  # Including processes that a script called tesseract has started.
    return ""


def _limit_processor_time(process: int) -> None:
    if sys.platform == "linux":
        import resource

        with suppress(OSError):  # It has ended.
            resource.prlimit(process, resource.RLIMIT_CPU, (_PROCESSOR_SECONDS, _PROCESSOR_SECONDS))


def _join(words: Sequence[tuple[str, float]]) -> tuple[str, float]:
    if not words:
        return "", 0.0
    mean_confidence = np.average([confidence for _, confidence in words], weights=[len(text) for text, _ in words])
    return unicodedata.normalize("NFKC", " ".join(text for text, _ in words)), float(mean_confidence)


def _plain_page(line: Pixels) -> _Page:
    """Draw a line as dark letters on light ground."""
    levels = _levels(line)
    dark, ground, light = np.percentile(levels, (1, 60, 99))
    if ground - dark >= light - ground:  # Most of a line is ground.
        return _page(levels, dark, ground)
    return _page(255 - levels, 255 - light, 255 - float(np.percentile(levels, 40)))


def _dark_page(line: Pixels) -> _Page:
    """Draw the darkest of a line on white."""
    levels = _levels(line)
    dark, light = np.percentile(levels, (1, 99))
    return _page(levels, dark, dark + _INK * (light - dark))


def _light_page(line: Pixels) -> _Page:
    """Draw the lightest of a line as black on white."""
    return _dark_page(255 - line)


def _levels(line: Pixels) -> npt.NDArray[np.float32]:
    width = max(_MARGIN, round(_LINE_HEIGHT * min(_MAX_ASPECT, line.shape[1] / line.shape[0])))
    return resize(line, (_LINE_HEIGHT, width)).astype(np.float32) @ _LUMA


def _page(levels: npt.NDArray[np.float32], black: float, white: float) -> _Page:
    stretched = (levels - black) * (255 / max(1.0, white - black))
    return np.pad(stretched.clip(0, 255).astype(np.uint8), _MARGIN, constant_values=255)
