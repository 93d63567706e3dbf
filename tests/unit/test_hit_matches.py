"""Words of a query where an image has them, as they are written there."""

from __future__ import annotations

import pytest

from imseek.data.words.analysis import parse_words
from imseek.data.words.values import Document, TokenMatcher, WordQuery
from imseek.search import Query
from imseek.search.hit_matches import EXCERPT, find_words, match_texts, matching_names, words_of_query


def words(text: str, query: str) -> list[str]:
    return [text[start:end] for start, end in find_words(text, TokenMatcher(parse_words(query)))]


@pytest.mark.parametrize(
    ("text", "query", "expected"),
    [
        ("Two HORSES, one cow", "horse", ["HORSES"]),
        ("horse/cow,horses.", "horse", ["horse", "horses"]),
        ("Café Crème", "creme", ["Crème"]),
        ("Cafe\u0301 Cre\u0300me", "creme", ["Cre\u0300me"]),
        ("京都の桜", "京都", ["京都の桜"]),
        ("京都の桜", "桜", ["京都の桜"]),
        ("invoices 2024, an INVOICE; involved", "invoi*", ["invoices", "INVOICE"]),
        ("runs; a rune, Running.", "running*", ["runs", "Running"]),
        ("up 😀 down", "😀", ["😀"]),
        ("nothing here", "horse", []),
        ("", "horse", []),
    ],
)
def test_words_are_found_as_written(text: str, query: str, expected: list[str]) -> None:
    assert words(text, query) == expected


def test_names_are_folders_and_files() -> None:
    tokens = TokenMatcher(parse_words("horse 2024"))
    assert matching_names(b"pets/Horses2024/brownHorse.png", tokens) == ("Horses2024/", "brownHorse.png")
    assert matching_names(b"all.zip\0inner/horse.png", tokens) == ("horse.png",)
    assert matching_names(b"\xff\xfe horse.png", tokens) == ("\udcff\udcfe horse.png",)
    assert matching_names(b"cow.png", tokens) == ()


def test_an_excerpt_is_a_short_line_around_the_first_word() -> None:
    text = "word " * 300 + "INVOICE\n2024 for a horse " + "word " * 300
    found = match_texts("text", [text], TokenMatcher(parse_words("invoice 2024")))
    assert found is not None
    assert found.words == ("INVOICE", "2024")
    assert found.excerpt is not None
    assert "INVOICE 2024 for" in found.excerpt
    assert found.excerpt.startswith("…")
    assert found.excerpt.endswith("…")
    assert len(found.excerpt) <= EXCERPT + 2


def test_an_excerpt_begins_where_most_words_of_the_query_stand_together() -> None:
    text = "an old car " + "word " * 100 + "a harbour, the old harbour with boats " + "word " * 100
    found = match_texts("text", [text], TokenMatcher(parse_words("old harbour")))
    assert found is not None
    assert found.excerpt is not None
    assert "harbour, the old harbour with boats" in found.excerpt


@pytest.mark.parametrize(
    "text", ["horse", "x" * 5000 + " horse", "horse" + "y" * 5000, "horse " + "z" * 5000, "馬" * 9000]
)
def test_excerpts_of_odd_texts_are_short(text: str) -> None:
    found = match_texts("caption", [text], TokenMatcher(WordQuery(("hors", "馬馬", text.casefold()[:64]))))
    assert found is not None
    assert found.excerpt
    assert len(found.excerpt) <= EXCERPT + 2


def test_keywords_are_whole() -> None:
    found = match_texts("keyword", ["brown horse", "cow", "Horses"], TokenMatcher(parse_words("horse")))
    assert found is not None
    assert (found.words, found.excerpt) == (("brown horse", "Horses"), None)


@pytest.mark.parametrize(
    ("query", "expected"),
    [("a red car", ("red", "car")), ("A car", ("car",)), ("5 cars", ("5", "cars"))],
)
def test_function_words_of_a_query_are_no_reason(query: str, expected: tuple[str, ...]) -> None:
    document = Document(captions="a red car 5")
    assert words_of_query(Query(query), document, "caption") == expected


def test_function_words_are_a_reason_where_a_query_has_nothing_else() -> None:
    assert words_of_query(Query("AND"), Document(keywords="and or"), "keyword") == ("AND",)
