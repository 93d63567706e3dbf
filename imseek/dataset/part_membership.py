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
        classes = class_balance.ClassMembership(reader, split, allowed)
        return {i: classes.names[n] for i, n in zip(classes.ids.tolist(), classes.number.tolist(), strict=True)}, images
    part_of: dict[int, str] = {}
    for name, folders in split.items():
        for image_id in _images_below(reader, folders, allowed).tolist():
            if part_of.setdefault(image_id, name) != name:
                raise UsageError(f"image {image_id} lies in two parts: {part_of[image_id]} and {name}")
    return part_of, images


def _images_below(reader: Reader, folders: Sequence[str | os.PathLike[str]], allowed: IdSet | None) -> Ids:
    prefixes = [str(expand_user(folder).absolute()).rstrip("/") + "/" for folder in folders]
    ids_below: list[Ids] = [np.empty(0, np.int64)]
    for ids, (paths,) in values(reader, ["path"]):
        is_below = [path is not None and path.startswith(tuple(prefixes)) for path in paths.to_pylist()]
        ids_below.append(ids[np.array(is_below, np.bool_)])
    everything = np.concatenate(ids_below)
    return everything if allowed is None else everything[allowed.marks(everything)]
