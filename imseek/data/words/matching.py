"""Find the images of a generation that match a lexical query, best first.

The index in the catalog finds documents; their BM25 is computed here, from the documents themselves, so that it is the
same over every backend. To bound the time of a query, at most ``_SCORED`` documents are scored: those with its rarest
word, then those with the next one. For a word that too many hold, those that hold other words of the query come first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imseek.data.catalog.read_connection import read_meta
from imseek.data.catalog.sql import ReadConnection, select_in
from imseek.data.collection_records import FOREVER
from imseek.data.words.scoring import count_units, idf, score_counts, units_of
from imseek.data.words.values import (
    FIELDS,
    INDEXED,
    RULES,
    WRITTEN_RULES,
    Document,
    Prefix,
    Unit,
    WordMatches,
    WordQuery,
)
from imseek.errors import CorruptCollectionError, repair_command

if TYPE_CHECKING:
    from imseek.data.reader import Reader

#: Maximum documents that a query scores.
_SCORED: Final = 200
#: A word in more documents than this is common: how many hold it is estimated.
_COMMON: Final = 5_000
#: Documents with an overly common word that are searched for another common one.
_PAIRED: Final = 1_000
#: A prefix that a share p of n documents hold is found by reading them, not in the index, where p² · n exceeds this.
#: FTS5 took 0.19 µs for each document that holds it, to sort all of them; reading took 0.5 µs for each document until
#: enough were found (500,000 documents of 20 words).
_SCAN: Final = 13_000
#: The sample that p is estimated from: its runs, and the documents of a run.
_RUNS: Final = 10
_RUN_LENGTH: Final = 50
#: Words whose frequency a reader keeps.
_KNOWN: Final = 10_000


@dataclass(slots=True)
class _Frequency:
    """How many documents hold a unit, estimated for a common one, and the number of its ``_COMMON``-th document."""

    count: int
    furthest: int
    is_common: bool


class Index:
    """The documents of one generation, over an open connection to its catalog."""

    def __init__(self, reader: Reader, connection: ReadConnection, fields: Sequence[str] | None, last: int) -> None:
        self._index = reader.catalog_backend.word_index
        self._connection = connection
        self._fields = None if fields is None or set(fields) == set(FIELDS) else list(fields)
        self._with_prefix: dict[Prefix, list[int]] = {}
        self._shares: dict[Prefix, float] = {}
        self._frequencies: dict[tuple[Any, ...], _Frequency] = reader.word_frequencies
        self.generation = reader.generation
        self.last = last

    def find(self, groups: Sequence[Sequence[Unit]], limit: int, last: int | None = None) -> list[int]:
        """Return the first ``limit`` documents, ascending, that hold a unit of each group, none beyond ``last``."""
        match groups:
            case [[Prefix() as prefix]] if limit <= _COMMON:
                return [document for document in self._prefixed(prefix) if document <= (last or self.last)][:limit]
        query, parameters = self._query(groups, limit, last)
        return [row[0] for row in self._connection.execute(query, parameters).fetchall()]

    def count(self, groups: Sequence[Sequence[Unit]], limit: int) -> tuple[int, int]:
        """Count such documents, at most ``limit``; return the count and the largest number counted (0: none)."""
        match groups:
            case [[Prefix()]] if limit <= _COMMON:
                documents = self.find(groups, limit)
                return len(documents), max(documents, default=0)
        query, parameters = self._query(groups, limit, None)
        count, largest = self._connection.execute(
            f"SELECT COUNT(*), MAX(id) FROM ({query}) AS found",  # noqa: S608 - of ours
            parameters,
        ).fetchone()
        return count, largest or 0

    def _query(
        self, groups: Sequence[Sequence[Unit]], limit: int, last: int | None
    ) -> tuple[str, tuple[str | int, ...]]:
        """Return SQL for such documents, and its parameters.

        Prefixes that many documents hold are searched for in the documents, not in the index, which would first sort
        all that hold them.
        """
        common = [prefix for group in groups if (prefix := self._common_prefix(group)) is not None]
        rest = [group for group in groups if self._common_prefix(group) is None]
        conditions = [self._holds(prefix) for prefix in common]
        condition = "".join(f" AND {sql}" for sql, _ in conditions)
        patterns = [pattern for _, patterns in conditions for pattern in patterns]
        bounds: tuple[str | int, ...] = (last or self.last, *patterns, limit)
        if rest:
            return self._index.matches(condition), (self._index.match_expression(rest, self._fields), *bounds)
        query = (
            f"SELECT document_id AS id FROM documents WHERE document_id <= ?{condition} ORDER BY document_id LIMIT ?"  # noqa: S608
        )
        return query, bounds

    def _common_prefix(self, group: Sequence[Unit]) -> Prefix | None:
        """Return the prefix that a group consists of, where reading documents for it is faster than the index."""
        match group:
            case [Prefix() as prefix] if self.last > _SCAN:
                if (share := self._shares.get(prefix)) is None:
                    share = self._shares[prefix] = self._sample_share(prefix)
                return prefix if share * share * self.last > _SCAN else None
        return None

    def _sample_share(self, prefix: Prefix) -> float:
        """Estimate the share of documents that hold a prefix, from a sample of evenly spread runs."""
        starts = range(1, self.last + 1, max(1, self.last // _RUNS))
        sql, patterns = self._holds(prefix)
        runs = " OR ".join(["document_id BETWEEN ? AND ?"] * len(starts))
        bounds = [bound for start in starts for bound in (start, start + _RUN_LENGTH - 1)]
        query = f"SELECT COUNT(*), COUNT(CASE WHEN {sql} THEN 1 END) FROM documents WHERE {runs}"  # noqa: S608 - of ours
        documents, holding = self._connection.execute(query, (*patterns, *bounds)).fetchone()
        return float(holding / max(documents, 1))

    def _holds(self, prefix: Prefix) -> tuple[str, list[str]]:
        """Return SQL for whether a document holds a prefix, and its parameters."""
        text = " || ' ' || ".join(self._fields or FIELDS)
        patterns = [f" {prefix.start}", *(f" {stem} " for stem in prefix.stems)]
        sql = " OR ".join([f"{self._index.position}(' ' || {text} || ' ', ?) > 0"] * len(patterns))
        return f"({sql})", [pattern.replace("\0", " ") for pattern in patterns]  # PostgreSQL has no NUL.

    def _prefixed(self, prefix: Prefix) -> list[int]:
        """Return the first ``_COMMON`` documents with a prefix, looked up once."""
        if (documents := self._with_prefix.get(prefix)) is None:
            query, parameters = self._query([[prefix]], _COMMON, None)
            documents = [row[0] for row in self._connection.execute(query, parameters).fetchall()]
            self._with_prefix[prefix] = documents
        return documents

    def documents_of(self, image_ids: Sequence[int]) -> list[int]:
        """Return the documents of those of these images that are live in the generation."""
        query = "SELECT document_id FROM documents WHERE image_id IN (??) AND born <= ? AND died > ?"
        rows = select_in(self._connection, query, list(image_ids), self.generation, self.generation)
        return [row[0] for row in rows]

    def count_ended(self) -> int:
        """Count documents that have ended, which the index still holds, up to ``_COMMON``."""
        query = f"SELECT COUNT(*) FROM (SELECT 1 FROM documents WHERE died < {FOREVER} LIMIT {_COMMON}) AS ended"  # noqa: S608
        return int(self._connection.execute(query).fetchone()[0])

    def frequency(self, unit: Unit, documents: int) -> _Frequency:
        """Count the documents of the collection that hold a unit."""
        key = (unit, *(self._fields or ()))
        if (entry := self._frequencies.get(key)) is None:
            if len(self._frequencies) == _KNOWN:
                self._frequencies.clear()
            entry = self._frequencies[key] = self._frequency(unit, documents)
        return entry

    def _frequency(self, unit: Unit, documents: int) -> _Frequency:
        count, furthest = self.count([[unit]], _COMMON)
        if count < _COMMON:
            return _Frequency(count, furthest, is_common=False)
        # Documents are found in the order of their numbers: the rest is assumed to hold the unit as often.
        estimate = count * self.last // max(furthest, 1)
        return _Frequency(max(count, min(documents, estimate)), furthest, is_common=True)

    def rows(self, document_ids: Sequence[int], fields: Sequence[str]) -> list[tuple[Any, ...]]:
        """Return image and fields of those of these documents that are live in the generation."""
        condition = "WHERE document_id IN (??) AND born <= ? AND died > ?"
        query = f"SELECT image_id, {', '.join(fields)} FROM documents {condition}"  # noqa: S608 - names of ours
        return list(select_in(self._connection, query, list(document_ids), self.generation, self.generation))


def last_searchable(reader: Reader, connection: ReadConnection) -> int | str | None:
    """Return the number of a generation's last document, if it can be searched by words; else why it cannot.

    None where there is nothing to search.
    """
    indexed = read_meta(connection, INDEXED)
    if indexed is None:
        return "words are not indexed yet: the next `imseek index` does it"
    backend = reader.catalog_backend
    if backend.is_file and not reader.is_trusted():  # SQLite believes what the tables of FTS5 say.
        return "words are searched in trusted collections only"
    if not backend.can_search_words(connection):
        return "words cannot be searched: this SQLite was built without FTS5"
    last = _last_document(connection, reader.generation)
    if not reader.current.images:
        return None
    if not last:
        return "words are not indexed in this generation: open the collection again"
    if int(indexed) < last:
        return "the index of words is incomplete: the next `imseek index` completes it"
    return last


def match_words(
    reader: Reader,
    query: WordQuery,
    limit: int,
    fields: Sequence[str] | None = None,
    among: Sequence[int] | None = None,
    min_tokens: int = 1,
) -> WordMatches:
    """Implement :meth:`imseek.data.reader.Reader.match_words`."""
    if fields is not None and (unknown := sorted(set(fields) - set(FIELDS))):
        raise ValueError(f"a document has no column {unknown[0]!r}")
    documents = reader.current.images
    prefixes = tuple(prefix for prefix in query.prefixes if prefix.start)
    query = WordQuery(tuple(filter(None, query.words)), tuple(filter(all, query.phrases)), prefixes)
    if not query or fields == [] or limit < 1 or not documents:
        return _no_matches(documents, None)
    try:
        with reader.catalog_connection() as connection:
            last = last_searchable(reader, connection)
            if not isinstance(last, int):
                return _no_matches(documents, last)
            index = Index(reader, connection, fields, last)
            matches = _match(reader, index, query, limit, fields or FIELDS, among, min_tokens)
            reader.check_history(connection)
    except (CorruptCollectionError, MemoryError) as error:  # SQLite needs more memory than there is for a wrong length.
        if not reader.catalog_backend.is_file:
            raise
        hint = repair_command(reader.root)
        cause = str(error) or "it asks for too much memory"
        return _no_matches(documents, f"the index of words is damaged ({cause}): {hint}")
    return matches


def _no_matches(documents: int, note: str | None) -> WordMatches:
    empty = np.empty(0, np.float64)
    return WordMatches(np.empty(0, np.int64), empty, empty, 0, documents, note=note)


def _match(
    reader: Reader,
    index: Index,
    query: WordQuery,
    limit: int,
    fields: Sequence[str],
    among: Sequence[int] | None,
    min_tokens: int,
) -> WordMatches:
    documents = reader.current.images
    units = units_of(query)
    single = units[: len(units) - len(query.phrases)]
    frequencies: dict[Unit, _Frequency] = {unit: index.frequency(unit, documents) for unit in single}
    if not query.phrases and not any(frequency.count for frequency in frequencies.values()):
        return _no_matches(documents, None)
    # Phrases of common words are searched for only where those words were counted.
    bounds = _phrase_bounds(index, query, documents)
    frequencies |= {
        phrase: _Frequency(*index.count([[phrase]], _COMMON), is_common=False)
        if bound is None
        else _Frequency(len(numbers := index.find([[phrase]], _COMMON, bound)), max(numbers, default=0), is_common=True)
        for phrase, bound in bounds.items()
    }
    # All phrases must match: where one has a rare word, that leads to the others.
    limits = [bound for bound in bounds.values() if bound is not None]
    last = min(limits) if limits and len(limits) == len(bounds) else None
    if among is None:
        candidates, is_exact = _candidates(index, query, frequencies, max(limit, _SCORED), last)
    else:
        candidates, is_exact = index.documents_of(among), True
    if not candidates and is_exact:
        return _no_matches(documents, None)
    rows = index.rows(candidates, fields)
    alive = reader.live_ids([row[0] for row in rows])
    image_ids, *texts = zip(*(row for row in rows if row[0] in alive), strict=True) if alive else [()]
    counts = count_units(dict(zip(fields, texts, strict=False)), units, len(image_ids))
    weights = np.array([idf(frequencies[unit].count, documents) for unit in units], np.float64)
    scores, shares = score_counts(counts, weights)
    holds = np.asarray(counts > 0, np.bool_)
    # A wrong index adds no wrong match: the documents decide.
    tokens = [1 if isinstance(unit, Prefix) else len(unit) for unit in units]
    matching = (holds @ np.array(tokens) >= max(min_tokens, 1)) & np.all(holds[:, len(single) :], axis=1)
    ids = np.array(image_ids, np.int64)
    order = np.lexsort((ids, -scores))
    best = order[matching[order]]
    total = len(best)
    if not is_exact:
        total = max(total, _count_all(index, query, frequencies, last) - index.count_ended())
    best = best[:limit]
    return WordMatches(ids[best], scores[best], shares[best], total, documents, is_exact)


def _phrase_bounds(index: Index, query: WordQuery, documents: int) -> dict[Unit, int | None]:
    """Return the last document to search for each phrase, if all its words are common; None: search all."""
    bounds: dict[Unit, int | None] = {}
    for phrase in query.phrases:
        frequencies = [index.frequency((token,), documents) for token in dict.fromkeys(phrase)]
        is_common = all(frequency.is_common for frequency in frequencies)
        bounds[phrase] = max(frequency.furthest for frequency in frequencies) if is_common else None
    return bounds


def _candidates(
    index: Index, query: WordQuery, frequencies: dict[Unit, _Frequency], room: int, last: int | None
) -> tuple[list[int], bool]:
    """Return documents to score, and whether they are all that match."""
    base: list[list[Unit]] = [[phrase] for phrase in query.phrases]
    words = [word for word in units_of(query._replace(phrases=())) if frequencies[word].count]
    words.sort(key=lambda word: frequencies[word].count)
    if (base or words) and index.count_ended() * 10 > min(
        index.last, 10 * _COMMON
    ):  # Some matches belong to earlier generations.
        room *= 2
    candidates: dict[int, None] = {}

    def add(groups: list[list[Unit]], bound: int | None = None) -> bool:
        """Add matching documents while there is room; return whether these were all."""
        space = room - len(candidates)
        if not space:
            return False
        documents = index.find(groups, room, bound)
        fresh = [document for document in documents if document not in candidates]
        candidates.update(dict.fromkeys(fresh[:space]))
        return len(documents) < room and len(fresh) <= space

    if base:
        if rare := [word for word in words if not frequencies[word].is_common]:
            add([*base, rare])
        if words:
            add([*base, *([word] for word in words)], last)
        is_whole = add(base, last)
        return list(candidates), is_whole and last is None
    while words:
        rarest, *words = words
        # Where a rarer word has filled much of the room, documents with commoner ones rank lower anyway.
        if frequencies[rarest].count > room - len(candidates) and len(candidates) * 4 < room:
            _narrow(add, rarest, words, frequencies)
        if not add([[rarest]]):
            return list(candidates), False
    return list(candidates), True


def _narrow(
    add: Callable[[list[list[Unit]], int | None], bool],
    rarest: Unit,
    others: Sequence[Unit],
    frequencies: Mapping[Unit, _Frequency],
) -> None:
    """Add documents with an overly common word and others: first all rare ones, then any, then common ones."""
    frequency = frequencies[rarest]
    # Searching every document with one common word for another would take too long: the first ones must do.
    first = frequency.furthest * _PAIRED // min(frequency.count, _COMMON)
    partners = [word for word in others if frequency.is_common or not frequencies[word].is_common]
    common = [word for word in others if word not in partners][:1]
    if len(partners) > 1:
        add([[rarest], *([word] for word in partners)], first if frequency.is_common else None)
    for word in partners:
        add([[rarest], [word]], first if frequency.is_common else None)
    for word in common:
        add([[rarest], [word]], first)


def _count_all(index: Index, query: WordQuery, frequencies: dict[Unit, _Frequency], last: int | None) -> int:
    """Count the documents that match, up to ``_COMMON``, including those that have ended."""
    if query.phrases:
        return len(index.find([[phrase] for phrase in query.phrases], _COMMON, last))
    words = units_of(query)
    if len(words) == 1 or any(frequencies[word].is_common for word in words):
        return max(min(frequencies[word].count, _COMMON) for word in words)
    return index.count([words], _COMMON)[0]


def _last_document(connection: ReadConnection, generation: int) -> int:
    """Return the number of the last document of a generation; 0 where there is none."""
    newest = "SELECT document_id, born FROM documents ORDER BY document_id DESC LIMIT 1"
    number, born = connection.execute(newest).fetchone() or (0, 0)
    if born > generation:
        query = "SELECT COALESCE(MAX(document_id), 0) FROM documents WHERE born <= ?"
        (number,) = connection.execute(query, (generation,)).fetchone()
    return int(number)


def read_documents(reader: Reader, image_ids: Sequence[int]) -> dict[int, Document]:
    """Implement :meth:`imseek.data.reader.Reader.documents`."""
    ids = sorted(reader.live_ids(image_ids))
    query = (
        "SELECT image_id, names, captions, keywords, text FROM documents "
        "WHERE image_id IN (??) AND born <= ? AND died > ?"
    )
    with reader.catalog_connection() as connection:
        if read_meta(connection, INDEXED) is None:
            return {}
        rows = select_in(connection, query, ids, reader.generation, reader.generation)
        documents = {image_id: Document(*fields) for image_id, *fields in rows}
        reader.check_history(connection)
    return documents


def read_written_texts(reader: Reader, image_ids: Sequence[int]) -> dict[int, str] | None:
    """Return the written texts in the documents of live images, by id; None where the catalog is too old for them."""
    query = (
        "SELECT image_id, written FROM documents WHERE image_id IN (??) AND born <= ? AND died > ? AND written <> ''"
    )
    with reader.catalog_connection() as connection:
        if int(read_meta(connection, RULES) or 1) < WRITTEN_RULES:
            return None
        ids = sorted(reader.live_ids(image_ids))
        texts = dict(select_in(connection, query, ids, reader.generation, reader.generation))
        reader.check_history(connection)
    return texts
