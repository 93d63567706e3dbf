"""Image towers exported to ONNX in the user's cache, and the encoder that runs one.

To import torch and to build a network takes seconds, nearly all the time that one new picture takes. So an encoder that
is used again for a few pictures exports its image tower, once; later processes run it on onnxruntime, in float32.
Many pictures are encoded faster by torch, which takes over after :data:`FULL_BATCHES` full batches.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from imseek.encoders.base import Encoder, EncoderInfo
from imseek.encoders.cache import build_once, cache_dir, is_complete
from imseek.encoders.checks import available_cpus, check_pictures
from imseek.encoders.device import cpu_batch, is_cpu_only
from imseek.encoders.onnx_network import Network
from imseek.encoders.preprocess import Preprocessing
from imseek.encoders.runtime import Runtime
from imseek.errors import EncoderError, EncoderUnavailableError
from imseek.types.arrays import Float32, Pixels

if TYPE_CHECKING:
    import torch

#: Batches of ``EncoderInfo.batch_size`` pictures after which torch takes over.
FULL_BATCHES: Final = 2

# Increase it when the code that writes the files changes; files with another number are ignored.
_REVISION: Final = 1
_METADATA_FILE: Final = "encoder.json"
_NETWORK: Final = "image.onnx"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A file of weights as it was when its tower was exported."""

    path: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> Self:
        status = path.stat()
        return cls(str(path), status.st_size, status.st_mtime_ns)

    def is_replaced(self) -> bool:
        """Tell whether another file lies there now. A tower whose weights are gone still makes the same vectors."""
        try:
            return Checkpoint.of(Path(self.path)) != self
        except OSError:
            return False


@dataclass(frozen=True, slots=True)
class ImageTowerMetadata:
    """Metadata of an exported tower. ``refused`` gives the reason for a missing network: the export differed from torch
    or failed, and a retry would too."""

    fingerprint: str
    info: EncoderInfo
    checkpoint: Checkpoint
    refused: str | None = None

    def write(self, files: Path) -> None:
        (files / _METADATA_FILE).write_text(json.dumps(dataclasses.asdict(self), indent=1), "utf-8")

    @classmethod
    def read(cls, files: Path) -> Self:
        """Read the metadata file. Raises EncoderError where it is damaged."""
        try:
            stored = json.loads((files / _METADATA_FILE).read_text("utf-8"))
            info, checkpoint = EncoderInfo.of_json(stored.pop("info")), Checkpoint(**stored.pop("checkpoint"))
            Preprocessing(**info.preprocessing)
            return cls(info=info, checkpoint=checkpoint, **stored)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise EncoderError(
                f"{files / _METADATA_FILE} is damaged", hint=f"delete {files}: it is made again"
            ) from error


def tower_folder(reference: str, fingerprint: str) -> Path:
    """Return the cache folder of an encoder's image tower. It need not exist."""
    key = hashlib.sha256(f"{reference}\n{fingerprint}".encode("utf-8", "surrogateescape")).hexdigest()
    return cache_dir() / "encoders" / f"images-{key[:32]}-{_REVISION}"


def export(
    module: Callable[[], torch.nn.Module],
    info: EncoderInfo,
    fingerprint: str,
    checkpoint: Path,
    notify: Callable[[str], None] | None,
) -> None:
    """Export an image tower to the cache, unless it is there or was refused.

    ``module`` returns the network, on the CPU in float32. ``notify`` receives a line before the export. An unwritable
    cache costs time, not correctness: nothing is raised.
    """

    def make(folder: Path) -> None:
        if notify is not None:
            notify(f"exporting the image tower of {info.reference}: once, some seconds")
        refused = None
        try:
            write_network(folder / _NETWORK, module(), Preprocessing(**info.preprocessing))
        except EncoderError as error:
            refused = str(error)
            for path in folder.iterdir():
                path.unlink()
        ImageTowerMetadata(fingerprint, info, Checkpoint.of(checkpoint), refused).write(folder)

    try:
        build_once(tower_folder(info.reference, fingerprint), make)
    except EncoderUnavailableError:
        return


