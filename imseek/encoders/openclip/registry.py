"""The registries of open_clip, to which we add models that it does not name."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any

from imseek.errors import EncoderError


def has_model(name: str) -> bool:
    """Return whether open_clip knows an architecture of this name. Raises EncoderError as :func:`add_model`."""
    return name in _registries()[0]


def add_model(name: str, config: Mapping[str, Any], tag: str, pretrained: Mapping[str, Any]) -> None:
    """Add an architecture, and the description of its weights under ``tag``.

    Raises EncoderError where this version of open_clip has no such registries.
    """
    configs, weights = _registries()
    weights[name] = {tag: dict(pretrained)}
    configs[name] = dict(config)  # Last: another thread may look for it.


def _registries() -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        from open_clip.factory import _MODEL_CONFIGS  # The public function takes files only.
        from open_clip.pretrained import _PRETRAINED
    except ImportError as error:
        version = metadata.version("open_clip_torch")
        raise EncoderError(
            f"open_clip {version} keeps its models in another way than imseek knows: {error}",
            hint="in imseek's folder: pip install . brings a version that it knows",
        ) from error
    return _MODEL_CONFIGS, _PRETRAINED
