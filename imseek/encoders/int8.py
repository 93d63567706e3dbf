"""Image towers in int8, on onnxruntime.

Weights of matrix products become int8 with one scale per output channel; their inputs become uint8 with one scale per
picture, computed each time (onnxruntime's dynamic quantisation). Everything else stays in float32. Static scales from
other pictures were no faster and less accurate (docs/log.md).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from imseek.encoders.cache import build_once, cache_dir
from imseek.encoders.device import this_machine
from imseek.encoders.exported_images import write_network
from imseek.encoders.input_checks import available_cpus
from imseek.encoders.onnx_network import Network
from imseek.encoders.preprocess import Preprocessing
from imseek.encoders.runtime import Runtime
from imseek.errors import EncoderError
from imseek.types.arrays import Float32, Pixels

if TYPE_CHECKING:
    import torch

# Increase it when the written files change; files with another number are ignored.
_REVISION: Final = 1
_FLOAT: Final = "float.onnx"
_FOLDED: Final = "folded.onnx"
_NETWORK: Final = "int8.onnx"
_QUANTISED: Final = ("MatMul", "Gemm")


class Int8Images:
    """An image tower in int8. Thread-safe.

    Its first use on a machine writes the network to the cache folder, which needs torch and takes seconds to minutes.
    Later processes do not call ``module``.
    """

    def __init__(
        self,
        module: Callable[[], torch.nn.Module],
        fingerprint: str,
        preprocessing: Preprocessing,
        runtime: Runtime,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        """Load the network, converting it first if necessary.

        ``module`` and ``notify`` are as for :class:`imseek.encoders.image_tower.ImageTower`. Raises EncoderError for a
        network that does not consist mostly of matrix products, and EncoderUnavailableError where the cache cannot be
        written.
        """
        # Without VNNI, sums of two products of bytes overflow unless weights have 7 bits.
        seven_bits = this_machine().int8_saturates
        name = f"int8-{fingerprint[:32]}-{'7bit-' if seven_bits else ''}{_REVISION}"

        def make(empty: Path) -> None:
            if notify is not None:
                notify("making the int8 form of the image tower, once; this takes seconds to minutes")
            _make(empty, module(), preprocessing, seven_bits=seven_bits)

        folder = build_once(cache_dir() / "encoders" / name, make)
        self._network = Network(folder / _NETWORK, threads=runtime.threads or available_cpus())

    def __call__(self, batch: Pixels) -> Float32:
        """Encode (n, size, size, 3) uint8 as (n, dim) float32 unit rows.

        Runs one picture at a time: in a batch they would share their scales, and a vector would depend on the others.
        """
        return np.concatenate([self._network({"pixels": picture[None]}) for picture in batch])


def _make(folder: Path, module: torch.nn.Module, preprocessing: Preprocessing, *, seven_bits: bool) -> None:
    """Write ``int8.onnx`` to ``folder``: ``pixels`` (n, size, size, 3) uint8 → (n, dim) unit ``rows``."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    write_network(folder / _FLOAT, module, preprocessing)
    _check_is_mostly_products(folder / _FLOAT)
    # Infer shapes and fold constants first: onnxruntime warns on stderr otherwise.
    quant_pre_process(folder / _FLOAT, folder / _FOLDED, skip_symbolic_shape=True, save_as_external_data=True)
    quantize_dynamic(
        folder / _FOLDED,
        folder / _NETWORK,
        op_types_to_quantize=list(_QUANTISED),
        per_channel=True,
        reduce_range=seven_bits,
        weight_type=QuantType.QInt8,
    )
    for path in folder.iterdir():
        if path.name != _NETWORK:
            path.unlink()


def _check_is_mostly_products(path: Path) -> None:
    """Raise EncoderError unless most weights belong to matrix products: no others get faster."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in graph.initializer}
    products, convolutions = (
        sum(sizes.get(name, 0) for node in graph.node if node.op_type in kinds for name in node.input)
        for kinds in (_QUANTISED, ("Conv",))
    )
    if products <= convolutions:
        raise EncoderError(
            "int8 is for transformers: the image tower of this encoder consists mostly of convolutions",
            hint="choose the precision auto or fp32",
        )
