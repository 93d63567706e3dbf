"""Exported text towers in the user's cache, and the text-only encoder that runs one.

A tower is stored under its encoder's reference and fingerprint. A collection knows both, so a text query needs neither
the checkpoint nor the model hub, torch or open_clip.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from imseek.encoders.base import EncoderInfo
from imseek.encoders.cache import is_complete
from imseek.encoders.exported_tower_cache import TowerMetadata, tower_folder
from imseek.encoders.input_checks import available_cpus
from imseek.encoders.openclip import tokens
from imseek.encoders.openclip.text import OnnxText, TextTower
from imseek.encoders.runtime import Runtime
from imseek.errors import EncoderError
from imseek.types.arrays import Float32, Pixels

NETWORK: Final = "text.onnx"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTowerMetadata(TowerMetadata):
    """Metadata of an exported text tower.

    ``tokenizer`` holds the options of :func:`imseek.encoders.openclip.tokens.read_tokenizer`, ``end`` is that of
    :class:`imseek.encoders.openclip.text.OnnxText`.
    """

    tokenizer: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    end: int | str | None = None


def text_tower_folder(reference: str, fingerprint: str) -> Path:
    """Return the cache folder of an encoder's text tower. It need not exist."""
    return tower_folder("openclip-text", reference, fingerprint)


def open_tower(files: Path, facts: TextTowerMetadata, threads: int) -> TextTower:
    """Open the tower in the folder ``files``."""
    encode = OnnxText(files / NETWORK, end=facts.end, threads=threads)
    return TextTower(tokens.read_tokenizer(files, facts.tokenizer), encode, facts.info.dim)


class ExportedTextEncoder:
    """The text half of an open_clip encoder. Thread-safe; refuses pictures."""

    def __init__(self, files: Path, facts: TextTowerMetadata, runtime: Runtime) -> None:
        self._files = files
        self._facts = facts
        self._threads = runtime.threads or available_cpus()
        self._info = dataclasses.replace(facts.info, draft_size=runtime.draft_size(facts.info.image_size))
        self._lock = threading.Lock()
        self._tower: TextTower | None = None

    @classmethod
    def from_cache(cls, reference: str, fingerprint: str, runtime: Runtime | None) -> Self | None:
        """Return the encoder, or None where its tower is missing, incomplete or refused.

        Raises EncoderError for damaged metadata.
        """
        files = text_tower_folder(reference, fingerprint)
        if not is_complete(files):
            return None
        facts = TextTowerMetadata.read(files)
        return None if facts.refused else cls(files, facts, runtime or Runtime())

    @property
    def info(self) -> EncoderInfo:
        return self._info

    @property
    def precision(self) -> str:
        return "fp32"

    def fingerprint(self) -> str:
        return self._facts.fingerprint

    def prepare(self, pixels: Pixels) -> Pixels:
        """Raise EncoderError: there is no image tower."""
        raise self._refusal()

    def encode_images(self, batch: Pixels) -> Float32:
        """Raise EncoderError: there is no image tower."""
        raise self._refusal()

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Encode n non-empty strings as (n, dim) float32 unit rows. Raises QueryError for an empty text."""
        return self._load_tower()(texts)

    def notes(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Return a line for each text that exceeds the context window."""
        return self._load_tower().notes(texts)

    def _load_tower(self) -> TextTower:
        with self._lock:
            if self._tower is None:
                self._tower = open_tower(self._files, self._facts, self._threads)
            return self._tower

    def _refusal(self) -> EncoderError:
        return EncoderError(f"the encoder {self._info.reference} was loaded for text only, not image")
