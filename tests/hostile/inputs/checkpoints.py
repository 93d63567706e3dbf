"""Lies in weights of models. They are read by a function of the encoders: building a model takes too long."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from typing import Any

from hostile.arrays import Payload
from hostile.inputs.place import Input, Kind, Make, Place


def _torch(content: Any) -> Make:
    def make(_: Place) -> bytes:
        import torch

        out = io.BytesIO()
        torch.save(content, out)
        return out.getvalue()

    return make


def _sound(_: Place) -> bytes:
    import torch

    out = io.BytesIO()
    torch.save({"logit_scale": torch.tensor(4.0), "a.weight": torch.zeros(2, 3)}, out)
    return out.getvalue()


def _legacy(content: Any) -> Make:
    def make(_: Place) -> bytes:
        import torch

        out = io.BytesIO()
        torch.save(content, out, _use_new_zipfile_serialization=False)
        return out.getvalue()

    return make


def _zipped(**members: bytes) -> Make:
    def make(_: Place) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as file:
            for name, data in members.items():
                file.writestr(f"archive/{name.replace('__', '.')}", data)
        return out.getvalue()

    return make


def _huge(_: Place) -> bytes:
    """A tensor of 10^12 numbers whose bytes are not there."""
    import torch

    sound = _sound(_)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(sound)) as before, zipfile.ZipFile(out, "w") as after:
        for name in before.namelist():
            data = before.read(name)
            after.writestr(name, data.replace(b"K\x02K\x03\x86", b"\x8a\x05\x00\x10\xa5\xd4\xe8K\x03\x86"))
    assert torch.__version__
    return out.getvalue()


def _safetensors(header: Any, data: bytes = b"", size: int | None = None) -> Make:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return lambda _: struct.pack("<Q", len(text) if size is None else size) + text + data


def checkpoint_kinds() -> list[Kind]:
    """What `torch.save` writes, and safetensors."""
    tensor = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    lies = (
        Input("a pickle", "that runs code", lambda _: pickle.dumps(Payload())),
        Input("a pickle", "among the weights", _torch({"a": Payload()})),
        Input("a pickle", "in an old file", _legacy({"a": Payload()})),
        Input("a pickle", "in a zip", _zipped(data__pkl=pickle.dumps(Payload()), version=b"3\n")),
        Input(
            "a pickle",
            "by the name of another module",
            _zipped(data__pkl=b"cposix\nsystem\n(S'touch owned'\ntR.", version=b"3\n"),
        ),
        Input(
            "a pickle",
            "by memo without end",
            _zipped(data__pkl=b"(lp0\n" + b"g0\na" * 100_000 + b".", version=b"3\n"),
        ),
        Input("a pickle", "deep", _zipped(data__pkl=b"(" * 200_000 + b".", version=b"3\n")),
        Input("a program", "TorchScript", _zipped(data__pkl=b"N.", constants__pkl=b"N.", version=b"3\n")),
        Input("a tensor", "of 10^12 numbers", _huge),
        Input("a zip", "of nothing", _zipped()),
    )
    other = (
        Input("header", "of an exabyte", _safetensors({}, size=2**60)),
        Input("header", "that is no JSON", _safetensors(b"{")),
        Input("header", "deep", _safetensors(b"[" * 100_000)),
        Input("header", "of 90 MB", _safetensors(b'{"a": "' + b"x" * 90_000_000 + b'"}'), large=True),
        Input("offsets", "behind the end", _safetensors({"a": {**tensor, "data_offsets": [0, 2**40]}}, bytes(4))),
        Input("offsets", "backwards", _safetensors({"a": {**tensor, "data_offsets": [4, 0]}}, bytes(4))),
        Input("offsets", "that overlap", _safetensors({"a": tensor, "b": tensor}, bytes(4))),
        Input("shapes", "huge", _safetensors({"a": {**tensor, "shape": [2**40, 2**40]}}, bytes(4))),
        Input("shapes", "negative", _safetensors({"a": {**tensor, "shape": [-1]}}, bytes(4))),
        Input(
            "numbers",
            "a scale that is not finite",
            _safetensors({"logit_scale": tensor}, struct.pack("<f", float("nan"))),
        ),
        Input("numbers", "a scale that is huge", _safetensors({"logit_scale": tensor}, struct.pack("<f", 1e38))),
        Input(
            "numbers",
            "two scales",
            _safetensors({"logit_scale": {**tensor, "shape": [2], "data_offsets": [0, 8]}}, bytes(8)),
        ),
    )
    calls = ("checkpoint FILE",)
    sound = _safetensors({"logit_scale": tensor}, struct.pack("<f", 4.0))
    return [
        Kind("weights: torch", "weights.bin", _sound, calls, lies),
        Kind("weights: safetensors", "weights.safetensors", sound, calls, other),
    ]
