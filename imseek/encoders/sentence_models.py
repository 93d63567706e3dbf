"""Models of sentence-transformers that read pictures as well as texts, such as Qwen3-VL-Embedding, in a folder.

The library itself prepares pictures, in their own proportions where the model can. Pictures are encoded as documents
and texts as queries, with the prompts that the model has for them. Code in a folder is run only where
``IMSEEK_TRUSTED_MODELS`` names the folder.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from imseek.encoders import chunking, hub
from imseek.encoders.base import EncoderInfo
from imseek.encoders.checkpoint import read_scalar
from imseek.encoders.device import plan
from imseek.encoders.input_checks import check_modality, check_texts, merge_pieces, no_text_error
from imseek.encoders.preprocess import cut_strip
from imseek.encoders.runtime import Runtime
from imseek.encoders.transformers_models import quiet
from imseek.encoders.weights import LazyModel
from imseek.errors import EncoderError, EncoderUnavailableError, MissingExtraError, UntrustedWeightsError, UsageError
from imseek.tilde_expansion import expand_user
from imseek.types.arrays import Float32, Pixels

#: The file that marks a folder of sentence-transformers.
MODULES: Final = "modules.json"
#: Folders whose models may run code of their own, by absolute paths, separated as in PATH.
TRUSTED_VARIABLE: Final = "IMSEEK_TRUSTED_MODELS"
#: Side of a square with as many pixels as a model receives at most.
SIDE: Final = 768
#: Endings of files that affect vectors, beside those of weights.
_SETTINGS: Final = (".jinja", ".json", ".model", ".py", ".txt")
_WEIGHTS: Final = frozenset({".safetensors", ".bin", ".pt", ".pth", ".ckpt"})
#: What trainers leave beside the weights, and weights of another runtime: the library reads them only where an index of
#: weights names them.
_UNREAD: Final = (
    "openvino_model*.bin", "optimizer.*", "rng_state*.pth", "scaler.pt", "scheduler.*", "training_args.bin",
)  # fmt: skip
# Rows of a prepared picture before its pixels: its height and its width, as three digits to the base 256.
_HEAD: Final = 2
_BASE: Final = 256
# Lengths that libraries write for "no limit" are larger.
_LONGEST: Final = 1 << 20


class SentenceEncoder:
    """A model of sentence-transformers as an encoder. Thread-safe; its library is loaded with it."""

    def __init__(
        self,
        reference: str,
        *,
        modalities: Sequence[str] = ("image", "text"),
        runtime: Runtime | None = None,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        """Check and load the model in the folder of ``reference``, ``local-dir:PATH``.

        Raises EncoderUnavailableError, UntrustedWeightsError, MissingExtraError, and EncoderError for a damaged folder,
        a model that reads no pictures, or texts alone where it reads no texts.
        """
        folder = expand_user(reference.partition(":")[2]).absolute()
        self._runtime = runtime = runtime or Runtime()
        if runtime.precision not in ("auto", "fp32"):
            raise EncoderUnavailableError(
                f"models of sentence-transformers compute in fp32 only, not in {runtime.precision}",
                hint="leave the precision to auto",
            )
        self._plan = plan(Runtime(device=runtime.device, precision="fp32", batch_size=runtime.batch_size), SIDE)
        files = _check_folder(folder)
        reference = f"local-dir:{folder}"
        record = {"settings": _settings(folder), "side": SIDE}
        self._weights = LazyModel(reference, files[0], record, lambda: _build(folder))
        self._model = model = self._weights.model().to(self._plan.device)
        if not model.supports("image"):
            raise EncoderError(f"the model in {folder} reads {', '.join(model.modalities)}, but no pictures")
        texts = bool(model.supports("text"))
        if not texts and "image" not in modalities:
            raise no_text_error(reference)
        self._modalities = tuple(modalities) if texts else ("image",)
        self._lock = threading.Lock()
        self._trained_dims = _trained_dims(folder)
        self._info = EncoderInfo(
            reference=reference,
            dim=_dim(model, folder),
            image_size=SIDE,
            modalities=("image", "text") if texts else ("image",),
            context_length=_context_length(model) if texts else None,
            tokenizer=str(folder) if texts else None,
            draft_size=runtime.draft_size(SIDE),
            batch_size=self._plan.batch_size,
            preprocessing={"size": SIDE, "resize": "fit"},
        )

    @property
    def trained_dims(self) -> tuple[int, ...]:
        """The lengths to which vectors may be cut, as the model's configuration lists them."""
        return self._trained_dims

    @property
    def info(self) -> EncoderInfo:
        return self._info

    @property
    def precision(self) -> str:
        return "fp32"

    def fingerprint(self) -> str:
        return self._weights.fingerprint()

    def prepare(self, pixels: Pixels) -> Pixels:
        """Convert (h, w, 3) uint8 sRGB to (2 + SIDE², 3) uint8: height and width, then the pixels row by row.

        A picture of more than SIDE² pixels is reduced to as many, its proportions kept; a smaller one stays as it is.
        """
        from imseek.media.resize import resize

        pixels = cut_strip(pixels)
        height, width = pixels.shape[:2]
        if height * width > SIDE * SIDE:
            scale = SIDE / math.sqrt(height * width)
            height, width = max(1, math.floor(height * scale)), max(1, math.floor(width * scale))
            pixels = resize(pixels, (height, width))
        prepared = np.zeros((_HEAD + SIDE * SIDE, 3), dtype=np.uint8)
        for row, side in zip(prepared, (height, width), strict=False):
            row[:] = (side // _BASE**2, side // _BASE % _BASE, side % _BASE)
        prepared[_HEAD : _HEAD + height * width] = pixels.reshape(-1, 3)
        return prepared

    def encode_images(self, batch: Pixels) -> Float32:
        """Encode a stack of n prepared pictures as (n, dim) float32 unit rows. Raises UsageError for another array."""
        check_modality("image", self._modalities, self._info.reference)
        sizes = _sizes(batch)
        if not len(batch):
            return np.empty((0, self._info.dim), dtype=np.float32)
        from imseek.media.resize import as_image

        pictures = [
            as_image(prepared[_HEAD : _HEAD + height * width].reshape(height, width, 3))
            for prepared, (height, width) in zip(batch, sizes, strict=True)
        ]
        return self._encode(self._model.encode_document, pictures)

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Encode n non-empty strings as (n, dim) float32 unit rows.

        Raises QueryError for an empty text, and EncoderError where the model reads no texts.
        """
        if "text" not in self._info.modalities:
            raise no_text_error(self._info.reference)
        check_modality("text", self._modalities, self._info.reference)
        check_texts(texts)
        if not texts:
            return np.empty((0, self._info.dim), dtype=np.float32)
        pieces = [self._pieces(text) for text in texts]
        flat = [piece for of_text in pieces for piece in of_text]
        return merge_pieces(self._encode(self._model.encode_query, flat), [len(of_text) for of_text in pieces])

    def notes(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Return a line for each text that exceeds the context window."""
        if self._info.context_length is None:
            return ()
        return chunking.notes([len(self._pieces(text)) for text in texts], self._info.context_length)

    def _encode(self, encode: Any, inputs: Sequence[Any]) -> Float32:
        with self._lock:  # tokenizers of the library are not thread-safe
            rows: Float32 = encode(
                list(inputs),
                batch_size=self._plan.batch_size,
                show_progress_bar=False,
                convert_to_numpy=True,
                normalize_embeddings=True,
            )
        return rows.astype(np.float32, copy=False)

    def _pieces(self, text: str) -> list[str]:
        length = self._info.context_length
        if length is None:
            return [text]
        with self._lock:
            return chunking.split_text(text, lambda piece: _token_count(self._model, piece) <= length)


def _check_folder(folder: Path) -> list[Path]:
    """Return the files of weights in ``folder``, after checking each. Raises EncoderError, UntrustedWeightsError."""
    try:
        modules = json.loads((folder / MODULES).read_bytes())
        kinds = [str(module["type"]) for module in modules]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise EncoderError(f"{folder / MODULES} is not a list of modules of sentence-transformers") from error
    custom = [kind for kind in kinds if not kind.startswith("sentence_transformers.")]
    if custom and not _is_trusted(folder):
        raise UntrustedWeightsError(
            f"the model in {folder} has code of its own ({custom[0]}), which is not run",
            hint=f"if you have read it and trust it, name the folder in {TRUSTED_VARIABLE}",
        )
    indexes = [path.read_text("utf-8", "replace") for path in folder.rglob("*.index.json")]
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix in _WEIGHTS
        and path.is_file()
        and (not any(map(path.match, _UNREAD)) or any(path.name in index for index in indexes))
    )
    if not files:
        raise EncoderUnavailableError(f"{folder} holds no weights")
    for file in files:
        read_scalar(file, "logit_scale")
    return files


