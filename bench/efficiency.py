"""Share of an image tower's forward pass that its matrix products take.

    python bench/efficiency.py [MODEL …] [--precision bf16] [--threads 1] [--batch 16]

The products of one forward pass (linear layers, convolutions, the two of attention) are recorded with their
operands, then run alone, one after the other, on the same operands in the same precision. Their time over that of
the whole pass is the efficiency; the rest of the time goes to normalisation, activations, softmax and copies.
Forward passes and products take turns; the least time of each counts. With one thread it is processor time, so
that other programs disturb less. Weights are random: they do not matter to speed.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import numpy as np
import recorder
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from imseek.encoders.preprocess import Preprocessing
from imseek.encoders.torch_images import with_normalisation

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
ROUNDS = 7
Call = Callable[[], object]


class Products(TorchDispatchMode):
    """While entered, record every matrix product that runs, ready to run again."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name == "bmm" and args[1].stride(0) == 0:
            # A linear layer on a transposed batch; without this mode, one product with the weight runs.
            rows, weight = args[0].reshape(-1, args[0].shape[2]), args[1][0]
            self.calls.append(lambda: torch.mm(rows, weight))
        elif name in ("mm", "addmm", "bmm", "baddbmm", "convolution"):
            self.calls.append(lambda: func(*args, **(kwargs or {})))
        elif name.startswith("_scaled_dot_product"):
            query, key, value = (
                # As matrices of one batch, the form that products are fastest in.
                operand.reshape(-1, *operand.shape[-2:]).contiguous()
                for operand in args[:3]
            )
            shares = torch.rand((*query.shape[:2], key.shape[1])).to(query.dtype)
            self.calls.append(lambda: torch.bmm(query, key.transpose(1, 2)))
            self.calls.append(lambda: torch.bmm(shares, value))
        return func(*args, **(kwargs or {}))


def efficiency(tower: torch.nn.Module, pixels: torch.Tensor) -> tuple[float, float]:
    """Seconds of a forward pass of ``tower`` over ``pixels``, and of its products alone."""
    one_thread = torch.get_num_threads() == 1
    clock = time.process_time if one_thread else time.perf_counter
    products = Products()
    with torch.no_grad(), unfused_attention(), products:  # in inference mode, linear layers show as a whole
        tower(pixels)
    forward, alone = [], []
    with torch.inference_mode():
        for _ in range(ROUNDS + 1):  # the first warms up
            start = clock()
            tower(pixels)
            middle = clock()
            for call in products.calls:
                call()
            forward.append(middle - start)
            alone.append(clock() - middle)
    return min(forward[1:]), min(alone[1:])


@contextmanager
def unfused_attention() -> Any:
    """torch's fused attention layer hides its products from a dispatch mode; it is timed, but not recorded."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def main() -> None:
    import open_clip

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["ViT-B-32-256", "ViT-B-16-SigLIP2-256"], metavar="MODEL")
    parser.add_argument("--precision", choices=DTYPES, action="append", help="default: fp32 and bf16")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=16)
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # open_clip's, that weights are random
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {options.threads} threads, batches of {options.batch}\n")
    print("| model (random weights) | precision | images/s | forward, ms/image | products alone | efficiency |")
    print("|---|---|---|---|---|---|")
    for name in options.models:
        for precision in options.precision or ["fp32", "bf16"]:
            visual = open_clip.create_model(name, load_weights=False).visual
            size = visual.image_size if isinstance(visual.image_size, int) else visual.image_size[0]
            record = Preprocessing(size, "squash", "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
            module = visual.to(DTYPES[precision], memory_format=torch.channels_last)
            random = np.random.default_rng(0).integers(0, 256, (options.batch, size, size, 3), dtype=np.uint8)
            forward, alone = efficiency(with_normalisation(module, record), torch.from_numpy(random))
            per_image = [1000 * seconds / options.batch for seconds in (forward, alone)]
            cells = [name, precision, f"{1000 / per_image[0]:.1f}", *(f"{ms:.1f}" for ms in per_image)]
            print(f"| {' | '.join(cells)} | {alone / forward:.2f} |", flush=True)
            recorder.add_row(
                "models",
                model=name,
                precision=precision,
                threads=options.threads,
                images_per_s=1000 / per_image[0],
                forward_ms=per_image[0],
                products_ms=per_image[1],
                efficiency=alone / forward,
            )


if __name__ == "__main__":
    sys.exit(recorder.run(main))
