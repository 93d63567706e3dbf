"""Texts that are longer than an encoder's context window: cut into pieces, whose vectors are averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def pieces(text: str, fits: Callable[[str], bool]) -> list[str]:
    """``text``, halved between words (within a word only if need be) until every piece fits."""
    if fits(text) or len(text) < 2:
        return [text]
    words = text.split()
    if len(words) > 1:
        halves = [" ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :])]
    else:
        halves = [text[: len(text) // 2], text[len(text) // 2 :]]
    return [piece for half in halves for piece in pieces(half, fits)]


def notes(counts: Sequence[int], context_length: int) -> tuple[str, ...]:
    """A line for the user about each text that was cut into more pieces than one."""
    return tuple(
        f"the text has more than {context_length} tokens: it was cut into {count} pieces, whose vectors were averaged"
        for count in counts
        if count > 1
    )
