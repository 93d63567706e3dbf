"""open_clip's tokenizers without open_clip, transformers or torch.

Two kinds read what :mod:`imseek.encoders.openclip.export` wrote: CLIP's own byte pairs (Radford et al. 2021), and the
tokenizers of the model hub, run by the library ``tokenizers``. Texts are cleaned as in open_clip; ftfy, whose import
takes as long as encoding a short text, is skipped where it has nothing to mend.
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
    """Converts texts to a text tower's token ids. Thread-safe."""

    @property
    def context_length(self) -> int:
        """Tokens per text, start and end tokens included."""
        ...

    def __call__(self, texts: Sequence[str]) -> Ids:
        """Convert n texts to (n, context_length) int64 ids, truncated and padded."""
        ...

    def fits(self, text: str) -> bool:
        """Return whether ``text`` fits without truncation."""
        ...


def clean(text: str, mode: str) -> str:
    """Clean ``text`` as open_clip does before splitting: ``lower``, ``whitespace`` or ``canonicalize``."""
    # ftfy can only mend non-ASCII text, control characters, and entities that stand for one of them.
    if not (text.isascii() and text.isprintable() and "&" not in text):
        import ftfy

        text = html.unescape(html.unescape(ftfy.fix_text(text)))
    if mode == "canonicalize":
        text = text.replace("_", " ").translate(_WITHOUT_PUNCTUATION).lower()
    text = " ".join(text.split())
    return text.lower() if mode == "lower" else text


class ClipTokenizer:
    """Case-folded byte pair encoding of words (open_clip's ``SimpleTokenizer``)."""

    def __init__(self, merges: Path, *, context_length: int, clean: str) -> None:
        """Read ``merges``, a file with one pair of symbols per line, in the order of their ids."""
        self.context_length = context_length
        self._clean = clean
        pairs = merges.read_text("utf-8").split("\n")
        self._ranks = dict(zip(pairs, range(len(pairs)), strict=True))
        self._characters, self._ids = _byte_symbols()
        self._first_merged = len(self._ids)
        # The most bytes that one token covers.
        self._max_token_bytes = max(len(_SPECIAL[0]), max(map(len, pairs)) - len(" "))
        self._start, self._end = (self._first_merged + len(self._ranks) + n for n in range(len(_SPECIAL)))

    def __call__(self, texts: Sequence[str]) -> Ids:
        rows = np.zeros((len(texts), self.context_length), dtype=np.int64)
        for row, text in zip(rows, texts, strict=True):
            inner = self._encode(text)[: self.context_length - 2]
            row[: len(inner) + 2] = (self._start, *inner, self._end)
        return rows

    def fits(self, text: str) -> bool:
        text, room = clean(text, self._clean), self.context_length - 2
        # Pairing is quadratic in the length of a word, so reject far too long texts first.
        if len(text.encode()) - text.count(" ") > room * self._max_token_bytes:
            return False
        return len(self._ids_of(text)) <= room

    def _encode(self, text: str) -> list[int]:
        return self._ids_of(clean(text, self._clean))

    def _ids_of(self, text: str) -> list[int]:
        """Return the ids of a cleaned text, without the start and end tokens."""
        ids: list[int] = []
        for word in _splitter(text.isascii()).findall(text):
            if word in _SPECIAL:
                ids.append((self._start, self._end)[_SPECIAL.index(word)])
            else:
                ids.extend(self._byte_pairs(word))
        return ids

    def _byte_pairs(self, word: str) -> list[int]:
        """Return the ids of ``word``, merging the neighbouring pair of lowest rank until none is left."""
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
            symbols = _merge_pair(symbols, *best.split(" "))
        return [merged[symbol] if symbol in merged else ids[symbol] for symbol in symbols]


class HubTokenizer:
    """A model hub tokenizer in the library's own file, which defines truncation and padding.

    ``cleared`` is an id to replace by 0 after padding (open_clip's ``strip_sep_token``).
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


def read_tokenizer(folder: Path, facts: Mapping[str, Any]) -> Tokenizer:
    """Open the tokenizer whose files lie in ``folder``; ``facts`` are the options of its class."""
    if (folder / MERGES).exists():
        return ClipTokenizer(folder / MERGES, **facts)
    return HubTokenizer(folder / HUB_TOKENIZER, **facts)


def _merge_pair(symbols: Sequence[str], first: str, second: str) -> list[str]:
    """Merge each ``first`` followed by ``second`` in ``symbols``, from left to right."""
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
    """Return a printable character for each byte, and the ids of these, alone and at the end of a word.

    GPT-2's table: bytes printable in Latin-1 stand for themselves and come first, the others follow.
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
    """Return the regular expression of a word; for ASCII texts Python's own ``re`` suffices."""
    if ascii_only:
        return re.compile(_PATTERN.format(letter="a-zA-Z", digit="0-9"), re.IGNORECASE)
    import regex

    return regex.compile(_PATTERN.format(letter=r"\p{L}", digit=r"\p{N}"), regex.IGNORECASE)
