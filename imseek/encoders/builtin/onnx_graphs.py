"""The built-in encoder's two networks as ONNX graphs, written from the packaged weights without torch.

EfficientNet-Lite0 (Tan & Le 2019, without squeeze-and-excitation and with ReLU6) and BERT (Devlin et al. 2018) in the
size of all-MiniLM-L6-v2 (Wang et al. 2020). The tests compare them with timm and transformers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

State: TypeAlias = Mapping[str, np.ndarray[Any, Any]]

_OPSET: Final = 17
_IR_VERSION: Final = 8  # of ONNX's file format, for every onnxruntime that imseek allows
# EfficientNet-B0's stages: (expansion, stride of the first block, blocks). The weights define kernels and widths.
_STAGES: Final = ((1, 1, 1), (6, 2, 2), (6, 2, 2), (6, 2, 3), (6, 1, 3), (6, 2, 4), (6, 1, 1))
_BATCH_NORM_EPSILON: Final = 1e-3
_LAYER_NORM_EPSILON: Final = 1e-12
_MASKED: Final = -1e9  # added to the attention logits of padding
_HEADS: Final = 12
_LAYERS: Final = 6
# Tensors of at least this many bytes go to the data file.
_SMALLEST_EXTERNAL_TENSOR: Final = 1024


def write_lite0(path: Path, state: State, *, mean: Sequence[float], std: Sequence[float]) -> None:
    """Write EfficientNet-Lite0: ``pixels`` (n, 224, 224, 3) uint8 sRGB → ``logits`` (n, 1000) float32 of ImageNet.

    A second output, ``features`` (n, 1280), is what the logits are linear in; it is the mean of ``cells`` (n, 1280, 7,
    7), the last feature map.

    ``mean`` and ``std`` are per channel, for values in [0, 1]; the network normalises pixels itself.
    """
    graph = _Graph(state)
    x = graph.add("Transpose", "pixels", perm=[0, 3, 1, 2])
    x = graph.add("Cast", x, to=1)  # float32
    x = graph.add("Sub", x, graph.constant(255 * np.array(mean, np.float32)[:, None, None]))
    x = graph.add("Div", x, graph.constant(255 * np.array(std, np.float32)[:, None, None]))
    x = _convolve(graph, x, "_conv_stem", "_bn0", stride=2)
    block = 0
    for expansion, stride, repeats in _STAGES:
        for repeat in range(repeats):
            x = _inverted_residual(graph, x, f"_blocks.{block}", expansion, stride if repeat == 0 else 1)
            block += 1
    x = _convolve(graph, x, "_conv_head", "_bn1", output="cells")
    x = graph.add("ReduceMean", x, axes=[2, 3], keepdims=0, output="features")
    graph.add("Gemm", x, graph.weight("_fc.weight"), graph.weight("_fc.bias"), transB=1, output="logits")
    outputs: dict[str, list[str | int]] = {"logits": ["n", 1000], "features": ["n", 1280], "cells": ["n", 1280, 7, 7]}
    graph.write(path, {"pixels": ("uint8", ["n", 224, 224, 3])}, outputs)


def write_minilm(path: Path, state: State) -> None:
    """Write MiniLM: token ``ids`` and ``mask``, (n, length) int64 → ``vectors`` (n, 384) float32 unit rows.

    A row is the mean over the tokens of ``states`` (n, length, 384), a second output. Large tensors go to ``path`` +
    ``.data``, which onnxruntime maps into memory: of the table of embeddings it then reads only the rows that a query
    needs.
    """
    graph = _Graph(state)
    # Every token has type 0: its embedding belongs to all positions.
    positions = state["embeddings.position_embeddings.weight"] + state["embeddings.token_type_embeddings.weight"][0]
    length = graph.add("Shape", "ids", start=1, end=2)
    first = graph.constant(np.array([0], np.int64))
    embedded = graph.add("Gather", graph.weight("embeddings.word_embeddings.weight"), "ids")
    x = graph.add("Add", embedded, graph.add("Slice", graph.constant(positions), first, length))
    x = _layer_norm(graph, x, "embeddings.LayerNorm")
    weights = graph.add("Cast", "mask", to=1)
    absent = graph.add("Mul", graph.add("Sub", graph.number(1), weights), graph.number(_MASKED))
    bias = graph.add("Unsqueeze", absent, graph.constant(np.array([1, 2], np.int64)))
    for layer in range(_LAYERS):
        x = _transform(graph, x, bias, f"encoder.layer.{layer}", width=positions.shape[1])
    x = graph.add("Identity", x, output="states")
    axis = graph.constant(np.array([1], np.int64))
    column = graph.add("Unsqueeze", weights, graph.constant(np.array([2], np.int64)))
    total = graph.add("ReduceSum", graph.add("Mul", x, column), axis, keepdims=0)
    mean = graph.add("Div", total, graph.add("ReduceSum", weights, axis, keepdims=1))
    norm = graph.add("Max", graph.add("ReduceL2", mean, axes=[1], keepdims=1), graph.number(1e-12))
    graph.add("Div", mean, norm, output="vectors")
    tokens: tuple[str, list[str | int]] = ("int64", ["n", "length"])
    width = positions.shape[1]
    outputs: dict[str, list[str | int]] = {"vectors": ["n", width], "states": ["n", "length", width]}
    graph.write(path, {"ids": tokens, "mask": tokens}, outputs, external_data=True)


class _Graph:
    """Nodes and constants of a network under way. ``add`` returns the name of a node's output."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        import onnx

        name = output or f"{operator.lower()}{len(self._nodes)}"
        self._nodes.append(onnx.helper.make_node(operator, inputs, [name], **attributes))
        return name

    def weight(self, name: str) -> str:
        """Return the name of the constant that holds a tensor of the state, as it is."""
        return self.constant(self.state[name], name)

    def constant(self, values: np.ndarray[Any, Any], name: str | None = None) -> str:
        import onnx

        name = name or f"constant{len(self._constants)}"
        self._constants[name] = onnx.numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    def number(self, value: float) -> str:
        return self.constant(np.array(value, np.float32))

    def write(
        self,
        path: Path,
        inputs: Mapping[str, tuple[str, list[str | int]]],
        outputs: Mapping[str, list[str | int]],
        *,
        external_data: bool = False,
    ) -> None:
        """Write the file. Axes with names are free."""
        import onnx

        def value(name: str, dtype: str, shape: list[str | int]) -> Any:
            kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
            return onnx.helper.make_tensor_value_info(name, kind, shape)

        graph = onnx.helper.make_graph(
            self._nodes,
            path.stem,
            [value(name, *spec) for name, spec in inputs.items()],
            [value(name, "float32", shape) for name, shape in outputs.items()],
            list(self._constants.values()),
        )
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", _OPSET)])
        model.ir_version = _IR_VERSION
        onnx.checker.check_model(model)
        onnx.save(
            model,
            path,
            save_as_external_data=external_data,
            location=f"{path.name}.data",
            size_threshold=_SMALLEST_EXTERNAL_TENSOR,
        )


