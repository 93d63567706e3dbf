"""English words that say little, which searches and suggestions skip."""

from __future__ import annotations

from typing import Final

#: Function words, stemmed: Lucene's English ones, and a few of the same kind. They say little in a query, and much in
#: file names, where they are rare.
FUNCTION_WORDS: Final = frozenset({
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "from", "if", "in", "into", "is", "it", "no", "not",
    "of", "on", "or", "such", "that", "the", "their", "then", "there", "these", "they", "this", "those", "to", "was",
    "were", "will", "with",
})  # fmt: skip
#: More of them, as they are written: with these, they start nothing that somebody would search for.
COMMON_WORDS: Final = FUNCTION_WORDS | {
    "about", "after", "all", "also", "any", "been", "can", "did", "does", "had", "has", "have", "her", "his", "how",
    "its", "just", "more", "most", "off", "one", "our", "out", "over", "she", "some", "than", "them", "through", "too",
    "two", "under", "very", "what", "when", "where", "which", "while", "who", "you", "your",
}  # fmt: skip
