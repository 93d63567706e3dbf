"""Suggest how words that somebody is typing may go on: the words of a collection as they are written, by their starts.

The lexical index holds stems, which nobody types, so these are counted from the columns themselves, once for a
generation.
"""

from __future__ import annotations

import heapq
import re
import threading
import unicodedata
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection as Container
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, TypeAlias, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imseek.analysis.snapshot_session import run_with_reader
from imseek.data.catalog import tag_reader
from imseek.data.current_file import read_current
from imseek.data.reader import Reader
from imseek.data.shards.metadata_columns import is_duplicate_mark, names_in_places
from imseek.errors import ImseekError
from imseek.search.where.column_cache import ColumnCache
from imseek.search.where.columns_and_functions import Source
from imseek.search.where.facets import column_chunks
from imseek.types.suggestions import Suggestion, SuggestionKind

#: Of entries of the same spelling, the kind that stands first here is shown.
KINDS: Final[tuple[SuggestionKind, ...]] = get_args(SuggestionKind)
#: Kinds of words that nobody said of a picture as a whole; they come after the others.
_PLAIN: Final = frozenset({"word", "name"})
#: Entries of a kind, the most frequent ones.
_MAX_ENTRIES: Final = 20_000
#: Characters of an entry.
_MAX_LENGTH: Final = 60
#: Characters of a text in a picture that are read, enough for a page.
_MAX_TEXT: Final = 4_000
#: Words of the typed text that one entry may continue.
_MAX_TAIL: Final = 4
#: Memory for columns, each of which is read once.
_MEMORY: Final = 1 << 20
#: Columns by the kind of their entries; the values of the first two are entries as a whole.
_COLUMNS: Final[Mapping[SuggestionKind, tuple[str, ...]]] = {
    "person": ("people",),
    "keyword": ("keywords",),
    "word": ("caption", "title", "text"),
}
#: English words that start nothing worth searching for.
_STOP_WORDS: Final = frozenset({
    "about", "after", "all", "also", "and", "any", "are", "been", "but", "can", "did", "does", "for", "from", "had",
    "has", "have", "her", "his", "how", "into", "its", "just", "more", "most", "not", "off", "one", "our", "out",
    "over", "she", "some", "such", "than", "that", "the", "their", "them", "then", "there", "these", "they", "this",
    "those", "through", "too", "two", "under", "very", "was", "were", "what", "when", "where", "which", "while",
    "who", "will", "with", "you", "your",
})  # fmt: skip
_WORD_START: Final = re.compile(r"(?<!\w)\w")
_INNER_START: Final = re.compile(r"(?<=[\W_])[^\W_]")

_Entry: TypeAlias = "tuple[str, SuggestionKind]"


class Vocabulary:
    """What may be suggested in one generation. Safe to use from several threads."""

    def __init__(self, counts: Mapping[SuggestionKind, Mapping[str, int]], generation: int = 0) -> None:
        self.generation = generation
        # For each folded text whether nobody said it of a picture, how often it is there, less than none, and an entry.
        shown: dict[str, tuple[bool, int, _Entry]] = {}
        for kind in KINDS:
            for text, count in heapq.nlargest(_MAX_ENTRIES, counts.get(kind, {}).items(), key=lambda one: one[1]):
                key = fold(text)
                is_plain, others, entry = shown.get(key, (kind in _PLAIN, 0, (text, kind)))
                shown[key] = is_plain, others - count, entry
        order = sorted(shown.items(), key=itemgetter(1))
        # Where an entry may be entered: its folded text from there on, and its place in the order, inner words last.
        starts = []
        for rank, (key, _) in enumerate(order):
            starts.append((key, rank))
            if not key.isalnum():
                starts += [(key[one.start() :], len(order) + rank) for one in _INNER_START.finditer(key)]
        starts.sort()
        self._keys = [key for key, _ in starts]
        self._ranks = np.array([rank for _, rank in starts], np.int64)
        self._entries = [entry for _, (_, _, entry) in order]

    def suggest(self, text: str, limit: int, kinds: Container[SuggestionKind] = KINDS) -> tuple[Suggestion, ...]:
        """Return texts that continue ``text``, the likeliest first: as a whole, then by its last words."""
        found: dict[str, Suggestion] = {}
        used: set[_Entry] = set()
        for start in [one.start() for one in _WORD_START.finditer(text)][-_MAX_TAIL:]:
            head = text[:start]
            # A tag is a filter, which cannot stand among words.
            fitting = [kind for kind in kinds if kind != "tag" or not head.strip()]
            for entry, kind in self._entries_from(fold(text[start:]), fitting):
                if len(found) == limit:
                    return tuple(found.values())
                if (entry, kind) not in used:  # Not "new New York", too.
                    used.add((entry, kind))
                    found.setdefault(fold(head + entry), Suggestion(head + entry, kind))
        return tuple(found.values())

    def _entries_from(self, start: str, kinds: Container[SuggestionKind]) -> Iterator[_Entry]:
        """Yield entries that go on from a folded text, in order."""
        low = bisect_right(self._keys, start)
        high = bisect_left(self._keys, start + "\U0010ffff", low)
        for rank in np.sort(self._ranks[low:high]).tolist():
            entry = self._entries[rank % len(self._entries)]
            if entry[1] in kinds:
                yield entry


