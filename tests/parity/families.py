"""The families that open_clip builds: their configurations, true and reduced, and a repository of each."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import safetensors.torch
import timm
import torch
from PIL import Image
from timm.models import register_model

from imseek.types.arrays import Float32, Pixels
from parity import standins

_WIDTH = 64
_VIT = {"embed_dim": _WIDTH, "depth": 2, "num_heads": 2}


@dataclass(frozen=True)
class Family:
    """``model`` and ``tag`` are open_clip's, of the member that stands for the family.

    ``timm_sizes`` reduce its timm model (none: it is small as it is), ``vision`` its own vision tower.
    """

    name: str
    model: str
    tag: str
    timm_sizes: Mapping[str, Any] = field(default_factory=dict)
    vision: Mapping[str, Any] = field(default_factory=lambda: {"layers": 2, "width": _WIDTH})

    @property
    def config(self) -> dict[str, Any]:
        """open_clip's model configuration."""
        config: dict[str, Any] = open_clip.get_model_config(self.model)
        return config

    @property
    def preprocessing(self) -> dict[str, Any]:
        """What the weights of ``tag`` came with, as a repository on the hub states it."""
        known = open_clip.get_pretrained_cfg(self.model, self.tag)
        assert known, f"{self.model} has no {self.tag}"
        return {key: known[key] for key in ("mean", "std", "interpolation", "resize_mode")}

    @property
    def tokenizer(self) -> str | None:
        """The hub's repository of the tokenizer; None for open_clip's own."""
        name: str | None = self.config["text_cfg"].get("hf_tokenizer_name")
        return name

    def reduced(self, tokens: int | None) -> dict[str, Any]:
        """The configuration with the same keys and smaller numbers. ``tokens`` are those of a stand-in."""
        config = self.config
        vision, text = config["vision_cfg"], config["text_cfg"]
        config["embed_dim"] = _WIDTH
        if "timm_model_name" in vision:
            if self.timm_sizes:
                vision["timm_model_name"] = register_timm(vision["timm_model_name"], self.timm_sizes)
        else:
            vision.update(self.vision)
        for tower in (text, config.get("multimodal_cfg", {})):
            if "layers" in tower:
                tower.update(width=_WIDTH, heads=2, layers=2)
        if tokens is not None and "vocab_size" in text:
            text["vocab_size"] = tokens
        return config


FAMILIES = (
    Family("OpenAI CLIP, ResNet", "RN50-quickgelu", "openai", vision={"layers": [1, 1, 1, 1], "width": 16}),
    Family("OpenAI CLIP, ViT", "ViT-B-32-quickgelu", "openai"),
    Family("OpenCLIP, ViT", "ViT-B-32", "laion2b_s34b_b79k"),
    Family(
        "OpenCLIP, ConvNeXt",
        "convnext_base_w",
        "laion2b_s13b_b82k",
        timm_sizes={"depths": (1, 1, 2, 1), "dims": (16, 32, 48, 64)},
    ),
    Family("SigLIP", "ViT-B-16-SigLIP", "webli", timm_sizes=_VIT),
    Family("SigLIP 2", "ViT-B-16-SigLIP2-256", "webli", timm_sizes=_VIT),
    Family("EVA01-CLIP", "EVA01-g-14", "laion400m_s11b_b41k", timm_sizes=_VIT),
    Family("EVA02-CLIP", "EVA02-B-16", "merged2b_s8b_b131k", timm_sizes=_VIT),
    Family("EVA02-CLIP, E", "EVA02-E-14", "laion2b_s4b_b115k", timm_sizes=_VIT),  # normalises after, not before
    Family("CLIPA", "ViT-L-14-CLIPA", "datacomp1b"),
    Family("MetaCLIP", "ViT-B-32-quickgelu", "metaclip_400m"),
    Family(
        "Meta CLIP 2",
        "ViT-H-14-worldwide-quickgelu",
        "metaclip2_worldwide",
        vision={"layers": 2, "width": 160},  # heads of 80
    ),
    Family("DataComp", "ViT-B-32-256", "datacomp_s34b_b86k"),
    Family("DFN", "ViT-B-16-quickgelu", "dfn2b"),
    Family("CoCa", "coca_ViT-B-32", "laion2b_s13b_b90k"),
    Family("MobileCLIP", "MobileCLIP-B", "datacompdr", timm_sizes={"depth": 1}),
    Family("MobileCLIP 2", "MobileCLIP2-S0", "dfndr2b", timm_sizes={"layers": (1, 1, 1, 1)}),
    Family("PE-Core", "PE-Core-T-16-384", "meta", timm_sizes=_VIT),
    Family("NLLB-CLIP", "nllb-clip-base", "v1"),
    Family("XLM-R CLIP", "xlm-roberta-base-ViT-B-32", "laion5b_s13b_b90k"),
)

