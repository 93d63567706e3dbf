"""ImageNet's class names and the 80 templates that OpenAI published for them, as open_clip carries both."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from types import ModuleType


def class_names() -> tuple[str, ...]:
    """The 1,000 class names in the order of the labels, as OpenAI's CLIP worded them."""
    return tuple(_metadata().IMAGENET_CLASSNAMES)


def templates() -> tuple[str, ...]:
    """The 80 templates, with ``{}`` where the class name goes."""
    return tuple(template("{}") for template in _metadata().OPENAI_IMAGENET_TEMPLATES)


@functools.cache
def _metadata() -> ModuleType:
    """The one file of open_clip that holds them: it imports nothing, while open_clip as a whole takes seconds."""
    package = importlib.util.find_spec("open_clip")
    assert package is not None
    assert package.origin is not None  # a dependency of imseek
    path = Path(package.origin).with_name("zero_shot_metadata.py")
    spec = importlib.util.spec_from_file_location("imseek_zero_shot_metadata", path)
    assert spec is not None
    assert spec.loader is not None
    metadata = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(metadata)
    return metadata
