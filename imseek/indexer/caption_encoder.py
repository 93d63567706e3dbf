"""Encodes captions as rows of the text space, for indexing and for :func:`imseek.maintenance.embed_captions`.

A row is the float16 vector of the caption, or zeros if there is no caption or the encoder fails on it; the run's
notes report failures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

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
        texts = [stored_text(caption) for caption in captions]
        distinct = list(dict.fromkeys(filter(None, texts)))
        row_of_text: dict[str, Float16] = {}
        for start in range(0, len(distinct), BATCH):
            row_of_text.update(self._encode(distinct[start : start + BATCH]))
        self.encoded += len(row_of_text)
        for row, text in zip(rows, texts, strict=True):
            if text in row_of_text:
                row[:] = row_of_text[text]
        return rows

    @property
    def failed(self) -> Mapping[str, str]:
        """The reasons why captions have no vector, by caption."""
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
        row_of_text = {}
        for text, row in zip(texts, rows.astype(np.float16), strict=True):
            if np.isfinite(row).all() and row.any():
                row_of_text[text] = row
            else:
                self._failed[text] = "its vector is zero or not finite"
        return row_of_text


def stored_text(caption: str | None) -> str:
    """Return a caption as the metadata will store it, because it may be embedded again from there; "" for none."""
    return "" if caption is None else caption.encode("utf-8", "backslashreplace").decode().strip()