# Of the text towers that open_clip builds through transformers.
REDUCED_TEXT: Mapping[str, dict[str, Any]] = {
    "xlm-roberta-base": {
        "hidden_size": _WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 128,
    },
    "facebook/nllb-200-distilled-600M": {
        "d_model": _WIDTH,
        "encoder_layers": 2,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 128,
        "decoder_layers": 1,
        "decoder_attention_heads": 2,
        "decoder_ffn_dim": 128,
    },
}
TRUE_TEXT: Mapping[str, dict[str, Any]] = {
    "xlm-roberta-base": {
        "vocab_size": 250002,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
    },
    "facebook/nllb-200-distilled-600M": {
        "vocab_size": 256206,
        "d_model": 1024,
        "encoder_layers": 12,
        "encoder_attention_heads": 16,
        "encoder_ffn_dim": 4096,
        "decoder_layers": 1,  # built and thrown away
        "decoder_attention_heads": 16,
        "decoder_ffn_dim": 4096,
    },
}


def write(family: Family, cache: Path, *, true_size: bool = False) -> str:
    """Lay out a repository of ``family`` with random weights in the hub's cache; returns its reference."""
    texts = TRUE_TEXT if true_size else REDUCED_TEXT
    text_model = copy.deepcopy(texts[name]) if (name := family.config["text_cfg"].get("hf_model_name")) else None
    tokens = standins.write(cache, family.tokenizer, text_model) if family.tokenizer else None
    config = family.config if true_size else family.reduced(tokens)
    slug = "-".join(re.findall(r"\w+", family.name.lower()))
    repository = f"parity/{slug}"
    files = standins.snapshot(cache, repository)
    described = {"model_cfg": config, "preprocess_cfg": family.preprocessing}
    (files / "open_clip_config.json").write_text(json.dumps(described))
    registered = files / f"parity-{slug}.json"
    registered.write_text(json.dumps(config))
    open_clip.add_model_config(registered)
    torch.manual_seed(11)
    model = open_clip.create_model(f"parity-{slug}", pretrained_text=False)
    _stir(model)
    state = {key: tensor.contiguous().clone() for key, tensor in model.state_dict().items()}
    safetensors.torch.save_file(state, files / "open_clip_model.safetensors")
    return f"hf-hub:{repository}"


def library_vectors(reference: str, pictures: list[Pixels], texts: list[str]) -> tuple[Float32, Float32]:
    """Unit rows of open_clip's own transform, tokenizer and model: (n, dim) of pictures and of texts."""
    model, _, transform = open_clip.create_model_and_transforms(reference)
    tokenizer = open_clip.get_tokenizer(reference)
    model.eval()
    with torch.inference_mode():
        images = [model.encode_image(transform(Image.fromarray(picture))[None], normalize=True) for picture in pictures]
        rows = model.encode_text(tokenizer(texts), normalize=True)
    return np.concatenate([image.numpy() for image in images]), rows.numpy()


def _stir(model: torch.nn.Module) -> None:
    """Make pictures and words matter: as towers start, some layers are zeros or close to it, and others not scaled."""
    norms = [module for module in model.visual.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "gamma" in name:  # what a whole block counts
                parameter += 0.5
            elif parameter.ndim > 1:
                parameter += 0.02 * torch.randn_like(parameter)
        if norms:
            for norm in norms:
                norm.momentum = 1.0
            blots = torch.randn(4, 3, 5, 5)
            model.visual.train()
            model.visual(torch.nn.functional.interpolate(blots, model.visual.image_size, mode="bilinear"))
            model.visual.eval()


def register_timm(base: str, sizes: Mapping[str, Any]) -> str:
    """The name of a timm model that is ``base`` with other numbers."""
    name = f"parity_{base}"
    if not timm.is_model(name):

        def build(pretrained: bool = False, **options: Any) -> Any:
            assert not pretrained
            return timm.create_model(base, **{**sizes, **options})

        build.__name__ = name
        register_model(build)
    return name
