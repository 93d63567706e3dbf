"""Explain why hits match: the picture, and the words of the query where the image has them, as written there."""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

import numpy as np

from imseek.data.catalog.place_paths import MEMBER_SEPARATOR
from imseek.data.words.analysis import (
    add_last_characters,
    full_name,
    name_tokens,
    parse_words,
    stem,
    unstemmed_tokens,
)
from imseek.data.words.function_words import FUNCTION_WORDS
from imseek.data.words.values import Document, TokenMatcher, WordQuery
from imseek.search.candidate_set import CandidateSet
from imseek.search.prepared_query import PreparedQuery
from imseek.search.query import Query
from imseek.search.query_words import words_of
from imseek.types.search_results import Match, MatchField

#: The least evidence of a picture that stands out: one in twenty of the collection does by chance.
PICTURE_NATS: Final = 3.0
#: Characters of an excerpt, and of those before the word that it begins with.
EXCERPT: Final = 80
_BEFORE: Final = 24
#: Words and names that one match lists.
_MAX_WORDS: Final = 8
#: Characters of a text that are looked through.
_MAX_TEXT: Final = 1 << 16
#: Metadata columns by the place of words that they fill.
_COLUMNS: Final[Mapping[MatchField, tuple[str, ...]]] = {
    "caption": ("caption", "title"),
    "keyword": ("keywords", "people"),
    "text": ("text",),
}
_PIECE = re.compile(r"\S+")
_WORD = re.compile(r"[^\W_]+")

Metadata = Mapping[int, Mapping[str, Any]]


def match_hits(prepared: PreparedQuery, hits: CandidateSet, metadata: Metadata | None) -> dict[int, tuple[Match, ...]]:
    """Return why each of the hits (of one collection) matches, by image id.

    ``metadata`` holds that of the hits, if it has been read already. Reading it takes a quarter of a cold search, so
    otherwise only texts in pictures are looked up: in captions and keywords, words are those of the query.
    """
    matches_by_id: dict[int, list[Match]] = {image_id: [] for image_id in hits.ids.tolist()}
    if prepared.calibration is not None:
        evidence = prepared.calibration.picture_evidence(hits.scores)
        for n in np.flatnonzero(evidence >= PICTURE_NATS).tolist():
            matches_by_id[int(hits.ids[n])].append(Match("picture", score=float(hits.scores[n])))
    caption_cosines = _caption_cosines(prepared)
    # Where words cannot be searched, captions alone are the evidence.
    matching = hits.ids[hits.words > 0].tolist() if prepared.words.note is None else []
    tokens = TokenMatcher(words_of(prepared.query))
    documents = prepared.reader.documents(matching) if matching else {}
    fields = {i: _fields_of(one, tokens) for i, one in documents.items()}
    named_ids = [i for i, matched_fields in fields.items() if "name" in matched_fields]
    places = prepared.reader.catalog_places(named_ids) if named_ids else {}
    sources = prepared.reader.sources() if named_ids else {}
    is_read = metadata is not None
    if metadata is None:
        ids_with_text = [i for i, matched_fields in fields.items() if "text" in matched_fields]
        texts_by_id = prepared.reader.written_texts(ids_with_text) if ids_with_text else {}
        metadata = {image_id: {"text": text} for image_id, text in texts_by_id.items()}
    for image_id, matched_fields in fields.items():
        if image_id in places:
            source_id, path = places[image_id]
            if names := matching_names(full_name(sources[source_id].root, path), tokens):
                matches_by_id[image_id].append(Match("name", names))
        for field, columns in _COLUMNS.items():
            if field in matched_fields and not is_read and field != "text":
                matches_by_id[image_id].append(Match(field, words_of_query(prepared.query, documents[image_id], field)))
            elif field in matched_fields:
                texts = [text for column in columns for text in _texts(metadata.get(image_id, {}).get(column))]
                if (match := match_texts(field, texts, tokens)) is not None:
                    matches_by_id[image_id].append(match)
    for image_id in matches_by_id.keys() & caption_cosines.keys():
        _add_caption(matches_by_id[image_id], caption_cosines[image_id], metadata.get(image_id, {}) if is_read else {})
    return {image_id: tuple(matches) for image_id, matches in matches_by_id.items()}


def _caption_cosines(prepared: PreparedQuery) -> dict[int, float]:
    """Return the cosine of each caption that counts as evidence, by image id."""
    words, calibration = prepared.words, prepared.calibration
    if calibration is None or not len(words.captions):
        return {}
    at = np.flatnonzero(calibration.caption_evidence(words.captions) > 0)
    return dict(zip(words.ids[at].tolist(), words.captions[at].tolist(), strict=True))


def _add_caption(matches: list[Match], score: float, metadata: Mapping[str, Any]) -> None:
    """Add the cosine of a caption to its match, or a match that begins with the caption if no word of it matches."""
    for n, match in enumerate(matches):
        if match.field == "caption":
            matches[n] = replace(match, score=score)
            return
    caption = next(iter(_texts(metadata.get("caption"))), None)
    at = next((n for n, match in enumerate(matches) if match.field in ("keyword", "text")), len(matches))
    matches.insert(at, Match("caption", (), None if caption is None else _excerpt(caption, 0, 0), score))


