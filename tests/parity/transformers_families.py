"""Models of transformers with random weights, as it saves them, and its own vectors of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import transformers
from PIL import Image
from torchvision.transforms import InterpolationMode, Resize
from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil
from transformers.utils import logging

from imseek.types.arrays import Float32, Pixels
from parity import standins

_TOWER: Final[dict[str, Any]] = {
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


def _siglip2_tokenizer() -> Any:
    return transformers.Siglip2Tokenizer(*standins.bpe("<pad>", "<eos>", "<bos>", "<unk>", "<mask>"))


def _tipsv2_tokenizer() -> Any:
    return transformers.Tipsv2Tokenizer(*standins.bpe("<pad>", "<unk>"))


def _xlm_tokenizer() -> Any:
    return standins.tokenizer("facebook/xlm-v-base")


def _pillow(processor: type) -> Callable[[Path, list[Pixels]], dict[str, torch.Tensor]]:
    """A processor on Pillow, with which the weights were trained; on torchvision, pixels differ by a step in 255."""

    def prepare(folder: Path, pictures: list[Pixels]) -> dict[str, torch.Tensor]:
        made: Any = processor.from_pretrained(folder)  # type: ignore[attr-defined]
        return dict(made(images=[Image.fromarray(one) for one in pictures], return_tensors="pt"))

    return prepare


def _resized(side: int, name: str) -> Callable[[Path, list[Pixels]], dict[str, torch.Tensor]]:
    """A processor that transformers has on torchvision only, after Pillow's resize as by the authors."""

    def prepare(folder: Path, pictures: list[Pixels]) -> dict[str, torch.Tensor]:
        resize = Resize((side, side), InterpolationMode.BILINEAR)
        processor = getattr(transformers, name).from_pretrained(folder)
        return dict(processor(images=[resize(Image.fromarray(one)) for one in pictures], return_tensors="pt"))

    return prepare


@dataclass(frozen=True)
class Model:
    """``reduced`` overrides transformers' default configuration; ``text`` are its processor's options for texts."""

    name: str
    kind: str
    reduced: Mapping[str, Any]
    processor: Callable[[], Any]
    pictures: Callable[[Path, list[Pixels]], dict[str, torch.Tensor]]
    tokenizer: Callable[[], Any] | None = None
    text: Mapping[str, Any] | None = None
    millions: float = 0.0


_PADDED: Final = {"padding": "max_length", "truncation": True, "max_length": 64}

MODELS: Final = (
    Model(
        "SigLIP 2 NaFlex",
        "siglip2",
        {"text_config": _TOWER, "vision_config": {**_TOWER, "num_patches": 64}},
        lambda: transformers.Siglip2ImageProcessor(max_num_patches=256),
        _pillow(Siglip2ImageProcessorPil),
        _siglip2_tokenizer,
        _PADDED,
        375.2,
    ),
    Model(
        "TIPSv2",
        "tipsv2",
        {"text_config": _TOWER, "vision_config": {**_TOWER, "mlp_ratio": 2, "image_size": 56}},
        lambda: transformers.Tipsv2ImageProcessor(size={"height": 56, "width": 56}),
        _resized(56, "Tipsv2ImageProcessor"),
        _tipsv2_tokenizer,
        _PADDED,
        195.9,
    ),
    Model(
        "Meta CLIP 2",
        "metaclip_2",
        {
            "text_config": {**_TOWER, "eos_token_id": 2, "max_position_embeddings": 77},
            "vision_config": {**_TOWER, "image_size": 64, "patch_size": 16},
            "projection_dim": 32,
        },
        lambda: transformers.CLIPImageProcessor(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}),
        _pillow(CLIPImageProcessorPil),
        _xlm_tokenizer,
        {"padding": True},
        598.6,
    ),
    Model(
        "DINOv3, ViT",
        "dinov3_vit",
        {**_TOWER, "num_register_tokens": 4, "image_size": 64},
        lambda: transformers.DINOv3ViTImageProcessor(size={"height": 64, "width": 64}),
        _resized(64, "DINOv3ViTImageProcessor"),
        millions=21.6,
    ),
    Model(
        "DINOv3, ConvNeXt",
        "dinov3_convnext",
        {"hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 2, 1], "image_size": 64},
        lambda: transformers.DINOv3ViTImageProcessor(size={"height": 64, "width": 64}),
        _resized(64, "DINOv3ViTImageProcessor"),
        millions=27.8,
    ),
)
BY_KIND: Final = {model.kind: model for model in MODELS}


def write(model: Model, folder: Path) -> str:
    """Save a reduced model with random weights; returns its reference."""
    logging.disable_progress_bar()
    sizes: dict[str, Any] = copy.deepcopy(dict(model.reduced))
    if model.tokenizer is not None:
        tokenizer = model.tokenizer()
        tokenizer.save_pretrained(folder)
        sizes["text_config"] = {**sizes["text_config"], "vocab_size": len(tokenizer)}
    model.processor().save_pretrained(folder)
    torch.manual_seed(9)
    made = AutoModel.from_config(AutoConfig.for_model(model.kind, **sizes))
    with torch.no_grad():
        for parameter in made.parameters():  # as transformers starts them, all pictures get nearly the same vector
            parameter += 0.05 * torch.randn_like(parameter)
    made.save_pretrained(folder)
    return f"local-dir:{folder}"


def library_vectors(
    model: Model, folder: Path, pictures: list[Pixels], texts: list[str]
) -> tuple[Float32, Float32 | None]:
    """Unit rows of transformers' own processor, tokenizer and model."""
    loaded = AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        inputs = model.pictures(folder, pictures)
        images = (loaded.get_image_features if model.tokenizer else loaded)(**inputs).pooler_output
        if model.tokenizer is None:
            return _unit(images), None
        tokens = AutoTokenizer.from_pretrained(folder)(texts, return_tensors="pt", **model.text or {})
        return _unit(images), _unit(loaded.get_text_features(**tokens).pooler_output)


def _unit(rows: torch.Tensor) -> Float32:
    return np.asarray(torch.nn.functional.normalize(rows, dim=-1), dtype=np.float32)
