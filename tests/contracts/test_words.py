"""Words of images over both backends of catalogs: what is written with a change is found in its generation."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from databases import BOTH_CATALOGS

import imseek
from imseek.data.catalog import sources
from imseek.data.catalog.catalog_writer import set_meta
from imseek.data.catalog.changeset import Changeset, NewImage, Placement
from imseek.data.catalog.sql import column, scalar
from imseek.data.reader import Reader
from imseek.data.repair.repair import repair
from imseek.data.repair.verify import verify
from imseek.data.shards.shard_files import row_of
from imseek.data.user_files.file_stat import FileStat
from imseek.data.words import documents, matching
from imseek.data.words.analysis import MAX_TOKENS, parse_words
from imseek.data.words.scoring import idf, score_counts, units_of
from imseek.data.words.values import FIELDS, INDEXED, RULES, Document, Prefix, Unit, WordQuery
from imseek.data.writing.commit import commit
from imseek.data.writing.purge import purge
from imseek.data.writing.writer import Writer
from imseek.ocr import text_store
from imseek.ocr.results import TextLine
from imseek.types.pictures import ImageFacts

pytestmark = BOTH_CATALOGS

STAT = FileStat(1, 2, 3, 4, 5)


def image(path: bytes, caption: str | None = None, **more: Any) -> NewImage:
    content_hash = hashlib.sha256(path).digest()
    facts = ImageFacts(width=1, height=1, format="PNG", mode="RGB", caption=caption)
    metadata = {**row_of(facts, content_hash, 9), **more.pop("metadata", {})}
    return NewImage(1, path, STAT, content_hash, metadata, {0: np.full(64, 0.125, np.float16)}, **more)


def found(root: Path | Reader, query: str, fields: list[str] | None = None) -> list[int]:
    reader = root if isinstance(root, Reader) else Reader(root)
    return reader.match_words(parse_words(query), 100, fields).ids.tolist()


@pytest.fixture
def root(collection: imseek.Collection) -> Path:
    with Writer(collection.path, "test") as writer:
        sources.add(writer, "folder", b"/photos")
        new = [
            image(b"horses/brown.png", "A mare runs on the beach"),
            image(b"horses/grey.png", "AND OR NOT near"),
            image(b"beach/IMG_2024.png", "Sunset", metadata={"title": "Evening"}),
            image("海滩/大.png".encode(), "beach beach beach"),
        ]
        commit(writer, Changeset(new=new))
    return collection.path


def test_names_captions_and_folders_are_found(root: Path) -> None:
    assert found(root, "horse") == [0, 1]
    assert found(root, "Running") == [0]
    assert sorted(found(root, "beaches")) == [0, 2, 3]
    assert found(root, "evening") == [2]
    assert found(root, "海滩") == [3]
    assert found(root, "2024 photos") == [2, 0, 1, 3]
    assert found(root, "zebra") == []
    reader = Reader(root)
    assert reader.has_words
    assert reader.documents([0, 99]) == {0: Document("photo hors brown", "a mare run on the beach", "", "")}


def test_fields_and_phrases(root: Path) -> None:
    assert sorted(found(root, "beach", ["captions"])) == [0, 3]
    assert found(root, "beach", ["names"]) == [2]
    assert found(root, "beach", ["keywords", "text"]) == []
    assert found(root, '"the beach"') == [0]
    assert found(root, '"the beach" horse') == [0]
    assert found(root, '"beach the"') == []
    # No phrase goes from one column to another.
    assert found(root, '"brown a mare"') == []
    assert found(root, '"brown" "a mare"') == [0]
    with pytest.raises(ValueError, match="no column 'nonsense'"):
        found(root, "beach", ["nonsense"])


#: Prefixes are looked up in the index, or read from the documents however few hold them.
PREFIXES = pytest.mark.parametrize("scan", [matching._SCAN, -1], ids=["looked up", "read"])


@PREFIXES
def test_prefixes(root: Path, monkeypatch: pytest.MonkeyPatch, scan: int) -> None:
    monkeypatch.setattr(matching, "_SCAN", scan)
    assert found(root, "bea*") == found(root, "beach")
    assert found(root, "hor* even*") == [2, 0, 1]
    assert found(root, "running*") == [0]
    assert found(root, "bea*", ["names"]) == [2]
    assert found(root, '"the beach" hor*') == [0]
    assert found(root, "h* *") == []
    assert found(root, "zeb*") == []
    matches = Reader(root).match_words(parse_words("hor* sunset"), 9)
    assert (matches.ids.tolist(), matches.total) == ([2, 0, 1], 3)
    assert matches.shares.sum() > 1
    odd = WordQuery(prefixes=(Prefix('"', ("'", "\\")), Prefix("a' & 'b"), Prefix(""), Prefix("hor:"), Prefix("x\0")))
    assert Reader(root).match_words(odd, 9).ids.tolist() == []


def test_a_single_character_of_a_run(root: Path) -> None:
    assert found(root, "海") == [3]
    assert found(root, "滩") == [3]
    assert found(root, "大") == [3]
    assert found(root, "象") == []
    assert found(root, '"海滩 大"') == [3]
    assert Reader(root).documents([3])[3].names == "photo 海滩 大 滩"


def test_documents_of_earlier_rules_are_replaced_by_the_next_writer(root: Path) -> None:
    """They had no last characters of runs."""
    with Writer(root, "test") as writer, writer.catalog.transaction() as connection:
        connection.execute("UPDATE documents SET names = 'photo 海滩 大' WHERE image_id = 3")
        documents.rebuild_index(connection)
        connection.execute("DELETE FROM meta WHERE name = ?", (RULES,))
    before = Reader(root)
    assert (found(before, "海"), found(before, "滩")) == ([3], [])
    with Writer(root, "test") as writer:
        assert writer.generation == before.generation
        with writer.catalog.transaction() as connection:
            assert documents.is_current(connection)
            last = scalar(connection, "SELECT MAX(document_id) FROM documents")
    assert found(root, "滩") == [3]
    assert found(root, "horse") == [0, 1]
    assert verify(root).ok
    with Writer(root, "test") as writer, writer.catalog.transaction() as connection:
        assert scalar(connection, "SELECT MAX(document_id) FROM documents") == last


def test_texts_as_they_are_written(root: Path) -> None:
    with Writer(root, "test") as writer:
        given = {0: "INVOICE 2024\nMüller & Sons", 1: "Private\0keeper", 2: None, 77: "nobody"}
        writer.apply(partial(documents.replace_texts, texts=given))
        renamed = partial(documents.replace_column, column="names", tokens={0: ["brown"]})
        writer.apply(lambda connection, generation: int(renamed(connection, generation)))
    before = Reader(root)
    written = {0: "INVOICE 2024\nMüller & Sons", 1: "Private keeper"}
    assert before.written_texts([0, 1, 2, 3, 77]) == written
    assert found(root, "muller") == [0]
    assert before.documents([0])[0].names == "brown"
    with Writer(root, "test") as writer:
        writer.apply(partial(documents.replace_texts, texts={0: "Invoice 2024", 1: None}))
    assert Reader(root).written_texts([0, 1]) == {0: "Invoice 2024"}
    assert before.written_texts([0, 1]) == written
    assert verify(root).ok
    with Writer(root, "test") as writer:
        purge(writer)
    assert Reader(root).written_texts([0, 1]) == {0: "Invoice 2024"}
    with pytest.raises(imseek.errors.StaleGenerationError):
        before.written_texts([0])
    for path in root.rglob("*"):
        assert not path.is_file() or b"keeper" not in path.read_bytes(), path


def test_texts_of_earlier_rules_are_read_from_tables_until_the_next_writer(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Writer(root, "test") as writer:
        text_store.store(writer, {0: [TextLine(0, 0, 1, 1, 1, "Invoice 2024")], 1: []})
        with writer.catalog.transaction() as connection:
            connection.execute("UPDATE documents SET written = ''")
            set_meta(connection, RULES, 2)
    assert Reader(root).written_texts([0, 1, 2]) == {0: "Invoice 2024"}
    with Writer(root, "test") as writer:
        assert writer.generation == Reader(root).generation
    reads: list[Sequence[int]] = []
    monkeypatch.setattr(Reader, "metadata", lambda self, image_ids: dict.fromkeys(reads.append(image_ids) or ()))
    assert Reader(root).written_texts([0]) == {0: "Invoice 2024"}
    assert reads == []


def test_shares_and_totals(root: Path) -> None:
    matches = Reader(root).match_words(parse_words("brown horse"), 1)
    assert matches.ids.tolist() == [0]
    assert matches.shares.tolist() == [1.0]
    assert (matches.total, matches.documents, matches.is_exact, matches.note) == (2, 4, True, None)
    both = Reader(root).match_words(parse_words("brown horse"), 9)
    assert 0 < both.shares[1] < 0.5
    assert both.scores[0] > both.scores[1] > 0


@pytest.mark.parametrize(
    "query",
    ["AND", "OR NOT", 'near"', "*", "NEAR(horse brown)", "col:umn", "^", "a\x00b", "'; --", "\\", "{x}", "\ud800"],
)
def test_nothing_in_a_query_is_syntax(root: Path, query: str) -> None:
    expected = {"AND": [1], "OR NOT": [1], 'near"': [1], "NEAR(horse brown)": [0, 1]}
    assert sorted(found(root, query)) == expected.get(query, [0] if query == "a\x00b" else [])


@pytest.mark.parametrize("token", ['"', "'", "\\", "a b", "a' & 'b", "x\0y", "(", "", "é*", ":A", "*"])
def test_no_token_is_syntax(root: Path, token: str) -> None:
    """Those of a caller that did not analyse its text."""
    query = matching.WordQuery((token, "hors"), ())
    assert sorted(Reader(root).match_words(query, 9).ids.tolist()) == [0, 1]
    assert Reader(root).match_words(matching.WordQuery((), ((token, token),)), 9).ids.tolist() == []


def plain_counts(document: Document, units: list[Unit], fields: Sequence[str]) -> list[float]:
    """Count unit by unit and token by token."""
    usual = {"names": 6, "captions": 12, "keywords": 6, "text": 60}
    counts = [0.0] * len(units)
    for field in fields:
        tokens = tuple(getattr(document, field).split())
        for n, unit in enumerate(units):
            if isinstance(unit, Prefix):
                held = sum(token.startswith(unit.start) or token in unit.stems for token in tokens)
            else:
                held = sum(tokens[i : i + len(unit)] == unit for i in range(len(tokens)))
            counts[n] += (0.3 if field == "text" else 1) * held / (0.5 + 0.5 * len(tokens) / usual[field])
    return counts


@PREFIXES
def test_the_best_are_those_that_a_scan_finds(root: Path, monkeypatch: pytest.MonkeyPatch, scan: int) -> None:
    monkeypatch.setattr(matching, "_SCORED", 1_000)
    monkeypatch.setattr(matching, "_SCAN", scan)
    rng = random.Random(5)
    vocabulary = [f"w{n}" for n in range(60)]
    weights = [1 / (n + 1) for n in range(60)]

    def some(most: int) -> str:
        return " ".join(rng.choices(vocabulary, weights, k=rng.randint(1, most)))

    with Writer(root, "test") as writer:
        new = [image(f"{n}-{some(3)}.png".encode(), some(12)) for n in range(300)]
        commit(writer, Changeset(new=new))
    reader = Reader(root)
    everything = reader.documents(range(304))
    assert len(everything) == 304
    for _ in range(40):
        query = parse_words(some(4) + rng.choice(["", ' "w0 w1"', ' "w2 w0"', " w3*", ' "w0 w1" w1*']))
        fields = rng.choice([None, ["captions"], ["names", "text"]])
        units = units_of(query)
        counts = np.array([plain_counts(everything[i], units, fields or FIELDS) for i in sorted(everything)])
        weight = np.array([idf(int(n), 304) for n in (counts > 0).sum(axis=0)])
        scores, shares = score_counts(counts, weight)
        holds = counts > 0
        matching_ = holds.any(axis=1) & holds[:, len(units) - len(query.phrases) :].all(axis=1)
        best = [i for i in np.lexsort((np.arange(304), -scores)).tolist() if matching_[i]]
        matches = reader.match_words(query, 50, fields)
        assert matches.ids.tolist() == best[:50]
        assert matches.scores == pytest.approx(scores[best[:50]])
        assert matches.shares == pytest.approx(shares[best[:50]])
        assert (matches.total, matches.is_exact) == (len(best), True)


def test_a_prefix_of_many_is_read_and_one_of_few_looked_up(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Writer(root, "test") as writer:
        new = [image(b"%d.png" % n, "walrus" + " walnut" * (n % 50 == 7) + " cat" * (n % 5 == 2)) for n in range(500)]
        commit(writer, Changeset(new=new))
    monkeypatch.setattr(matching, "_SCORED", 100)
    monkeypatch.setattr(matching, "_COMMON", 200)
    starts: list[str] = []
    holds = matching.Index._holds
    monkeypatch.setattr(matching.Index, "_holds", lambda self, one: starts.append(one.start) or holds(self, one))

    def ask(query: str) -> tuple[list[int], int, bool]:
        matches = Reader(root).match_words(parse_words(query), 20)
        return matches.ids.tolist(), matches.total, matches.is_exact

    queries = ["wal*", "waln*", "wal* cat", "waln* ca*", 'wal* "walrus walnut"', "wal* ca* walnut"]
    looked_up = [ask(query) for query in queries]
    assert not starts
    monkeypatch.setattr(matching, "_SCAN", 100)  # What a fifth of the documents hold, or a half, of 500.
    assert [ask(query) for query in queries] == looked_up
    assert looked_up[0][1:] == (200, False)
    assert {start: starts.count(start) > 6 for start in starts} == {"wal": True, "waln": False, "ca": False}


def test_a_least_number_of_tokens(root: Path) -> None:
    def ask(query: str, count: int, fields: list[str] | None = None) -> list[int]:
        return sorted(Reader(root).match_words(parse_words(query), 9, fields, None, count).ids.tolist())

    assert ask("mare beach", 2) == [0]
    assert ask("mare beach", 1) == [0, 2, 3]
    assert ask("mare beach", 2, ["names"]) == []
    assert ask('"the beach"', 2) == [0]
    assert ask("hor* mare sunset", 2) == [0]
    assert ask("hor* mare", 3) == []


def test_a_name_goes_before_a_word_in_a_text(root: Path) -> None:
    with Writer(root, "test") as writer:

        def change(connection: Any, generation: int) -> None:
            documents.replace_column(connection, generation, "text", {2: ["correct", "hors", "batteri", "stapl"]})

        writer.apply(change)
    assert found(root, "horse") == [0, 1, 2]
    assert found(root, "correct horse") == [2, 0, 1]


def test_a_bounded_search_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Writer(root, "test") as writer:
        new = [image(b"%d.png" % n, "dog" + " cat" * (n % 2) + " red" * (n % 10 == 3)) for n in range(100)]
        commit(writer, Changeset(new=new))
    monkeypatch.setattr(matching, "_SCORED", 20)
    monkeypatch.setattr(matching, "_COMMON", 40)
    monkeypatch.setattr(matching, "_PAIRED", 20)
    reader = Reader(root)
    few = reader.match_words(parse_words("dog"), 5)
    assert (len(few.ids), few.is_exact, few.total) == (5, False, 40)
    # All that hold every word come first, though each word alone is in too many.
    best = reader.match_words(parse_words("dog cat red"), 10)
    assert [i % 10 for i in best.ids] == [(3 + 4) % 10] * 10
    assert best.shares.tolist() == [1.0] * 10
    assert not best.is_exact
    rare = reader.match_words(parse_words("red"), 5)
    assert (rare.is_exact, rare.total) == (True, 10)
    assert len(reader.match_words(parse_words('"dog cat"'), 50).ids) > 5


def test_what_is_rare_leads_to_phrases_of_common_words(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Writer(root, "test") as writer:
        new = [image(b"%d.png" % n, "dog cat" + " old harbour" * (n > 96)) for n in range(100)]
        commit(writer, Changeset(new=new))
    monkeypatch.setattr(matching, "_SCORED", 20)
    monkeypatch.setattr(matching, "_COMMON", 40)
    reader = Reader(root)
    both = reader.match_words(parse_words('"dog cat" "old harbour"'), 10)
    assert (sorted(both.ids.tolist()), both.is_exact, both.total) == ([101, 102, 103], True, 3)
    beside = reader.match_words(parse_words('"dog cat" harbour'), 3)
    assert sorted(beside.ids.tolist()) == [101, 102, 103]
    assert beside.shares.tolist() == [1.0] * 3


def test_images_are_looked_at_however_common_the_words(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Writer(root, "test") as writer:
        commit(writer, Changeset(new=[image(b"%d.png" % n, "dog") for n in range(100)]))
        commit(writer, Changeset(gone=[102]))
    monkeypatch.setattr(matching, "_SCORED", 20)
    monkeypatch.setattr(matching, "_COMMON", 40)
    reader = Reader(root)
    some = reader.match_words(parse_words("dog cat"), 10, among=[1, 101, 102, 103, 999])
    assert (sorted(some.ids.tolist()), some.is_exact, some.total) == ([101, 103], True, 2)
    assert not len(reader.match_words(parse_words("dog"), 10, among=[]).ids)


def test_older_readers_find_what_was_live_then(root: Path) -> None:
    old = Reader(root)
    with Writer(root, "test") as writer:
        commit(
            writer, Changeset(gone=[1], moved=[Placement(0, 1, b"zebras/black.png", STAT)], new=[image(b"horse.png")])
        )
    new = Reader(root)
    assert found(old, "horse") == [0, 1]
    assert found(old, "zebra") == []
    assert old.documents([0])[0].names == "photo hors brown"
    assert found(new, "horse") == [4]
    assert found(new, "zebra mare") == [0]
    assert new.documents([0, 1]) == {0: Document("photo zebra black", "a mare run on the beach", "", "")}
    matches = new.match_words(parse_words("horse"), 5)
    assert (matches.total, matches.documents) == (1, 4)


def test_a_source_that_was_relocated_has_the_name_of_its_folder(root: Path, tmp_path: Path) -> None:
    before = Reader(root)
    (moved := tmp_path / "stables").mkdir()
    (moved / "horses").mkdir()
    (moved / "horses/brown.png").touch()
    with Writer(root, "test") as writer:
        assert sources.relocate(writer, 1, bytes(moved)) == 4
    assert sorted(found(root, "stable")) == [0, 1, 2, 3]
    assert found(root, "photo") == []
    assert Reader(root).documents([0])[0] == Document("stabl hors brown", "a mare run on the beach", "", "")
    assert sorted(found(before, "photo")) == [0, 1, 2, 3]
    assert verify(root).ok


def test_changed_and_returning_images(root: Path) -> None:
    with Writer(root, "test") as writer:
        commit(writer, Changeset(new=[image(b"horses/brown.png", "A goat", replaces=0)], gone=[0]))
        commit(writer, Changeset(new=[image(b"horses/grey.png", "A donkey", image_id=1)]))
        commit(writer, Changeset(suspended=[2]))
    reader = Reader(root)
    assert found(reader, "goat") == [4]
    assert found(reader, "mare") == []
    assert found(reader, "donkey") == [1]
    assert found(reader, "near") == []
    assert found(reader, "evening") == []  # It cannot be read now.
    assert verify(root).ok


def test_a_column_is_replaced(root: Path) -> None:
    before = Reader(root)
    changed = []
    with Writer(root, "test") as writer:

        def change(connection: Any, generation: int) -> None:
            given = {0: ["invoic", "2024"], 3: [], 77: ["nobodi"]}
            changed.append(documents.replace_column(connection, generation, "text", given))
            changed.append(documents.replace_column(connection, generation, "text", {0: ["invoic", "2025"]}))
            with pytest.raises(ValueError, match="no column 'born'"):
                documents.replace_column(connection, generation, "born", {})

        writer.apply(change)
    assert changed == [1, 1]
    assert found(root, "invoices") == [0]
    assert found(root, "2025 mare") == [0]
    assert found(root, "2024", ["text"]) == []
    assert found(before, "invoices") == []
    assert Reader(root).documents([0])[0] == Document("photo hors brown", "a mare run on the beach", "", "invoic 2025")
    assert verify(root).ok


def test_a_purge_leaves_no_words_of_what_has_gone(root: Path) -> None:
    with Writer(root, "test") as writer:
        commit(writer, Changeset(new=[image(b"secret/sesame.png", "Opensesame")]))
        commit(writer, Changeset(gone=[4]))
        purge(writer)
    assert found(root, "horse") == [0, 1]
    assert found(root, "sesame") == []
    assert verify(root).ok
    with Writer(root, "test") as writer:
        with writer.catalog.transaction() as connection:
            assert column(connection, "SELECT image_id FROM documents") == [0, 1, 2, 3]
        commit(writer, Changeset(new=[image(b"later.png", "afterwards")]))
    assert found(root, "afterwards") == [5]
    for path in root.rglob("*"):
        assert not path.is_file() or b"sesam" not in path.read_bytes(), path


def test_images_from_before_there_were_documents(root: Path) -> None:
    """As in a catalog that was just migrated: the next writer adds all, in one transaction."""
    older = Reader(root)
    with Writer(root, "test") as writer:
        commit(writer, Changeset(gone=[1]))
        commit(writer, Changeset(new=[image(b"horses/white.png")]))
    with Writer(root, "test") as writer, writer.catalog.transaction() as connection:
        connection.execute("DELETE FROM documents")
        connection.execute("DELETE FROM meta WHERE name = ?", (INDEXED,))
    before = Reader(root)
    assert not before.has_words
    assert "imseek index" in str(before.match_words(parse_words("horse"), 9).note)
    assert found(before, "horse") == []
    assert before.documents([0]) == {}
    assert verify(root).ok
    with Writer(root, "test") as writer:
        assert writer.generation == before.generation
    assert found(before, "horse") == [0, 4]
    assert found(root, "evening 海滩 mare") != []
    assert Reader(root).documents([2])[2] == Document("photo beach img 2024", "sunset evening", "", "")
    assert verify(root).ok
    assert "in this generation" in str(older.match_words(parse_words("horse"), 9).note)


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM documents WHERE image_id = 1",
        "UPDATE documents SET died = 1 WHERE image_id = 1",
        "UPDATE documents SET image_id = 99 WHERE image_id = 1",
        "UPDATE documents SET image_id = 0 WHERE image_id = 1",
    ],
)
def test_what_is_wrong_is_found_and_repaired(root: Path, damage: str) -> None:
    with Writer(root, "test") as writer, writer.catalog.transaction() as connection:
        connection.execute(damage)
    assert [problem.kind for problem in verify(root).problems] == ["words"]
    report = repair(root)
    assert report.after.ok
    assert not report.lost
    assert found(root, "horse") == [0, 1]


def test_a_text_without_end(root: Path) -> None:
    long = "long " * 200_000 + "lastword"
    wide = " ".join(f"ω{n}" for n in range(50_000))
    odd = "\x00\x1b[31m \u202edesrever\u202c 🐎 </script> مرحبا"
    with Writer(root, "test") as writer:
        new = [
            image(b"a.png", long),
            image(b"b.png", wide),
            image(b"\xff\xfe/\xed\xa0\x80c.png", odd),
        ]
        commit(writer, Changeset(new=new))

        def change(connection: Any, generation: int) -> None:
            documents.replace_column(connection, generation, "text", {4: long.split(), 5: wide.split()})

        writer.apply(change)
    assert found(root, "long") == [4]
    assert found(root, "lastword") == []
    assert found(root, "ω7 ω8") == [5]
    assert found(root, "desrever 🐎") == [6]
    assert found(root, "مَرْحَبًا script") == [6]
    assert Reader(root).documents([4])[4].captions.count(" ") == MAX_TOKENS - 1
    assert verify(root).ok
