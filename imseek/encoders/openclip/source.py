"""Where an open_clip model comes from: its configuration, its weights, its preprocessing."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from imseek.encoders import hub, licences
from imseek.encoders.catalogue import OPEN_CLIP_FILES, near
from imseek.encoders.hub import Part
from imseek.encoders.preprocess import Preprocessing
from imseek.errors import EncoderError, EncoderUnavailableError, UnknownEncoderError

_CONFIG_FILE: Final = "open_clip_config.json"


@dataclass(frozen=True, slots=True)
class Source:
    """One model, ready to be built.

    ``model`` and ``pretrained`` are open_clip's arguments of the same meaning, the latter always a file;
    ``config`` is its model configuration (``embed_dim``, ``vision_cfg``, ``text_cfg``); ``checkpoint`` is the file
    with the weights. ``reference`` is absolute where the user's named a relative path. ``licence`` is an SPDX id,
    ``restricted``, ``not verified``, or ``unknown`` for a file of the user's.
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
        """Tokens that the text tower takes, those that mark start and end included."""
        length: int = self.config["text_cfg"].get("context_length", 77)
        return length

    @property
    def revision(self) -> str | None:
        """The hub's commit, where the weights lie in the hub's cache."""
        return hub.revision(self.checkpoint)


def locate(reference: str) -> Source:
    """Find configuration and weights of ``reference``, fetching them where they are not in the hub's cache.

    Raises UnknownEncoderError (with near matches), EncoderUnavailableError, LicenceError, and EncoderError for a
    damaged configuration. The checkpoint is not opened.
    """
    scheme, _, rest = reference.partition(":")
    if scheme == "hf-hub":
        return _on_hub(reference, rest)
    if scheme == "local-dir":
        return _in_folder(Path(rest).expanduser().absolute())
    if rest.startswith(("hf-hub:", "local-dir:")):
        raise UnknownEncoderError(f"no encoder is called {reference!r}", hint=f"did you mean {rest}?")
    if "@" in rest:
        model, _, file = rest.partition("@")
        return _in_file(model, Path(file).expanduser().absolute())
    model, _, tag = rest.partition("/")
    return _tagged(reference, model, tag)