def _fields_of(document: Document, tokens: TokenMatcher) -> set[MatchField]:
    """Return where the document has any of the tokens."""
    return {field for field, text in _tokens_by_field(document).items() if tokens.matches_any(text.split())}


def _tokens_by_field(document: Document) -> dict[MatchField, str]:
    return {
        "name": document.names,
        "caption": document.captions,
        "keyword": document.keywords,
        "text": document.text,
    }


def words_of_query(query: Query, document: Document, field: MatchField) -> tuple[str, ...]:
    """Return the words of the query, as typed, that the document holds in a field."""
    in_field = {*_tokens_by_field(document)[field].split()}
    texts = [term.text for term in query.terms if term.text is not None and term.weight > 0]
    pieces = [piece for text in texts for piece in text.split()]
    # They count where a query has nothing else.
    ignored = set() if all(piece.strip('"').casefold() in FUNCTION_WORDS for piece in pieces) else FUNCTION_WORDS
    tokens = TokenMatcher(WordQuery(tuple(in_field - ignored)))
    words: dict[str, None] = {}
    for piece in pieces:
        plain = piece.strip('"')
        if plain.casefold() in ignored:
            continue
        if (plain.endswith("*") or len(plain) == 1) and TokenMatcher(parse_words(piece)).matches_any(in_field):
            words.setdefault(plain)
        else:
            words.update(dict.fromkeys(piece[start:end] for start, end in find_words(piece, tokens)))
    return tuple(words)[:_MAX_WORDS]


def matching_names(path: bytes, tokens: TokenMatcher) -> tuple[str, ...]:
    """Return the folders and files of a catalog path that hold any of the tokens; folders end with a slash."""
    *folders, file = path.replace(MEMBER_SEPARATOR, b"/").split(b"/")
    labels = [(name, f"{os.fsdecode(name)}/") for name in folders if name] + [(file, os.fsdecode(file))]
    return tuple(label for name, label in labels if tokens.matches_any(name_tokens(name)))[:_MAX_WORDS]


def match_texts(field: MatchField, texts: Sequence[str], tokens: TokenMatcher) -> Match | None:
    """Return the match of texts of one place, or None if no word of them is found again, as after a change."""
    if field == "keyword":
        keywords = [text for text in texts if next(find_words(text, tokens), None) is not None]
        return Match(field, tuple(dict.fromkeys(keywords))[:_MAX_WORDS]) if keywords else None
    for text in texts:
        if spans := list(find_words(text, tokens)):
            words = dict.fromkeys(text[start:end] for start, end in spans)
            return Match(field, tuple(words)[:_MAX_WORDS], _excerpt(text, *_densest(text, spans)))
    return None


def find_words(text: str, tokens: TokenMatcher) -> Iterator[tuple[int, int]]:
    """Yield start and end of each word of a text that has any of the tokens, without the punctuation around it."""
    for piece in _PIECE.finditer(text[:_MAX_TEXT]):
        if not _matches(piece[0], tokens):
            continue
        words = [one.span() for one in _WORD.finditer(piece[0]) if _matches(one[0], tokens)]
        for start, end in words or [(0, len(piece[0]))]:
            yield piece.start() + start, piece.start() + end


def _matches(word: str, tokens: TokenMatcher) -> bool:
    """Return whether a word has any of the tokens. Stemming takes longer than the rest, and few words begin alike."""
    initials, unstemmed = _unstemmed(word)
    return not initials.isdisjoint(tokens.initials) and tokens.matches_any([stem(token) for token in unstemmed])


@lru_cache(maxsize=1 << 14)
def _unstemmed(word: str) -> tuple[frozenset[str], list[str]]:
    """Return the tokens of a word before stemming, and how they begin; the same words stand in texts of many hits."""
    tokens = add_last_characters(unstemmed_tokens(word))
    return frozenset(token[0] for token in tokens), tokens


def _densest(text: str, spans: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return the first word after which an excerpt holds the most of the different words that were found."""
    ends = [end for _, end in spans]

    def count(at: int) -> int:
        last = bisect_right(ends, spans[at][0] + EXCERPT - _BEFORE)
        return len({text[start:end].casefold() for start, end in spans[at:last]})

    return spans[max(range(len(spans)), key=count)]


def _excerpt(text: str, start: int, end: int) -> str:
    """Return a line of the text around a word, with … where it is cut."""
    first = max(0, start - _BEFORE) if len(text) > EXCERPT else 0
    if first:  # From the beginning of a word.
        first = text.find(" ", first, start) + 1 or start
    last = min(len(text), max(first + EXCERPT, min(end, start + EXCERPT)))
    if last < len(text):
        last = max(text.rfind(" ", end, last), min(end, start + EXCERPT)) if " " in text[end:last] else last
    line = " ".join(text[first:last].split())
    return f"{'…' if first else ''}{line}{'…' if last < len(text) else ''}"


def _texts(value: object) -> list[str]:
    """Return the texts of a metadata column, which holds one or a list of them."""
    if value is None:
        return []
    return [str(one) for one in value] if isinstance(value, list | tuple) else [str(value)]
