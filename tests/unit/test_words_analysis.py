"""Text becomes the same tokens in documents and in queries, whatever the text."""

import subprocess
import sys

import pytest

from imseek.data.words.analysis import (
    MAX_BYTES,
    MAX_LENGTH,
    MAX_TOKENS,
    document_tokens,
    name_tokens,
    parse_words,
    stem,
    tokens_of,
)
from imseek.data.words.values import Prefix, TokenMatcher, WordQuery


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Hello, WORLD: running Café!", ["hello", "world", "run", "cafe"]),
        ("horse horses Horse's", ["hors", "hors", "hors", "s"]),
        ("Straße Ærø Łódź", ["strass", "aero", "lodz"]),
        ("ﬁne ½ x²", ["fine", "1", "2", "x2"]),
        ("大海滩 日 がぎ 한국어", ["大海", "海滩", "日", "がぎ", "한국", "국어"]),
        ("iPhone手机", ["iphon", "手机"]),
        ("🐎horse👨‍👩", ["🐎", "hors", "👨", "👩"]),
        ("❤️ love", ["❤", "love"]),
        ("مُحَمَّد \u202eשָׁלוֹם", ["محمد", "שלום"]),
        ("हिन्दी", ["हिन्दी"]),
        ('AND "quo\'ted" * NEAR(a b) col:umn ^x', ["and", "quo", "ted", "near", "a", "b", "col", "umn", "x"]),
        ("a\x00b\x1bc\ud800d\ufffd\n", ["a", "b", "c", "d"]),
        ("co\u00adoperate", ["cooper"]),
        ("", []),
        ("  \u3000--- ", []),
    ],
)
def test_text_becomes_tokens(text: str, tokens: list[str]) -> None:
    assert tokens_of(text) == tokens


@pytest.mark.parametrize(
    ("path", "tokens"),
    [
        (b"horses/brown.png", ["hors", "brown"]),
        (b"brownHorse2.v1.jpg", ["brown", "hors", "2", "v", "1", "brownhorse2", "v1"]),
        (b"IMG_2024-01.jpg", ["img", "2024", "01"]),
        (b"HTTPServer.png", ["http", "server", "httpserver"]),
        ("cafe\u0301Bar.jpg".encode(), ["cafe", "bar", "cafebar"]),
        (b"trip.zip\0day 1/Beach.jpg", ["trip", "day", "1", "beach"]),
        (b"rows.parquet\0003\0https://host.example/dogs/big.jpg?x=cat#y", ["row", "dog", "big"]),
        (b"\xff\xfe/ok.jpg", ["ok"]),
        (b"", []),
    ],
)
def test_a_path_becomes_tokens(path: bytes, tokens: list[str]) -> None:
    assert name_tokens(path) == tokens


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ('red "brown horse" fox', WordQuery(("red", "fox"), (("brown", "hors"),))),
        ('"Horse"', WordQuery(("hors",))),
        ('red red "unclosed', WordQuery(("red", "unclos"))),
        ('"" " " -x OR', WordQuery(("x", "or"))),
        ("", WordQuery()),
    ],
)
def test_double_quotes_make_phrases(text: str, query: WordQuery) -> None:
    assert parse_words(text) == query
    assert bool(query) == bool(query.words or query.phrases)


@pytest.mark.parametrize(
    ("text", "words", "starts"),
    [
        ("invoi*", (), ["invoi"]),
        ("red INVOI* car", ("red", "car"), ["invoi"]),
        ("Caf\u00e9* \u043c\u043e\u0440*", (), ["cafe", "\u043c\u043e\u0440"]),
        ("20*", (), ["20"]),
        ("brown-hor*", ("brown",), ["hor"]),
        ("\u624b\u673aiPho*", ("\u624b\u673a",), ["ipho"]),
        ("*", (), []),
        ("** a* *ab *ab* ab** 2*3 a*b* .*", ("a", "ab", "2", "3", "b"), []),
        ('"old har*"', (), []),
        ("\u6d77\u6ee9*", ("\u6d77\u6ee9",), []),
        ("\u8c61", (), ["\u8c61"]),
        ('"\u8c61" \u6d77*', (), ["\u6d77", "\u8c61"]),
    ],
)
def test_a_star_after_a_word_makes_a_prefix(text: str, words: tuple[str, ...], starts: list[str]) -> None:
    query = parse_words(text)
    assert query.words == words
    assert [prefix.start for prefix in query.prefixes] == starts


