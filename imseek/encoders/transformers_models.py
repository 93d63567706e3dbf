"""Models of transformers: :data:`FAMILIES` lists the kinds, and what differs between them.

ALIGN (Jia et al. 2021), SigLIP 2 in NaFlex form (Tschannen et al. 2025), TIPSv2 (Cao et al. 2026), Meta CLIP 2 (Chuang
et al. 2025), and DINOv3 (Siméoni et al. 2025), which knows pictures only. No code of a repository is run.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from imseek.encoders import chunking, hub, licences
from imseek.encoders.base import EncoderInfo
from imseek.encoders.catalogue import CONFIG, FILES, PROCESSORS, parts_of
from imseek.encoders.checkpoint import read_logit_parameters, read_scalar
from imseek.encoders.image_tower import ImageTower
from imseek.encoders.input_checks import check_modality, check_texts, encode_in_pieces, no_text_error
from imseek.encoders.library_encoder import LibraryEncoder
from imseek.encoders.naflex_preprocess import PatchPreprocessing
from imseek.encoders.preprocess import Preprocessing
from imseek.encoders.runtime import Runtime
from imseek.encoders.weights import MISMATCH_ERRORS, LazyModel, wrong_weights
from imseek.errors import EncoderError, EncoderUnavailableError
from imseek.tilde_expansion import expand_user
from imseek.types.arrays import Float32

__all__ = ["FAMILIES", "TransformersEncoder"]

_TOKENIZER = ("tokenizer_config.json", "tokenizer.json")
_REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*")
# Pillow's numbers for filters, as transformers writes them.
_INTERPOLATIONS: Final[Mapping[int, Literal["bilinear", "bicubic"]]] = {2: "bilinear", 3: "bicubic"}

_Channels: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Family:
    """What differs between kinds of models.

    ``processor`` is the class of its image processors. ``dim`` is where the configuration states the length of vectors,
    ``projection`` the layer after the pooled output of the image tower, if any. ``context_length`` bounds the texts it
    was trained on, None for pictures only; ``padded`` texts are always filled up to it, as in training. With
    ``has_temperature``, a parameter of that name divides cosines in training; elsewhere a logit scale multiplies them,
    if anything. With ``fixed_size`` the tower takes pictures of one size.
    """

    processor: str
    dim: str
    projection: str | None = None
    context_length: int | None = None
    padded: bool = False
    has_temperature: bool = False
    fixed_size: bool = False

    def dim_of(self, config: Any) -> int:
        """Return the length of vectors of a model with this configuration."""
        value = functools.reduce(getattr, self.dim.split("."), config)
        return int(value[-1] if isinstance(value, list | tuple) else value)


#: The kinds, by transformers' ``model_type``. A new one takes its place here.
FAMILIES: Final[Mapping[str, Family]] = {
    # ALIGN was trained on texts of up to 64 tokens; its BERT has more positions.
    "align": Family("EfficientNetImageProcessor", "projection_dim", context_length=64, has_temperature=True),
    "dinov3_convnext": Family("DINOv3ViTImageProcessor", "hidden_sizes"),
    "dinov3_vit": Family("DINOv3ViTImageProcessor", "hidden_size"),
    "metaclip_2": Family(
        "CLIPImageProcessor",
        "projection_dim",
        projection="visual_projection",
        context_length=77,
        fixed_size=True,
    ),
    "siglip2": Family("Siglip2ImageProcessor", "vision_config.hidden_size", context_length=64, padded=True),
    "tipsv2": Family(
        "Tipsv2ImageProcessor", "vision_config.hidden_size", context_length=64, padded=True, has_temperature=True
    ),
}


@dataclass(frozen=True, slots=True)
class Source:
    """A located model. ``folder`` holds its tokenizer, if any; ``config`` is its configuration in transformers."""

    reference: str
    folder: Path
    family: Family
    config: Any
    preprocessing: Preprocessing | PatchPreprocessing
    checkpoint: Path
    licence: str

    @property
    def dim(self) -> int:
        return self.family.dim_of(self.config)

    @property
    def context_length(self) -> int | None:
        if self.family.context_length is None:
            return None
        return min(self.family.context_length, int(self.config.text_config.max_position_embeddings))


class TransformersEncoder(LibraryEncoder):
    """A model of transformers as an encoder. Thread-safe; reads its weights for the first vector or the fingerprint."""

    def __init__(
        self,
        reference: str,
        *,
        modalities: Sequence[str] = ("image", "text"),
        runtime: Runtime | None = None,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        """Locate and check the weights of ``reference``.

        It is ``transformers:ORG/REPO`` or ``align:ORG/REPO`` on the hub, or a folder, ``local-dir:PATH``.
        ``notify`` is as for :class:`imseek.encoders.image_tower.ImageTower`. Raises EncoderUnavailableError,
        UntrustedWeightsError, and EncoderError for damaged files, another kind of model, or texts alone where it knows
        pictures only.
        """
        source = _locate(reference)
        preprocessing, context_length = source.preprocessing, source.context_length
        if context_length is None:
            if "image" not in modalities:
                raise no_text_error(source.reference)
            modalities = ("image",)
        scale, bias = _scale(source)
        runtime = runtime or Runtime()
        super().__init__(runtime, notify)
        self._preprocessing = preprocessing
        self._source = source
        self._tokenizer_lock = threading.Lock()  # Each call sets what it pads and cuts.
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
                lambda: _image_module(self._weights.model(), source),
                self._weights.fingerprint,
                preprocessing,
                source.dim,
                runtime,
                notify,
            )
            if "image" in modalities
            else None  # a text query needs no GPU
        )
        self._info = EncoderInfo(
            reference=source.reference,
            dim=source.dim,
            image_size=preprocessing.size,
            modalities=("image",) if context_length is None else ("image", "text"),
            revision=hub.revision(source.checkpoint),
            context_length=context_length,
            licence=source.licence,
            tokenizer=None if context_length is None else source.reference.partition(":")[2],
            logit_scale=scale,
            logit_bias=bias,
            draft_size=runtime.draft_size(preprocessing.resized or preprocessing.size),
            batch_size=1 if self._images is None else self._images.batch_size,
            preprocessing=preprocessing.record(),
        )

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Encode n non-empty strings as (n, dim) float32 unit rows.

        Raises QueryError for an empty text, and EncoderError where there is no text tower.
        """
        if self._info.context_length is None:
            raise no_text_error(self._info.reference)
        check_modality("text", self._modalities, self._info.reference)
        check_texts(texts)
        return encode_in_pieces(texts, self._pieces, partial(self._text_rows, self._weights.model()), self._info.dim)

    def notes(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Return a line for each text that exceeds the context window."""
        if self._info.context_length is None:
            return ()
        return chunking.notes([len(self._pieces(text)) for text in texts], self._info.context_length)

    def _text_rows(self, model: Any, texts: Sequence[str]) -> Float32:
        """Encode n texts that fit the context window as (n, dim) float32 unit rows."""
        import torch

        with self._tokenizer_lock:
            tokens = self._tokenizer(
                list(texts),
                # Elsewhere the attention mask makes the padding length irrelevant.
                padding="max_length" if self._source.family.padded else "longest",
                truncation=True,  # for a single character with many marks, which no cut can shorten
                max_length=self._info.context_length,
                return_tensors="pt",
            )
        with torch.inference_mode():
            pooled = model.get_text_features(**tokens).pooler_output
            rows: Float32 = torch.nn.functional.normalize(pooled, dim=-1).numpy()
        return rows

    def _pieces(self, text: str) -> list[str]:
        length = self._info.context_length
        assert length is not None
        return chunking.split_text(text, lambda piece: self._token_count(piece) <= length)

    def _token_count(self, text: str) -> int:
        """Count the tokens of ``text`` without truncation, start and end tokens included."""
        with self._tokenizer_lock:
            return len(self._tokenizer(text, truncation=False, verbose=False)["input_ids"])

    @cached_property
    def _tokenizer(self) -> Any:
        return _tokenizer(self._source)


def _image_module(model: Any, source: Source) -> Any:
    """Wrap the image tower of ``model`` so that it returns only its vectors, not its features too."""
    import torch

    class Images(torch.nn.Module):  # type: ignore[misc] # mypy is told not to follow torch: its classes are Any
        def __init__(self) -> None:
            super().__init__()
            self.vision = getattr(model, "vision_model", model)  # a model of pictures only is its own tower
            projection = source.family.projection
            self.projection = None if projection is None else getattr(model, projection)
            if source.config.model_type == "tipsv2" and self.vision.config.image_size == source.preprocessing.size:
                # While it is exported, transformers would stretch its positions all the same, which ONNX cannot.
                embeddings = self.vision.embeddings
                embeddings.interpolate_pos_encoding = lambda *_: embeddings.position_embeddings

        def forward(
            self, pixels: torch.Tensor, mask: torch.Tensor | None = None, grids: torch.Tensor | None = None
        ) -> torch.Tensor:
            patches = {} if mask is None else {"pixel_attention_mask": mask, "spatial_shapes": grids}
            rows: torch.Tensor = self.vision(pixel_values=pixels, **patches).pooler_output
            return rows if self.projection is None else self.projection(rows)

    return Images()


def _locate(reference: str) -> Source:
    scheme, _, name = reference.partition(":")
    folder = expand_user(name).absolute()
    is_local = folder.is_dir()
    if is_local:
        reference, licence = f"{scheme}:{folder}", "unknown"
        checkpoint = _find_in_folder(folder, FILES)
    elif scheme == "local-dir" or not _REPOSITORY.fullmatch(name):
        raise EncoderUnavailableError(
            f"there is no folder {folder}",
            hint="references of transformers are transformers:ORG/REPO, and local-dir:PATH for a folder",
        )
    else:
        provenance = licences.of_repository(name)
        licence = licences.NOT_VERIFIED if provenance is None else provenance.licence
        parts = parts_of(reference, name, FILES)
        checkpoint = hub.ensure_cached(reference, parts)
        for part in parts[1:]:  # covers a transfer that broke off after the weights
            hub.ensure_cached(reference, [part])
        folder = checkpoint.parent
    family, config = _config(_find_in_folder(folder, (CONFIG,)))
    if family.context_length is not None:
        for file in _TOKENIZER:
            if not is_local:
                hub.ensure_cached(reference, [hub.Part(name, (file,))])
            _find_in_folder(folder, (file,))
    preprocessing = _preprocessing(_find_in_folder(folder, PROCESSORS), family)
    source = Source(reference, folder, family, config, preprocessing, checkpoint, licence)
    _check_sizes(source)
    return source


def _find_in_folder(folder: Path, names: Sequence[str]) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise EncoderUnavailableError(f"{folder} holds no {' or '.join(names)}")


def _config(path: Path) -> tuple[Family, Any]:
    """Return the family and the configuration that ``path`` describes. Raises EncoderError for another kind."""
    from transformers import AutoConfig

    document = _read_json(path)
    kind = str(document.get("model_type"))
    if kind not in FAMILIES:
        raise EncoderError(
            f"{path} describes a model of the kind {kind!r}, which is none of {', '.join(FAMILIES)}",
            hint="many others run through open_clip, timm or sentence-transformers: docs/encoders.md",
        )
    try:
        # The configuration class of the library: never code that a repository names in auto_map.
        with quiet():
            config = AutoConfig.for_model(**{key: value for key, value in document.items() if key != "auto_map"})
    except Exception as error:  # its class depends on the version of transformers
        raise EncoderError(f"{path} is not a configuration of {kind}: {error}") from error
    if kind == "tipsv2" and "vision_config" not in document:
        raise EncoderError(
            f"{path} is in the form of the authors' own code, which is not run",
            hint="transformers 5.14 and later describe TIPSv2 with a vision_config and a text_config",
        )
    if kind == "siglip2" and not config.vision_config.vision_use_head:
        raise EncoderError(f"{path} describes a model without a vector per picture (vision_use_head is false)")
    return FAMILIES[kind], config


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from printing: a progress bar, and warnings about the defaults of its own configurations."""
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if bars:
            logging.enable_progress_bar()
        logging.set_verbosity(before)


def _check_sizes(source: Source) -> None:
    """Raise EncoderError where the image processor makes pictures that the tower does not take."""
    if isinstance(source.preprocessing, PatchPreprocessing):
        expected, actual = source.config.vision_config.patch_size, source.preprocessing.patch
    elif source.family.fixed_size:
        expected, actual = source.config.vision_config.image_size, source.preprocessing.size
    else:
        return
    if expected != actual:
        raise EncoderError(
            f"the model in {source.folder} takes {expected} pixels a side, and its image processor gives {actual}"
        )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise EncoderError(f"{path} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise EncoderError(f"{path} is not a configuration of transformers")
    return document


def _preprocessing(path: Path, family: Family) -> Preprocessing | PatchPreprocessing:
    """Convert the image processor that ``path`` describes to our preprocessing record.

    Processors compute ``pixel · rescale_factor``, subtract 1 with ``rescale_offset``, normalise with ``do_normalize``,
    and divide by the deviation once more with ``include_top``: one linear function per channel.
    """
    document = _read_json(path)
    settings = _with_defaults(path, document.get("image_processor", document), family)
    try:
        if not settings["do_resize"] or not settings["do_rescale"]:
            raise EncoderError(f"{path}: a processor that does not resize and rescale is not supported")
        interpolation = _INTERPOLATIONS[settings["resample"]]
        mean, std = _channel_statistics(settings)
        if "max_num_patches" in settings:
            return PatchPreprocessing(
                _positive(settings["patch_size"]), _positive(settings["max_num_patches"]), interpolation, mean, std
            )
        shortest = settings["size"].get("shortest_edge")
        resized = int(shortest) if shortest else _side(path, settings["size"])
        size = _side(path, settings["crop_size"]) if settings.get("do_center_crop") else resized
        if size > resized or (shortest and not settings.get("do_center_crop")):
            raise EncoderError(f"{path}: a crop of {size} pixels from {resized} is not supported")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise EncoderError(f"{path} is not an image processor of this kind of model: {error}") from error
    return Preprocessing(
        size=size,
        resize="shortest" if shortest else "squash",
        interpolation=interpolation,
        mean=mean,
        std=std,
        resized=resized if resized != size else None,
        # Of a square, transformers' crop begins elsewhere than open_clip's only here.
        crop_down=bool(shortest) or (resized - size) % 4 == 3,
    )


def _with_defaults(path: Path, options: Mapping[str, Any], family: Family) -> dict[str, Any]:
    """Fill in transformers' defaults for settings that ``options`` omits."""
    import transformers

    kind = str(options.get("image_processor_type"))
    if not kind.startswith(family.processor):  # it may end in Fast or Pil
        raise EncoderError(f"{path}: the image processor {kind!r} is not that of this kind of model")
    settings: dict[str, Any] = getattr(transformers, family.processor)(**options).to_dict()
    return settings


def _positive(value: Any) -> int:
    if not isinstance(value, int) or not 0 < value <= 1 << 16:
        raise ValueError(f"{value!r} is no number of pixels or patches")
    return value


def _side(path: Path, size: Mapping[str, int]) -> int:
    if size["height"] != size["width"]:
        raise EncoderError(
            f"{path}: pictures of {size['width']} × {size['height']} are not supported, only square ones"
        )
    return int(size["height"])


def _channel_statistics(settings: Mapping[str, Any]) -> tuple[_Channels, _Channels]:
    """Return the mean and deviation per channel that reproduce the processor's values for pixels in [0, 1]."""
    factor = np.full(3, 255.0 * settings["rescale_factor"])
    offset = np.full(3, -1.0 if settings.get("rescale_offset") else 0.0)
    if settings["do_normalize"]:
        factor, offset = (
            factor / settings["image_std"],
            (offset - settings["image_mean"]) / settings["image_std"],
        )
    if settings.get("include_top"):
        factor, offset = factor / settings["image_std"], offset / settings["image_std"]
    return _channels(-offset / factor), _channels(1 / factor)


def _channels(values: np.ndarray[Any, Any]) -> _Channels:
    red, green, blue = (round(float(value), 12) + 0.0 for value in values)  # 1/127.5 is inexact
    return red, green, blue


def _scale(source: Source) -> tuple[float | None, float | None]:
    """Check the file of weights, and return the factor that training applied to cosines, and its bias, if any."""
    scale, bias = read_logit_parameters(source.checkpoint)
    if not source.family.has_temperature:
        return scale, bias
    temperature = read_scalar(source.checkpoint, "temperature")
    # Published weights of TIPSv2 leave it to the configuration.
    temperature = temperature or getattr(source.config, "temperature_init_value", None)
    return (1 / temperature if temperature else None), None


def _tokenizer(source: Source) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(source.folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise EncoderError(f"{source.folder} holds no tokenizer of transformers: {error}") from error


def _build(source: Source) -> Any:
    """Build transformers' model in float32 on the CPU, with every tensor taken from the checkpoint."""
    import torch
    from transformers import AutoModel

    try:
        with hub.offline(), quiet():
            model, report = AutoModel.from_pretrained(
                source.folder,
                config=source.config,
                dtype=torch.float32,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=source.checkpoint.suffix == ".safetensors",
                weights_only=True,
                output_loading_info=True,
            )
    except (OSError, *MISMATCH_ERRORS) as error:
        raise wrong_weights(source.checkpoint, source.reference, error) from error
    # Older versions of transformers stored the position numbers.
    unexpected = [name for name in report["unexpected_keys"] if not name.endswith("position_ids")]
    missing = [*report["missing_keys"], *report["mismatched_keys"]]
    if missing or unexpected:
        details = f"missing: {missing[:3]}, unexpected: {unexpected[:3]}"
        raise wrong_weights(source.checkpoint, source.reference, details)
    return model.float().eval()
