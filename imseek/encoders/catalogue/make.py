"""Write weights.json, the libraries' data on encoders: ``make catalogue``.

Builds architectures on torch's meta device, which knows shapes and holds no numbers, to count their parameters and the
operations per picture and per text. Downloads nothing; the few facts that only the hub has are data below.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from imseek.encoders.catalogue import DATA, FILES, OPEN_CLIP_FILES, TRANSFORMERS
from imseek.encoders.openclip.source import is_trained_with, register_models, weights_of
from imseek.encoders.transformers_models import FAMILIES

#: Configurations of the transformers text towers that open_clip's configurations name.
TEXT_TOWERS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "roberta-base": (
        "roberta",
        {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1},
    ),
    "xlm-roberta-base": (
        "xlm-roberta",
        {"vocab_size": 250002, "max_position_embeddings": 514, "type_vocab_size": 1},
    ),
    "xlm-roberta-large": (
        "xlm-roberta",
        {
            "vocab_size": 250002,
            "max_position_embeddings": 514,
            "type_vocab_size": 1,
            "hidden_size": 1024,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "intermediate_size": 4096,
        },
    ),
    "facebook/nllb-200-distilled-600M": (
        "m2m_100",
        {"vocab_size": 256206, "d_model": 1024, "encoder_layers": 12, "encoder_ffn_dim": 4096},
    ),
    "facebook/nllb-200-distilled-1.3B": (
        "m2m_100",
        {"vocab_size": 256206, "d_model": 1024, "encoder_layers": 24, "encoder_ffn_dim": 8192},
    ),
}

#: Repositories of open_clip models missing from its registry: their configuration and the bytes per number in the file.
#: TinyCLIP: microsoft/Cream, TinyCLIP/src/open_clip/model_configs.
HUB_MODELS: Final[Mapping[str, tuple[Mapping[str, Any], int]]] = {
    "timm/vit_medium_patch32_clip_224.tinyclip_laion400m": (
        {
            "embed_dim": 512,
            "vision_cfg": {"image_size": 224, "layers": 12, "width": 512, "patch_size": 32},
            "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 6},
        },
        2,
    )
}


def _towers(text: tuple[int, int, int], image: tuple[int, int, int], ratio: float = 4) -> dict[str, dict[str, Any]]:
    """Configure a text and an image tower by width, layers and heads."""
    return {
        name: {
            "hidden_size": width,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "intermediate_size": round(width * ratio),
        }
        for name, (width, layers, heads) in (("text_config", text), ("vision_config", image))
    }


def _naflex(width: int, layers: int, heads: int, ratio: float = 4) -> tuple[str, dict[str, Any]]:
    towers = _towers((width, layers, heads), (width, layers, heads), ratio)
    towers["text_config"]["vocab_size"] = 256000
    return "siglip2", towers


def _tips(text: tuple[int, int, int], image: tuple[int, int, int], ratio: float = 4) -> tuple[str, dict[str, Any]]:
    towers = _towers(text, image, ratio)
    del towers["vision_config"]["intermediate_size"]
    # The largest has gates in its image tower, of which transformers reduces the width by itself.
    towers["vision_config"] |= {"mlp_ratio": ratio, "use_swiglu_ffn": image[0] == 1536}
    return "tipsv2", towers


def _worldwide(width: int, image: tuple[int, int, int], patch: int, vocabulary: int) -> tuple[str, dict[str, Any]]:
    towers = _towers((width, 12, width // 64), image)
    towers["text_config"] |= {"vocab_size": vocabulary, "max_position_embeddings": 77}
    towers["vision_config"] |= {"image_size": 224, "patch_size": patch}
    return "metaclip_2", {**towers, "projection_dim": width}


_SMALL, _MEDIUM, _BASE, _LARGE, _SO400M = (384, 12, 6), (512, 12, 8), (768, 12, 12), (1024, 24, 16), (1152, 27, 16)
_XLM_V, _MT5 = 901629, 250000

#: Repositories of transformers: the kind of model, and its configuration.
#: SigLIP 2: google/siglip2-base-patch16-512's, and open_clip's ViT-SO400M-16-SigLIP2-256. TIPSv2: config.json of the
#: repositories. Meta CLIP 2: facebookresearch/MetaCLIP, src/mini_clip/model_configs/*-worldwide.json.
TRANSFORMERS_MODELS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "kakaobrain/align-base": ("align", {}),  # the defaults are its own
    "google/siglip2-base-patch16-naflex": _naflex(*_BASE),
    "google/siglip2-so400m-patch16-naflex": _naflex(*_SO400M, ratio=4304 / 1152),
    "google/tipsv2-b14": _tips(_BASE, _BASE),
    "google/tipsv2-l14": _tips((1024, 12, 16), _LARGE),
    "google/tipsv2-so400m14": _tips(_SO400M, _SO400M, ratio=4304 / 1152),
    "google/tipsv2-g14": _tips((1536, 12, 24), (1536, 40, 24)),
    "facebook/metaclip-2-worldwide-s16": _worldwide(384, _SMALL, 16, _XLM_V),
    "facebook/metaclip-2-worldwide-m16": _worldwide(512, _MEDIUM, 16, _XLM_V),
    "facebook/metaclip-2-worldwide-b32": _worldwide(512, _BASE, 32, _XLM_V),
    "facebook/metaclip-2-worldwide-b16": _worldwide(512, _BASE, 16, _XLM_V),
    "facebook/metaclip-2-worldwide-l14": _worldwide(768, _LARGE, 14, _XLM_V),
    "facebook/metaclip-2-mt5-worldwide-s16": _worldwide(384, _SMALL, 16, _MT5),
    "facebook/metaclip-2-mt5-worldwide-m16": _worldwide(512, _MEDIUM, 16, _MT5),
    "facebook/metaclip-2-mt5-worldwide-b32": _worldwide(512, _BASE, 32, _MT5),
}
# Pixels a side of what their image processors make; for NaFlex, of a square picture.
_PIXELS: Final = {"align": 289, "siglip2": 256, "tipsv2": 448, "metaclip_2": 224}

_DINO_V3: Final = [
    *(f"convnext_{size}.dinov3_lvd1689m" for size in ("tiny", "small", "base", "large")),
    *(f"vit_{size}_patch16_dinov3.lvd1689m" for size in ("small", "small_plus", "base", "large", "huge_plus", "7b")),
]
_DINO_V2: Final = [
    f"vit_{size}_patch14_{registers}dinov2.lvd142m"
    for registers in ("", "reg4_")
    for size in ("small", "base", "large", "giant")
]


def rows() -> list[dict[str, Any]]:
    """List every encoder with trained weights, in catalogue order."""
    import open_clip
    from open_clip.pretrained import list_pretrained

    register_models()
    found = []
    for model, tag in list_pretrained():
        if not is_trained_with(model, tag):
            continue  # the registry also lists these weights under the model with their activation
        repository, files = weights_of(open_clip.get_pretrained_cfg(model, tag))
        config = open_clip.get_model_config(model)
        width = 2 if ".fp16." in files[-1] else 4
        found.append(_row(f"openclip:{model}/{tag}", repository, files, config, width=width))
    for repository, (config, width) in HUB_MODELS.items():
        found.append(_row(f"hf-hub:{repository}", repository, OPEN_CLIP_FILES, config, width=width))
    found += [_transformers(repository) for repository in TRANSFORMERS_MODELS]
    return found + [_timm(name) for name in (*_DINO_V2, *_DINO_V3)]


def add_counts(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Add the counts of each architecture to ``rows``, building each once. All of them take minutes."""
    known: dict[str, dict[str, Any]] = {}
    for row in rows:
        reference = row["reference"]
        config = _config(reference)
        # The activation function changes no count.
        key = reference if config is None else json.dumps({**config, "quick_gelu": None}, sort_keys=True)
        if key not in known:
            known[key] = _count_elsewhere(reference) if config is None else count(config)
        width = row.pop("bytes_per_number")
        yield {**row, **known[key], "download_bytes": width * known[key]["all_parameters"]}