def test_prefixes_find_words_whose_stems_are_shorter() -> None:
    assert parse_words("invoice*").prefixes == (Prefix("invoice", ("invoic",)),)
    for word in ("happy", "running", "organizations", "relational", "berries", "possibly", "university"):
        for end in range(2, len(word) + 1):
            assert TokenMatcher(parse_words(f"{word[:end]}*")).matches_any(tokens_of(word)), (word, end)
    assert not TokenMatcher(parse_words("running*")).matches_any(tokens_of("rune runt rumour"))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("\u5927\u8c61", ["\u5927\u8c61", "\u8c61"]),
        ("\u5927\u8c61 \u8c61\u7259 \u5927", ["\u5927\u8c61", "\u8c61\u7259", "\u5927", "\u7259"]),
        ("\u8c61\u8c61\u8c61", ["\u8c61\u8c61", "\u8c61\u8c61"]),
        ("ab a\u0301b \u03c9\u03c8", ["ab", "ab", "\u03c9\u03c8"]),
    ],
)
def test_documents_have_the_last_characters_of_runs(text: str, tokens: list[str]) -> None:
    assert document_tokens(text) == tokens
    assert name_tokens(text.encode()) == tokens


def test_long_texts_are_cut() -> None:
    assert len(tokens_of("word " * 1_000_000)) == MAX_TOKENS
    assert tokens_of("x" * 1000) == ["x" * MAX_LENGTH]
    wide = tokens_of(f"{'𝒳' * 10}{'ж' * 80} " * 4_000)
    assert MAX_BYTES - 200 < sum(len(token.encode()) + 1 for token in wide) <= MAX_BYTES
    assert len(parse_words(" ".join(map(str, range(1000)))).words) <= 64


def test_only_the_english_stemmer_is_imported() -> None:
    """The package imports all of its languages, which would take longer than a search; others still get all of it."""
    program = """
import sys
from imseek.data.words.analysis import tokens_of
assert tokens_of("horses") == ["hors"]
assert "snowballstemmer.german_stemmer" not in sys.modules
import snowballstemmer
assert snowballstemmer.stemmer("german").stemWord("katzen") == "katz"
"""
    subprocess.run([sys.executable, "-P", "-c", program], check=True, timeout=60)


def test_threads_may_stem_at_once() -> None:
    """A stemmer holds the word that it works on, and the first search of a process may be two at once."""
    words = [start + end for start in ("abandon", "gener", "oscillat", "relation") for end in ("ing", "ed", "ally")]
    words = [word + last for word in words for last in ("", "s", "ness", "fulness", "ization")]
    program = f"""
import sys, threading
from imseek.data.words.analysis import stem
sys.setswitchinterval(1e-6)
words, lines, start = {words!r}, [], threading.Barrier(8)
def work():
    start.wait()
    lines.append(" ".join(map(stem.__wrapped__, words * 20)))
threads = [threading.Thread(target=work) for _ in range(8)]
for one in threads: one.start()
for one in threads: one.join()
print("\\n".join(lines))
"""
    run = subprocess.run([sys.executable, "-P", "-c", program], check=True, timeout=60, capture_output=True, text=True)
    assert run.stdout.splitlines() == [" ".join(map(stem, words * 20))] * 8


def test_a_stem_begins_like_its_word() -> None:
    exceptions = "skis skies dying lying tying idly gently ugly early only singly sky news howe atlas cosmos bias andes"
    ordinary = "yes yearly yaws ies eed ying running generously communication arsenal inning outing earring proceed"
    for word in (*exceptions.split(), *ordinary.split(), *document_tokens.__doc__.lower().split()):  # type: ignore[union-attr]
        assert stem(word)[0] == word[0]
    assert stem("running") == "run"  # It stems at all.
