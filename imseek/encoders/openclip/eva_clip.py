"""EVA-CLIP of 8 and 18 billion parameters (Sun et al. 2024, "EVA-CLIP-18B: Scaling CLIP to 18 Billion Parameters").

Image towers are timm's EVA with RMS norms and without biases of queries, keys and values; the largest normalises after
its layers. Neither timm nor open_clip names such towers, and the authors' files have names of tensors of their own.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Final

from imseek.encoders import checkpoint as checkpoints
from imseek.encoders.openclip import registry

_8B: Final = {"embed_dim": 4096, "depth": 32, "num_heads": 32}
_18B: Final = {"embed_dim": 5120, "depth": 48, "num_heads": 40, "use_post_norm": True}
#: Models by the authors' name: picture size, dimensions of vectors, image tower, and the repository with its file.
MODELS: Final = {
    "EVA-CLIP-8B": (224, 1280, _8B, "BAAI/EVA-CLIP-8B/EVA_CLIP_8B_psz14_s9B.pt"),
    "EVA-CLIP-8B-448": (448, 1280, _8B, "BAAI/EVA-CLIP-8B-448/EVA_CLIP_8B_psz14_plus_s0.6B.pt"),
    "EVA-CLIP-18B": (224, 1536, _18B, "BAAI/EVA-CLIP-18B/EVA_CLIP_18B_psz14_s6B.fp16.pt"),
}
#: The tag of the weights: the pictures that they were trained on.
TAG: Final = "merged2b"
_TEXT: Final = {"context_length": 77, "vocab_size": 49408, "width": 1280, "heads": 20, "layers": 32}
_HEAD: Final = "visual.head.weight"


def register() -> None:
    """Add the models to the registries of timm and open_clip. Repeats do nothing."""
    import open_clip

    for name, (size, dim, sizes, weights) in MODELS.items():
        if registry.has_model(name):
            continue
        tower = name.lower().replace("-", "_")
        _add_tower(tower, img_size=size, **sizes)
        # The preprocessing is that of the authors' earlier models.
        preprocessing = open_clip.get_pretrained_cfg("EVA02-E-14-plus", "laion2b_s9b_b144k")
        config = {
            "embed_dim": dim,
            "vision_cfg": {"image_size": size, "timm_model_name": tower, "timm_pool": "token", "timm_proj": None},
            "text_cfg": dict(_TEXT),
            "custom_text": True,
        }
        registry.add_model(name, config, TAG, {**preprocessing, "hf_hub": weights})


def has_authors_names(checkpoint: Path) -> bool:
    """Return whether the tensors in ``checkpoint`` have the authors' names."""
    return _HEAD in checkpoints.read_shapes(checkpoint)


def load_authors_names(model: Any, checkpoint: Path) -> None:
    """Load the authors' tensors into open_clip's ``model``. Raises RuntimeError where they do not fit."""
    import torch
    from open_clip.factory import load_state_dict

    state = load_state_dict(str(checkpoint), weights_only=True)
    # timm's projection has a bias, and theirs has none.
    state.setdefault("visual.head.bias", torch.zeros(len(state[_HEAD])))
    model.load_state_dict({name.replace("visual.", "visual.trunk.", 1): value for name, value in state.items()})


def _add_tower(name: str, **sizes: Any) -> None:
    from timm.layers import RmsNorm
    from timm.models import build_model_with_cfg, register_model
    from timm.models.eva import Eva

    def build(pretrained: bool = False, **options: Any) -> Any:
        defaults = {"patch_size": 14, "mlp_ratio": 5, "qkv_bias": False, "norm_layer": partial(RmsNorm, eps=1e-6)}
        pretrained_config = {"input_size": (3, sizes["img_size"], sizes["img_size"])}
        return build_model_with_cfg(
            Eva, name, pretrained, **{**defaults, **sizes, **options, "pretrained_cfg": pretrained_config}
        )

    build.__name__ = name  # under which timm knows it
    register_model(build)
