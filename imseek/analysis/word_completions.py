"""Suggest how words that somebody is typing may go on: the words of a collection as they are written, by their starts.

The lexical index holds stems, which nobody types, so these are counted from the columns themselves, once for a
generation.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection as Container
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, TypeAlias, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imseek.analysis.snapshot_session import run_with_reader
from imseek.data.catalog import tag_reader
from imseek.data.current_generation import read_current
from imseek.data.reader import Reader
from imseek.data.shards.metadata_columns import is_duplicate_mark, names_in_places
from imseek.data.words.analysis import fold
from imseek.data.words.function_words import COMMON_WORDS
from imseek.errors import ImseekError
from imseek.search.where.column_cache import ColumnCache
from imseek.search.where.columns_and_functions import Source
from imseek.search.where.facets import column_chunks
from imseek.types.word_completions import Suggestion, SuggestionKind

#: If entries are spelt the same, the kind that stands first here is shown.
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
#: Rows split into words at a time.
_ROWS: Final = 50_000
#: What people type before a tag.
_TAG: Final = "tag:"
#: Memory for columns, each of which is read once.
_MEMORY: Final = 1 << 20
#: Columns by the kind of their entries; the values of the first two are entries as a whole.
_COLUMNS: Final[Mapping[SuggestionKind, tuple[str, ...]]] = {
    "person": ("people",),
    "keyword": ("keywords",),
    "word": ("caption", "title", "text"),
}
_WORD_START: Final = re.compile(r"(?<!\w)\w")
_INNER_START: Final = re.compile(r"(?<=[\W_])[^\W_]")

_Entry: TypeAlias = "tuple[str, SuggestionKind]"
#: A collection's folder and UUID.
_Key: TypeAlias = "tuple[Path, str]"


class Vocabulary:
    """What may be suggested in one generation. Safe to use from several threads."""

    def __init__(self, counts: Mapping[SuggestionKind, Mapping[str, int]], generation: int = 0) -> None:
        self.generation = generation
        # For each folded text: whether nobody said it of a picture, minus its number of occurrences, and an entry.
        by_key: dict[str, tuple[bool, int, _Entry]] = {}
        for kind in KINDS:
            for text, count in counts.get(kind, {}).items():
                key = fold(text)
                is_plain, minus_count, entry = by_key.get(key, (kind in _PLAIN, 0, (text, kind)))
                by_key[key] = is_plain, minus_count - count, entry
        order = sorted(by_key.items(), key=itemgetter(1))
        # Where an entry may be entered: its folded text from there on, and its place in the order, inner words last.
        starts = []
        for rank, (key, _) in enumerate(order):
            starts.append((key, rank))
            if not key.isalnum():
                starts += [(key[one.start() :], len(order) + rank) for one in _INNER_START.finditer(key)]
        starts.sort()
        tags = sorted((-count, text) for text, count in counts.get("tag", {}).items())
        self._tags = [(fold(text), text) for _, text in tags]
        self._keys = [key for key, _ in starts]
        self._ranks = np.array([rank for _, rank in starts], np.int64)
        self._entries = [entry for _, (_, _, entry) in order]

    def suggest(self, text: str, limit: int, kinds: Container[SuggestionKind] = KINDS) -> tuple[Suggestion, ...]:
        """Return texts that continue ``text``, the likeliest first: as a whole, then by its last words.

        Behind ``tag:``, only tags are suggested.
        """
        if fold(text).startswith(_TAG):
            prefix = fold(text).removeprefix(_TAG).lstrip()
            tags = [tag for key, tag in self._tags if key.startswith(prefix)] if "tag" in kinds else []
            return tuple(Suggestion(tag, "tag") for tag in tags[:limit])
        suggestions: dict[str, Suggestion] = {}
        used: set[_Entry] = set()
        for start in [one.start() for one in _WORD_START.finditer(text)][-_MAX_TAIL:]:
            head = text[:start]
            # A tag is a filter, which cannot stand among words.
            fitting = [kind for kind in kinds if kind != "tag" or not head.strip()]
            for entry, kind in self._entries_from(fold(text[start:]), fitting):
                if len(suggestions) == limit:
                    return tuple(suggestions.values())
                if (entry, kind) not in used:  # Not "new New York", too.
                    used.add((entry, kind))
                    suggestions.setdefault(fold(head + entry), Suggestion(head + entry, kind))
        return tuple(suggestions.values())

    def _entries_from(self, start: str, kinds: Container[SuggestionKind]) -> Iterator[_Entry]:
        """Yield entries that go on from a folded text, in order."""
        low = bisect_right(self._keys, start)
        high = bisect_left(self._keys, start + "\U0010ffff", low)
        for rank in np.sort(self._ranks[low:high]).tolist():
            entry = self._entries[rank % len(self._entries)]
            if entry[1] in kinds:
                yield entry


class VocabularyCache:
    """Cache of the vocabularies of collections by their folders and UUIDs, which copies share. Thread-safe.

    After a commit the vocabulary before it answers while that of the new generation is counted in a thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._vocabularies: dict[_Key, Vocabulary] = {}
        self._counting: dict[_Key, threading.Lock] = {}

    def get(self, root: Path) -> Vocabulary:
        """Return the vocabulary of a collection, counted first if it is not known yet.

        Raises CollectionNotFoundError, CorruptCollectionError.
        """
        current = read_current(root)
        key = root, current.uuid
        with self._lock:
            cached = self._vocabularies.get(key)
            counting = self._counting.setdefault(key, threading.Lock())
        if cached is None:
            with counting:
                return self._vocabularies.get(key) or self._count(key)
        if cached.generation != current.generation and counting.acquire(blocking=False):
            threading.Thread(target=self._renew, args=(key,), name="vocabulary", daemon=True).start()
        return cached

    def _renew(self, key: _Key) -> None:
        try:
            with suppress(ImseekError):  # The next reader of the collection gets the error.
                self._count(key)
        finally:
            self._counting[key].release()

    def _count(self, key: _Key) -> Vocabulary:
        vocabulary = run_with_reader(key[0], count_words)
        with self._lock:
            self._vocabularies[key] = vocabulary
        return vocabulary


