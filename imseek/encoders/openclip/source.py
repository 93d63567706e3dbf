"""Locate an open_clip model: its configuration, weights and preprocessing."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from imseek.encoders import hub, licences
from imseek.encoders.catalogue import OPEN_CLIP_FILES, near_matches_hint
from imseek.encoders.hub import Part
from imseek.encoders.openclip import eva_clip, long_clip
from imseek.encoders.preprocess import Preprocessing
from imseek.errors import EncoderError, EncoderUnavailableError, UnknownEncoderError
from imseek.tilde_expansion import expand_user

_CONFIG_FILE: Final = "open_clip_config.json"


@dataclass(frozen=True, slots=True)
class Source:
    """A located model, ready to build.

    ``model`` and ``pretrained`` are open_clip's arguments of those names, the latter always a file; ``config`` is its
    model configuration (``embed_dim``, ``vision_cfg``, ``text_cfg``); ``checkpoint`` is the weights file. ``reference``
    is absolute where the user gave a relative path. ``licence`` is an SPDX id, ``restricted``, ``not verified``, or
    ``unknown`` for a user's own file.
    """

    reference: str
    model: str
    pretrained: str | None
    config: Mapping[str, Any]
    preprocessing: Preprocessing
    checkpoint: Path
    licence: str = "unknown"

    @property
    def context_length(self) -> int:
        """Tokens that the text tower takes, start and end tokens included."""
        length: int = self.config["text_cfg"].get("context_length", 77)
        return length

    @property
    def revision(self) -> str | None:
        """The hub's commit if the weights lie in the hub's cache, else None."""
        return hub.revision(self.checkpoint)


def locate(reference: str) -> Source:
    """Find the configuration and weights of ``reference``, downloading what the hub's cache lacks.

    Raises UnknownEncoderError (with near matches), EncoderUnavailableError, LicenceError, and EncoderError for a
    damaged configuration. Does not open the checkpoint.
    """
    register_models()
    scheme, _, rest = reference.partition(":")
    if scheme == "hf-hub":
        return _locate_on_hub(reference, rest)
    if scheme == "local-dir":
        return _locate_folder(expand_user(rest).absolute())
    if rest.startswith(("hf-hub:", "local-dir:")):
        raise UnknownEncoderError(f"no encoder is called {reference!r}", hint=f"did you mean {rest}?")
    if "@" in rest:
        model, _, file = rest.partition("@")
        return _locate_file(model, expand_user(file).absolute())
    model, _, tag = rest.partition("/")
    return _locate_tagged(reference, model, tag)


def register_models() -> None:
    """Add the models that open_clip does not know to its registries, always in the same order. Repeats do nothing."""
    long_clip.register()
    eva_clip.register()


def weights_of(tag_config: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Return the repository of an open_clip tag and the file names of its weights, in order of preference."""
    repository, _, name = tag_config["hf_hub"].rpartition("/")
    if not name:
        return repository, OPEN_CLIP_FILES
    return repository, (f"{name.rpartition('.')[0]}.safetensors", name)


def is_trained_with(model: str, tag: str) -> bool:
    """Return whether the weights ``tag`` were trained with the activation function of ``model``.

    The registry lists every differing tag twice, under both model names; a tag listed only once is taken to be right.
    """
    import open_clip

    config, tag_config = open_clip.get_model_config(model), open_clip.get_pretrained_cfg(model, tag)
    if bool(config.get("quick_gelu")) == bool(tag_config.get("quick_gelu")):
        return True
    variant = _other_activation(model)
    return not (variant in open_clip.list_models() and open_clip.get_pretrained_cfg(variant, tag))


def configuration(reference: str) -> Mapping[str, Any]:
    """Return the configuration of a hub model (``hf-hub:ORG/REPO``), downloading it if necessary."""
    return _read_config(hub.first_file(reference, reference.removeprefix("hf-hub:"), (_CONFIG_FILE,)))


