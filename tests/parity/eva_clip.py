"""EVA-CLIP-18B at reduced size, with random weights as its authors save them, and its forward pass written out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from imseek.encoders.openclip.source import register_models
from imseek.types.arrays import Float32, Pixels
from parity.families import register_timm

_SIZES = {"embed_dim": 64, "depth": 2, "num_heads": 4, "img_size": 56}


def config(name: str) -> dict[str, Any]:
    """A reduced configuration of a model of :mod:`imseek.encoders.openclip.eva_clip`."""
    register_models()
    known: dict[str, Any] = open_clip.get_model_config(name)
    tower = register_timm(known["vision_cfg"]["timm_model_name"], _SIZES)
    vision = {**known["vision_cfg"], "timm_model_name": tower, "image_size": 56}
    text = {**known["text_cfg"], "width": 32, "heads": 2, "layers": 2}
    return {**known, "embed_dim": 24, "vision_cfg": vision, "text_cfg": text}


def write(folder: Path, name: str = "EVA-CLIP-18B") -> str:
    """Save a state dict with the authors' names beside a configuration of open_clip; returns the reference."""
    described = config(name)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": described}))
    torch.manual_seed(9)
    described.pop("custom_text")
    state = open_clip.CustomTextCLIP(**described).state_dict()
    stirred = {key: value + 0.2 * torch.randn_like(value) * (value.ndim > 0) for key, value in state.items()}
    theirs = {key.replace("visual.trunk.", "visual."): value for key, value in stirred.items()}
    del theirs["visual.head.bias"]
    safetensors.torch.save_file(theirs, folder / "eva.safetensors")
    return f"local-dir:{folder}"


def library_vectors(
    folder: Path, pictures: list[Pixels], texts: list[str], *, after: bool = True
) -> tuple[Float32, Float32]:
    """Unit rows; ``after``: norms follow their layers, as in the largest, else they precede them."""
    described = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    state = safetensors.torch.load_file(folder / "eva.safetensors")
    text = {key.removeprefix("text."): value for key, value in state.items() if key.startswith("text.")}
    cfg = open_clip.model.CLIPTextCfg(**described["text_cfg"])
    tower = open_clip.model._build_text_tower(described["embed_dim"], cfg).eval()
    tower.load_state_dict(text)
    transform = open_clip.transform.image_transform_v2(open_clip.transform.PreprocessCfg(size=56), is_train=False)
    visual = {key.removeprefix("visual."): value for key, value in state.items() if key.startswith("visual.")}
    with torch.inference_mode():
        images = _tower(visual, torch.stack([transform(Image.fromarray(one)) for one in pictures]), after=after)
        rows = tower(open_clip.tokenizer.SimpleTokenizer()(texts))
    return np.asarray(functional.normalize(images, dim=-1)), np.asarray(functional.normalize(rows, dim=-1))


def _tower(state: dict[str, Tensor], pixels: Tensor, *, after: bool) -> Tensor:
    def rms(x: Tensor, name: str) -> Tensor:
        return x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * state[f"{name}.weight"]

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ state[f"{name}.weight"].T + state.get(f"{name}.bias", torch.zeros(()))

    def attention(x: Tensor, name: str) -> Tensor:
        heads = linear(x, f"{name}.qkv").unflatten(-1, (3, _SIZES["num_heads"], -1)).permute(2, 0, 3, 1, 4)
        query, key, value = heads
        shares = (query @ key.mT / query.shape[-1] ** 0.5).softmax(-1)
        return linear((shares @ value).transpose(1, 2).flatten(2), f"{name}.proj")

    def perceptron(x: Tensor, name: str) -> Tensor:
        return linear(functional.gelu(linear(x, f"{name}.fc1")), f"{name}.fc2")

    weight = state["patch_embed.proj.weight"]
    patches = functional.conv2d(pixels, weight, state["patch_embed.proj.bias"], stride=weight.shape[-1])
    x = torch.cat([state["cls_token"].expand(len(pixels), -1, -1), patches.flatten(2).mT], 1) + state["pos_embed"]
    for n in range(_SIZES["depth"]):
        for layer, part, norm in ((attention, "attn", "norm1"), (perceptron, "mlp", "norm2")):
            block, name = f"blocks.{n}.{part}", f"blocks.{n}.{norm}"
            x = x + (rms(layer(x, block), name) if after else layer(rms(x, name), block))
    return linear(rms(x, "norm")[:, 0], "head")
