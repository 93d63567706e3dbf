"""Long-CLIP with random weights, as its authors save it, and the forward pass of the paper written out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import open_clip
import safetensors.torch
import torch
from PIL import Image
from torch.nn import functional

from imseek.types.arrays import Float32, Pixels

CONFIG: Final[dict[str, Any]] = {
    "embed_dim": 24,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 248, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


def config(*, true_size: bool) -> dict[str, Any]:
    """The configuration of LongCLIP-B, or a reduced one."""
    if not true_size:
        return CONFIG
    known: dict[str, Any] = open_clip.get_model_config("ViT-B-16-quickgelu")
    known["text_cfg"]["context_length"] = 248
    return known


def write(folder: Path, *, true_size: bool = False) -> str:
    """Save a state dict with two tables of positions beside a configuration of open_clip; returns the reference."""
    described = config(true_size=true_size)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": described}))
    torch.manual_seed(8)
    state = open_clip.CLIP(**described).state_dict()
    for name in ("positional_embedding", "positional_embedding_res"):
        state[name] = 0.5 * torch.randn(state["positional_embedding"].shape)
    safetensors.torch.save_file(state, folder / "longclip.safetensors")
    return f"local-dir:{folder}"


def library_vectors(folder: Path, pictures: list[Pixels], texts: list[str]) -> tuple[Float32, Float32]:
    """Unit rows: tokens get positions below 20 from the first table, all others from the second."""
    described = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    state = safetensors.torch.load_file(folder / "longclip.safetensors")
    first, second = state["positional_embedding"], state.pop("positional_embedding_res")
    below = (torch.arange(248) < 20).float()[:, None]
    model = open_clip.CLIP(**described).eval()
    model.load_state_dict(state)
    ids = open_clip.tokenizer.SimpleTokenizer(context_length=248)(texts)
    transform = open_clip.transform.image_transform_v2(
        open_clip.transform.PreprocessCfg(size=described["vision_cfg"]["image_size"]), is_train=False
    )
    with torch.inference_mode():
        images = model.encode_image(torch.stack([transform(Image.fromarray(one)) for one in pictures]), normalize=True)
        x = model.token_embedding(ids) + first * below + second * (1 - below)
        x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask))
        rows = functional.normalize(x[torch.arange(len(ids)), ids.argmax(1)] @ model.text_projection, dim=-1)
    return np.asarray(images), np.asarray(rows)
