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
    """Try ``path``, a safetensors file or what ``torch.save`` wrote, and return the logit scale it holds.

    The scale is the factor that training put before cosines (the exponential of the stored number); None
    where there is none. open_clip falls back to an unrestricted load on some errors, so every file is tried
    here before open_clip sees it. Raises UntrustedWeightsError for a file that holds more than tensors and
    EncoderError for a damaged one.
    """
    try:
        stored = _from_safetensors(path) if path.suffix == ".safetensors" else _from_torch(path)
    except pickle.UnpicklingError as error:
        raise UntrustedWeightsError(
            f"{path} holds more than tensors, and could run code when loaded",
            hint="convert it to safetensors on a machine that may run it",
        ) from error
    except EncoderError:
        raise
    except Exception as error:  # the readers raise whatever the damage leads them to
        raise EncoderError(f"{path} cannot be read: {error}") from error
    return None if stored is None else math.exp(float(stored))


def _from_safetensors(path: Path) -> Any:
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:  # opening compares the header with the size of the file
        names = file.keys()
        return file.get_tensor(_LOGIT_SCALE).item() if _LOGIT_SCALE in names else None


def _from_torch(path: Path) -> Any:
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
    return state.get(_LOGIT_SCALE, state.get(f"module.{_LOGIT_SCALE}"))