def weights_of(tag_config: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The repository of one of open_clip's tags, and the names of its weights there, best first."""
    repository, _, name = tag_config["hf_hub"].rpartition("/")
    if not name:
        return repository, OPEN_CLIP_FILES
    return repository, (f"{name.rpartition('.')[0]}.safetensors", name)


def is_trained_with(model: str, tag: str) -> bool:
    """Whether the weights ``tag`` were trained with the activation function of ``model``.

    Where the registry says nothing better, its model is right: it lists every tag that differs twice, under
    both names.
    """
    import open_clip

    config, tag_config = open_clip.get_model_config(model), open_clip.get_pretrained_cfg(model, tag)
    if bool(config.get("quick_gelu")) == bool(tag_config.get("quick_gelu")):
        return True
    other = _other_activation(model)
    return not (other in open_clip.list_models() and open_clip.get_pretrained_cfg(other, tag))


def configuration(reference: str) -> Mapping[str, Any]:
    """The configuration of a model that lies on the hub (``hf-hub:ORG/REPO``), fetched if need be."""
    return _read_config(hub.first_file(reference, reference.removeprefix("hf-hub:"), (_CONFIG_FILE,)))


def tokenizer_parts(config: Mapping[str, Any]) -> list[Part]:
    """What the hub has to give for the words of ``config``; nothing where the tokenizer is open_clip's own."""
    name = config["text_cfg"].get("hf_tokenizer_name")
    return [Part(name, hub.TOKENIZER_FILES, every=True)] if name else []


def tokenizer(source: Source) -> Any:
    """open_clip's tokenizer of ``source``. Its files came with the weights, or are fetched now.

    Raises EncoderUnavailableError where they cannot be had.
    """
    import open_clip

    if not source.model.startswith("local-dir:"):  # a folder has its own
        _complete(source.reference, tokenizer_parts(source.config))
    try:
        with hub.offline():
            return open_clip.get_tokenizer(source.model)
    except (OSError, ValueError) as error:  # of transformers: files that are missing, or damaged
        raise hub.unavailable(source.reference, error) from error


def _complete(reference: str, parts: Sequence[Part]) -> None:
    """Fetch what is missing of ``parts``."""
    missing = [part for part in parts if not hub.is_complete(part)]
    try:
        if missing:
            hub.fetch(reference, missing, hub.describe(missing, reference))
    except EncoderUnavailableError:
        # What another program fetched bears no mark that it is all there is.
        if any(hub.cached(part) is None for part in missing):
            raise


def _tagged(reference: str, model: str, tag: str) -> Source:
    from open_clip import get_pretrained_cfg, list_pretrained_tags_by_model

    config = _known_config(model)
    tag_config = get_pretrained_cfg(model, tag)
    if not tag_config:
        tags = list_pretrained_tags_by_model(model)
        raise UnknownEncoderError(
            f"open_clip knows no weights {tag!r} of {model}" if tag else f"{reference} names no weights",
            hint=_choices(model, tag, tags),
        )
    if not is_trained_with(model, tag):
        # open_clip only warns, and computes vectors that the weights were never trained for.
        raise UnknownEncoderError(
            f"the weights {tag!r} were trained with another activation function than {model} has",
            hint=f"use openclip:{_other_activation(model)}/{tag}",
        )
    repository, files = weights_of(tag_config)
    checkpoint = hub.ensure(reference, [Part(repository, files), *tokenizer_parts(config)])
    preprocessing = _preprocessing(config, tag_config)
    return Source(reference, model, str(checkpoint), config, preprocessing, checkpoint, _licence(repository))


def _in_file(model: str, file: Path) -> Source:
    config = _known_config(model)
    if not file.is_file():
        raise EncoderUnavailableError(f"there is no file {file}")
    preprocessing = _preprocessing(config, _usual_preprocessing(model))
    return Source(f"openclip:{model}@{file}", model, str(file), config, preprocessing, file)


def _usual_preprocessing(model: str) -> Mapping[str, Any]:
    """What all published weights of ``model`` came with; nothing where there are none, or they differ.

    A bare file does not say, and open_clip then takes that of OpenAI's CLIP, whatever the model: wrong pixels,
    without a word, for SigLIP, CLIPA, MobileCLIP, PE-Core and others.
    """
    from open_clip import get_pretrained_cfg, list_pretrained_tags_by_model

    fields = ("mean", "std", "interpolation", "resize_mode")
    published = [get_pretrained_cfg(model, tag) for tag in list_pretrained_tags_by_model(model)]
    usual = [{name: of_tag[name] for name in fields} for of_tag in published]
    return usual[0] if usual and all(one == usual[0] for one in usual) else {}


def _on_hub(reference: str, repository: str) -> Source:
    if repository.count("/") != 1 or not all(repository.split("/")):
        raise UnknownEncoderError(f"{reference} names no repository", hint="hf-hub:ORG/REPO")
    described = configuration(reference)
    parts = [Part(repository, OPEN_CLIP_FILES), *tokenizer_parts(described["model_cfg"])]
    checkpoint = hub.ensure(reference, parts)
    return dataclasses.replace(
        _configured(reference, reference, described, checkpoint), licence=_licence(repository)
    )


def _in_folder(folder: Path) -> Source:
    if not (folder / _CONFIG_FILE).is_file():
        raise EncoderUnavailableError(f"{folder} holds no {_CONFIG_FILE}")
    checkpoints = [
        path for suffix in ("safetensors", "bin", "pth") for path in sorted(folder.glob(f"*.{suffix}"))
    ]
    if len(checkpoints) != 1:  # open_clip would take one by rules of its own
        raise EncoderUnavailableError(f"{folder} holds {len(checkpoints)} files of weights instead of one")
    reference = f"local-dir:{folder}"
    return _configured(reference, reference, _read_config(folder / _CONFIG_FILE), checkpoints[0])


def _configured(reference: str, model: str, described: Mapping[str, Any], checkpoint: Path) -> Source:
    config = described["model_cfg"]
    preprocessing = _preprocessing(config, described.get("preprocess_cfg", {}))
    return Source(reference, model, None, config, preprocessing, checkpoint)


def _known_config(model: str) -> Mapping[str, Any]:
    import open_clip

    config: Mapping[str, Any] | None = open_clip.get_model_config(model)
    if config is None:
        raise UnknownEncoderError(
            f"open_clip knows no model {model!r}", hint=_near(model, open_clip.list_models())
        )
    return config


def _read_config(path: Path) -> Mapping[str, Any]:
    try:
        described: Mapping[str, Any] = json.loads(path.read_bytes())
        model = described["model_cfg"]
        sound = (
            isinstance(model["embed_dim"], int)
            and isinstance(model["vision_cfg"], dict)
            and isinstance(model["text_cfg"], dict)
            and isinstance(described.get("preprocess_cfg", {}), dict)
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EncoderError(f"{path} is not a configuration of open_clip") from error
    if not sound:
        raise EncoderError(f"{path} is not a configuration of open_clip")
    return described


def _preprocessing(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> Preprocessing:
    """open_clip's rule: its defaults, what the weights came with, and the size that the tower is built for."""
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
        # "random" means one at random while training; open_clip takes the bicubic one for use.
        interpolation="bilinear" if merged["interpolation"] == "bilinear" else "bicubic",
        mean=_channels(merged["mean"]),
        std=_channels(merged["std"]),
        fill=merged["fill_color"],
    )


def _channels(values: Iterable[float]) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue


def _licence(repository: str) -> str:
    known = licences.of_repository(repository)
    return licences.NOT_VERIFIED if known is None else known.licence


def _other_activation(model: str) -> str:
    """The name under which open_clip lists the architecture of ``model`` with the other activation function."""
    plain = model.removesuffix("-quickgelu")
    return plain if plain != model else f"{model}-quickgelu"


def _choices(model: str, tag: str, tags: list[str]) -> str:
    """What there is instead of ``tag``: the tags like it, or all of them."""
    if not tags:
        return f"for weights of your own: openclip:{model}@FILE"
    alike = [one for one in tags if tag and tag.lower() in one]
    shown = alike or tags
    return f"there are {', '.join(shown)}"


def _near(name: str, known: Iterable[str]) -> str | None:
    found = near(name, known)
    return f"near matches: {', '.join(found)}" if found else None
