"""Parts of a collection, split by a column or by folders."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from imseek.analysis.space_vectors import Vectors
from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids, IdSet
from imseek.dataset import class_balance
from imseek.errors import UsageError
from imseek.search.where.column_values import values
from imseek.tilde_expansion import expand_user


def parts_of(
    reader: Reader, split: str | Mapping[str, Sequence[str | os.PathLike[str]]], allowed: IdSet | None
) -> tuple[dict[int, str], int]:
    """Return the part of each image that is in one, and the total number of images.

    Raises UsageError for tags, and for an image in two parts.
    """
    images = reader.current.images if allowed is None else len(Vectors(reader, None, allowed))
    if isinstance(split, str):
        if split == class_balance.TAG:
            raise UsageError("an image has several tags, and is in one part", hint="--folders, or a column")
        found = class_balance.ClassMembership(reader, split, allowed)
        return {i: found.names[n] for i, n in zip(found.ids.tolist(), found.number.tolist(), strict=True)}, images
    of: dict[int, str] = {}
    for name, folders in split.items():
        for image_id in _images_below(reader, folders, allowed).tolist():
            if of.setdefault(image_id, name) != name:
                raise UsageError(f"image {image_id} lies in two parts: {of[image_id]} and {name}")
    return of, images


def _images_below(reader: Reader, folders: Sequence[str | os.PathLike[str]], allowed: IdSet | None) -> Ids:
    wanted = [str(expand_user(folder).absolute()).rstrip("/") + "/" for folder in folders]
    found: list[Ids] = [np.empty(0, np.int64)]
    for ids, (paths,) in values(reader, ["path"]):
        inside = [path is not None and path.startswith(tuple(wanted)) for path in paths.to_pylist()]
        found.append(ids[np.array(inside, np.bool_)])
    everything = np.concatenate(found)
    return everything if allowed is None else everything[allowed.marks(everything)]