class VocabularyCache:
    """Holds the vocabularies of collections by their UUIDs. Thread-safe.

    After a commit the vocabulary before it answers while that of the new generation is counted in a thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, Vocabulary] = {}
        self._counting: dict[str, threading.Lock] = {}

    def get(self, root: Path) -> Vocabulary:
        """Return the vocabulary of a collection, counted first if none is held.

        Raises CollectionNotFoundError, CorruptCollectionError.
        """
        current = read_current(root)
        with self._lock:
            held = self._held.get(current.uuid)
            counting = self._counting.setdefault(current.uuid, threading.Lock())
        if held is None:
            with counting:
                return self._held.get(current.uuid) or self._count(root, current.uuid)
        if held.generation != current.generation and counting.acquire(blocking=False):
            threading.Thread(target=self._renew, args=(root, current.uuid), name="vocabulary", daemon=True).start()
        return held

    def _renew(self, root: Path, uuid: str) -> None:
        try:
            with suppress(ImseekError):  # Whoever looks into the collection next is told.
                self._count(root, uuid)
        finally:
            self._counting[uuid].release()

    def _count(self, root: Path, uuid: str) -> Vocabulary:
        made = run_with_reader(root, count_words)
        with self._lock:
            self._held[uuid] = made
        return made


def count_words(reader: Reader) -> Vocabulary:
    """Count the words of a generation: some seconds for a million images. Raises StaleGenerationError."""
    columns = ColumnCache(_MEMORY)
    types = columns.types(reader)
    counts: dict[SuggestionKind, Counter[str]] = {kind: Counter() for kind in KINDS}
    for kind, names in _COLUMNS.items():
        for name in names:
            if name not in types:
                continue
            for chunk in column_chunks(columns, reader, types, Source("stored", name)):
                if pa.types.is_string(chunk.type):
                    counts[kind].update(_words(chunk) if kind == "word" else _entries(chunk))
    for names in names_in_places(reader):
        counts["name"].update(_names(names))
    for tag, provenance, images in tag_reader.count_tags(reader.root):
        if not is_duplicate_mark(provenance) and _is_entry(tag):
            counts["tag"][tag] += images
    return Vocabulary(counts, reader.generation)


def _entries(chunk: Any) -> dict[str, int]:
    """Count the entries of lists, which newlines separate."""
    counts = _value_counts(pc.list_flatten(pc.split_pattern(chunk, "\n")))
    return {text: count for text, count in counts if _is_entry(text)}


def _is_entry(text: str) -> bool:
    # Where paths and addresses may be typed, a suggestion is none: whoever made the picture chose it.
    return 1 < len(text) <= _MAX_LENGTH and text.isprintable() and "://" not in text and text[0] not in "/~."


def _words(chunk: Any) -> dict[str, int]:
    words = pc.split_pattern_regex(pc.utf8_slice_codeunits(chunk, 0, _MAX_TEXT), r"[^\p{L}\p{M}'’]+")
    return _fitting((text.strip("'’"), count) for text, count in _value_counts(pc.list_flatten(words)))


def _names(names: Any) -> dict[str, int]:
    """Count the words of the names of files and of their folders."""
    parts = pc.split_pattern(pc.replace_substring_regex(names, r"\.[^./]*$", ""), "/")
    counted = _value_counts(pc.list_flatten(parts))  # Folders have many pictures.
    spaced = pc.replace_substring_regex(
        pa.array([part for part, _ in counted], pa.string()), r"(\p{Ll})(\p{Lu})", r"\1 \2"
    )
    words = pc.split_pattern_regex(spaced, r"[^\p{L}\p{M}]+").to_pylist()
    return _fitting((word, count) for part, (_, count) in zip(words, counted, strict=True) for word in part)


def _fitting(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return words in lower case, without short and common ones."""
    found: dict[str, int] = {}
    for text, count in counts:
        if 2 < len(text) <= _MAX_LENGTH and (lower := text.lower()) not in _STOP_WORDS:
            found[lower] = found.get(lower, 0) + count
    return found


def _value_counts(values: Any) -> list[tuple[str, int]]:
    counted = pc.value_counts(values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values)
    pairs = zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)
    return [(value, count) for value, count in pairs if value]


def fold(text: str) -> str:
    """Fold case and accents, so that what is typed without them is found."""
    if text.isascii():
        return text.lower()
    return "".join(one for one in unicodedata.normalize("NFKD", text).casefold() if not unicodedata.combining(one))
