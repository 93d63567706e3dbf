"""Text and image towers exported to the user's cache: where they are, and what is recorded about each."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from imseek.encoders.base import EncoderInfo
from imseek.encoders.cache import cache_dir
from imseek.errors import EncoderError

# Increase it when the code that writes the files changes; files with another number are ignored.
_REVISION: Final = 1
_FILE: Final = "encoder.json"


def tower_folder(kind: str, reference: str, fingerprint: str) -> Path:
    """Return the cache folder of a tower of an encoder. It need not exist."""
    key = hashlib.sha256(f"{reference}\n{fingerprint}".encode("utf-8", "surrogateescape")).hexdigest()
    return cache_dir() / "encoders" / f"{kind}-{key[:32]}-{_REVISION}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TowerMetadata:
    """Metadata of an exported tower.

    ``refused`` gives the reason for a missing network: the export failed or differed from torch, and a retry would too.
    """

    fingerprint: str
    info: EncoderInfo
    refused: str | None = None

    def write(self, files: Path) -> None:
        (files / _FILE).write_text(json.dumps(dataclasses.asdict(self), indent=1), "utf-8")

    @classmethod
    def read(cls, files: Path) -> Self:
        """Read the metadata in the folder ``files``. Raises EncoderError where they are damaged."""
        try:
            stored = json.loads((files / _FILE).read_text("utf-8"))
            return cls(info=EncoderInfo.of_json(stored.pop("info")), **stored)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise EncoderError(f"{files / _FILE} is damaged", hint=f"delete {files}: it is made again") from error
