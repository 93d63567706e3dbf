"""Prompt templates for zero-shot classification: "cat" becomes "a photo of a cat, a kind of pet.".

A CLIP model was trained on captions, so it recognises a class better from a sentence than from its bare name, and
better still from several sentences with averaged vectors (Radford et al. 2021, "Learning Transferable Visual Models
From Natural Language Supervision", section 3.1.4).
"""

from __future__ import annotations

import functools
import importlib.util
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Final

import numpy as np

from imseek.encoders.base import Encoder
from imseek.encoders.input_checks import merge_pieces
from imseek.errors import EncoderUnavailableError, UsageError, did_you_mean
from imseek.types.arrays import Float32

__all__ = ["class_vectors", "imagenet_classes", "template_sets", "templates"]

_IMAGENET: Final = "imagenet"
# Texts to encode at once: 80 templates for 1,000 names would take hundreds of megabytes.
_BATCH: Final = 2048


def template_sets() -> tuple[str, ...]:
    """List the sets of templates: ``imagenet``, for photographs of things, and one per domain."""
    return tuple(sorted([_IMAGENET, *_domains()]))


def templates(name: str) -> tuple[str, ...]:
    """Return the sentences of the set ``name``, with ``{}`` in place of the class name.

    ``imagenet`` has OpenAI's 80, the others seven or eight of ours. ``actions`` takes names like "riding a horse",
    ``textures`` adjectives like "striped", ``satellite`` a noun with its article ("a harbour"), ``medical`` a finding
    ("pneumonia"), ``food`` and ``pets`` a noun without an article. Raises UsageError for an unknown set.
    """
    if name == _IMAGENET:
        return tuple(template("{}") for template in _imagenet_metadata().OPENAI_IMAGENET_TEMPLATES)
    if name in _domains():
        return _domains()[name]
    raise UsageError(f"no set of prompts is called {name!r}", hint=did_you_mean(name, template_sets()))


def imagenet_classes() -> tuple[str, ...]:
    """Return the 1,000 ImageNet class names in the order of the labels, in the wording of OpenAI's CLIP."""
    return tuple(_imagenet_metadata().IMAGENET_CLASSNAMES)


def class_vectors(encoder: Encoder, class_names: Sequence[str], templates: Sequence[str]) -> Float32:
    """Encode n class names as (n, dim) float32 unit rows, each the normalised mean of its sentences' unit vectors.

    The cosine of an image's vector with such a row is the image's score for the class. Raises UsageError for an empty
    class name, for no templates, and for a template without ``{}``; and what ``encoder.encode_texts`` raises.
    """
    if not templates:
        raise UsageError("there are no templates", hint='the shortest is ("{}",): the class name by itself')
    for template in templates:
        if "{}" not in template:
            raise UsageError(f"the template {template!r} has no place for the class name", hint="write {} there")
    if not all(name.strip() for name in class_names):
        raise UsageError("a class name is empty")
    per_run = max(1, _BATCH // len(templates))
    rows = np.empty((len(class_names), encoder.info.dim), dtype=np.float32)
    for start in range(0, len(class_names), per_run):
        batch = class_names[start : start + per_run]
        texts = [template.replace("{}", name) for name in batch for template in templates]
        rows[start : start + per_run] = merge_pieces(encoder.encode_texts(texts), [len(templates)] * len(batch))
    return rows


@functools.cache
def _imagenet_metadata() -> ModuleType:
    """Load the one open_clip file with ImageNet's names and templates: all of open_clip would take seconds."""
    package = importlib.util.find_spec("open_clip")
    if package is None or package.origin is None:
        raise EncoderUnavailableError(
            "the names of ImageNet's classes come with open_clip, which is not installed",
            hint="pip install --no-deps open_clip_torch",
        )
    path = Path(package.origin).with_name("zero_shot_metadata.py")
    spec = importlib.util.spec_from_file_location("imseek_zero_shot_metadata", path)
    assert spec is not None
    assert spec.loader is not None
    metadata = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(metadata)
    return metadata


@functools.cache
def _domains() -> Mapping[str, tuple[str, ...]]:
    text = resources.files(__name__).joinpath("templates.json").read_text("utf-8")
    return {name: tuple(sentences) for name, sentences in json.loads(text).items()}
