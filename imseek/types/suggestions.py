"""Suggestions for words that are being typed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

#: What a suggestion is: a person's name, a keyword, a tag, a word of captions and of text in pictures, or one that only
#: the names of files and folders have.
SuggestionKind: TypeAlias = Literal["person", "keyword", "tag", "word", "name"]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """How a query may go on: the whole text, and what its last words are.

    Words do not find tags: a ``tag`` is a filter, ``tag('…')``.
    """

    text: str
    kind: SuggestionKind
