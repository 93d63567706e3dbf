"""Moderation policies: concepts to flag, in a file written by the user. None are built in.

The file is YAML (docs/labels.md). It is parsed node by node, so that errors name the line. YAML tags that could create
objects and unknown keys are rejected.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from imseek.errors import MissingExtraError, UsageError, did_you_mean
from imseek.labels import classes
from imseek.labels.classes import BACKGROUND, read_text_file

#: Default template: prompts are full descriptions.
TEMPLATES: Final = ("{}",)
_POLICY_KEYS: Final = ("name", "templates", "concepts")
_CONCEPT_KEYS: Final = ("name", "positive", "negative", "threshold", "templates")
#: Part of a column name.
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,30}")
_STR: Final = "tag:yaml.org,2002:str"
_NUMBERS: Final = ("tag:yaml.org,2002:float", "tag:yaml.org,2002:int")
_COLLECTIONS: Final = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


@dataclass(frozen=True, slots=True)
class Concept:
    """A concept, flagged where the probability of the positive prompts over the negative ones reaches ``threshold``."""

    name: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    threshold: float
    templates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy; ``sha256`` is that of its file."""

    name: str
    concepts: tuple[Concept, ...]
    sha256: str


def load_policy(path: Path) -> Policy:
    """Load a policy. Raises UsageError, with file and line, and MissingExtraError."""
    text = read_text_file(path)
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("PyYAML", "explore") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = None if mark is None else mark.line
        raise _line_error(path, text, line, f"this is not YAML: {error.problem or error}") from error
    except yaml.YAMLError as error:  # An invalid character.
        raise UsageError(f"{path}: this is not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise UsageError(f"{path}: too deeply nested") from error
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return _PolicyParser(path, text).policy(node, digest)


class _PolicyParser:
    """Parses one file; an invalid node raises an error with its line."""

    def __init__(self, path: Path, text: str) -> None:
        self._path, self._text = path, text

    def policy(self, node: Any, digest: str) -> Policy:
        """Parse the root node."""
        if node is None:
            raise UsageError(f"{self._path}: the file is empty", hint="it begins with `concepts:`")
        members = self._members(node, _POLICY_KEYS, "a policy")
        templates = self._templates(members["templates"]) if "templates" in members else TEMPLATES
        if "concepts" not in members:
            raise self._wrong(node, "there are no `concepts`")
        concepts: list[Concept] = []
        for one in self._items(members["concepts"], "concepts"):
            concepts.append(self._concept(one, templates, [known.name for known in concepts]))
        if not concepts:
            raise self._wrong(members["concepts"], "there are no concepts in the list")
        name = self._string(members["name"], "a name") if "name" in members else self._path.stem
        return Policy(name, tuple(concepts), digest)

    def _concept(self, node: Any, templates: tuple[str, ...], earlier_names: Sequence[str]) -> Concept:
        members = self._members(node, _CONCEPT_KEYS, "a concept")
        for member in ("name", "positive", "threshold"):
            if member not in members:
                raise self._wrong(node, f"the concept has no `{member}`")
        name = self._string(members["name"], "a name")
        if not _NAME.fullmatch(name):
            raise self._wrong(
                members["name"],
                f"{name!r} cannot be the name of a concept",
                hint="lower-case letters, digits and _, a letter first, 31 at most",
            )
        if name in earlier_names:
            raise self._wrong(members["name"], f"there is a concept {name!r} already")
        positive = self._prompts(members["positive"], "positive")
        negative = self._prompts(members["negative"], "negative") if "negative" in members else BACKGROUND
        if overlapping := set(map(classes.normalise_name, positive)) & set(map(classes.normalise_name, negative)):
            raise self._wrong(node, f"{sorted(overlapping)[0]!r} is positive and negative")
        if "templates" in members:
            templates = self._templates(members["templates"])
        return Concept(name, positive, negative, self._threshold(members["threshold"]), templates)

    def _members(self, node: Any, keys: Sequence[str], subject: str) -> dict[str, Any]:
        self._check_tag(node)
        if node.id != "mapping":
            raise self._wrong(node, f"{subject} needs members such as `{keys[0]}: …`")
        members: dict[str, Any] = {}
        for key, value in node.value:
            name = self._string(key, "a key")
            if name not in keys:
                raise self._wrong(key, f"{subject} has no {name!r}", hint=did_you_mean(name, keys, "known here"))
            if name in members:
                raise self._wrong(key, f"{name!r} is there twice")
            members[name] = value
        return members

    def _items(self, node: Any, subject: str) -> Iterator[Any]:
        self._check_tag(node)
        if node.id != "sequence":
            raise self._wrong(node, f"`{subject}` is a list, each item on a line that begins with -")
        yield from node.value

    def _prompts(self, node: Any, subject: str) -> tuple[str, ...]:
        """Parse one text, or a list of them."""
        items = [node] if node.id == "scalar" else list(self._items(node, subject))
        texts = tuple(self._string(item, "a prompt") for item in items)
        if not texts:
            raise self._wrong(node, f"`{subject}` is empty")
        for n, (item, text) in enumerate(zip(items, texts, strict=True)):
            if classes.normalise_name(text) in map(classes.normalise_name, texts[:n]):
                raise self._wrong(item, f"{text!r} is there twice")
        return texts

    def _templates(self, node: Any) -> tuple[str, ...]:
        """Parse the name of a set, a sentence with {}, or a list of sentences."""
        if node.id == "scalar":
            text = self._string(node, "templates")
            try:
                return classes.read_templates(text)
            except UsageError as error:
                raise self._wrong(node, str(error), hint=error.hint) from error
        templates = self._prompts(node, "templates")
        for item, text in zip(node.value, templates, strict=True):
            if "{}" not in text:
                raise self._wrong(item, f"the template {text!r} has no place for a prompt", hint="write {} there")
        return templates

    def _threshold(self, node: Any) -> float:
        value = math.nan
        if node.id == "scalar" and node.tag in _NUMBERS:
            try:
                value = float(node.value)
            except ValueError:
                value = math.nan
        if not 0 < value < 1:
            raise self._wrong(node, "a threshold is a probability between 0 and 1, such as 0.8")
        return value

    def _string(self, node: Any, subject: str) -> str:
        self._check_tag(node)
        if node.id != "scalar" or node.tag != _STR:
            hint = f'in quotes, "{node.value}" is a text' if node.id == "scalar" and node.value else None
            raise self._wrong(node, f"{subject} is a text", hint=hint)
        text = str(node.value).strip()
        if not text:
            raise self._wrong(node, f"{subject} is empty")
        return text

    def _check_tag(self, node: Any) -> None:
        """Reject YAML tags outside the standard types."""
        if node.tag not in _COLLECTIONS and not (
            node.id == "scalar" and node.tag.startswith("tag:yaml.org,2002:") and ":python/" not in node.tag
        ):
            raise self._wrong(node, f"the tag {node.tag!r} is not allowed here")

    def _wrong(self, node: Any, message: str, hint: str | None = None) -> UsageError:
        return _line_error(self._path, self._text, node.start_mark.line, message, hint)


def _line_error(path: Path, text: str, line: int | None, message: str, hint: str | None = None) -> UsageError:
    """Build an error that quotes the line."""
    if line is None:
        return UsageError(f"{path}: {message}", hint=hint)
    lines = text.splitlines()
    excerpt = lines[line].strip()[:80] if line < len(lines) else "the end of the file"
    return UsageError(f"{path}, line {line + 1}: {message} (in: {excerpt})", hint=hint)