def count(config: Mapping[str, Any]) -> dict[str, Any]:
    """Count the parameters and operations of an open_clip configuration.

    ``all_parameters`` are those of the weights file; ``gflops`` are 10⁹ multiplications and additions for one picture
    and for one text of full length.
    """
    import torch
    from open_clip.coca_model import CoCa
    from open_clip.model import CLIP, CustomTextCLIP

    kind = CoCa if "multimodal_cfg" in config else CLIP
    if kind is CLIP and (config.get("custom_text") or "hf_model_name" in config["text_cfg"]):
        kind = CustomTextCLIP
    arguments = {key: dict(value) if isinstance(value, Mapping) else value for key, value in config.items()}
    arguments.pop("custom_text", None)
    if "hf_model_name" in config["text_cfg"]:
        arguments["text_cfg"]["hf_model_pretrained"] = False
    with _offline_text_configs(), torch.device("meta"):
        model = kind(**arguments).eval()
        size = config["vision_cfg"].get("image_size", 224)
        image = torch.empty(1, 3, size, size)
        text = torch.zeros(1, config["text_cfg"].get("context_length", 77), dtype=torch.long)
        # Leave out the pooling of a transformers tower, which depends on values; it is a thousandth of the work.
        encode = model.text.transformer if "hf_model_name" in config["text_cfg"] else model.encode_text
        of_picture, of_text = _gflops(lambda: model.visual(image)), _gflops(lambda: encode(text))
    total, of_image = _parameters(model), _parameters(model.visual)
    decoder = getattr(model, "text_decoder", None)  # CoCa's caption decoder
    # Outside both towers there are only single numbers: the logit scale, and SigLIP's bias.
    rest = _scalars(model) + (0 if decoder is None else _parameters(decoder))
    return {
        "image_parameters": of_image,
        "text_parameters": total - of_image - rest,
        "all_parameters": total,
        "image_gflops": of_picture,
        "text_gflops": of_text,
    }


