"""The built-in encoder's two networks as torch modules, for tests and benchmarks of precisions.

What imseek runs is written by imseek.encoders.builtin.onnx_graphs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

State = Mapping[str, Tensor]

# EfficientNet-B0's stages: (expansion, stride of the first block, blocks). The weights define kernels and widths.
_STAGES = ((1, 1, 1), (6, 2, 2), (6, 2, 2), (6, 2, 3), (6, 1, 3), (6, 2, 4), (6, 1, 1))
_BATCH_NORM_EPSILON = 1e-3
_LAYER_NORM_EPSILON = 1e-12
_MASKED = -1e9  # added to the attention logits of padding


class _Module(nn.Module):  # type: ignore[misc] # mypy is told not to follow torch: its classes are Any
    pass


class _Conv(_Module):
    """Convolution with TensorFlow's "same" padding, folded batch normalisation and optional ReLU6.

    At stride 2 on an even side, "same" pads one pixel more at the bottom right than at the top left, as in training.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, state: State, conv: str, norm: str, *, stride: int = 1, relu6: bool = True) -> None:
        super().__init__()
        scale = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + _BATCH_NORM_EPSILON)
        weight = state[f"{conv}.weight"]
        self.register_buffer("weight", weight * scale[:, None, None, None])
        self.register_buffer("bias", state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale)
        self.stride = stride
        self.relu6 = relu6
        self.groups = weight.shape[0] if weight.shape[1] == 1 else 1
        total = weight.shape[-1] - stride  # for sides that the stride divides
        self.padding = total // 2
        self.extra = total % 2

    def forward(self, x: Tensor) -> Tensor:
        # The convolution does symmetric padding itself: a separate step would copy the picture.
        symmetric = 0 if self.extra else self.padding
        if self.extra:
            x = functional.pad(x, (self.padding, self.padding + self.extra) * 2)
        y = functional.conv2d(x, self.weight, self.bias, stride=self.stride, padding=symmetric, groups=self.groups)
        return functional.relu6(y) if self.relu6 else y


class _Block(_Module):
    """Inverted residual: expand 1×1, depthwise, project 1×1, plus the input where shapes match."""

    def __init__(self, state: State, name: str, *, expansion: int, stride: int) -> None:
        super().__init__()
        layers = []
        if expansion != 1:
            layers.append(_Conv(state, f"{name}._expand_conv", f"{name}._bn0"))
        layers.append(_Conv(state, f"{name}._depthwise_conv", f"{name}._bn1", stride=stride))
        layers.append(_Conv(state, f"{name}._project_conv", f"{name}._bn2", relu6=False))
        self.layers = nn.Sequential(*layers)
        inputs = state[f"{name}.{'_expand_conv' if expansion != 1 else '_depthwise_conv'}.weight"].shape
        outputs = state[f"{name}._project_conv.weight"].shape[0]
        self.residual = stride == 1 and outputs == (inputs[1] if expansion != 1 else inputs[0])

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.residual else y


class EfficientNetLite0(_Module):
    """Classify (n, 224, 224, 3) uint8 sRGB as (n, 1000) float32 ImageNet logits.

    ``mean`` and ``std`` are per channel, for values in [0, 1]; the module normalises pixels itself, so they arrive as
    bytes.
    """

    mean: Tensor
    std: Tensor
    fc_weight: Tensor
    fc_bias: Tensor

    def __init__(self, state: State, *, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(mean)[:, None, None])
        self.register_buffer("std", 255 * torch.tensor(std)[:, None, None])
        self.stem = _Conv(state, "_conv_stem", "_bn0", stride=2)
        blocks: list[nn.Module] = []
        for expansion, stride, repeats in _STAGES:
            for repeat in range(repeats):
                name = f"_blocks.{len(blocks)}"
                blocks.append(_Block(state, name, expansion=expansion, stride=stride if repeat == 0 else 1))
        self.blocks = nn.Sequential(*blocks)
        self.head = _Conv(state, "_conv_head", "_bn1")
        self.register_buffer("fc_weight", state["_fc.weight"])
        self.register_buffer("fc_bias", state["_fc.bias"])

    def forward(self, pixels: Tensor) -> Tensor:
        return functional.linear(self.features(pixels), self.fc_weight, self.fc_bias)

    def features(self, pixels: Tensor) -> Tensor:
        """Return (n, 1280) float32, which the logits are linear in."""
        x = (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std
        return self.head(self.blocks(self.stem(x))).mean(dim=(2, 3))


class _Linear(_Module):
    weight: Tensor
    bias: Tensor

    def __init__(self, state: State, name: str) -> None:
        super().__init__()
        self.register_buffer("weight", state[f"{name}.weight"])
        self.register_buffer("bias", state[f"{name}.bias"])

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight, self.bias)


class _LayerNorm(_Linear):
    def forward(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, self.weight.shape, self.weight, self.bias, _LAYER_NORM_EPSILON)


class _BertLayer(_Module):
    """Self-attention and a feed-forward network, each with a residual sum and layer normalisation."""

    def __init__(self, state: State, name: str, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = _Linear(state, f"{name}.attention.self.query")
        self.scale = (self.query.weight.shape[0] // heads) ** -0.5
        self.key = _Linear(state, f"{name}.attention.self.key")
        self.value = _Linear(state, f"{name}.attention.self.value")
        self.attended = _Linear(state, f"{name}.attention.output.dense")
        self.attended_norm = _LayerNorm(state, f"{name}.attention.output.LayerNorm")
        self.intermediate = _Linear(state, f"{name}.intermediate.dense")
        self.output = _Linear(state, f"{name}.output.dense")
        self.output_norm = _LayerNorm(state, f"{name}.output.LayerNorm")

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        query, key, value = (self._split(f(x)) for f in (self.query, self.key, self.value))
        logits = query @ key.transpose(2, 3) * self.scale + bias
        mixed = (logits.softmax(dim=-1) @ value).transpose(1, 2).flatten(2)
        x = self.attended_norm(x + self.attended(mixed))
        y: Tensor = self.output_norm(x + self.output(functional.gelu(self.intermediate(x))))
        return y

    def _split(self, x: Tensor) -> Tensor:
        """Split heads: (n, length, width) → (n, heads, length, width / heads)."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class MiniLM(_Module):
    """Encode token ids and mask, both (n, length) int64, as (n, 384) float32 unit rows, the means over the tokens."""

    words: Tensor
    positions: Tensor

    def __init__(self, state: State, *, heads: int = 12, layers: int = 6) -> None:
        super().__init__()
        self.register_buffer("words", state["embeddings.word_embeddings.weight"])
        # Every token has type 0: add its embedding to all positions once.
        self.register_buffer(
            "positions",
            state["embeddings.position_embeddings.weight"] + state["embeddings.token_type_embeddings.weight"][0],
        )
        self.norm = _LayerNorm(state, "embeddings.LayerNorm")
        self.layers = nn.ModuleList(_BertLayer(state, f"encoder.layer.{i}", heads=heads) for i in range(layers))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        x = self.norm(functional.embedding(ids, self.words) + self.positions[: ids.shape[1]])
        weights = mask.to(x.dtype)
        bias = (1.0 - weights)[:, None, None, :] * _MASKED
        for layer in self.layers:
            x = layer(x, bias)
        mean = (x * weights[:, :, None]).sum(dim=1) / weights.sum(dim=1, keepdim=True)
        return functional.normalize(mean, dim=1)
