"""Reduced models of every kind of text tower that open_clip builds, with stand-ins for what lies on a hub."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import safetensors.torch
import torch
import transformers
from huggingface_hub import constants
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from imseek.encoders import Encoder, load
from imseek.encoders.openclip import export

TEXTS = (
    "a red apple",
    "Two  dogs &amp; a CAT",
    "naïve café \U0001f600 猫",
    "they're running; #1 of 3.14!",
    "x",
)
VISION = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16}
CLIP_TEXT = {"context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
#: What stand-in tokenizers are trained on: prose that is there on every machine.
PROSE = (json.__doc__ or "") + (np.__doc__ or "") + (np.linalg.svd.__doc__ or "")


# -- stand-ins ---------------------------------------------------------------------------------------------


def trained(model: Any, trainer: Callable[..., Any], special: Sequence[str], metaspace: bool = True) -> Tokenizer:
    tokenizer = Tokenizer(model)
    if metaspace:
        tokenizer.normalizer = normalizers.NFKC()
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
    else:
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(
        [PROSE, *TEXTS, *export.CHECK_TEXTS],
        trainer(vocab_size=400, special_tokens=list(special), show_progress=False),
    )
    return tokenizer


def unigram(special: Sequence[str]) -> Tokenizer:
    def trainer(**options: Any) -> Any:
        return trainers.UnigramTrainer(unk_token="<unk>", **options)

    return trained(models.Unigram(), trainer, special)


def ended(tokenizer: Tokenizer, template: str, special: Sequence[str]) -> Tokenizer:
    """With the special tokens around a text that ``template`` names, such as ``<s> $A </s>``."""
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[(one, tokenizer.token_to_id(one)) for one in special]
    )
    return tokenizer


def bert() -> transformers.PreTrainedTokenizerBase:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = trained(models.WordPiece(unk_token="[UNK]"), trainers.WordPieceTrainer, special, metaspace=False)
    return transformers.BertTokenizerFast(
        tokenizer_object=ended(words, "[CLS] $A [SEP]", ["[CLS]", "[SEP]"]),
        bos_token="[CLS]",
        eos_token="[SEP]",
    )


def xlm_roberta() -> transformers.PreTrainedTokenizerBase:
    words = unigram(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=ended(words, "<s> $A </s>", ["<s>", "</s>"]),
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        cls_token="<s>",
        sep_token="</s>",
    )


def t5() -> transformers.PreTrainedTokenizerBase:
    words = unigram(["<pad>", "</s>", "<unk>"])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=ended(words, "$A </s>", ["</s>"]),
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
    )


TOKENIZERS = {"bert": bert, "xlm_roberta": xlm_roberta, "t5": t5}
CONFIGURATIONS: Mapping[str, transformers.PretrainedConfig] = {
    "xlm_roberta": transformers.XLMRobertaConfig(
        vocab_size=400,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=40,
        pad_token_id=1,
    ),
    "roberta": transformers.RobertaConfig(
        vocab_size=400,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=40,
        pad_token_id=1,
    ),
    "mt5": transformers.MT5Config(vocab_size=400, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2),
    "m2m_100": transformers.M2M100Config(
        vocab_size=400,
        d_model=32,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_position_embeddings=40,
        pad_token_id=1,
        init_std=0.3,
    ),
    # Of models that are not built: their repositories hold the file all the same.
    "bert": transformers.BertConfig(),
    "t5": transformers.T5Config(),
}


@contextlib.contextmanager
def hub(folder: Path) -> Iterator[None]:
    """The hub's cache in ``folder``, laid out by hand: tokenizers trained here, configurations of small models."""
    commit = "c" * 40
    for name in {*TOKENIZERS, *CONFIGURATIONS}:
        repository = folder / f"models--org--{name}"
        (repository / "refs").mkdir(parents=True)
        (repository / "refs" / "main").write_text(commit)
        snapshot = repository / "snapshots" / commit
        snapshot.mkdir(parents=True)
        if name in TOKENIZERS:
            TOKENIZERS[name]().save_pretrained(snapshot)
        CONFIGURATIONS[name].save_pretrained(snapshot)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_CACHE", str(folder))
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        yield


# -- one model of each kind --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """A reduced configuration of one kind of text tower. ``end`` is where the exported one is cut, if it is."""

    name: str
    text: Mapping[str, Any]
    end: int | str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


