"""The vocabulary for cluster names."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from imseek.analysis.space_vectors import Vectors
from imseek.clusters.cluster_names import vocabulary_mean
from imseek.encoders.prompts import imagenet_classes
from imseek.errors import EncoderError, MissingExtraError, UnknownEncoderError, UsageError
from imseek.input_file import read_input
from imseek.labels.class_vectors import class_vectors
from imseek.progress import Task
from imseek.search.cutoff import NEUTRAL_TEXTS
from imseek.tilde_expansion import expand_user
from imseek.types.arrays import Float32

IMAGENET: Final = "imagenet"
NONE: Final = "none"
MAX_WORDS: Final = 100_000
_MAX_WORD_LENGTH: Final = 200
_MAX_BYTES: Final = 4 * MAX_WORDS * _MAX_WORD_LENGTH  # A character takes at most four bytes.


def read_vocabulary(names: str | Path | Iterable[str]) -> tuple[str, ...]:
    """Return the unique words of ``imagenet``, ``none``, a file with one word a line, or the given words.

    In a file, lines starting with # are comments. Words that differ only in case, spacing or Unicode normalisation are
    the same. Raises UsageError for a file that cannot be read or is empty, and for too many or too long words.
    """
    if names == NONE:
        return ()
    if names == IMAGENET:
        return tuple(dict.fromkeys(imagenet_classes()))
    entries = _read_lines(expand_user(names)) if isinstance(names, str | Path) else list(names)
    words: dict[str, str] = {}
    for word in entries:
        text = " ".join(word.split())
        if len(text) > _MAX_WORD_LENGTH:
            raise UsageError(f"a word of {len(text)} letters is none: {text[:40]}…", hint="one name a line")
        if text:
            words.setdefault(unicodedata.normalize("NFKC", text).casefold(), text)
    if not words:
        raise UsageError("the vocabulary has no words", hint="one a line; or --names imagenet, or none")
    if len(words) > MAX_WORDS:
        raise UsageError(f"a vocabulary has at most {MAX_WORDS:,} words, not {len(words):,}")
    return tuple(words.values())


def _read_lines(path: Path) -> list[str]:
    try:
        text = read_input(path, most=_MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8", hint="save it as UTF-8 text") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        hint = "a file with a name a line, or imagenet, or none"
        raise UsageError(f"cannot read the names in {path}: {reason}", hint=hint) from error
    return [line for line in text.splitlines() if not line.lstrip().startswith("#")]


def encode_vocabulary(
    vectors: Vectors, words: tuple[str, ...], task: Task, notes: list[str]
) -> tuple[Float32, Float32] | None:
    """Encode the words as unit rows (w, dim), and return the mean (dim,) to subtract from them.

    None, with a note, where the encoder of the space is unavailable or cannot encode text. Raises Cancelled.
    """
    root, space = vectors.reader.root, vectors.space

    def rows_of(texts: tuple[str, ...]) -> Float32:
        return class_vectors(root, space, texts, notify=notes.append, task=task)

    try:
        rows = rows_of(words)
        return rows, vocabulary_mean(rows, lambda: rows_of(NEUTRAL_TEXTS))
    except (EncoderError, MissingExtraError, UnknownEncoderError) as error:
        notes.append(f"no names: {error}")
        return None
