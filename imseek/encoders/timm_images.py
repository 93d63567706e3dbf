"""Image models of timm, such as DINOv2: pictures only, no texts.

A vector is timm's pooled embedding, the output without a classifier (``num_classes=0``), scaled to length 1. DINOv2
(Oquab et al. 2023) separates near-identical from similar pictures better than CLIP; it serves as a second space, for
image-to-image search.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imseek.encoders import hub, licences
from imseek.encoders.base import EncoderInfo
from imseek.encoders.catalogue import FILES, near_matches_hint
from imseek.encoders.checkpoint import read_logit_parameters
from imseek.encoders.image_tower import ImageTower
from imseek.encoders.input_checks import no_text_error
from imseek.encoders.library_encoder import LibraryEncoder
from imseek.encoders.preprocess import Preprocessing
from imseek.encoders.runtime import Runtime
from imseek.encoders.weights import MISMATCH_ERRORS, LazyModel, check_position_embeddings, wrong_weights
from imseek.errors import EncoderError, EncoderUnavailableError, UnknownEncoderError
from imseek.tilde_expansion import expand_user
from imseek.types.arrays import Float32

__all__ = ["TimmEncoder"]

_RESIZE = {"center": "shortest", "squash": "squash"}


@dataclass(frozen=True, slots=True)
class Source:
    """A located model. ``model`` is timm's name with the tag, ``config`` its pretrained configuration."""

    reference: str
    model: str
    config: dict[str, Any]
    preprocessing: Preprocessing
    checkpoint: Path