def own(**options: Any) -> dict[str, Any]:
    """open_clip's transformer with a tokenizer of the hub."""
    return CLIP_TEXT | {"vocab_size": 400} | options


def huggingface(model: str, tokenizer: str, **options: Any) -> dict[str, Any]:
    names = {"hf_model_name": f"org/{model}", "hf_tokenizer_name": f"org/{tokenizer}"}
    return names | {"context_length": 20} | options


SIGLIP = own(
    hf_tokenizer_name="org/t5",
    no_causal_mask=True,
    pool_type="last",
    proj_bias=True,
    norm_kwargs={"eps": 1e-6},
    tokenizer_kwargs={"clean": "canonicalize"},
)
KINDS = {
    kind.name: kind
    for kind in (
        Kind("clip", CLIP_TEXT, "highest"),
        Kind("clip-quickgelu", CLIP_TEXT, "highest", {"quick_gelu": True}),
        Kind("pe-core", CLIP_TEXT, "highest", {"custom_text": True}),
        Kind("clip-custom-blocks", CLIP_TEXT | {"qk_norm": True}, None, {"custom_text": True}),
        Kind("clip-whitespace", CLIP_TEXT | {"tokenizer_kwargs": {"clean": "whitespace"}}, "highest"),
        Kind("mobileclip", CLIP_TEXT | {"no_causal_mask": True}, None, {"custom_text": True}),
        Kind(
            "coca",
            CLIP_TEXT | {"embed_cls": True, "output_tokens": True},
            None,
            {
                "custom_text": True,
                "multimodal_cfg": {"width": 32, "heads": 2, "layers": 1, "context_length": 20},
            },
        ),
        Kind("siglip", SIGLIP, None, {"custom_text": True}),
        Kind("siglip2", SIGLIP | {"act_kwargs": {"approximate": "tanh"}}, None, {"custom_text": True}),
        Kind("siglip-i18n", SIGLIP | {"width": 24, "proj_type": "none"}, None, {"custom_text": True}),
        Kind(
            "clipa",
            own(
                hf_tokenizer_name="org/bert",
                no_causal_mask=True,
                pool_type="last",
                tokenizer_kwargs={"strip_sep_token": True},
            ),
        ),
        Kind("worldwide", own(hf_tokenizer_name="org/xlm_roberta", pool_type="eos", eos_id=2), 2),
        Kind("xlm-roberta", huggingface("xlm_roberta", "xlm_roberta", hf_pooler_type="mean_pooler")),
        Kind(
            "coca-roberta",
            huggingface("roberta", "xlm_roberta", hf_proj_type="linear", output_tokens=True),
            None,
            {
                "custom_text": True,
                "multimodal_cfg": {"width": 32, "heads": 2, "layers": 1, "context_length": 20},
            },
        ),
        Kind("mt5", huggingface("mt5", "t5", hf_pooler_type="mean_pooler")),
        Kind(
            "nllb",
            huggingface("m2m_100", "xlm_roberta", hf_proj_type="linear", hf_pooler_type="cls_pooler"),
        ),
    )
}


@dataclass(frozen=True)
class Made:
    """A registered model with random weights in a file."""

    name: str
    reference: str
    model: Any

    def expected(self, texts: Sequence[str]) -> np.ndarray:
        """(n, dim): what open_clip's tokenizer and tower give."""
        with torch.inference_mode():
            tokens = open_clip.get_tokenizer(self.name)(list(texts))
            return self.model.encode_text(tokens, normalize=True).numpy()  # type: ignore[no-any-return]


def register(kind: Kind, folder: Path) -> Made:
    """Tell open_clip of ``kind``'s configuration, and write random weights into ``folder``."""
    name = f"imseek-text-{kind.name}"
    config = {"embed_dim": 24, "vision_cfg": VISION, "text_cfg": dict(kind.text), **kind.more}
    (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / f"{name}.json")
    torch.manual_seed(3)
    model = open_clip.create_model(name, pretrained_text=False).eval()
    weights = folder / f"{name}.safetensors"
    safetensors.torch.save_model(model, str(weights))
    return Made(name, f"openclip:{name}@{weights}", model)


def light(encoder: Encoder) -> Encoder:
    """The encoder of a query by words, which finds what ``encoder`` exported."""
    return load(encoder.info.reference, modalities=("text",), fingerprint=encoder.fingerprint())
