"""Find the images of a generation that match a lexical query, best first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from imseek.data.words.analysis import name_tokens, tokens_of
from imseek.data.words.scoring import count_units, idf, score_counts, units_of
from imseek.data.words.values import FIELDS, Document, WordMatches, WordQuery

if TYPE_CHECKING:
    from imseek.data.reader import Reader


def match_words(reader: Reader, query: WordQuery, limit: int, fields: Sequence[str] | None = None) -> WordMatches:
    """As :meth:`imseek.data.reader.Reader.match_words` says."""
    fields = FIELDS if fields is None else fields
    ids = np.concatenate(
        [
            np.empty(0, np.int64),
            *(np.delete(reader.shard_ids(shard), reader.dead_rows(shard)) for shard in reader.current.shards),
        ]
    )
    units = units_of(query)
    documents = read_documents(reader, ids.tolist())
    counts: npt.NDArray[np.float64] = np.array([count_units(documents[i], units, fields) for i in ids.tolist()])
    counts = counts.reshape(len(ids), len(units))
    holds = np.asarray(counts > 0, np.bool_)
    weights = np.array([idf(int(found), len(ids)) for found in holds.sum(axis=0)], np.float64)
    scores, shares = score_counts(counts, weights)
    matching = np.any(holds, axis=1) & np.all(holds[:, len(query.words) :], axis=1)
    order = np.lexsort((ids, -scores))
    best = order[matching[order]]
    return WordMatches(
        ids[best[:limit]], scores[best[:limit]], shares[best[:limit]], total=len(best), documents=len(ids)
    )


def read_documents(reader: Reader, image_ids: Sequence[int]) -> dict[int, Document]:
    """As :meth:`imseek.data.reader.Reader.documents` says."""
    metadata = reader.metadata(image_ids)
    places = reader.catalog_places(list(metadata))
    return {i: document_of(places[i][1] if i in places else b"", row) for i, row in metadata.items()}


def document_of(path: bytes, metadata: dict[str, object]) -> Document:
    """Return the document of an image at a place, with these intrinsic columns."""

    def joined(*columns: str) -> str:
        values = (metadata.get(column) for column in columns)
        texts = [" ".join(map(str, value)) if isinstance(value, list) else str(value or "") for value in values]
        return " ".join(tokens_of(" ".join(texts)))

    return Document(" ".join(name_tokens(path)), joined("caption", "title"), joined("keywords", "people"))
