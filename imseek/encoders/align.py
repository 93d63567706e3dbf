"""ALIGN through transformers: EfficientNet for pictures, BERT for texts.

Jia et al. 2021, "Scaling Up Visual and Vision-Language Representation Learning With Noisy Text Supervision". The openly
licensed weights are Kakao Brain's, ``align:kakaobrain/align-base``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from imseek.encoders import chunking, hub, licences
from imseek.encoders.base import EncoderInfo
from imseek.encoders.catalogue import FILES
from imseek.encoders.checkpoint import read_scalar
from imseek.encoders.checks import check_modality, check_texts, merge_pieces
from imseek.encoders.image_tower import ImageTower
from imseek.encoders.library_encoder import LibraryEncoder
from imseek.encoders.preprocess import Preprocessing
from imseek.encoders.runtime import Runtime
from imseek.encoders.weights import LazyModel, wrong_weights
from imseek.errors import EncoderError, EncoderUnavailableError
from imseek.types.arrays import Float32
from imseek.user_paths import expand_user

__all__ = ["AlignEncoder"]

_BATCH = 32
_REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_CONFIG = "config.json"
_PROCESSORS = ("preprocessor_config.json", "processor_config.json")  # of transformers 4 and 5
_TOKENIZER = ("tokenizer_config.json", "tokenizer.json")
# ALIGN was trained on texts up to this length; its BERT has more positions.
_CONTEXT_LENGTH = 64
# Pillow's numbers for filters, as transformers writes them.
_INTERPOLATIONS: Final[Mapping[int, Literal["bilinear", "bicubic"]]] = {2: "bilinear", 3: "bicubic"}

_Channels: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Source:
    """A located model. ``folder`` holds its tokenizer; ``config`` is a ``transformers.AlignConfig``."""

    reference: str
    folder: Path
    config: Any
    preprocessing: Preprocessing
    checkpoint: Path
    licence: str


class AlignEncoder(LibraryEncoder):
    """An ALIGN model as an encoder. Thread-safe; reads its weights for the first vector or the fingerprint."""

    def __init__(
        self,
        reference: str,
        *,
        modalities: Sequence[str] = ("image", "text"),
        runtime: Runtime | None = None,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        """Locate and check the weights of ``reference``: ``align:ORG/REPO`` on the hub, or the folder ``align:PATH``.

        ``notify`` is as for :class:`imseek.encoders.image_tower.ImageTower`. Raises EncoderUnavailableError,
        UntrustedWeightsError, and EncoderError for damaged files or another kind of model.
        """
        source = _locate(reference)
        temperature = read_scalar(source.checkpoint, "temperature")
        runtime = runtime or Runtime()
        super().__init__(runtime, notify)
        self._preprocessing = preprocessing = source.preprocessing
        dim = source.config.projection_dim
        self._source = source
        self._modalities = tuple(modalities)
        self._weights = LazyModel(
            source.reference,
            source.checkpoint,
            {"preprocessing": preprocessing.record()},
            lambda: _build(source),
            drop=None if "image" in modalities else "vision_model",
        )
        self._images = (
            ImageTower(
                lambda: _pooling_module(self._weights.model().vision_model),
                self._weights.fingerprint,
                preprocessing,
                dim,
                runtime,
                notify,
            )
            if "image" in modalities
            else None  # a text query needs no GPU
        )
        self._info = EncoderInfo(
            reference=source.reference,
            dim=dim,
            image_size=preprocessing.size,
            revision=hub.revision(source.checkpoint),
            context_length=min(_CONTEXT_LENGTH, source.config.text_config.max_position_embeddings),
            licence=source.licence,
            tokenizer=source.reference.removeprefix("align:"),
            logit_scale=1 / temperature if temperature else None,
            draft_size=runtime.draft_size(preprocessing.resized or preprocessing.size),
            batch_size=1 if self._images is None else self._images.batch_size,
            preprocessing=preprocessing.record(),
        )

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Encode n non-empty strings as (n, dim) float32 unit rows. Raises QueryError for an empty text."""
        check_modality("text", self._modalities, self._info.reference)
        check_texts(texts)
        pieces = [self._pieces(text) for text in texts]
        flat = [piece for of_text in pieces for piece in of_text]
        rows = np.empty((len(flat), self._info.dim), dtype=np.float32)
        model = self._weights.model()
        for start in range(0, len(flat), _BATCH):
            rows[start : start + _BATCH] = self._text_rows(model, flat[start : start + _BATCH])
        return merge_pieces(rows, [len(of_text) for of_text in pieces])

    def notes(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Return a line for each text that exceeds the context window."""
        assert self._info.context_length is not None
        return chunking.notes([len(self._pieces(text)) for text in texts], self._info.context_length)

    def _text_rows(self, model: Any, texts: Sequence[str]) -> Float32:
        """Encode n texts that fit the context window as (n, dim) float32 unit rows."""
        import torch

        tokens = self._tokenizer(
            list(texts),
            padding="longest",  # the attention mask makes the padding length irrelevant
            truncation=True,  # for a single character with many marks, which no cut can shorten
            max_length=self._info.context_length,
            return_tensors="pt",
        )
        with torch.inference_mode():
            hidden = model.text_model(**tokens).last_hidden_state[:, 0]
            rows: Float32 = torch.nn.functional.normalize(model.text_projection(hidden), dim=-1).numpy()
        return rows

    def _pieces(self, text: str) -> list[str]:
        length = self._info.context_length
        assert length is not None
        return chunking.split_text(text, lambda piece: self._token_count(piece) <= length)

    def _token_count(self, text: str) -> int:
        """Count the tokens of ``text`` without truncation, start and end tokens included."""
        return len(self._tokenizer(text, truncation=False, verbose=False)["input_ids"])

    @cached_property
    def _tokenizer(self) -> Any:
        return _tokenizer(self._source)


def _pooling_module(vision: Any) -> Any:
    """Wrap ALIGN's image tower so that it returns only the pooled rows, not its features too."""
    import torch

    class Pooled(torch.nn.Module):  # type: ignore[misc] # mypy is told not to follow torch: its classes are Any
        def __init__(self) -> None:
            super().__init__()
            self.vision = vision

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            rows: torch.Tensor = self.vision(pixel_values=pixels).pooler_output
            return rows

    return Pooled()


def _locate(reference: str) -> Source:
    name = reference.removeprefix("align:")
    folder = expand_user(name).absolute()
    if folder.is_dir():
        reference, licence = f"align:{folder}", "unknown"
        checkpoint = _find_in_folder(folder, FILES)
    elif not _REPOSITORY.fullmatch(name):
        raise EncoderUnavailableError(
            f"there is no folder {folder}", hint="references of ALIGN are align:PATH and align:ORG/REPO"
        )
    else:
        known = licences.of_repository(name)
        licence = licences.NOT_VERIFIED if known is None else known.licence
        parts = [hub.Part(name, names) for names in (FILES, (_CONFIG,), _PROCESSORS)]
        parts += [hub.Part(name, (file,)) for file in _TOKENIZER]
        checkpoint = hub.ensure_cached(reference, parts)
        for part in parts[1:]:  # covers a transfer that broke off after the weights
            hub.ensure_cached(reference, [part])
        folder = checkpoint.parent
    for file in _TOKENIZER:
        _find_in_folder(folder, (file,))
    config = _config(_find_in_folder(folder, (_CONFIG,)))
    preprocessing = _preprocessing(_find_in_folder(folder, _PROCESSORS))
    return Source(reference, folder, config, preprocessing, checkpoint, licence)


def _find_in_folder(folder: Path, names: Sequence[str]) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise EncoderUnavailableError(f"{folder} holds no {' or '.join(names)}")


def _config(path: Path) -> Any:
    from transformers import AlignConfig

    described = _read_json(path)
    if described.get("model_type") != "align":
        raise EncoderError(f"{path} does not describe an ALIGN model, but {described.get('model_type')!r}")
    try:
        return AlignConfig.from_dict(described)
    except Exception as error:  # its class depends on the version of transformers
        raise EncoderError(f"{path} is not a configuration of ALIGN: {error}") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        described: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise EncoderError(f"{path} cannot be read: {error}") from error
    if not isinstance(described, dict):
        raise EncoderError(f"{path} is not a configuration of transformers")
    return described


def _preprocessing(path: Path) -> Preprocessing:
    """Convert the EfficientNetImageProcessor that ``path`` describes to our preprocessing record.

    The processor computes ``pixel · rescale_factor``, subtracts 1 with ``rescale_offset``, normalises with
    ``do_normalize``, and divides by the deviation once more with ``include_top``: one linear function per channel.
    """
    described = _read_json(path)
    settings = _with_defaults(described.get("image_processor", described))
    try:
        if not settings["do_resize"] or not settings["do_rescale"]:
            raise EncoderError(f"{path}: a processor that does not resize and rescale is not supported")
        resized = _side(path, settings["size"])
        size = _side(path, settings["crop_size"]) if settings["do_center_crop"] else resized
        if size > resized or (resized - size) % 4 == 3:  # transformers rounds down, our crop rounds up
            raise EncoderError(f"{path}: a crop of {size} pixels from {resized} is not supported")
        mean, std = _channel_statistics(settings)
        interpolation = _INTERPOLATIONS[settings["resample"]]
    except (KeyError, TypeError, ValueError) as error:
        raise EncoderError(f"{path} is not the image processor of an ALIGN model: {error}") from error
    return Preprocessing(
        size=size,
        resize="squash",
        interpolation=interpolation,
        mean=mean,
        std=std,
        resized=resized if resized != size else None,
    )


def _with_defaults(described: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in transformers' defaults for settings that ``described`` omits."""
    from transformers import EfficientNetImageProcessor

    if not str(described.get("image_processor_type")).startswith("EfficientNetImageProcessor"):
        raise EncoderError(f"the image processor {described.get('image_processor_type')!r} is not that of ALIGN")
    settings: dict[str, Any] = EfficientNetImageProcessor(**described).to_dict()
    return settings


def _side(path: Path, size: Mapping[str, int]) -> int:
    if size["height"] != size["width"]:
        raise EncoderError(
            f"{path}: pictures of {size['width']} × {size['height']} are not supported, only square ones"
        )
    return int(size["height"])


def _channel_statistics(settings: Mapping[str, Any]) -> tuple[_Channels, _Channels]:
    """Return the mean and deviation per channel that reproduce the processor's values for pixels in [0, 1]."""
    factor = np.full(3, 255.0 * settings["rescale_factor"])
    offset = np.full(3, -1.0 if settings["rescale_offset"] else 0.0)
    if settings["do_normalize"]:
        factor, offset = (
            factor / settings["image_std"],
            (offset - settings["image_mean"]) / settings["image_std"],
        )
    if settings["include_top"]:
        factor, offset = factor / settings["image_std"], offset / settings["image_std"]
    return _channels(-offset / factor), _channels(1 / factor)


def _channels(values: np.ndarray[Any, Any]) -> _Channels:
    red, green, blue = (round(float(value), 12) + 0.0 for value in values)  # 1/127.5 is inexact
    return red, green, blue


def _tokenizer(source: Source) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(source.folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise EncoderError(f"{source.folder} holds no tokenizer of transformers: {error}") from error


def _build(source: Source) -> Any:
    """Build transformers' model in float32 on the CPU, with every tensor taken from the checkpoint."""
    from transformers import AlignModel

    model = AlignModel(source.config)
    try:
        missing, unexpected = model.load_state_dict(_state(source.checkpoint), strict=False)
    except RuntimeError as error:  # shapes differ
        raise wrong_weights(source.checkpoint, source.reference, error) from error
    # Older versions of transformers stored the position numbers.
    unexpected = [name for name in unexpected if not name.endswith("position_ids")]
    if missing or unexpected:
        raise wrong_weights(
            source.checkpoint, source.reference, f"missing: {missing[:3]}, unexpected: {unexpected[:3]}"
        )
    return model.float().eval()


def _state(checkpoint: Path) -> Mapping[str, Any]:
    if checkpoint.suffix == ".safetensors":
        from safetensors.torch import load_file

        state: Mapping[str, Any] = load_file(checkpoint)
        return state
    import torch

    loaded: Mapping[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    return loaded
