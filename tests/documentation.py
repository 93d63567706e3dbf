"""The pages of the documentation, and what is in them: headings, links, blocks of code, code in sentences."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: Pages of what was measured and decided once. Commands and names in them are those of their time.
HISTORY = (ROOT / "docs" / "log.md", *sorted((ROOT / "docs" / "decisions").glob("*.md")))
#: What holds today. Of CHANGELOG.md only the part that is not released: old parts name what has gone since.
CURRENT = (
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "RELEASING", "SECURITY", "CHANGELOG")),
    *sorted({*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "tutorials").glob("*.md")} - set(HISTORY)),
)

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_CODE = re.compile(r"(?<!`)(`+)(?!`)((?:(?!\n\s*\n).)+?)(?<!`)\1(?!`)", re.DOTALL)
_LINK = re.compile(r"\]\(\s*([^)\s]*)(?:\s+\"[^\"]*\")?\s*\)")
_HEADING = re.compile(r"^#{1,6} +(.*?) *#*$", re.MULTILINE)
_ANCHOR = re.compile(r"<a (?:id|name)=\"([^\"]+)\"")


@dataclass(frozen=True, slots=True)
class Piece:
    """Code of a page, with the line where it begins. ``language`` is that of a block, None for code in a sentence."""

    page: Path
    line: int
    text: str
    language: str | None = None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@cache
def read(page: Path) -> str:
    """The text of a page, of the changelog up to the first released version."""
    text = page.read_text(encoding="utf-8")
    if page.name == "CHANGELOG.md":
        text = re.split(r"^## \d", text, maxsplit=1, flags=re.MULTILINE)[0]
    return text


def blocks(page: Path) -> Iterator[Piece]:
    """Fenced blocks."""
    text = read(page)
    for found in _FENCE.finditer(text):
        yield Piece(page, _line(text, found.start(3)), found[3], found[2])


def inline(page: Path) -> Iterator[Piece]:
    """Code in sentences and tables, on one line, without the backslash that a table needs before ``|``."""
    text = _prose(page)
    for found in _CODE.finditer(text):
        code = " ".join(found[2].split()).replace("\\|", "|")
        yield Piece(page, _line(text, found.start()), code)


def links(page: Path) -> Iterator[tuple[int, str]]:
    """Line and target of each link and picture."""
    text = _CODE.sub(lambda found: re.sub(r"[^\n]", "x", found[0]), _prose(page))
    for found in _LINK.finditer(text):
        yield _line(text, found.start()), found[1]


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors that GitHub gives to the headings of a page: lower case, punctuation taken out, spaces become
    hyphens, and a heading that is there already gets a number."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    found = set(_ANCHOR.findall(text))
    times: dict[str, int] = {}
    for heading in _HEADING.findall(text):
        shown = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)  # a link is its text
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        times[slug] = times.get(slug, -1) + 1
        found.add(slug if not times[slug] else f"{slug}-{times[slug]}")
    return frozenset(found)


def _prose(page: Path) -> str:
    """The text of a page without blocks and comments; lines keep their numbers."""
    text = read(page)
    for pattern in (_FENCE, _COMMENT):
        text = pattern.sub(lambda found: "\n" * found[0].count("\n"), text)
    return text


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def command_lines(block: Piece) -> Iterator[Piece]:
    """The commands of a block, without what they print. In a console they stand behind a prompt, in help (docs/cli.md)
    below its examples; a block without a language may hold commands or anything else."""
    if block.language not in ("console", "text", ""):
        return
    examples = block.language != "text"
    for number, line in enumerate(block.text.splitlines()):
        examples = examples or line.strip() in ("Example:", "Examples:")
        if prompt := re.match(r"\w*\$\s+", line):
            yield Piece(block.page, block.line + number, line[prompt.end() :], block.language)
        elif block.language != "console" and examples and re.match(r"\s*(?:imseek|make|pip) ", line):
            yield Piece(block.page, block.line + number, line.strip(), block.language)


def simple_commands(line: str) -> Iterator[list[str]]:
    """The words of each command of a line, one after the other: pipes, lists and ``$(…)`` are taken apart."""
    while inner := re.search(r"\$\(([^()]*)\)", line):
        yield from simple_commands(inner[1])
        line = line[: inner.start()] + "OUTPUT" + line[inner.end() :]
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.commenters = ""
    lexer.whitespace_split = True
    words: list[str] = []
    for token in lexer:
        if token.startswith("#"):
            break
        if token in ("<", ">", ">>"):
            next(lexer)  # the file
        elif set(token) <= set("|&;"):
            yield words
            words = []
        elif words or not re.fullmatch(r"[A-Z_]+=.*", token):  # a variable before the command
            words.append(token)
    yield words
