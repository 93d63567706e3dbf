"""Image towers exported to ONNX in the user's cache, and the encoder that runs one.

To import torch and to build a network takes seconds, nearly all the time that one new picture takes. So the encoder of
a collection that is used for a few pictures exports its image tower, once; later processes run it on onnxruntime, in
float32. Many pictures are encoded faster by torch, which takes over after :data:`FULL_BATCHES` full batches.
"""

from __future__ import annotations

import dataclasses
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from imseek.encoders.base import Encoder, EncoderInfo
from imseek.encoders.cache import build_once, is_complete
from imseek.encoders.device import cpu_batch, is_cpu_only
from imseek.encoders.exported_tower_cache import TowerMetadata, tower_folder
from imseek.encoders.input_checks import available_cpus, check_fingerprint, check_pictures
from imseek.encoders.onnx_network import Network, write
from imseek.encoders.preprocess import Preprocessing
from imseek.encoders.runtime import Runtime
from imseek.errors import EncoderError, EncoderUnavailableError
from imseek.types.arrays import Float32, Pixels

if TYPE_CHECKING:
    import torch

#: Batches of ``EncoderInfo.batch_size`` pictures after which torch takes over.
FULL_BATCHES: Final = 2

#: Bytes of a checkpoint beyond which no tower is exported: that takes several times as much memory.
_LARGEST_CHECKPOINT: Final = 2 << 30
_NETWORK: Final = "image.onnx"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageTowerMetadata(TowerMetadata):
    """Metadata of an exported image tower. ``checkpoint`` describes the file of weights, as it was then."""

    checkpoint: Mapping[str, str | int]

    def is_replaced(self) -> bool:
        """Tell whether another checkpoint is there now. Where it is gone, the tower still makes the same vectors."""
        try:
            return _describe(Path(str(self.checkpoint.get("path")))) != self.checkpoint
        except OSError:
            return False


def _describe(checkpoint: Path) -> dict[str, str | int]:
    status = checkpoint.stat()
    return {"path": str(checkpoint), "size": status.st_size, "mtime_ns": status.st_mtime_ns}


def image_tower_folder(reference: str, fingerprint: str) -> Path:
    """Return the cache folder of an encoder's image tower. It need not exist."""
    return tower_folder("images", reference, fingerprint)


def export(
    module: Callable[[], torch.nn.Module],
    info: EncoderInfo,
    fingerprint: str,
    checkpoint: Path,
    notify: Callable[[str], None] | None,
) -> None:
    """Export an image tower to the cache, unless it is there or was refused.

    ``module`` returns the network, on the CPU in float32; its errors are raised. ``notify`` receives a line before the
    export. A cache that cannot be written, and too little memory, cost time, not correctness: then nothing is exported.
    """
    if checkpoint.stat().st_size > _LARGEST_CHECKPOINT:
        return
    folder = image_tower_folder(info.reference, fingerprint)

    def make(folder: Path) -> None:
        if notify is not None:
            notify(f"exporting the image tower of {info.reference}: once, some seconds")
        facts, network, refused = _describe(checkpoint), module(), None
        try:
            write_network(folder / _NETWORK, network, Preprocessing(**info.preprocessing))
        except EncoderError as error:
            refused = str(error)
            for path in folder.iterdir():
                path.unlink()
        ImageTowerMetadata(fingerprint=fingerprint, info=info, refused=refused, checkpoint=facts).write(folder)

    try:
        # The weights are the same, but their file was replaced, for instance by downloading it again.
        if is_complete(folder) and ImageTowerMetadata.read(folder).is_replaced():
            shutil.rmtree(folder)
        build_once(folder, make)
    except (EncoderUnavailableError, OSError, MemoryError):
        return


def write_network(path: Path, module: torch.nn.Module, preprocessing: Preprocessing) -> None:
    """Write a tower as ONNX: ``pixels`` (n, size, size, 3) uint8 → (n, dim) float32 unit ``rows``.

    Raises EncoderError where it cannot be exported, or computes something else than torch.
    """
    import torch

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
        self._torch_encoder: Encoder | None = None

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
        files = image_tower_folder(reference, fingerprint)
        if not (is_float_on_cpu(runtime) and is_complete(files)):
            return None
        facts = ImageTowerMetadata.read(files)
        if facts.refused or facts.is_replaced():
            return None
        return cls(files, facts, runtime, texts, load)

    @property
    def info(self) -> EncoderInfo:
        return self._info

    @property
    def precision(self) -> str:
        return "fp32" if self._torch_encoder is None else self._torch_encoder.precision

    def fingerprint(self) -> str:
        return self._fingerprint

    def prepare(self, pixels: Pixels) -> Pixels:
        """Convert (h, w, 3) uint8 sRGB to (size, size, 3) uint8."""
        return self._preprocessing.prepare(pixels)

    def encode_images(self, batch: Pixels) -> Float32:
        """Encode (n, size, size, 3) uint8 as (n, dim) float32 unit rows. Raises UsageError for any other array.

        Raises EncoderMismatchError where torch takes over and the weights are others now.
        """
        check_pictures(batch, self._preprocessing.size)
        if not len(batch):
            return np.empty((0, self._info.dim), dtype=np.float32)
        with self._lock:
            network = None if self._torch_encoder is not None else self._next_network(len(batch))
            on_torch = self._torch_encoder
        if on_torch is not None:
            return on_torch.encode_images(batch)
        assert network is not None
        run = max(1, self._info.batch_size // self._threads)
        return np.concatenate([network({"pixels": batch[at : at + run]}) for at in range(0, len(batch), run)])

    def _next_network(self, pictures: int) -> Network | None:
        """Return the network for the next batch, None where torch has taken over. The caller holds the lock."""
        if self._full_batches >= FULL_BATCHES:
            try:
                self._load_torch()
            except EncoderUnavailableError:  # Weights that are gone: the tower does, slowly.
                self._full_batches = 0
            else:
                return None
        self._full_batches += pictures >= self._info.batch_size
        if self._network is None:
            if not is_complete(self._files):  # The cache was emptied meanwhile.
                self._load_torch()
                return None
            self._network = Network(self._files / _NETWORK, threads=self._threads, mapped=True)
        return self._network

    def _load_torch(self) -> Encoder:
        """Load the encoder on torch in place of the exported tower. The caller holds the lock."""
        if self._torch_encoder is None:
            encoder = self._load()
            check_fingerprint(encoder, self._info.reference, self._fingerprint)
            self._torch_encoder, self._network = encoder, None
        return self._torch_encoder

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
            return self._load_torch()


def is_float_on_cpu(runtime: Runtime) -> bool:
    """Tell whether pictures may be encoded in float32 on the CPU, because nothing else was chosen or is available."""
    return (
        runtime.precision in ("auto", "fp32")
        and not runtime.compile
        and (runtime.device == "cpu" or (runtime.device in ("auto", "all") and is_cpu_only()))
    )