def count_words(reader: Reader) -> Vocabulary:
    """Count the words of a generation: some seconds for a million images. Raises StaleGenerationError."""
    columns = ColumnCache(_MEMORY)
    types = columns.types(reader)
    counts: dict[SuggestionKind, Mapping[str, int]] = {}
    for kind, names in _COLUMNS.items():
        split = _split_words if kind == "word" else _split_entries
        tables = [
            split(part)
            for name in names
            if name in types
            for chunk in column_chunks(columns, reader, types, Source("stored", name))
            if pa.types.is_string(chunk.type)
            for part in _slices(chunk)
        ]
        counts[kind] = {text: n for text, n in _add_up(tables).items() if kind == "word" or _is_entry(text)}
    counts["name"] = _add_up([_split_names(part) for names in names_in_places(reader) for part in _slices(names)])
    tags: Counter[str] = Counter()
    for tag, provenance, images in tag_reader.count_tags(reader.root):
        if not is_duplicate_mark(provenance) and _is_entry(tag):
            tags[tag] += images
    return Vocabulary({**counts, "tag": tags}, reader.generation)


# All that grows with the collection is done by Arrow, which lets other threads answer meanwhile. A table has texts and
# their counts.


def _slices(texts: Any) -> Iterator[Any]:
    """Yield the rows of a column, few enough that what they are split into fits one array."""
    for chunk in texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]:
        yield from (chunk.slice(start, _ROWS) for start in range(0, len(chunk), _ROWS))


def _split_entries(lists: Any) -> Any:
    return _count(pc.list_flatten(pc.split_pattern(lists, "\n")))


def _is_entry(text: str) -> bool:
    # Where paths and addresses may be typed, a suggestion is none: whoever made the picture chose it.
    return 1 < len(text) <= _MAX_LENGTH and text.isprintable() and "://" not in text and text[0] not in "/~."


def _split_words(texts: Any) -> Any:
    lower = pc.utf8_lower(pc.utf8_slice_codeunits(texts, 0, _MAX_TEXT))
    words = pc.list_flatten(pc.split_pattern_regex(lower, r"[^\p{L}\p{M}'’]+"))
    return _usual(_count(pc.utf8_trim(words, "'’")))


def _split_names(names: Any) -> Any:
    """Count the words of the names of files and of their folders."""
    parts = pc.list_flatten(pc.split_pattern(pc.replace_substring_regex(names, r"\.[^./]*$", ""), "/"))
    counted = _count(parts)  # Folders have many pictures.
    spaced = pc.replace_substring_regex(counted.column("text"), r"(\p{Ll})(\p{Lu})", r"\1 \2").combine_chunks()
    words = pc.split_pattern_regex(pc.utf8_lower(spaced), r"[^\p{L}\p{M}]+")
    times = counted.column("count").take(pc.list_parent_indices(words))
    return _usual(pa.table({"text": pc.list_flatten(words), "count": times}))


def _usual(words: Any) -> Any:
    """Leave out words that are short, very long or common."""
    lengths = pc.utf8_length(words.column("text"))
    fits = pc.and_(pc.greater(lengths, 2), pc.less_equal(lengths, _MAX_LENGTH))
    common = pc.is_in(words.column("text"), value_set=pa.array(sorted(COMMON_WORDS)))
    return words.filter(pc.and_(fits, pc.invert(common)))


def _count(texts: Any) -> Any:
    counted = pc.value_counts(texts)
    return pa.table({"text": counted.field("values"), "count": counted.field("counts")})


def _add_up(tables: Sequence[Any]) -> dict[str, int]:
    """Add up counts; returns the most frequent texts."""
    if not tables:
        return {}
    total = pa.concat_tables(tables).drop_null().group_by("text").aggregate([("count", "sum")])
    best = total.take(pc.select_k_unstable(total, _MAX_ENTRIES, [("count_sum", "descending"), ("text", "ascending")]))
    return dict(zip(best.column("text").to_pylist(), best.column("count_sum").to_pylist(), strict=True))
