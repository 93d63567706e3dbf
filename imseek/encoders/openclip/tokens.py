"""The tokens of open_clip's tokenizers, without open_clip, transformers or torch.

Two kinds read what :mod:`imseek.encoders.openclip.export` wrote: CLIP's own byte pairs (Radford et al. 2021),
and the tokenizers of the model hub, which the library ``tokenizers`` runs. Texts are cleaned as open_clip does
it; ftfy, which takes as long to import as a short text to encode, is left alone where it has nothing to mend.
"""

from __future__ import annotations

import functools
import html
import itertools
import re
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Ids: TypeAlias = npt.NDArray[np.int64]

MERGES: Final = "merges.txt"
HUB_TOKENIZER: Final = "tokenizer.json"

_SPECIAL: Final = ("<start_of_text>", "<end_of_text>")
_BYTES: Final = 256
_PATTERN: Final = "|".join(_SPECIAL) + r"|'s|'t|'re|'ve|'m|'ll|'d|[{letter}]+|[{digit}]|[^\s{letter}{digit}]+"
_END_OF_WORD: Final = "</w>"
_WITHOUT_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)


class Tokenizer(Protocol):
    """Texts to the ids that a text tower takes. Thread-safe."""

    @property
    def context_length(self) -> int:
        """Tokens per text, those that mark start and end included."""
        ...

    def __call__(self, texts: Sequence[str]) -> Ids:
        """n texts → (n, context_length) int64, cut and padded."""
        ...

    def fits(self, text: str) -> bool:
        """Whether ``text`` needs no cutting."""
        ...


def clean(text: str, how: str) -> str:
    """``text`` as open_clip cleans it before splitting: ``lower``, ``whitespace`` or ``canonicalize``."""
    # What ftfy may mend is beyond ASCII, a control character or an entity that stands for one of them.
    if not (text.isascii() and text.isprintable() and "&" not in text):
        import ftfy

        text = html.unescape(html.unescape(ftfy.fix_text(text)))
    if how == "canonicalize":
        text = text.replace("_", " ").translate(_WITHOUT_PUNCTUATION).lower()
    text = " ".join(text.split())
    return text.lower() if how == "lower" else text


class ClipTokenizer:
    """Byte pair encoding over words, case folded (open_clip's ``SimpleTokenizer``)."""

    def __init__(self, merges: Path, *, context_length: int, clean: str) -> None:
        """``merges`` is a file with one pair of symbols a line, in the order of their ids."""
        self.context_length = context_length
        self._clean = clean
        self._ranks = {pair: rank for rank, pair in enumerate(merges.read_text("utf-8").split("\n"))}
        self._characters, self._ids = _byte_symbols()
        self._first_merged = len(self._ids)
        # No token covers more bytes than this.
        self._longest = max(len(_SPECIAL[0]), *(len(pair) - len(" ") for pair in self._ranks))
        self._start, self._end = (self._first_merged + len(self._ranks) + n for n in range(len(_SPECIAL)))

    def __call__(self, texts: Sequence[str]) -> Ids:
        rows = np.zeros((len(texts), self.context_length), dtype=np.int64)
        for row, text in zip(rows, texts, strict=True):
            inner = self._encode(text)[: self.context_length - 2]
            row[: len(inner) + 2] = (self._start, *inner, self._end)
        return rows

    def fits(self, text: str) -> bool:
        text, room = clean(text, self._clean), self.context_length - 2
        # Pairing the bytes of a word takes time by the square of its length: what is far too long is seen before.
        if len(text.encode()) - text.count(" ") > room * self._longest:
            return False
        return len(self._ids_of(text)) <= room

    def _encode(self, text: str) -> list[int]:
        return self._ids_of(clean(text, self._clean))

    def _ids_of(self, text: str) -> list[int]:
        """The ids of a cleaned text, without those that mark start and end."""
        ids: list[int] = []
        for word in _splitter(text.isascii()).findall(text):
            if word in _SPECIAL:
                ids.append((self._start, self._end)[_SPECIAL.index(word)])
            else:
                ids.extend(self._byte_pairs(word))
        return ids

    def _byte_pairs(self, word: str) -> list[int]:
        """Ids of ``word``: its bytes, of whose neighbours the pair of the lowest rank is merged until none has one."""
        symbols = [self._characters[byte] for byte in word.encode()]
        symbols[-1] += _END_OF_WORD
        ids = self._ids
        merged: dict[str, int] = {}
        while len(symbols) > 1:
            pairs = [f"{first} {second}" for first, second in itertools.pairwise(symbols)]
            best = min(pairs, key=lambda pair: self._ranks.get(pair, len(self._ranks)))
            if best not in self._ranks:
                break
            joined = best.replace(" ", "")
            merged[joined] = self._first_merged + self._ranks[best]
            symbols = _join(symbols, *best.split(" "))
        return [merged[symbol] if symbol in merged else ids[symbol] for symbol in symbols]


