"""Suggestions for words that are being typed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias, runtime_checkable

#: What a suggestion is: a person's name, a keyword, a tag, a word of captions and of text in pictures, or one that only
#: the names of files and folders have.
SuggestionKind: TypeAlias = Literal["person", "keyword", "tag", "word", "name"]
#: Characters of a text that a server takes, and suggestions that it makes, at most.
MAX_SERVED_TEXT: Final = 200
MAX_SERVED: Final = 50


@dataclass(frozen=True, slots=True)
class Suggestion:
    """How a query may go on: the whole text, and what its last words are.

    Words do not find tags: a ``tag`` is a filter, ``tag('…')``.
    """

    text: str
    kind: SuggestionKind


@runtime_checkable
class SuggestionSource(Protocol):
    """A collection elsewhere that suggests by itself: :class:`imseek.RemoteCollection`, for one."""

    def suggest(
        self, text: str, *, limit: int = 10, kinds: Sequence[SuggestionKind] | None = None
    ) -> tuple[Suggestion, ...]: ...
