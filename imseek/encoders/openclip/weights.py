"""Weights of an open_clip model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from imseek.encoders import hub
from imseek.encoders.openclip.source import Source
from imseek.encoders.weights import MISMATCH_ERRORS, LazyModel, check_position_embeddings, wrong_weights

# Settings that change vectors but leave no trace in the tensors: models that differ only here are different encoders.
_UNTRACED_SETTINGS: Final = {
    "vision_cfg": (
        "act_kwargs", "final_ln_after_pool", "head_width", "heads", "norm_kwargs", "pool_type", "timm_model_name",
        "timm_pool", "timm_proj",
    ),
    "text_cfg": (
        "act_kwargs", "context_length", "embed_cls", "eos_id", "final_ln_after_pool", "heads", "hf_model_name",
        "hf_pooler_type", "hf_tokenizer_name", "no_causal_mask", "norm_kwargs", "pad_id", "pool_type",
        "tokenizer_kwargs",
    ),
}  # fmt: skip


class Weights(LazyModel):
    """Loads one source's model, dropping the image tower, the larger part, where ``modalities`` lack "image"."""

    def __init__(self, source: Source, modalities: Sequence[str]) -> None:
        record = {
            "preprocessing": source.preprocessing.record(),
            "quick_gelu": bool(source.config.get("quick_gelu")),
            "architecture": _untraced_settings(source.config),
        }
        super().__init__(
            source.reference,
            source.checkpoint,
            record,
            lambda: _build(source),
            drop=None if "image" in modalities else "visual",
        )


def _untraced_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Select the settings of ``config`` that the tensors do not reflect."""
    return {
        part: {name: config[part][name] for name in names if name in config[part]}
        for part, names in _UNTRACED_SETTINGS.items()
    }


def _build(source: Source) -> Any:
    """Build open_clip's model in float32 on the CPU."""
    import open_clip

    try:
        with hub.offline():  # load exactly what `locate` found
            model = open_clip.create_model(
                source.model,
                pretrained=source.pretrained,
                precision="fp32",
                device="cpu",
                require_pretrained=True,
            )
    except MISMATCH_ERRORS as error:
        raise wrong_weights(source.checkpoint, source.model, error) from error
    if "@" in source.reference:  # only the user says that the two belong together
        check_position_embeddings(source.checkpoint, source.model, model.state_dict())
    return model.eval()