def _convolve(
    graph: _Graph, x: str, conv: str, norm: str, *, stride: int = 1, relu6: bool = True, output: str | None = None
) -> str:
    """Convolve with TensorFlow's "same" padding, with batch normalisation folded into the weights.

    At stride 2 on an even side, "same" pads one pixel more at the bottom right than at the top left, as in training.
    """
    state = graph.state
    scale = state[f"{norm}.weight"] / np.sqrt(state[f"{norm}.running_var"] + np.float32(_BATCH_NORM_EPSILON))
    weight = state[f"{conv}.weight"]
    bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
    padding, extra = divmod(weight.shape[-1] - stride, 2)  # for sides that the stride divides
    y = graph.add(
        "Conv",
        x,
        graph.constant(weight * scale[:, None, None, None]),
        graph.constant(bias),
        group=weight.shape[0] if weight.shape[1] == 1 else 1,
        kernel_shape=weight.shape[2:],
        pads=[padding, padding, padding + extra, padding + extra],
        strides=[stride, stride],
    )
    return graph.add("Clip", y, graph.number(0), graph.number(6), output=output) if relu6 else y


def _inverted_residual(graph: _Graph, x: str, name: str, expansion: int, stride: int) -> str:
    """Expand 1x1, convolve each channel, project 1x1, and add the input where shapes match."""
    state = graph.state
    y = _convolve(graph, x, f"{name}._expand_conv", f"{name}._bn0") if expansion != 1 else x
    y = _convolve(graph, y, f"{name}._depthwise_conv", f"{name}._bn1", stride=stride)
    y = _convolve(graph, y, f"{name}._project_conv", f"{name}._bn2", relu6=False)
    first = state[f"{name}.{'_expand_conv' if expansion != 1 else '_depthwise_conv'}.weight"].shape
    inputs = first[1] if expansion != 1 else first[0]
    return graph.add("Add", x, y) if stride == 1 and inputs == state[f"{name}._project_conv.weight"].shape[0] else y


def _linear(graph: _Graph, x: str, name: str) -> str:
    y = graph.add("MatMul", x, graph.constant(graph.state[f"{name}.weight"].T, f"{name}.weight"))
    return graph.add("Add", y, graph.weight(f"{name}.bias"))


def _layer_norm(graph: _Graph, x: str, name: str) -> str:
    weight, bias = graph.weight(f"{name}.weight"), graph.weight(f"{name}.bias")
    return graph.add("LayerNormalization", x, weight, bias, axis=-1, epsilon=_LAYER_NORM_EPSILON)


def _transform(graph: _Graph, x: str, bias: str, name: str, *, width: int) -> str:
    """Self-attention and a feed-forward network, each with a residual sum and layer normalisation."""
    split_shape = graph.constant(np.array([0, 0, _HEADS, width // _HEADS], np.int64))
    merged_shape = graph.constant(np.array([0, 0, width], np.int64))

    def heads(part: str, perm: list[int]) -> str:
        """(n, length, width) → (n, heads, length, width / heads), or with the last two axes exchanged."""
        y = graph.add("Reshape", _linear(graph, x, f"{name}.attention.self.{part}"), split_shape)
        return graph.add("Transpose", y, perm=perm)

    logits = graph.add("MatMul", heads("query", [0, 2, 1, 3]), heads("key", [0, 2, 3, 1]))
    logits = graph.add("Add", graph.add("Mul", logits, graph.number((width // _HEADS) ** -0.5)), bias)
    mixed = graph.add("MatMul", graph.add("Softmax", logits, axis=-1), heads("value", [0, 2, 1, 3]))
    mixed = graph.add("Reshape", graph.add("Transpose", mixed, perm=[0, 2, 1, 3]), merged_shape)
    attended = _linear(graph, mixed, f"{name}.attention.output.dense")
    x = _layer_norm(graph, graph.add("Add", x, attended), f"{name}.attention.output.LayerNorm")
    hidden = _linear(graph, x, f"{name}.intermediate.dense")
    # GELU: h · (1 + erf(h / √2)) / 2
    erf = graph.add("Erf", graph.add("Mul", hidden, graph.number(0.5**0.5)))
    gelu = graph.add("Mul", graph.add("Mul", hidden, graph.add("Add", erf, graph.number(1))), graph.number(0.5))
    fed = _linear(graph, gelu, f"{name}.output.dense")
    return _layer_norm(graph, graph.add("Add", x, fed), f"{name}.output.LayerNorm")
