"""Where an open_clip model comes from: its configuration, its weights, its preprocessing."""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imseek.encoders.preprocess import Preprocessing
from imseek.encoders.presets import PRESETS
from imseek.errors import EncoderError, EncoderUnavailableError, UnknownEncoderError

_CONFIG_FILE = "open_clip_config.json"


@dataclass(frozen=True, slots=True)
class Source:
    """One model, ready to be built.

    ``model`` and ``pretrained`` are open_clip's arguments of the same meaning; ``config`` is its model
    configuration (``embed_dim``, ``vision_cfg``, ``text_cfg``); ``checkpoint`` is the file with the weights.
    ``reference`` is absolute where the user's named a relative path.
    """

    reference: str
    model: str
    pretrained: str | None
    config: Mapping[str, Any]
    preprocessing: Preprocessing
    checkpoint: Path

    @property
    def context_length(self) -> int:
        """Tokens that the text tower takes, those that mark start and end included."""
        length: int = self.config["text_cfg"].get("context_length", 77)
        return length

    @property
    def revision(self) -> str | None:
        """The hub's commit, where the weights lie in the hub's cache (``…/snapshots/COMMIT/FILE``)."""
        parent = self.checkpoint.parent
        return parent.name if parent.parent.name == "snapshots" else None

    @property
    def licence(self) -> str:
        known = (preset.licence for preset in PRESETS.values() if preset.reference == self.reference)
        return next(known, "unknown")


def locate(reference: str) -> Source:
    """Find configuration and weights of ``reference``, fetching them where they are not in the hub's cache.

    Raises UnknownEncoderError (with near matches), EncoderUnavailableError, and EncoderError for a damaged
    configuration. The checkpoint is not opened.
    """
    scheme, _, rest = reference.partition(":")
    if scheme == "hf-hub":
        return _on_hub(reference, rest)
    if scheme == "local-dir":
        return _in_folder(Path(rest).expanduser().absolute())
    if "@" in rest:
        model, _, file = rest.partition("@")
        return _in_file(model, Path(file).expanduser().absolute())
    model, _, tag = rest.partition("/")
    return _tagged(reference, model, tag)


def _tagged(reference: str, model: str, tag: str) -> Source:
    from open_clip import get_pretrained_cfg, list_pretrained_tags_by_model
    from open_clip.pretrained import download_pretrained

    config = _known_config(model)
    tag_config = get_pretrained_cfg(model, tag)
    if not tag_config:
        raise _unknown(
            f"open_clip knows no weights {tag!r} of {model}", tag, list_pretrained_tags_by_model(model)
        )
    if bool(tag_config.get("quick_gelu")) != bool(config.get("quick_gelu")):
        # open_clip only warns, and computes vectors that the weights were never trained for.
        other = model.removesuffix("-quickgelu") if config.get("quick_gelu") else f"{model}-quickgelu"
        raise UnknownEncoderError(
            f"the weights {tag!r} were trained with another activation function than {model} has",
            hint=f"use openclip:{other}/{tag}",
        )
    checkpoint = _fetched(reference, lambda: download_pretrained(tag_config))
    return Source(reference, model, tag, config, _preprocessing(config, tag_config), checkpoint)


def _in_file(model: str, file: Path) -> Source:
    config = _known_config(model)
    if not file.is_file():
        raise EncoderUnavailableError(f"there is no file {file}")
    return Source(f"openclip:{model}@{file}", model, str(file), config, _preprocessing(config, {}), file)


def _on_hub(reference: str, repository: str) -> Source:
    from huggingface_hub import hf_hub_download
    from open_clip.pretrained import download_pretrained_from_hf

    described = _read_config(_fetched(reference, lambda: hf_hub_download(repository, _CONFIG_FILE)))
    checkpoint = _fetched(reference, lambda: download_pretrained_from_hf(repository))
    return _configured(reference, reference, described, checkpoint)


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
        raise _unknown(f"open_clip knows no model {model!r}", model, open_clip.list_models())
    return config


def _read_config(path: Path) -> Mapping[str, Any]:
    try:
        described: Mapping[str, Any] = json.loads(path.read_bytes())
        described["model_cfg"]["vision_cfg"], described["model_cfg"]["text_cfg"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EncoderError(f"{path} is not a configuration of open_clip") from error
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


def _fetched(reference: str, fetch: Callable[[], str]) -> Path:
    try:
        return Path(fetch())
    except (OSError, ValueError, RuntimeError) as error:  # the hub client's errors are OSError or ValueError
        raise EncoderUnavailableError(
            f"the weights of {reference} are neither in the hub's cache nor to be fetched: {error}",
            hint="go online (and unset HF_HUB_OFFLINE) and try again, or name another encoder, such as builtin",
        ) from error


def _unknown(message: str, name: str, known: Iterable[str]) -> UnknownEncoderError:
    by_lower = {one.lower(): one for one in known}
    near = [by_lower[match] for match in difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.5)]
    return UnknownEncoderError(message, hint=f"near matches: {', '.join(near)}" if near else None)