def write(path: Path) -> None:
    """Write one row per line, so that diffs show what changed in the libraries."""
    lines = [json.dumps(row, ensure_ascii=False) for row in add_counts(rows())]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def _row(
    reference: str, repository: str, files: tuple[str, ...], config: Mapping[str, Any], *, width: int = 4
) -> dict[str, Any]:
    text = config["text_cfg"]
    return {
        "reference": reference,
        "repository": repository,
        "files": list(files),
        "dim": config["embed_dim"],
        "image_size": config["vision_cfg"].get("image_size", 224),
        "context_length": text.get("context_length", 77),
        "tokenizer": text.get("hf_tokenizer_name", "open_clip"),
        "bytes_per_number": width,
    }


def _config(reference: str) -> Mapping[str, Any] | None:
    """Return open_clip's configuration, or None for an encoder that it does not know."""
    import open_clip

    scheme, _, rest = reference.partition(":")
    if scheme == "openclip":
        config: Mapping[str, Any] = open_clip.get_model_config(rest.partition("/")[0])
        return config
    return HUB_MODELS[rest][0] if scheme == "hf-hub" else None


def _count_elsewhere(reference: str) -> dict[str, Any]:
    scheme, _, name = reference.partition(":")
    return _count_transformers(name) if scheme in TRANSFORMERS else _count_timm(name)


def _transformers(repository: str) -> dict[str, Any]:
    kind, config = TRANSFORMERS_MODELS[repository]
    family = FAMILIES[kind]
    scheme = "align" if kind == "align" else "transformers"
    return {
        "reference": f"{scheme}:{repository}",
        "repository": repository,
        "files": list(FILES),
        "dim": family.dim_of(_config_of(kind, config)),
        "image_size": _PIXELS[kind],
        "context_length": family.context_length,
        "tokenizer": repository,
        "bytes_per_number": 4,
    }


