"""ImageNet's class names and OpenAI's 80 templates for them, as shipped with open_clip."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from types import ModuleType


def class_names() -> tuple[str, ...]:
    """Return the 1,000 class names in the order of the labels, in the wording of OpenAI's CLIP."""
    return tuple(_metadata().IMAGENET_CLASSNAMES)


def templates() -> tuple[str, ...]:
    """Return the 80 templates, with ``{}`` in place of the class name."""
    return tuple(template("{}") for template in _metadata().OPENAI_IMAGENET_TEMPLATES)


@functools.cache
def _metadata() -> ModuleType:
    """Load the one open_clip file that holds both: it imports nothing, while all of open_clip takes seconds."""
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
