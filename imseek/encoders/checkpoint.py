"""Inspect third-party weight files before anything is built from them."""

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
#: Bound on both. A scale is the logarithm of a factor that training keeps below 100; a bias lies between -20 and 0.
_MAX_MAGNITUDE = 500


def read_logit_parameters(path: Path) -> tuple[float | None, float | None]:
    """Check ``path`` as :func:`read_scalar` does, and return its logit scale and bias, each None where it has none.

    The scale is the factor that training applied to cosines, the exponential of the stored number; the bias was added
    before a sigmoid. Raises EncoderError where either is implausibly large.
    """
    scale, bias = _read_scalars(path, (_LOGIT_SCALE, _LOGIT_BIAS))
    if not all(one is None or abs(one) <= _MAX_MAGNITUDE for one in (scale, bias)):
        raise EncoderError(f"{path} holds a logit scale or bias that cannot be: {scale}, {bias}")
    return None if scale is None else math.exp(scale), bias


def read_scalar(path: Path, name: str) -> float | None:
    """Check ``path``, a safetensors or ``torch.save`` file, and return its number called ``name``, or None.

    On some errors libraries fall back to an unrestricted load, so every file is checked here first. Raises
    UntrustedWeightsError for a file that holds more than tensors, and EncoderError for a damaged one.
    """
    return _read_scalars(path, (name,))[0]


def _read_scalars(path: Path, names: Sequence[str]) -> list[float | None]:
    with _translate_errors(path):
        if path.suffix == ".safetensors":
            with _open_safetensors(path) as file:
                present = set(file.keys())
                values = [file.get_tensor(name).item() if name in present else None for name in names]
        else:
            state = _load_state(path)
            values = [state.get(name) for name in names]
        return [None if one is None else float(one) for one in values]


def read_arrays(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Read all numeric tensors of ``path``, a small weights file, by name. Raises as :func:`read_scalar`."""
    with _translate_errors(path):
        if path.suffix == ".safetensors":
            with _open_safetensors(path) as file:
                return {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118
        tensors = {name: value for name, value in _load_state(path).items() if hasattr(value, "detach")}
        return {name: value.detach().float().numpy().copy() for name, value in tensors.items()}


@contextmanager
def _translate_errors(path: Path) -> Iterator[None]:
    """Translate the errors of weight readers to ours."""
    if not path.is_file():  # Reading a pipe would block.
        raise EncoderError(f"{path} cannot be read: it is not a file")
    try:
        yield
    except pickle.UnpicklingError as error:
        if not _is_pickle(path):
            raise EncoderError(f"{path} cannot be read: it is not a file of weights") from error
        raise UntrustedWeightsError(
            f"{path} holds more than tensors, and could run code when loaded",
            hint="convert it to safetensors on a machine that may run it",
        ) from error
    except EncoderError:
        raise
    except Exception as error:  # the readers raise almost any exception for a damaged file
        raise EncoderError(f"{path} cannot be read: {str(error) or type(error).__name__}") from error


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors in ``path`` by name. The file must have passed :func:`read_scalar`."""
    if path.suffix != ".safetensors":
        return {name: tuple(value.shape) for name, value in _load_state(path).items() if hasattr(value, "shape")}
    with _open_safetensors(path) as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no mapping


def _open_safetensors(path: Path) -> Any:
    from safetensors import safe_open

    return safe_open(path, framework="np")  # opening checks the header against the file size


def _load_state(path: Path) -> Mapping[str, Any]:
    """Load the tensors that ``torch.save`` wrote, under their names in single-machine training."""
    import torch

    zipped = zipfile.is_zipfile(path)
    if zipped:
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                raise UntrustedWeightsError(
                    f"{path} is a TorchScript program, not a file of tensors",
                    hint="no program is run: take the weights as a file of tensors, such as SSCD's *.torchvision.pt",
                )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch either refuses or reads what it warns about here
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    state = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not state or not all(isinstance(name, str) for name in state):
        raise EncoderError(f"{path} holds no weights by name")
    # Parallel training prefixes every name.
    return {name.removeprefix("module."): value for name, value in state.items()}


def _is_pickle(path: Path) -> bool:
    """Tell whether ``path`` starts with a complete pickle or is an archive, in which torch found one. Runs nothing."""
    if zipfile.is_zipfile(path):
        return True
    try:
        with path.open("rb") as file:
            for _ in pickletools.genops(file):
                pass
    except ValueError:
        return False
    return True