def _count_transformers(repository: str) -> dict[str, Any]:
    import torch
    from transformers import AutoModel

    kind, sizes = TRANSFORMERS_MODELS[repository]
    family = FAMILIES[kind]
    with torch.device("meta"):
        model = AutoModel.from_config(_config_of(kind, sizes)).eval()
        side = _PIXELS[kind]
        image = {"pixel_values": torch.empty(1, 3, side, side)}
        text = torch.zeros(1, family.context_length or 0, dtype=torch.long)
    if kind == "siglip2":  # with all 256 patches; the grid has to be real, since its values are looked at
        image = {
            "pixel_values": torch.empty(1, 256, 16 * 16 * 3, device="meta"),
            "pixel_attention_mask": None,
            "spatial_shapes": torch.tensor([[16, 16]]),
        }
    total = _parameters(model)
    of_image = sum(
        _parameters(getattr(model, name, torch.nn.Identity())) for name in ("vision_model", "visual_projection")
    )
    with _without_values():
        of_text = _gflops(lambda: model.get_text_features(text))
    return {
        "image_parameters": of_image,
        "text_parameters": total - of_image - _scalars(model),
        "all_parameters": total,
        "image_gflops": _gflops(lambda: model.get_image_features(**image)),
        "text_gflops": of_text,
    }


def _config_of(kind: str, sizes: Mapping[str, Any]) -> Any:
    from transformers import AutoConfig

    return AutoConfig.for_model(kind, **copy.deepcopy(dict(sizes)))


def _timm(name: str) -> dict[str, Any]:
    import timm

    config = timm.get_pretrained_cfg(name)
    return {
        "reference": f"timm:{name}",
        "repository": config.hf_hub_id,
        "files": list(FILES),
        "dim": _timm_model(name).num_features,
        "image_size": config.input_size[-1],
        "context_length": None,
        "tokenizer": None,
        "bytes_per_number": 4,
    }


def _timm_model(name: str) -> Any:
    import timm
    import torch

    with torch.device("meta"):
        return timm.create_model(name, pretrained=False, num_classes=0).eval()


def _count_timm(name: str) -> dict[str, Any]:
    import timm
    import torch

    model = _timm_model(name)
    image = torch.empty(1, *timm.get_pretrained_cfg(name).input_size, device="meta")
    return {
        "image_parameters": _parameters(model),
        "text_parameters": None,
        "all_parameters": _parameters(model),
        "image_gflops": _gflops(lambda: model(image)),
        "text_gflops": None,
    }


@contextlib.contextmanager
def _offline_text_configs() -> Iterator[None]:
    """Make transformers take the configurations of text towers from this module instead of the hub."""
    from transformers import AutoConfig

    def from_here(name: str) -> Any:
        kind, arguments = TEXT_TOWERS[name]
        return AutoConfig.for_model(kind, **arguments)

    with patch("open_clip.hf_model.AutoConfig.from_pretrained", from_here):
        yield


@contextlib.contextmanager
def _without_values() -> Iterator[None]:
    """Keep transformers from looking at the values of token ids and masks, which are not there."""
    from transformers import PreTrainedModel, masking_utils

    with (
        patch.object(PreTrainedModel, "warn_if_padding_and_no_attention_mask"),
        patch.object(masking_utils, "_ignore_bidirectional_mask_sdpa", return_value=True),
    ):
        yield


def _parameters(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _scalars(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters(recurse=False) if parameter.numel() == 1)


def _gflops(run: Any) -> float:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    torch.backends.mha.set_fastpath_enabled(False)  # a fused encoder layer is one operation that the counter misses
    try:
        counter = FlopCounterMode(display=False)
        with counter:
            run()
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    return float(f"{counter.get_total_flops() / 1e9:.4g}")


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA)
