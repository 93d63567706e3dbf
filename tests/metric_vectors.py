"""Vectors made from a seed, on which metrics are compared: by test_parity_metrics.py and bench/parity_metrics.py."""

from __future__ import annotations

import numpy as np

from imseek.types.arrays import Float32

KS = (1, 5, 10, 50)
#: Pictures, dimensions, how noisy captions and classes are, seed.
CASES = ((300, 64, 2.5, 0), (1000, 512, 15.0, 1), (57, 16, 2.5, 2))


def captioned_vectors(pictures: int, dim: int, noise: float, seed: int) -> tuple[Float32, Float32, np.ndarray]:
    """Unit rows of pictures, of their captions (one to five each), and which picture each caption is of."""
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((20, dim))
    images = centres[generator.integers(0, 20, pictures)] + generator.standard_normal((pictures, dim))
    owner = np.repeat(np.arange(pictures), generator.integers(1, 6, pictures))
    texts = images[owner] + noise * generator.standard_normal((len(owner), dim))
    return unit(images), unit(texts), owner


def class_vectors(pictures: int, dim: int, noise: float, seed: int) -> tuple[Float32, np.ndarray, Float32]:
    """Unit rows of pictures, which of twelve classes each is of (some are rare), and three prompts of each class,
    (12, 3, dim)."""
    generator = np.random.default_rng(seed + 100)
    classes = 12
    weights = generator.standard_normal((classes, dim))
    truth = np.minimum(generator.integers(0, classes, pictures), generator.integers(0, classes, pictures))
    images = unit(weights[truth] + (noise + 0.5) * generator.standard_normal((pictures, dim)))
    prompts = unit(np.repeat(weights, 3, axis=0) + 0.3 * generator.standard_normal((3 * classes, dim)))
    return images, truth, prompts.reshape(classes, 3, dim)


def unit(rows: np.ndarray) -> Float32:
    found: Float32 = (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)
    return found
