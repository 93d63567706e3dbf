"""Networks as ONNX files: written from torch once, then run by onnxruntime without torch."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imseek.errors import EncoderError
from imseek.types import Float32

if TYPE_CHECKING:
    import torch

_OPSET = 17
# The largest difference between torch's output and that of the written file. Seen: 2e-7 for text vectors,
# 9e-6 for logits of size 10.
_TOLERANCE = 1e-4
# Tensors of this many bytes or more lie in the data file.
_SMALLEST_EXTERNAL_TENSOR = 1024


def write(
    path: Path,
    module: torch.nn.Module,
    example: Mapping[str, torch.Tensor],
    other: Mapping[str, torch.Tensor],
    *,
    output: str,
    dynamic: Mapping[str, Mapping[int, str]],
    external_data: bool = False,
) -> None:
    """Write ``module`` to ``path``, and fail unless the file computes what the module does.

    ``example`` holds its inputs by name; ``other`` holds inputs of other sizes along the ``dynamic`` axes,
    since an axis that tracing froze shows at run time only. With ``external_data`` the large tensors go to
    ``path`` + ``.data``, which onnxruntime maps into memory: it reads the rows of an embedding table that a
    query needs, and not all of them. Raises EncoderError where outputs differ by more than 1e-4.
    """
    import onnx
    import torch

    module.eval()
    with warnings.catch_warnings():
        # The TorchScript exporter is deprecated, but it is the one that every torch since 2.4 has, and its
        # successor takes ten times longer; what it writes is checked below.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", message="Constant folding", category=UserWarning)
        torch.onnx.export(
            module,
            tuple(example.values()),
            str(path),
            dynamo=False,
            opset_version=_OPSET,
            input_names=list(example),
            output_names=[output],
            dynamic_axes={name: dict(axes) for name, axes in dynamic.items()},
        )
    if external_data:
        onnx.save(
            onnx.load(path),
            path,
            save_as_external_data=True,
            location=f"{path.name}.data",
            size_threshold=_SMALLEST_EXTERNAL_TENSOR,
        )
    _verify(path, module, example)
    _verify(path, module, other)


class Network:
    """One network on onnxruntime. Thread-safe; ``threads`` bounds the processors that a run uses."""

    def __init__(self, path: Path, *, threads: int, mapped: bool = False) -> None:
        """``mapped`` leaves weights in the mapped file as they are: a fast start instead of fast batches."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors: its warnings would land on the user's stderr
        # Idle threads would otherwise spin, and take processors from the threads that decode pictures.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if mapped:
            options.add_session_config_entry("session.disable_prepacking", "1")
        self._session: Any = onnxruntime.InferenceSession(
            path, sess_options=options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, inputs: Mapping[str, np.ndarray[Any, Any]]) -> Float32:
        output: Float32 = self._session.run(None, dict(inputs))[0]
        return output


def _verify(path: Path, module: torch.nn.Module, inputs: Mapping[str, torch.Tensor]) -> None:
    import torch

    with torch.inference_mode():
        expected = module(*inputs.values()).numpy()
    found = Network(path, threads=1)({name: tensor.numpy() for name, tensor in inputs.items()})
    difference = float(np.abs(found - expected).max()) if found.shape == expected.shape else float("inf")
    if not difference <= _TOLERANCE:
        raise EncoderError(f"{path.name} differs from the torch network by {difference:.2g}; it is not used")
