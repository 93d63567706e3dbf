"""A reduced model of pictures and texts, as sentence-transformers saves it in a folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize, Transformer

from imseek.types.arrays import Float32, Pixels
from parity.transformers_families import BY_KIND, write


def save(folder: Path, *, matryoshka: list[int] | None = None) -> str:
    """Save Meta CLIP 2's reduced towers as modules; returns the reference."""
    base = folder.with_name(f"{folder.name}-base")
    base.mkdir()
    write(BY_KIND["metaclip_2"], base)
    settings = json.loads((base / "tokenizer_config.json").read_text())
    (base / "tokenizer_config.json").write_text(json.dumps({**settings, "model_max_length": 77}))
    SentenceTransformer(modules=[Transformer(str(base)), Normalize()]).save(str(folder))
    if matryoshka is not None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "matryoshka_dimensions": matryoshka}))
    return f"local-dir:{folder}"


def library_vectors(folder: Path, pictures: list[Pixels], texts: list[str]) -> tuple[Float32, Float32]:
    """Unit rows of the library's own ``encode``."""
    library = SentenceTransformer(str(folder), local_files_only=True)
    images = library.encode([Image.fromarray(one) for one in pictures], normalize_embeddings=True)
    return np.asarray(images), np.asarray(library.encode(texts, normalize_embeddings=True))