def write_network(path: Path, module: torch.nn.Module, preprocessing: Preprocessing) -> None:
    """Write a tower as ONNX: ``pixels`` (n, size, size, 3) uint8 → (n, dim) float32 unit ``rows``.

    Raises EncoderError where it cannot be exported, or computes something else than torch.
    """
    import torch

    from imseek.encoders.onnx_network import write
    from imseek.encoders.torch_images import with_normalisation

    def pixels(n: int) -> dict[str, Any]:
        side = preprocessing.size
        random = np.random.default_rng(n).integers(0, 256, (n, side, side, 3), dtype=np.uint8)
        return {"pixels": torch.from_numpy(random)}

    write(
        path,
        with_normalisation(module, preprocessing),
        pixels(1),
        pixels(2),
        output="rows",
        dynamic={"pixels": {0: "n"}, "rows": {0: "n"}},
        external_data=True,
    )


class ExportedEncoder:
    """An encoder that runs on exported towers, without torch, until there are many pictures. Thread-safe."""

    def __init__(
        self,
        files: Path,
        facts: ImageTowerMetadata,
        runtime: Runtime,
        texts: Encoder | None,
        load: Callable[[], Encoder],
    ) -> None:
        """Open nothing yet. ``texts`` encodes texts, if they are exported too; ``load`` loads the encoder on torch."""
        self._files = files
        self._fingerprint = facts.fingerprint
        self._preprocessing = Preprocessing(**facts.info.preprocessing)
        self._threads = runtime.threads or available_cpus()
        size = self._preprocessing.size
        self._info = dataclasses.replace(
            facts.info,
            draft_size=runtime.draft_size(self._preprocessing.resized or size),
            batch_size=cpu_batch(runtime, size),
        )
        self._texts = texts
        self._load = load
        self._lock = threading.Lock()
        self._network: Network | None = None
        self._full_batches = 0
        self._on_torch: Encoder | None = None

    @classmethod
    def from_cache(
        cls,
        reference: str,
        fingerprint: str,
        runtime: Runtime | None,
        texts: Encoder | None,
        load: Callable[[], Encoder],
    ) -> Self | None:
        """Return the encoder, or None where its tower is missing, incomplete or refused, or ``runtime`` excludes it.

        Raises EncoderError for damaged metadata.
        """
        runtime = runtime or Runtime()
        files = tower_folder(reference, fingerprint)
        if not (is_float_on_cpu(runtime) and is_complete(files)):
            return None
        facts = ImageTowerMetadata.read(files)
        if facts.refused or facts.checkpoint.is_replaced():
            return None
        return cls(files, facts, runtime, texts, load)

    @property
    def info(self) -> EncoderInfo:
        return self._info

    @property
    def precision(self) -> str:
        return "fp32" if self._on_torch is None else self._on_torch.precision

    def fingerprint(self) -> str:
        return self._fingerprint

    def prepare(self, pixels: Pixels) -> Pixels:
        """Convert (h, w, 3) uint8 sRGB to (size, size, 3) uint8."""
        return self._preprocessing.square(pixels)

    def encode_images(self, batch: Pixels) -> Float32:
        """Encode (n, size, size, 3) uint8 as (n, dim) float32 unit rows. Raises UsageError for any other array."""
        check_pictures(batch, self._preprocessing.size)
        if not len(batch):
            return np.empty((0, self._info.dim), dtype=np.float32)
        with self._lock:
            if self._on_torch is None and self._full_batches >= FULL_BATCHES:
                self._on_torch = self._load()
            self._full_batches += len(batch) >= self._info.batch_size
            if self._network is None:
                self._network = Network(self._files / _NETWORK, threads=self._threads, mapped=True)
        if self._on_torch is not None:
            return self._on_torch.encode_images(batch)
        return self._network({"pixels": batch})

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Encode n non-empty strings as (n, dim) float32 unit rows. Raises as the encoder on torch does."""
        return self._text_encoder().encode_texts(texts)

    def notes(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Return lines to show the user about these texts."""
        return self._text_encoder().notes(texts)

    def _text_encoder(self) -> Encoder:
        if self._texts is not None:
            return self._texts
        with self._lock:
            self._on_torch = self._on_torch or self._load()
            return self._on_torch


def is_float_on_cpu(runtime: Runtime) -> bool:
    """Tell whether pictures may be encoded in float32 on the CPU, because nothing else was chosen or is there."""
    return (
        runtime.precision in ("auto", "fp32")
        and not runtime.compile
        and (runtime.device == "cpu" or (runtime.device in ("auto", "all") and is_cpu_only()))
    )
