"""Cut texts longer than an encoder's context window into pieces, whose vectors are averaged."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence


def split_text(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Split ``text`` into pieces that fit, each with as many words as possible.

    A word is cut only if it does not fit by itself, after as many characters as fit (at least one, whether or not it
    fits). ``fits`` must hold for every part of a text for which it holds.
    """
    if fits(text):
        return [text]
    pieces = []
    words, start = text.split(), 0
    while start < len(words):
        count = _largest_fitting(len(words) - start, lambda n: fits(" ".join(words[start : start + n])))  # noqa: B023 - called at once
        if count:
            pieces.append(" ".join(words[start : start + count]))
            start += count
            continue
        word = words[start]
        cut = max(1, _largest_fitting(len(word), lambda n: fits(word[:n])))  # noqa: B023 - called at once
        pieces.append(word[:cut])
        if cut < len(word):
            words[start] = word[cut:]
        else:
            start += 1
    return pieces


def notes(counts: Sequence[int], context_length: int) -> tuple[str, ...]:
    """Return a line for the user about each text that was cut."""
    return tuple(
        f"the text has more than {context_length} tokens: it was cut into {count} pieces, whose vectors were averaged"
        for count in counts
        if count > 1
    )


def _largest_fitting(limit: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number up to ``limit`` that fits, or 0, without trying numbers far above it."""
    high = 1
    while high < limit and fits(high):
        high *= 2
    return bisect_left(range(1, min(high, limit) + 1), True, key=lambda n: not fits(n))
