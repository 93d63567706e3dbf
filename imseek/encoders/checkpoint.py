"""Files of weights that come from others: looked at before anything is built from them."""

from __future__ import annotations

import math
import pickle
import pickletools
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from imseek.errors import EncoderError, UntrustedWeightsError

_LOGIT_SCALE = "logit_scale"
_LOGIT_BIAS = "logit_bias"
#: A scale is the logarithm of a factor that training keeps below a hundred, a bias is between -20 and 0.
_MOST = 500


def inspect(path: Path) -> tuple[float | None, float | None]:
    """Try ``path`` as :func:`scalar` does, and return the logit scale and bias it holds, None where there is none.

    The scale is the factor that training put before cosines, the exponential of the stored number; the bias is what it
    added to them before a sigmoid.
    """
    scale, bias = _scalars(path, (_LOGIT_SCALE, _LOGIT_BIAS))
    if not all(one is None or abs(one) <= _MOST for one in (scale, bias)):
        raise EncoderError(f"{path} holds a logit scale or bias that cannot be: {scale}, {bias}")
    return None if scale is None else math.exp(scale), bias


def scalar(path: Path, name: str) -> float | None:
    """Try ``path``, a safetensors file or what ``torch.save`` wrote, and return its number called ``name``.

    None where there is none. Libraries fall back to an unrestricted load on some errors, so every file is tried
    here before one of them sees it. Raises UntrustedWeightsError for a file that holds more than tensors and
    EncoderError for a damaged one.
    """
    return _scalars(path, (name,))[0]


def _scalars(path: Path, names: Sequence[str]) -> list[float | None]:
    with _refusing(path):
        if path.suffix == ".safetensors":
            with _opened(path) as file:
                there = set(file.keys())
                stored = [file.get_tensor(name).item() if name in there else None for name in names]
        else:
            state = _state(path)
            stored = [state.get(name) for name in names]
        return [None if one is None else float(one) for one in stored]


def arrays(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    """All tensors of numbers in ``path``, a small file of weights, by name. Raises as :func:`scalar`."""
    with _refusing(path):
        if path.suffix == ".safetensors":
            with _opened(path) as file:
                return {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118
        held = {name: value for name, value in _state(path).items() if hasattr(value, "detach")}
        return {name: value.detach().float().numpy().copy() for name, value in held.items()}


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """What readers of weights raise, as errors that say what is wrong with the file."""
    if not path.is_file():  # A pipe would be waited for.
        raise EncoderError(f"{path} cannot be read: it is no file")
    try:
        yield
    except pickle.UnpicklingError as error:
        if not _is_pickle(path):
            raise EncoderError(f"{path} cannot be read: it is no file of weights") from error
        raise UntrustedWeightsError(
            f"{path} holds more than tensors, and could run code when loaded",
            hint="convert it to safetensors on a machine that may run it",
        ) from error
    except EncoderError:
        raise
    except Exception as error:  # the readers raise whatever the damage leads them to
        raise EncoderError(f"{path} cannot be read: {str(error) or type(error).__name__}") from error


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors in ``path``, by name. The file has passed :func:`scalar`."""
    if path.suffix != ".safetensors":
        return {name: tuple(value.shape) for name, value in _state(path).items() if hasattr(value, "shape")}
    with _opened(path) as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no mapping


def _opened(path: Path) -> Any:
    from safetensors import safe_open

    return safe_open(path, framework="np")  # opening compares the header with the size of the file


def _state(path: Path) -> Mapping[str, Any]:
    """What ``torch.save`` wrote, by the names that training on one machine gives."""
    import torch

    zipped = zipfile.is_zipfile(path)
    if zipped:
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                raise UntrustedWeightsError(f"{path} is a TorchScript program, not a file of tensors")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch warns about here, it refuses or reads
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    state = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not state or not all(isinstance(name, str) for name in state):
        raise EncoderError(f"{path} holds no weights by name")
    # Training in parallel prefixes every name.
    return {name.removeprefix("module."): value for name, value in state.items()}


def _is_pickle(path: Path) -> bool:
    """Whether ``path`` starts with a whole pickle, or is an archive, in which torch found one. Nothing is run."""
    if zipfile.is_zipfile(path):
        return True
    try:
        with path.open("rb") as file:
            for _ in pickletools.genops(file):
                pass
    except ValueError:
        return False
    return True
