"""Files of weights that come from others: looked at before anything is built from them."""

from __future__ import annotations

import math
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

from imseek.errors import EncoderError, UntrustedWeightsError

_LOGIT_SCALE = "logit_scale"


def inspect(path: Path) -> float | None:
    """Try ``path`` as :func:`scalar` does, and return the logit scale it holds, None where there is none.

    The scale is the factor that training put before cosines: the exponential of the stored number.
    """
    stored = scalar(path, _LOGIT_SCALE)
    return None if stored is None else math.exp(stored)


def scalar(path: Path, name: str) -> float | None:
    """Try ``path``, a safetensors file or what ``torch.save`` wrote, and return its number called ``name``.

    None where there is none. Libraries fall back to an unrestricted load on some errors, so every file is tried
    here before one of them sees it. Raises UntrustedWeightsError for a file that holds more than tensors and
    EncoderError for a damaged one.
    """
    try:
        stored = _from_safetensors(path, name) if path.suffix == ".safetensors" else _from_torch(path, name)
    except pickle.UnpicklingError as error:
        raise UntrustedWeightsError(
            f"{path} holds more than tensors, and could run code when loaded",
            hint="convert it to safetensors on a machine that may run it",
        ) from error
    except EncoderError:
        raise
    except Exception as error:  # the readers raise whatever the damage leads them to
        raise EncoderError(f"{path} cannot be read: {error}") from error
    return None if stored is None else float(stored)


def _from_safetensors(path: Path, name: str) -> Any:
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:  # opening compares the header with the size of the file
        names = file.keys()
        return file.get_tensor(name).item() if name in names else None


def _from_torch(path: Path, name: str) -> Any:
    import torch

    zipped = zipfile.is_zipfile(path)
    if zipped:
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                raise UntrustedWeightsError(f"{path} is a TorchScript program, not a file of tensors")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch warns about here, it refuses or reads
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    state = content.get("state_dict", content)
    # Training in parallel prefixes every name.
    return state.get(name, state.get(f"module.{name}"))