def _is_trusted(folder: Path) -> bool:
    trusted = os.environ.get(TRUSTED_VARIABLE, "").split(os.pathsep)
    return any(name and Path(name).is_absolute() and Path(name) == folder for name in trusted)


def _settings(folder: Path) -> str:
    """Return the sha256 of what affects vectors and is no tensor: descriptions of modules and tokenizer, and code."""
    digest = hashlib.sha256()
    for path in sorted(path for ending in _SETTINGS for path in folder.rglob(f"*{ending}")):
        digest.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode("utf-8", "surrogateescape"))
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _build(folder: Path) -> Any:
    """Load the model in float32 on the CPU."""
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise MissingExtraError("sentence-transformers", "sentence") from error
    import torch

    trusted = _is_trusted(folder)
    try:
        with hub.offline(), quiet():
            model = SentenceTransformer(
                str(folder),
                device="cpu",
                local_files_only=True,
                trust_remote_code=trusted,
                model_kwargs={"dtype": torch.float32},
            )
    except Exception as error:  # of the library, of transformers, or of the model's own code
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise EncoderError(
            f"sentence-transformers cannot load the model in {folder}: {reason}",
            hint=None if trusted else f"models with code of their own load only from folders in {TRUSTED_VARIABLE}",
        ) from error
    return model.float().eval()


