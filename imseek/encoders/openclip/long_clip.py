"""Long-CLIP: OpenAI's models fine-tuned for texts of up to 248 tokens (Zhang et al. 2024, "Long-CLIP").

Its checkpoints have two tables of position embeddings: the first 20 positions are taken from CLIP's own, which training
left as they were, all others from ``positional_embedding_res``, stretched and trained. open_clip has one table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from imseek.encoders import checkpoint as checkpoints
from imseek.encoders.openclip import registry

#: Models by our name: open_clip's architecture, and the repository with the name of the file there.
MODELS: Final = {
    "LongCLIP-B-32": ("ViT-B-32-quickgelu", "BeichenZhang/LongCLIP-B-32/longclip-B-32.pt"),
    "LongCLIP-B": ("ViT-B-16-quickgelu", "BeichenZhang/LongCLIP-B/longclip-B.pt"),
    "LongCLIP-L": ("ViT-L-14-quickgelu", "BeichenZhang/LongCLIP-L/longclip-L.pt"),
}
#: The tag of the weights: the captions of their fine-tuning.
TAG: Final = "sharegpt4v"
CONTEXT_LENGTH: Final = 248
_UNCHANGED: Final = 20
_STRETCHED: Final = "positional_embedding_res"


def register() -> None:
    """Add the models to open_clip's registries, where they are then found like its own. Repeats do nothing."""
    import open_clip

    for name, (architecture, weights) in MODELS.items():
        if not registry.has_model(name):
            config = open_clip.get_model_config(architecture)
            config["text_cfg"]["context_length"] = CONTEXT_LENGTH
            # The preprocessing is that of the models that they were made from.
            preprocessing = open_clip.get_pretrained_cfg(architecture, "openai")
            registry.add_model(name, config, TAG, {**preprocessing, "hf_hub": weights})


def is_stretched(checkpoint: Path) -> bool:
    """Return whether the weights in ``checkpoint`` have the second table of position embeddings."""
    return _STRETCHED in checkpoints.read_shapes(checkpoint)


def load_stretched(model: Any, checkpoint: Path) -> None:
    """Load the weights of Long-CLIP into open_clip's ``model``. Raises RuntimeError where they do not fit."""
    import torch
    from open_clip.factory import load_state_dict

    state = load_state_dict(str(checkpoint), weights_only=True)
    original, stretched = state["positional_embedding"], state.pop(_STRETCHED)
    state["positional_embedding"] = torch.cat([original[:_UNCHANGED], stretched[_UNCHANGED:]])
    model.load_state_dict(state)
