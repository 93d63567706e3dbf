"""Names of clusters: the word that tells one from the others, and none where no word does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from holding import Held

from imseek.clusters import cluster_names, vocabulary
from imseek.clusters.cluster_names import ClusterName
from imseek.errors import UsageError
from imseek.progress import Task

QUIET = Task()
DIM = 24
#: Pictures share this direction, words another one: two cones.
OF_PICTURES, OF_WORDS = np.eye(DIM)[-1] * 3, np.eye(DIM)[-2] * 3


def pictures(directions: list[int], each: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(scale=0.1, size=(len(directions) * each, DIM))
    return np.eye(DIM)[np.repeat(directions, each)] + OF_PICTURES + noise


def vocabulary_of(directions: range) -> tuple[tuple[str, ...], np.ndarray]:
    rows = np.eye(DIM)[list(directions)] + OF_WORDS
    return tuple(f"word {n}" for n in directions), Held(rows).rows


def named(rows: np.ndarray, members: list[np.ndarray], directions: range = range(20)) -> list[ClusterName]:
    words, word_rows = vocabulary_of(directions)
    return cluster_names.name_clusters(Held(rows), members, words, word_rows, word_rows.mean(axis=0), 0, QUIET)


def thirds(n: int) -> list[np.ndarray]:
    return [np.arange(start, n, 3) for start in range(3)]


def test_each_has_its_own_word() -> None:
    rows = pictures([4, 11, 17], 12)
    found = named(rows, np.split(np.arange(36), 3))
    assert [name.text for name in found] == ["word 4", "word 11", "word 17"]
    assert all(name.contrast is not None and name.contrast > 3 for name in found)


def test_what_all_clusters_share_names_none() -> None:
    rows = pictures([4, 11, 17], 12)
    found = named(rows, thirds(36))  # each cluster has a third of every kind
    assert [name.text for name in found] == [None] * 3
    assert all(name.contrast is not None and name.contrast < 3 for name in found)


def test_copies_have_no_deviation_to_count_in() -> None:
    rows = np.repeat(pictures([4, 11], 1), 6, axis=0)
    assert named(rows, [np.arange(6), np.arange(6, 12)]) == [ClusterName("word 4", None), ClusterName("word 11", None)]


def test_one_loud_picture_does_not_name_ten() -> None:
    rows = np.concatenate([pictures([0], 9), pictures([13], 1) + 3 * np.eye(DIM)[13], pictures([0], 20, seed=1)])
    found = named(rows, [np.arange(10), np.arange(10, 30)])
    assert found[0].text is None


def test_the_same_word_twice_gets_numbers() -> None:
    rows = pictures([4, 4, *range(5, 20)], 12)
    texts = [name.text for name in named(rows, np.split(np.arange(17 * 12), 17))]
    assert texts[:4] == ["word 4 (1)", "word 4 (2)", "word 5", "word 6"]
    assert len(set(texts)) == 17


def test_a_number_never_makes_a_name_that_is_there() -> None:
    assert cluster_names._number_repeated_names(["a", "a (1)", "a", None]) == [
        "a (2)",
        "a (1)",
        "a (3)",
        None,
    ]


def test_one_cluster_alone_has_no_name() -> None:
    assert named(pictures([4], 5), [np.arange(5)]) == [ClusterName(None, None)]
    assert cluster_names.name_clusters(Held(np.eye(3)), [], (), np.empty((0, 3)), np.zeros(3), 0, QUIET) == []


def test_words_are_compared_in_parts_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pictures([4, 11, 17], 12)
    whole = named(rows, np.split(np.arange(36), 3))
    monkeypatch.setattr(cluster_names, "_WORD_BATCH", 3)
    assert named(rows, np.split(np.arange(36), 3)) == whole


def test_a_small_vocabulary_is_centred_by_neutral_texts() -> None:
    words = Held(np.eye(4)).rows
    neutral = Held(np.ones((2, 4))).rows
    assert np.allclose(cluster_names.vocabulary_mean(words, lambda: neutral), 0.5)
    many = Held(np.random.default_rng(0).normal(size=(20, 4))).rows
    assert np.allclose(cluster_names.vocabulary_mean(many, lambda: neutral), many.mean(axis=0))


class TestVocabulary:
    def test_imagenet_none_and_words_themselves(self) -> None:
        assert len(vocabulary.read_vocabulary("imagenet")) == 998  # two of 1,000 are there twice
        assert vocabulary.read_vocabulary("none") == ()
        assert vocabulary.read_vocabulary(["cat", " cat ", "Dog"]) == ("cat", "Dog")

    def test_a_file_with_empty_lines_comments_and_duplicates(self, tmp_path: Path) -> None:
        path = tmp_path / "words.txt"
        path.write_text("\ufeffcat\n\n  # no word\nCAT\r\n  hot   dog \ncafe\u0301\ncaf\u00e9\n", "utf-8")
        assert vocabulary.read_vocabulary(path) == ("cat", "hot dog", "cafe\u0301")

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "no words"),
            (b"\n# nothing\n", "no words"),
            (b"caf\xe9", "not UTF-8"),
            (b"a" * 300, "letters"),
        ],
    )
    def test_files_that_cannot_be_one(self, tmp_path: Path, content: bytes, said: str) -> None:
        path = tmp_path / "words.txt"
        path.write_bytes(content)
        with pytest.raises(UsageError, match=said):
            vocabulary.read_vocabulary(path)

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"cannot read the names in .*none\.txt: No such file") as caught:
            vocabulary.read_vocabulary(tmp_path / "none.txt")
        assert caught.value.hint is not None
        with pytest.raises(UsageError, match="cannot read"):
            vocabulary.read_vocabulary("a\0b")

    def test_too_many_words(self) -> None:
        with pytest.raises(UsageError, match="at most 100,000 words, not 100,001"):
            vocabulary.read_vocabulary(map(str, range(100_001)))
