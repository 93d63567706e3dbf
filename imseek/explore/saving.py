"""Scores as a derived column, with a record of how they were made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from imseek.data.models import Model
from imseek.data.vectors.base import Ids
from imseek.errors import UsageError
from imseek.types import Float32


def save_scores(root: Path, name: str, ids: Ids, scores: Float32, kind: str, facts: Mapping[str, Any]) -> int:
    """Store (n,) scores of images as the column ``name``, in the place of one of that name; returns the generation.

    Memory: some 100 bytes for each. Raises UsageError for a name that cannot be one, or ids that come twice,
    LockedError, ReadOnlyError, StorageError.
    """
    from imseek.data.derived import store

    if len(np.unique(ids)) < len(ids):
        raise UsageError("an image has several scores, and a column holds one")
    values = dict(zip(ids.tolist(), scores.astype(np.float64).tolist(), strict=True))
    try:
        return store(root, {name: values}, Model(name, kind, dict(facts)))
    except ValueError as error:
        raise UsageError(f"{error}", hint="lower-case letters, digits and _, a letter first") from error
