"""ALIGN with random weights, as transformers saves it, and transformers' own vectors of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from transformers import AlignConfig, AlignModel, AlignProcessor, AutoTokenizer, EfficientNetImageProcessor
from transformers.models.efficientnet.image_processing_pil_efficientnet import EfficientNetImageProcessorPil
from transformers.utils import logging

from imseek.types.arrays import Float32, Pixels
from parity import standins

#: The processor of the published weights, as transformers' conversion script wrote it.
PROCESSOR: Final[dict[str, Any]] = {
    "do_center_crop": True,
    "rescale_factor": 1 / 127.5,
    "rescale_offset": True,
    "do_normalize": False,
    "include_top": False,
    "resample": 2,
}
TEMPERATURE: Final = 0.05

_REDUCED: Final[dict[str, Any]] = {
    "text_config": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
    },
    "vision_config": {"width_coefficient": 0.2, "depth_coefficient": 0.3, "hidden_dim": 64},
    "projection_dim": 64,
}


def write(folder: Path, *, true_size: bool = False) -> int:
    """Save a model of the published configuration, or a reduced one; returns its number of parameters."""
    tokenizer = standins.tokenizer("bert-base-uncased")
    tokenizer.model_max_length = 64
    tokenizer.save_pretrained(folder)
    EfficientNetImageProcessor(**PROCESSOR).save_pretrained(folder)
    config = AlignConfig(**({} if true_size else _REDUCED))
    config.text_config.vocab_size = max(len(tokenizer), 30522 if true_size else 0)
    torch.manual_seed(4)
    model = AlignModel(config)
    with torch.no_grad():
        model.temperature.fill_(TEMPERATURE)
        for parameter in model.parameters():
            if parameter.ndim > 1:  # as transformers starts them, every picture gets the same vector
                torch.nn.init.kaiming_normal_(parameter)
    logging.disable_progress_bar()
    model.save_pretrained(folder)
    logging.enable_progress_bar()
    return sum(parameter.numel() for parameter in model.parameters())


def library_vectors(folder: Path, pictures: list[Pixels], texts: list[str]) -> tuple[Float32, Float32]:
    """Unit rows of transformers' own processor and model, which normalises both sides in ``forward``.

    The processor is the one on Pillow, as it was when the weights were published. (On torchvision, the default
    since transformers 5, pixels differ by up to one step in 255.)
    """
    model = AlignModel.from_pretrained(folder).eval()
    images = EfficientNetImageProcessorPil.from_pretrained(folder)
    processor = AlignProcessor(images, AutoTokenizer.from_pretrained(folder))
    inputs = processor(images=[Image.fromarray(picture) for picture in pictures], text=texts, return_tensors="pt")
    with torch.inference_mode():
        outputs = model(**inputs)
    return np.asarray(outputs.image_embeds), np.asarray(outputs.text_embeds)
