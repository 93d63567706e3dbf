"""Parse classes and templates as users write them."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from imseek.encoders import prompts
from imseek.errors import UsageError, did_you_mean
from imseek.input_file import read_input
from imseek.labels.class_vectors import check_templates, fill_templates
from imseek.tilde_expansion import expand_user

IMAGENET: Final = "imagenet"
#: Maximum size of a file of classes, templates or concepts.
MAX_BYTES: Final = 16 * 2**20
#: Default templates.
TEMPLATES: Final = ("a photo of a {}",)
#: Default description of an image of none of the classes.
BACKGROUND: Final = ("a photo", "a picture", "an image of something else")
_FORMAT_HINT: Final = "a line is `name`, or `name: word, another word`; # begins a comment"


@dataclass(frozen=True, slots=True)
class Classes:
    """Classes: ``names`` are the labels; ``words`` fill the templates, the name itself or other words for it."""

    names: tuple[str, ...]
    words: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.names)

    def sentences(self, n: int, templates: Sequence[str]) -> list[str]:
        """Build the sentences of class ``n``."""
        return fill_templates(templates, self.words[n])


def normalise_name(name: str) -> str:
    """Normalise a name for comparison: case, spacing and Unicode form do not matter."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def classes_from_names(names: Iterable[str]) -> Classes:
    """Build classes from names. Raises UsageError for an empty name, and for two that are the same."""
    stripped = [name.strip() for name in names]
    return _build_classes(stripped, [(name,) for name in stripped], [f"class {n + 1}" for n in range(len(stripped))])


def imagenet() -> Classes:
    """The 1,000 classes of ImageNet, without the second of each pair with the same name ("sunglasses", "missile")."""
    names = tuple(dict.fromkeys(prompts.imagenet_classes()))
    return Classes(names, tuple((name,) for name in names))


def parse_classes(text: str) -> Classes:
    """Parse ``imagenet``, a file, or comma-separated names. Raises UsageError."""
    if text.strip() == IMAGENET:
        return imagenet()
    path = expand_user(text)
    if _is_file(path) or ("," not in text and (os.sep in text or path.suffix == ".txt")):
        return read_classes(path)
    return classes_from_names([part for part in text.split(",") if part.strip()])


def read_classes(path: Path) -> Classes:
    """Read classes from a file, one a line. Raises UsageError, with the line."""
    return parse_class_lines(read_text_file(path), f"{path}, line")


def parse_class_lines(text: str, place: str = "line") -> Classes:
    """Parse classes, one a line: ``name``, or ``name: word, word``. Raises UsageError, with ``place`` and line
    number."""
    names: list[str] = []
    words: list[tuple[str, ...]] = []
    lines: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, separator, rest = line.partition(": ")
        if not separator and line.endswith(":"):
            name, separator = line[:-1], ":"
        class_words = tuple(part.strip() for part in rest.split(",") if part.strip())
        if separator and not class_words:
            raise UsageError(f"{place} {number}: {name!r} has no words after the colon", hint=_FORMAT_HINT)
        names.append(name.strip())
        words.append(class_words or (name.strip(),))
        lines.append(f"{place} {number}")
    if not names:
        source = place.removesuffix(", line")
        raise UsageError("no classes yet" if source == "line" else f"no classes in {source}", hint=_FORMAT_HINT)
    return _build_classes(names, words, lines)


def resolve_templates(templates: str | Sequence[str] | None) -> tuple[str, ...]:
    """Resolve templates: a sequence, a string for :func:`read_templates`, or None for the default. Raises
    UsageError."""
    if templates is None:
        return TEMPLATES
    if isinstance(templates, str):
        return read_templates(templates)
    check_templates(templates)
    return tuple(templates)


def background_sentences(sentences: bool | str | Sequence[str]) -> tuple[str, ...]:
    """Resolve the sentences for an image of none of the classes; True: the defaults, False: none. Raises UsageError."""
    if sentences is True:
        return BACKGROUND
    if sentences is False:
        return ()
    texts = (sentences,) if isinstance(sentences, str) else tuple(sentences)
    if not texts or not all(text.strip() for text in texts):
        raise UsageError("what none of the classes looks like is empty", hint='--none "a photo"')
    return texts


def read_templates(text: str) -> tuple[str, ...]:
    """Read a sentence with ``{}``, a named set (:func:`imseek.labels.template_sets`), or a file
    with one sentence a line.

    Raises UsageError.
    """
    if "{}" in text and not _is_file(Path(text)):
        return (text,)
    path = expand_user(text)
    if text in prompts.template_sets():
        return prompts.templates(text)
    if _is_file(path) or os.sep in text:
        lines = [line.strip() for line in read_text_file(path).splitlines()]
        templates = tuple(line for line in lines if line and not line.startswith("#"))
        if not templates:
            raise UsageError(f"no templates in {path}", hint="a sentence a line, with {} for the class name")
        check_templates(templates)
        return templates
    if not text.strip():
        check_templates(())
    raise UsageError(
        f"{text!r} is neither a set of templates nor a file nor a sentence with {{}}",
        hint=did_you_mean(text, prompts.template_sets(), "sets"),
    )


def read_text_file(path: Path) -> str:
    """Read a UTF-8 file. Raises UsageError."""
    try:
        return read_input(path, most=MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8", hint="save it as UTF-8 text") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error


def _build_classes(names: Sequence[str], words: Sequence[tuple[str, ...]], places: Sequence[str]) -> Classes:
    """Build classes and check that names are present and unique. Raises UsageError."""
    if not names:
        raise UsageError("there are no classes", hint="name two at least: --classes cat,dog")
    first_by_name: dict[str, int] = {}
    for n, name in enumerate(names):
        if not name:
            raise UsageError(f"{places[n]}: a class without a name", hint=_FORMAT_HINT)
        first = first_by_name.setdefault(normalise_name(name), n)
        if first != n:
            raise UsageError(
                f"two classes are called {name!r} ({places[first]} and {places[n]})",
                hint="give each class one name; more words for it follow a colon in a file: `cat: cat, kitten`",
            )
    return Classes(tuple(names), tuple(words))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # A long list of names is not a valid path.
        return False
