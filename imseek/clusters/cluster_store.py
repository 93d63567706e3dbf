"""Stored clusters: derived columns, and the model by which later images are assigned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from imseek.analysis.space_vectors import Vectors
from imseek.clusters.kmeans_clusters import Assignment, Fit
from imseek.data.catalog.models import Model
from imseek.errors import UsageError
from imseek.types.arrays import Float32
from imseek.types.spaces import SpaceInfo, name_beside

KIND: Final = "clusters"


def columns_of(name: str) -> tuple[str, str, str]:
    """Names of the columns for the cluster number (0: none), its name, and the cosine to its centre."""
    return name, f"{name}_name", f"{name}_score"


def values_of(
    name: str, ids: Sequence[int], assignment: Assignment, words: Sequence[str | None]
) -> dict[str, dict[int, Any]]:
    """Build the column values by image id. Memory: a few hundred bytes for each image."""
    number, text, score = columns_of(name)
    label = assignment.label.tolist()
    values: dict[str, dict[int, Any]] = {
        number: dict(zip(ids, (one + 1 for one in label), strict=True)),
        score: {i: round(one, 6) for i, one in zip(ids, assignment.own.tolist(), strict=True)},
    }
    if any(words):
        values[text] = {i: words[one] for i, one in zip(ids, label, strict=True) if one >= 0 and words[one] is not None}
    return {column: column_values for column, column_values in values.items() if column_values}


def model_of(name: str, vectors: Vectors, fit: Fit, words: Sequence[str | None], facts: Mapping[str, Any]) -> Model:
    """Build the model that stores the centres, names and parameters."""
    arrays: dict[str, Any] = {"centres": fit.centres}
    if fit.least is not None:
        arrays["least"] = fit.least.astype(np.float32)
    return Model(
        name,
        KIND,
        {
            "method": fit.method,
            "chosen": fit.chosen,
            "encoder": vectors.space.encoder,
            "fingerprint": vectors.space.fingerprint,
            "names": list(words),
            **facts,
        },
        arrays,
    )


def fit_of(model: Model, space: SpaceInfo) -> tuple[Fit, tuple[str | None, ...]]:
    """Read the centres and names from a model.

    Raises UsageError where the model is of another kind, or was made with another encoder than that of ``space``.
    """
    if model.kind != KIND:
        raise UsageError(f"{model.name!r} is the name of {model.kind}, not of clusters")
    facts = model.facts
    if facts["fingerprint"] != space.fingerprint:
        now = name_beside(space.encoder, facts["encoder"])
        raise UsageError(
            f"the clusters {model.name!r} were found with {facts['encoder']}, and vectors are of {now} now",
            hint=f"find them again: imseek clusters --save {model.name} --force",
        )
    centres: Float32 = model.arrays["centres"]
    fit = Fit(facts["method"], centres, model.arrays.get("least"), facts["chosen"])
    return fit, tuple(facts["names"])