def tokenizer_parts(config: Mapping[str, Any]) -> list[Part]:
    """List the hub files of the tokenizer of ``config``; none where the tokenizer is open_clip's own."""
    name = config["text_cfg"].get("hf_tokenizer_name")
    return [Part(name, hub.TOKENIZER_FILES, every=True)] if name else []


def tokenizer(source: Source) -> Any:
    """Build open_clip's tokenizer of ``source``, downloading files that are missing.

    Raises EncoderUnavailableError where they are unavailable.
    """
    import open_clip

    if not source.model.startswith("local-dir:"):  # a folder brings its own
        _fetch_missing(source.reference, tokenizer_parts(source.config))
    try:
        with hub.offline():
            return open_clip.get_tokenizer(source.model)
    except (OSError, ValueError) as error:  # from transformers, for missing or damaged files
        raise hub.unavailable_error(source.reference, error) from error


def _fetch_missing(reference: str, parts: Sequence[Part]) -> None:
    """Download those of ``parts`` that are incomplete."""
    missing = [part for part in parts if not hub.is_complete(part)]
    try:
        if missing:
            hub.fetch(reference, missing, hub.describe(missing, reference))
    except EncoderUnavailableError:
        # Files downloaded by another program bear no mark that nothing is missing.
        if any(hub.cached_path(part) is None for part in missing):
            raise


def _locate_tagged(reference: str, model: str, tag: str) -> Source:
    from open_clip import get_pretrained_cfg, list_pretrained_tags_by_model

    config = _known_config(model)
    tag_config = get_pretrained_cfg(model, tag)
    if not tag_config:
        tags = list_pretrained_tags_by_model(model)
        raise UnknownEncoderError(
            f"open_clip knows no weights {tag!r} of {model}" if tag else f"{reference} names no weights",
            hint=_tag_hint(model, tag, tags),
        )
    if not is_trained_with(model, tag):
        # open_clip only warns, then computes vectors that the weights were never trained for.
        raise UnknownEncoderError(
            f"the weights {tag!r} were trained with another activation function than {model} has",
            hint=f"use openclip:{_other_activation(model)}/{tag}",
        )
    repository, files = weights_of(tag_config)
    checkpoint = hub.ensure_cached(reference, [Part(repository, files), *tokenizer_parts(config)])
    preprocessing = _preprocessing(config, tag_config)
    return Source(reference, model, str(checkpoint), config, preprocessing, checkpoint, _licence(repository))


def _locate_file(model: str, file: Path) -> Source:
    config = _known_config(model)
    if not file.is_file():
        raise EncoderUnavailableError(f"there is no file {file}")
    preprocessing = _preprocessing(config, _usual_preprocessing(model))
    return Source(f"openclip:{model}@{file}", model, str(file), config, preprocessing, file)


def _usual_preprocessing(model: str) -> Mapping[str, Any]:
    """Return the preprocessing that all published weights of ``model`` share; empty where there is none.

    A bare weights file does not state it, and open_clip then silently assumes that of OpenAI's CLIP: wrong pixels for
    SigLIP, CLIPA, MobileCLIP, PE-Core and others.
    """
    from open_clip import get_pretrained_cfg, list_pretrained_tags_by_model

    fields = ("mean", "std", "interpolation", "resize_mode")
    published = [get_pretrained_cfg(model, tag) for tag in list_pretrained_tags_by_model(model)]
    usual = [{name: of_tag[name] for name in fields} for of_tag in published]
    return usual[0] if usual and all(one == usual[0] for one in usual) else {}


def _locate_on_hub(reference: str, repository: str) -> Source:
    if repository.count("/") != 1 or not all(repository.split("/")):
        raise UnknownEncoderError(f"{reference} names no repository", hint="hf-hub:ORG/REPO")
    document = configuration(reference)
    parts = [Part(repository, OPEN_CLIP_FILES), *tokenizer_parts(document["model_cfg"])]
    checkpoint = hub.ensure_cached(reference, parts)
    return dataclasses.replace(
        _source_from_config(reference, reference, document, checkpoint), licence=_licence(repository)
    )


