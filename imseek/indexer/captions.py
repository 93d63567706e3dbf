"""Encodes captions as rows of the text space, for indexing and for :func:`imseek.maintenance.embed_captions`.

A row is the float16 vector of the caption, or zeros if there is no caption or the encoder fails on it; the run's
notes report failures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.encoders.base import Encoder
from imseek.errors import ImseekError

Float16: TypeAlias = npt.NDArray[np.float16]

#: Captions per batch.
BATCH: Final = 256


class CaptionEncoder:
    """Encodes captions, which may be missing, repeated, of any length, or impossible to encode."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._failed: dict[str, str] = {}
        #: Number of texts encoded.
        self.encoded = 0

    def __call__(self, captions: Sequence[str | None]) -> Float16:
        """Return (n, dim) float16 rows of n captions.

        Errors of the encoder as a whole (no weights, a full disk) are raised.
        """
        rows = np.zeros((len(captions), self._encoder.info.dim), np.float16)
        texts = [_text(caption) for caption in captions]
        wanted = list(dict.fromkeys(filter(None, texts)))
        found: dict[str, Float16] = {}
        for start in range(0, len(wanted), BATCH):
            found.update(self._encode(wanted[start : start + BATCH]))
        self.encoded += len(found)
        for row, text in zip(rows, texts, strict=True):
            if text in found:
                row[:] = found[text]
        return rows

    @property
    def failed(self) -> Mapping[str, str]:
        """By caption, the reason why it has no vector."""
        return self._failed

    def notes(self) -> tuple[str, ...]:
        """Return a line about captions without a vector, for the report."""
        if not self._failed:
            return ()
        caption, reason = next(iter(self._failed.items()))
        return (f"{len(self._failed):,} captions could not be embedded; the first: {caption[:60]!r} ({reason})",)

    def _encode(self, texts: list[str]) -> dict[str, Float16]:
        try:
            rows = self._encoder.encode_texts(texts)
        except (ImseekError, OSError, ImportError):
            raise
        except Exception as error:
            if len(texts) == 1:
                self._failed[texts[0]] = f"{type(error).__name__}: {error}"
                return {}
            return {text: row for one in texts for text, row in self._encode([one]).items()}
        found = {}
        for text, row in zip(texts, rows.astype(np.float16), strict=True):
            if np.isfinite(row).all() and row.any():
                found[text] = row
            else:
                self._failed[text] = "its vector is zero or not finite"
        return found


class CaptionRows:
    """Makes a run's rows for the caption space, by space id; none if the collection has no such space."""

    def __init__(self, encoders: Mapping[int, Encoder]) -> None:
        """``encoders`` maps the caption space's id to its encoder, or is empty."""
        self._encoders = {space_id: CaptionEncoder(encoder) for space_id, encoder in encoders.items()}

    @property
    def space_ids(self) -> tuple[int, ...]:
        return tuple(self._encoders)

    def of(self, metadata: Sequence[Mapping[str, Any]]) -> list[dict[int, Float16]]:
        """Return for each metadata row the row (dim,) of its caption, by space id."""
        captions = [row.get("caption") for row in metadata]
        found: list[dict[int, Float16]] = [{} for _ in metadata]
        for space_id, encode in self._encoders.items():
            for rows, vector in zip(found, encode(captions), strict=True):
                rows[space_id] = vector
        return found

    def of_copy(
        self, metadata: Mapping[str, Any], twin: Mapping[str, Any], vectors: Mapping[int, Float16]
    ) -> Mapping[int, Float16]:
        """Return the vectors of an image with the same content as ``twin``.

        The caption vector is replaced if the caption differs.
        """
        if _text(metadata.get("caption")) == _text(twin.get("caption")):
            return vectors
        return {**vectors, **self.of([metadata])[0]}

    def notes(self) -> tuple[str, ...]:
        return tuple(note for encode in self._encoders.values() for note in encode.notes())


def _text(caption: str | None) -> str:
    """Return a caption as the metadata will store it, because it may be embedded again from there; "" for none."""
    return "" if caption is None else caption.encode("utf-8", "backslashreplace").decode().strip()
