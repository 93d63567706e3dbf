"""The words of a query that the lexical index looks up."""

from __future__ import annotations

from collections.abc import Sequence

from imseek.data.words.function_words import FUNCTION_WORDS
from imseek.data.words.values import WordQuery
from imseek.search.query import Query


def has_words(query: Query) -> bool:
    """Return whether any positive term is text."""
    return any(term.text is not None and term.weight > 0 for term in query.terms)


def words_of(query: Query) -> WordQuery:
    """Return what the positive texts of a query look for, without function words unless there are only such.

    :func:`imseek.data.words.analysis.parse_words` says what is syntax.
    """
    return _words_of_texts([term.text for term in query.terms if term.text is not None and term.weight > 0])


def words_of_negative_texts(query: Query) -> list[WordQuery]:
    """Return what each negative text of a query looks for, as :func:`words_of` does for all positive ones."""
    texts = [term.text for term in query.terms if term.text is not None and term.weight < 0]
    return [words for words in (_words_of_texts([text]) for text in texts) if words]


def _words_of_texts(texts: Sequence[str]) -> WordQuery:
    from imseek.data.words.analysis import MAX_PREFIXES, MAX_QUERY, parse_words

    parsed = [parse_words(text) for text in texts]
    words = dict.fromkeys(word for one in parsed for word in one.words)
    prefixes = dict.fromkeys(prefix for one in parsed for prefix in one.prefixes)
    phrases = dict.fromkeys(phrase for one in parsed for phrase in one.phrases)
    telling = [word for word in words if word not in FUNCTION_WORDS]
    if not telling and not phrases and not prefixes:
        telling = list(words)
    return WordQuery(tuple(telling[:MAX_QUERY]), tuple(phrases)[:MAX_QUERY], tuple(prefixes)[:MAX_PREFIXES])


def text_share(query: Query) -> float:
    """Return the share of texts among the positive terms, by their weights."""
    positive = [(term.weight, term.text is not None) for term in query.terms if term.weight > 0]
    return float(sum(weight for weight, is_text in positive if is_text) / sum(weight for weight, _ in positive))