def _locate_folder(folder: Path) -> Source:
    if not (folder / _CONFIG_FILE).is_file():
        raise EncoderUnavailableError(
            f"{folder} holds no model" if folder.is_dir() else f"there is no folder {folder}",
            hint=f"a model of open_clip comes with {_CONFIG_FILE}, one of transformers with config.json, and one of "
            "sentence-transformers with modules.json",
        )
    checkpoints = [path for suffix in ("safetensors", "bin", "pth") for path in sorted(folder.glob(f"*.{suffix}"))]
    if len(checkpoints) != 1:  # open_clip would choose one by its own rules
        raise EncoderUnavailableError(f"{folder} holds {len(checkpoints)} files of weights instead of one")
    reference = f"local-dir:{folder}"
    return _source_from_config(reference, reference, _read_config(folder / _CONFIG_FILE), checkpoints[0])


def _source_from_config(reference: str, model: str, document: Mapping[str, Any], checkpoint: Path) -> Source:
    config = document["model_cfg"]
    preprocessing = _preprocessing(config, document.get("preprocess_cfg", {}))
    return Source(reference, model, None, config, preprocessing, checkpoint)


def _known_config(model: str) -> Mapping[str, Any]:
    import open_clip

    config: Mapping[str, Any] | None = open_clip.get_model_config(model)
    if config is None:
        hint = near_matches_hint(model, open_clip.list_models())
        raise UnknownEncoderError(f"open_clip knows no model {model!r}", hint=hint)
    return config


def _read_config(path: Path) -> Mapping[str, Any]:
    try:
        document: Mapping[str, Any] = json.loads(path.read_bytes())
        model = document["model_cfg"]
        is_valid = (
            isinstance(model["embed_dim"], int)
            and isinstance(model["vision_cfg"], dict)
            and isinstance(model["text_cfg"], dict)
            and isinstance(document.get("preprocess_cfg", {}), dict)
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EncoderError(f"{path} is not a configuration of open_clip") from error
    if not is_valid:
        raise EncoderError(f"{path} is not a configuration of open_clip")
    return document


def _preprocessing(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> Preprocessing:
    """Merge open_clip's defaults, the settings of the weights, and the tower's input size, as open_clip does."""
    from open_clip.transform import PreprocessCfg, merge_preprocess_dict

    merged = merge_preprocess_dict(dataclasses.asdict(PreprocessCfg()), dict(overrides))
    size = config["vision_cfg"].get("image_size", 224)
    if not isinstance(size, int):
        height, width = size
        if height != width:
            raise EncoderError(f"pictures of {width} × {height} are not supported, only square ones")
        size = height
    return Preprocessing(
        size=size,
        resize=merged["resize_mode"],
        # "random" applies to training only; for inference open_clip uses bicubic.
        interpolation="bilinear" if merged["interpolation"] == "bilinear" else "bicubic",
        mean=_channels(merged["mean"]),
        std=_channels(merged["std"]),
        fill=merged["fill_color"],
    )


def _channels(values: Iterable[float]) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue


def _licence(repository: str) -> str:
    provenance = licences.of_repository(repository)
    return licences.NOT_VERIFIED if provenance is None else provenance.licence


def _other_activation(model: str) -> str:
    """Return open_clip's name for the architecture of ``model`` with the other activation function."""
    plain = model.removesuffix("-quickgelu")
    return plain if plain != model else f"{model}-quickgelu"


def _tag_hint(model: str, tag: str, tags: list[str]) -> str:
    """Suggest tags similar to ``tag``, or list all of them."""
    if not tags:
        return f"for weights of your own: openclip:{model}@FILE"
    similar = [one for one in tags if tag and tag.lower() in one]
    return f"there are {', '.join(similar or tags)}"