class TimmEncoder(LibraryEncoder):
    """A timm model as an image encoder. Thread-safe; reads its weights for the first vector or the fingerprint."""

    def __init__(
        self,
        reference: str,
        *,
        modalities: Sequence[str] = ("image",),
        runtime: Runtime | None = None,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        """Locate and check the weights of ``reference``: ``timm:MODEL`` or ``timm:MODEL@FILE``.

        ``notify`` is as for :class:`imseek.encoders.image_tower.ImageTower`. Raises UnknownEncoderError (with near
        matches), EncoderUnavailableError, UntrustedWeightsError, and EncoderError for a damaged file, for a model that
        does not take square RGB pictures, or without the image modality.
        """
        if "image" not in modalities:
            raise no_text_error(reference)
        source = _locate(reference)
        read_logit_parameters(source.checkpoint)
        runtime = runtime or Runtime()
        super().__init__(runtime, notify)
        self._modalities = ("image",)
        self._preprocessing = preprocessing = source.preprocessing
        dim = _dim(source)
        self._source = source
        record = {"preprocessing": preprocessing.record()}
        self._weights = LazyModel(source.reference, source.checkpoint, record, lambda: _build(source))
        self._images = images = ImageTower(
            self._weights.model, self._weights.fingerprint, preprocessing, dim, runtime, notify
        )
        self._info = EncoderInfo(
            reference=source.reference,
            dim=dim,
            image_size=preprocessing.size,
            modalities=("image",),
            revision=hub.revision(source.checkpoint),
            licence=_licence(source),
            draft_size=runtime.draft_size(preprocessing.resized or preprocessing.size),
            batch_size=images.batch_size,
            preprocessing=preprocessing.record(),
        )

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Raise EncoderError: the model has no text tower."""
        raise no_text_error(self._source.reference)

    def notes(self, texts: Sequence[str]) -> tuple[str, ...]:
        return ()


def _locate(reference: str) -> Source:
    name, _, file = reference.removeprefix("timm:").partition("@")
    config = _config(name)
    if file:
        checkpoint = expand_user(file).absolute()
        if not checkpoint.is_file():
            raise EncoderUnavailableError(f"there is no file {checkpoint}")
        reference = f"timm:{name}@{checkpoint}"
    else:
        checkpoint = hub.first_file(reference, *weights_of(reference))
    return Source(reference, name, config, _preprocessing(reference, config), checkpoint)


def weights_of(reference: str) -> tuple[str, tuple[str, ...]]:
    """Return the repository of ``timm:MODEL`` and the file names of its weights, in order of preference."""
    name = reference.removeprefix("timm:")
    config = _config(name)
    repository = config.get("hf_hub_id")
    if not repository:
        raise EncoderUnavailableError(
            f"timm knows no weights of {name} on the hub", hint=f"name a file: timm:{name}@FILE"
        )
    file = config.get("hf_hub_filename")
    return repository, (file,) if file else FILES


def _config(name: str) -> dict[str, Any]:
    import timm
    from timm.models import get_pretrained_cfg, is_model

    from imseek.encoders import sscd  # noqa: F401 - timm knows it from now on

    model, _, tag = name.partition(".")
    if not is_model(model):
        raise UnknownEncoderError(f"timm knows no model {model!r}", hint=near_matches_hint(model, timm.list_models()))
    try:
        tag_config = get_pretrained_cfg(name)
    except RuntimeError:  # older versions return None
        tag_config = None
    if tag_config is None:
        hint = near_matches_hint(name, timm.list_pretrained(f"{model}.*"))
        raise UnknownEncoderError(f"timm knows no weights {tag!r} of {model}", hint=hint)
    config: dict[str, Any] = tag_config.to_dict()
    return config


def _preprocessing(reference: str, config: dict[str, Any]) -> Preprocessing:
    """Convert timm's evaluation transform (``timm.data.create_transform``) to our record."""
    from timm.data import resolve_data_config

    data = resolve_data_config({}, pretrained_cfg=config)
    channels, height, width = data["input_size"]
    resize = _RESIZE.get(data["crop_mode"])
    is_known_filter = data["interpolation"] in ("bicubic", "bilinear")
    if channels != 3 or height != width or resize is None or not is_known_filter:
        raise EncoderError(f"the preprocessing of {reference} is not supported: {data}")
    resized = math.floor(height / data["crop_pct"])
    return Preprocessing(
        size=height,
        resize=resize,  # type: ignore[arg-type]  # one of the two values above
        interpolation=data["interpolation"],
        mean=tuple(map(float, data["mean"])),  # type: ignore[arg-type]  # three channels
        std=tuple(map(float, data["std"])),  # type: ignore[arg-type]
        resized=resized if resized != height else None,
    )


def _dim(source: Source) -> int:
    """Return the length of the embedding, from the shapes of a model without weights."""
    import timm
    import torch

    with torch.device("meta"), torch.inference_mode():
        model = timm.create_model(source.model, num_classes=0).eval()
        size = source.preprocessing.size
        rows = model(torch.empty(1, 3, size, size))
    if rows.ndim != 2:
        raise EncoderError(f"{source.reference} gives no vector per picture, but {tuple(rows.shape)}")
    return int(rows.shape[1])


def _licence(source: Source) -> str:
    """Return the licence of the published weights; a user's file may hold others."""
    if "@" in source.reference:
        return "unknown"
    provenance = licences.of_repository(source.config["hf_hub_id"])
    return licences.spdx(source.config.get("license")) if provenance is None else provenance.licence


def _build(source: Source) -> Any:
    """Build timm's model in float32 on the CPU, with every tensor taken from the checkpoint.

    By itself timm loads weights for another number of classes without complaining about missing tensors. So the model
    is built with the published number of classes, or without a classifier if that fails, and the classifier is removed
    afterwards.
    """
    import timm

    failure: Exception | None = None
    published = source.config["num_classes"]
    for classes in dict.fromkeys((published, 0)):
        overlay: dict[str, Any] = {"file": str(source.checkpoint)}
        if not classes:
            overlay |= {"num_classes": 0, "label_offset": 0}
        try:
            model = timm.create_model(
                source.model, pretrained=True, num_classes=classes, pretrained_cfg_overlay=overlay
            )
        except MISMATCH_ERRORS as error:
            failure = failure or error
            continue
        if "@" in source.reference:  # only the user says that the two belong together
            check_position_embeddings(source.checkpoint, source.model, model.state_dict())
        if classes:  # a model without a classifier may lack the method
            model.reset_classifier(0)
        return model.float().eval()
    raise wrong_weights(source.checkpoint, source.model, failure) from failure
