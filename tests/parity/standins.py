"""Tokenizers and text configurations that live on the hub: others of the same class, made here.

They are laid out as the hub's cache has them, under the true names, so that the same code loads them. Ids of
special tokens are those of the true ones, since some text towers pool by them. Two trainings need not give the
same vocabulary.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

COMMIT = "5" * 40

# What the vocabularies are learnt from, and what the texts of parity checks are made of.
CORPUS = (
    "a red apple on a wooden table",
    "two dogs and a cat in the snow",
    "the quick brown fox jumps over the lazy dog",
    "naïve café, Straße, İstanbul",
    "ein Hund läuft über die Wiese",
    "собака бежит по траве",
    "猫と犬がいる",
    "50% of #hashtags & co.",
)


def snapshot(cache: Path, repository: str) -> Path:
    """The folder of ``repository`` in the hub's cache at ``cache``, made if it is not there."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    files = folder / "snapshots" / COMMIT
    files.mkdir(parents=True, exist_ok=True)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text(COMMIT)
    return files


def write(cache: Path, repository: str, text_model: dict[str, Any] | None = None) -> int:
    """Make the stand-in of ``repository`` and return how many tokens it has.

    ``text_model`` holds sizes for the configuration of its text model, where open_clip builds one from it.
    """
    files = snapshot(cache, repository)
    made = tokenizer(repository)
    made.save_pretrained(files)
    if repository.startswith("timm/"):  # holds no such file: what the hub's client leaves in its cache then
        absent = files.parents[1] / ".no_exist" / COMMIT / "config.json"
        absent.parent.mkdir(parents=True, exist_ok=True)
        absent.touch()
    else:
        _text_config(repository, len(made), text_model or {}).save_pretrained(files)
    return len(made)


def tokenizer(repository: str) -> Any:
    """A tokenizer of the class of the one in ``repository``."""
    return _TOKENIZERS[repository]()


def _bert() -> Any:
    from transformers import BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    text = " ".join(CORPUS).lower()
    letters = sorted(set(text) - {" "})
    words += letters + [f"##{letter}" for letter in letters] + sorted({w for w in text.split() if w.isalpha()})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "vocab.txt")
        path.write_text("\n".join(dict.fromkeys(words)), "utf-8")
        return BertTokenizerFast(str(path), model_max_length=512)


def _xlm_roberta() -> Any:
    from transformers import XLMRobertaTokenizerFast

    return XLMRobertaTokenizerFast(vocab=_unigram("<s>", "<pad>", "</s>", "<unk>", "<mask>"))


def _t5(**options: Any) -> Any:
    from transformers import T5TokenizerFast

    return T5TokenizerFast(vocab=_unigram("<pad>", "</s>", "<unk>"), extra_ids=0, **options)


def _siglip() -> Any:
    return _t5(pad_token="</s>")


def _gemma() -> Any:
    from transformers import GemmaTokenizerFast

    vocabulary, merges = bpe("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")
    return GemmaTokenizerFast(vocabulary, merges, padding_side="right", add_bos_token=False, add_eos_token=True)


def _nllb() -> Any:
    from transformers import NllbTokenizerFast

    return NllbTokenizerFast(*bpe("<s>", "<pad>", "</s>", "<unk>"), src_lang="eng_Latn")


_TOKENIZERS: dict[str, Callable[[], Any]] = {
    "bert-base-uncased": _bert,
    "facebook/nllb-200-distilled-600M": _nllb,
    "facebook/xlm-v-base": _xlm_roberta,
    "google/mt5-base": _t5,
    "timm/ViT-B-16-SigLIP": _siglip,
    "timm/ViT-B-16-SigLIP2-256": _gemma,
    "xlm-roberta-base": _xlm_roberta,
}


def _text_config(repository: str, tokens: int, sizes: dict[str, Any]) -> Any:
    from transformers import BertConfig, M2M100Config, MT5Config, XLMRobertaConfig

    kind, options = {
        "bert-base-uncased": (BertConfig, {}),
        "facebook/nllb-200-distilled-600M": (
            M2M100Config,
            {"max_position_embeddings": 1024, "activation_function": "relu"},
        ),
        "facebook/xlm-v-base": (XLMRobertaConfig, {}),
        "google/mt5-base": (MT5Config, {}),
        "xlm-roberta-base": (
            XLMRobertaConfig,
            {"max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5},
        ),
    }[repository]
    return kind(**{"vocab_size": tokens, **options, **sizes})


def _unigram(*special: str) -> list[tuple[str, float]]:
    from tokenizers.implementations import SentencePieceUnigramTokenizer

    tokenizer = SentencePieceUnigramTokenizer()
    tokenizer.train_from_iterator(
        CORPUS * 20, vocab_size=300, special_tokens=list(special), unk_token="<unk>", show_progress=False
    )
    pieces: Sequence[tuple[str, float]] = json.loads(tokenizer.to_str())["model"]["vocab"]
    return [(piece, score) for piece, score in pieces]


def bpe(*special: str) -> tuple[dict[str, int], list[tuple[str, str]]]:
    from tokenizers.implementations import SentencePieceBPETokenizer

    tokenizer = SentencePieceBPETokenizer()
    tokenizer.train_from_iterator(CORPUS * 20, vocab_size=400, special_tokens=list(special), show_progress=False)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [(left, right) for left, right in model["merges"]]
