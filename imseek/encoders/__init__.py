"""Pixels and words to vectors. The only package that imports torch, open_clip or onnxruntime."""

from imseek.encoders.base import Encoder, EncoderInfo
from imseek.encoders.presets import PRESETS, Preset
from imseek.encoders.registry import Resolution, load, resolve
from imseek.encoders.runtime import Runtime

__all__ = ["PRESETS", "Encoder", "EncoderInfo", "Preset", "Resolution", "Runtime", "load", "resolve"]
