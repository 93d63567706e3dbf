"""Read the tensors of a file by ``torch.save`` in the form of torch before 1.6, without torch.

It is a row of pickles (a magic number, a version, the machine's sizes, the object, the names of its storages), then for
each storage its length and its numbers. Only names that tensors need are resolved, so a file can hold nothing else.
"""

from __future__ import annotations

import collections
import io
import pickle
from typing import Any, Final

import numpy as np

_DTYPES: Final = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


def read_tensors(data: bytes) -> dict[str, np.ndarray[Any, Any]]:
    """Return float32 and int64 arrays by name. Raises pickle.UnpicklingError for anything but a mapping of tensors."""
    file = io.BytesIO(data)
    for _ in range(3):
        _Unpickler(file).load()
    unpickler = _Unpickler(file)
    tensors = unpickler.load()
    for key in _Unpickler(file).load():
        storage = unpickler.storages[key]
        count = int.from_bytes(file.read(8), "little")
        numbers = file.read(count * storage.itemsize)
        if len(numbers) != storage.nbytes:
            raise pickle.UnpicklingError("it ends too early")
        storage[:] = np.frombuffer(numbers, storage.dtype)
    if not isinstance(tensors, dict) or not all(isinstance(one, np.ndarray) for one in tensors.values()):
        raise pickle.UnpicklingError("it holds more than tensors")
    return dict(tensors)


class _Unpickler(pickle.Unpickler):
    """Makes an empty array of each storage, and tensors as views of these."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.storages: dict[str, np.ndarray[Any, Any]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _view
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise pickle.UnpicklingError(f"{module}.{name} is no part of a tensor")

    def persistent_load(self, pid: Any) -> np.ndarray[Any, Any]:
        kind, dtype, key, _, count, _ = pid
        if kind != "storage":
            raise pickle.UnpicklingError(f"{kind} is no storage")
        return self.storages.setdefault(key, np.empty(count, dtype))


def _view(storage: np.ndarray[Any, Any], offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Any:
    strides = [step * storage.itemsize for step in stride]
    return np.ndarray(shape, storage.dtype, storage, offset * storage.itemsize, strides)