def _dim(model: Any, folder: Path) -> int:
    dim = model.get_embedding_dimension()
    if dim is None:
        raise EncoderError(f"the model in {folder} does not say how long its vectors are")
    return int(dim)


def _trained_dims(folder: Path) -> tuple[int, ...]:
    """Return what ``config.json`` lists as ``matryoshka_dimensions``; nothing where it lists none."""
    try:
        stated = json.loads((folder / "config.json").read_bytes()).get("matryoshka_dimensions") or ()
        return tuple(sorted(int(dim) for dim in stated))
    except (OSError, ValueError, TypeError, AttributeError):
        return ()


def _context_length(model: Any) -> int | None:
    """Return the tokens of the longest text that the model reads in one piece; None where it states none."""
    limits = [model.max_seq_length]
    network = model.transformers_model
    if network is not None:
        limits.append(getattr(network.config.get_text_config(), "max_position_embeddings", None))
    lengths = [int(one) for one in limits if one is not None and 0 < one < _LONGEST]
    return min(lengths, default=None)


def _token_count(model: Any, text: str) -> int:
    """Count the tokens of a text as a query, with the prompt that the library puts before it."""
    prompt = model.prompts.get("query") or model.prompts.get(model.default_prompt_name) or ""
    return len(model.tokenizer(prompt + text, truncation=False, verbose=False)["input_ids"])


def _sizes(batch: Pixels) -> list[tuple[int, int]]:
    """Return height and width of each prepared picture. Raises UsageError for what ``prepare`` does not give."""
    if not isinstance(batch, np.ndarray):
        raise UsageError(f"pictures are an array, not {type(batch).__name__}")
    shape = (_HEAD + SIDE * SIDE, 3)
    sizes = []
    if batch.dtype == np.uint8 and batch.shape[1:] == shape:
        digits = batch[:, :_HEAD].astype(np.int64) @ np.array([_BASE**2, _BASE, 1])
        sizes = [(int(height), int(width)) for height, width in digits]
    if len(sizes) != len(batch) or not all(0 < height * width <= SIDE * SIDE for height, width in sizes):
        raise UsageError(
            f"pictures are an array (n, {shape[0]}, 3) of uint8, with the size in the first two rows of each, "
            f"not {batch.shape} of {batch.dtype}",
            hint="stack what the encoder's prepare gives",
        )
    return sizes