class HubTokenizer:
    """A tokenizer of the model hub in the library's own file, cut and padded as that file says.

    ``cleared`` is an id that is replaced by 0 after padding (``strip_sep_token`` of open_clip).
    """

    def __init__(self, path: Path, *, context_length: int, clean: str, cleared: int | None) -> None:
        from tokenizers import Tokenizer

        self.context_length = context_length
        self._tokenizer: Any = Tokenizer.from_file(str(path))
        self._clean = clean
        self._cleared = cleared

    def __call__(self, texts: Sequence[str]) -> Ids:
        rows = [self._tokenizer.encode(clean(text, self._clean)).ids for text in texts]
        ids = np.array(rows, dtype=np.int64).reshape(len(texts), self.context_length)
        if self._cleared is not None:
            ids[ids == self._cleared] = 0
        return ids

    def fits(self, text: str) -> bool:
        return not self._tokenizer.encode(clean(text, self._clean)).overflowing


def read(folder: Path, facts: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer whose files lie in ``folder``; ``facts`` are the options of its class."""
    if (folder / MERGES).exists():
        return ClipTokenizer(folder / MERGES, **facts)
    return HubTokenizer(folder / HUB_TOKENIZER, **facts)


def _join(symbols: Sequence[str], first: str, second: str) -> list[str]:
    """``symbols`` with each ``first`` that stands before a ``second`` joined to it, from left to right."""
    joined = []
    i = 0
    while i < len(symbols):
        if symbols[i] == first and symbols[i + 1 : i + 2] == [second]:
            joined.append(first + second)
            i += 2
        else:
            joined.append(symbols[i])
            i += 1
    return joined


def _byte_symbols() -> tuple[list[str], dict[str, int]]:
    """A printable character for each byte, and the ids of these, alone and at the end of a word.

    GPT-2's table: bytes that are printable in Latin-1 stand for themselves and come first, the others follow.
    """
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    others = [byte for byte in range(_BYTES) if byte not in printable]
    characters = {byte: chr(byte) for byte in printable}
    characters |= {byte: chr(_BYTES + n) for n, byte in enumerate(others)}
    ids = {characters[byte]: n for n, byte in enumerate(printable + others)}
    ids |= {symbol + _END_OF_WORD: n + _BYTES for symbol, n in ids.items()}
    return [characters[byte] for byte in range(_BYTES)], ids


@functools.cache
def _splitter(ascii_only: bool) -> Any:
    """The pattern of a word. Python's own ``re`` knows the letters of ASCII, and is there already."""
    if ascii_only:
        return re.compile(_PATTERN.format(letter="a-zA-Z", digit="0-9"), re.IGNORECASE)
    import regex

    return regex.compile(_PATTERN.format(letter=r"\p{L}", digit=r"\p{N}"), regex.IGNORECASE)
