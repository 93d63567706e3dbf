"""Options of labels by words, without Streamlit."""

from __future__ import annotations

import itertools
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any, Final

from imseek import labels
from imseek.errors import UsageError
from imseek.labels import Classes
from imseek.labels.results import SavedLabels
from imseek.ui.web.plain_text import capitalise

#: Number of images in the preview.
SAMPLE: Final = 5000
#: Number of examples of each kind shown for a class.
EXAMPLES: Final = 12
#: Default prompt template, and the choice of custom ones.
DEFAULT_TEMPLATE: Final = "a photo of a {}"
OWN_TEMPLATES: Final = "Custom"
#: Choices of the logit scale.
TRAINED: Final = "From the encoder"
NUMBER: Final = "Custom value"


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """Options of labels by words.

    ``text`` has one class per line. ``sentences`` is the name of a template set, or templates on lines. ``none`` is
    None if every image belongs to a class, else sentences on lines for images of no class (empty: the default ones).
    """

    text: str
    sentences: str = DEFAULT_TEMPLATE
    none: str | None = None
    several: bool = False
    threshold: float | None = None
    temperature: str | None = None
    centred: bool = False
    where: str = ""

    def arguments(self) -> dict[str, Any]:
        """Return arguments for :func:`imseek.labels.label` and :func:`imseek.labels.preview`."""
        # As a list: a single text could be taken for a file name.
        is_template_set = self.sentences in labels.template_sets()
        none: bool | list[str] = False
        if self.none is not None and not self.several:
            none = lines_of(self.none) or True
        return {
            "templates": self.sentences if is_template_set else lines_of(self.sentences) or [DEFAULT_TEMPLATE],
            "none": none,
            "multi": self.several,
            "threshold": self.threshold,
            "temperature": self.temperature,
            "centred": self.centred,
            "where": self.where.strip() or None,
        }

    def read(self) -> Classes | str:
        """Return the classes, or a message that says what to do."""
        if not self.text.strip():
            return "Type one class per line to see its pictures here."
        try:
            classes = labels.parse_classes(self.text)
        except UsageError as error:
            return capitalise(str(error))
        if len(classes) == 1 and self.none is None and not self.several:
            return "With a single class, every picture would belong to it. Add another, or allow “none of these”."
        return classes


@dataclass(frozen=True, slots=True)
class SaveResult:
    """Labels saved under a name: the numbers of ``images`` labelled and of ``tags`` given."""

    name: str
    images: int
    tags: int

    def line(self) -> str:
        if not self.images:
            return f"No picture has come since {self.name} was made."
        tags = f", and {self.tags:,} tags" if self.tags else ""
        return f"Saved as {self.name}: labels of {self.images:,} pictures{tags}."


def free_name(used_names: Container[str]) -> str:
    """Return a name that is not taken."""
    names = (f"labels_{n}" if n > 1 else "labels" for n in itertools.count(1))
    return next(name for name in names if name not in used_names)


def lines_of(text: str) -> list[str]:
    """Return the lines that are not blank, stripped."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def as_text(classes: Sequence[str], words: Sequence[Sequence[str]] | None = None) -> str:
    """Format classes as they are typed. A separator (``: ``) within a name is changed in the name, not in its words."""
    lines = []
    for name, texts in zip(classes, words or [(name,) for name in classes], strict=True):
        plain = tuple(texts) == (name,) and ": " not in name and not name.endswith(":")
        lines.append(name if plain else f"{name.replace(': ', ':')}: {', '.join(texts)}")
    return "\n".join(lines)


def encoder_caveat(encoder: str) -> str | None:
    """Return a caveat about words with this encoder, None if there is none."""
    if encoder != "builtin" and not encoder.startswith("builtin"):
        return None
    return (
        "The built-in encoder knows words only roughly, from a thousand kinds of things. Name things that can be seen, "
        "or say what a class holds (household: furniture, lamp). Look at the least certain pictures before you save."
    )


def preview_line(sample: int, total: int) -> str:
    return (
        f"Preview of {sample:,} of {total:,} pictures, evenly sampled."
        if sample < total
        else f"All {total:,} pictures."
    )


def saved_line(saved_set: SavedLabels) -> str:
    """Describe saved labels in one line."""
    storage = " and ".join(["columns"] * saved_set.columns + ["tags"] * saved_set.tags)
    classes = ", ".join(saved_set.classes[:12]) + (
        f", and {len(saved_set.classes) - 12:,} more" if len(saved_set.classes) > 12 else ""
    )
    return f"{classes} · as {storage} · {saved_set.encoder} · {saved_set.created[:10]}"
