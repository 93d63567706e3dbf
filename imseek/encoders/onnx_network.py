"""Export torch networks to ONNX files, and run those on onnxruntime without torch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imseek.errors import EncoderError
from imseek.types.arrays import Float32

if TYPE_CHECKING:
    import torch

_OPSET = 17
# Largest accepted difference between torch's output and the file's. Observed: 2e-7 for text vectors, 9e-6 for logits of
# size 10.
_TOLERANCE = 1e-4
# Tensors of at least this many bytes go to the data file.
_SMALLEST_EXTERNAL_TENSOR = 1024


def write(
    path: Path,
    module: torch.nn.Module,
    example: Mapping[str, torch.Tensor],
    other_sizes: Mapping[str, torch.Tensor],
    *,
    output: str,
    dynamic: Mapping[str, Mapping[int, str]],
    external_data: bool = False,
    tolerance: float = _TOLERANCE,
) -> None:
    """Export ``module`` to ``path``, and check that the file computes the same.

    ``example`` holds its inputs by name; ``other_sizes`` holds inputs of other sizes along the ``dynamic`` axes, since
    an axis frozen by tracing only shows at run time. With ``external_data`` the large tensors go to ``path`` +
    ``.data``, which onnxruntime maps into memory: it then reads only the rows of an embedding table that a query needs.
    Raises EncoderError for a module that cannot be exported, and where outputs differ by more than ``tolerance``.
    """
    import tempfile

    import onnx
    import torch

    module.eval()
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        # Beyond 2 GB, the exporter writes a file per tensor beside this one.
        traced = Path(scratch) / path.name
        try:
            with warnings.catch_warnings(), _plain_attention():
                # The TorchScript exporter is deprecated, but every torch since 2.4 has it, and its successor is ten
                # times slower. It warns of what a trace may miss; the checks below cover that.
                for category in (DeprecationWarning, UserWarning, torch.jit.TracerWarning):
                    warnings.simplefilter("ignore", category)
                torch.onnx.export(
                    module,
                    tuple(example.values()),
                    str(traced),
                    dynamo=False,
                    opset_version=_OPSET,
                    input_names=list(example),
                    output_names=[output],
                    dynamic_axes={name: dict(axes) for name, axes in dynamic.items()},
                )
        except (OSError, MemoryError):
            raise
        except Exception as error:  # the exporter raises almost any exception
            line = next(iter(str(error).splitlines()), type(error).__name__)
            raise EncoderError(f"it cannot be written as ONNX: {line}") from error
        if external_data:
            onnx.save(
                onnx.load(traced),
                path,
                save_as_external_data=True,
                location=f"{path.name}.data",
                size_threshold=_SMALLEST_EXTERNAL_TENSOR,
            )
        else:
            traced.replace(path)
    for inputs in (example, other_sizes):
        _verify(path, module, inputs, tolerance, mapped=external_data)


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Disable torch's fused inference attention, which has no counterpart in ONNX."""
    import torch

    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def load_without_denormals(path: Path) -> Any:
    """Load a network in one thread, with weights below the smallest normal float as zeros.

    That changes no output. The text detector of rapidocr has a quarter of a million such weights, and processors of
    Intel multiply them slowly: it takes four times as long there (docs/log.md). ONNX Runtime has a switch for this, but
    the first session of a process sets it for all others.
    """
    import onnx
    import onnxruntime

    model = onnx.load(str(path))
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            normal = np.where(np.abs(values) < np.finfo(np.float32).tiny, np.float32(0), values)
            tensor.CopyFrom(onnx.numpy_helper.from_array(normal, tensor.name))
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.enable_cpu_mem_arena = 4, False  # The arena holds 480 MB more (docs/log.md).
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


class Network:
    """A network on onnxruntime. Thread-safe; ``threads`` bounds the processors that a run uses."""

    def __init__(self, path: Path, *, threads: int, mapped: bool = False) -> None:
        """Load the file. Raises EncoderError where it is damaged.

        ``mapped`` uses weights in place from the mapped file: a fast start at the cost of slower batches.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only: warnings would land on the user's stderr
        # Spinning idle threads would take processors from the decoding threads.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if mapped:
            options.add_session_config_entry("session.disable_prepacking", "1")
            # Fusing a text tower's operators takes longer than it saves on 50 texts.
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self._session: Any = onnxruntime.InferenceSession(
                path, sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has a class for each kind of damage
            raise EncoderError(
                f"{path} cannot be loaded: {error}", hint=f"delete {path.parent}: it is made again"
            ) from error

        self._first: str = self._session.get_outputs()[0].name

    def __call__(self, inputs: Mapping[str, np.ndarray[Any, Any]]) -> Float32:
        """Return the first output of the file."""
        return self.outputs(inputs, (self._first,))[0]

    def outputs(self, inputs: Mapping[str, np.ndarray[Any, Any]], names: Sequence[str]) -> list[Float32]:
        """Return the outputs of these names."""
        outputs: list[Float32] = self._session.run(list(names), dict(inputs))
        return outputs


def _verify(
    path: Path, module: torch.nn.Module, inputs: Mapping[str, torch.Tensor], tolerance: float, *, mapped: bool
) -> None:
    """Raise EncoderError unless the file's output for ``inputs`` matches the module's within ``tolerance``."""
    import torch

    with torch.inference_mode():
        expected = module(*inputs.values()).numpy()
    try:
        actual = Network(path, threads=1, mapped=mapped)({name: tensor.numpy() for name, tensor in inputs.items()})
    except MemoryError:
        raise
    except Exception as error:  # from onnxruntime, for a shape frozen by tracing
        raise EncoderError(f"{path.name} does not run: {error}") from error
    difference = float(np.abs(actual - expected).max()) if actual.shape == expected.shape else float("inf")
    if not difference <= tolerance:
        raise EncoderError(f"{path.name} differs from the torch network by {difference:.2g}; it is not used")
