"""Write the dataset card (https://huggingface.co/docs/hub/datasets-cards).

It tells the library ``datasets`` and the Hugging Face Hub which files hold data, and the types of all columns, which
they would otherwise guess from the first rows.
"""

from __future__ import annotations

import json
from typing import Any, Final, TypeAlias

import pyarrow as pa

from imseek.exports.base import ExportJob
from imseek.exports.selection import Selection

NAME: Final = "README.md"
Feature: TypeAlias = dict[str, Any]


def features(selection: Selection) -> list[Feature]:
    """Return the column types of the rows from :func:`imseek.exports.picture_reader.rows_of`."""
    columns: list[Feature] = [_feature("image_id", "int64")]
    columns += [_feature(name, "string") for name in ("path", "path_b64", "uri")]
    if selection.scores is not None:
        columns.append(_feature("score", "float64"))
    columns.append({"name": "tags", "list": "string"})
    for field in selection.schema:
        if pa.types.is_list(field.type):
            columns.append({"name": field.name, "list": "string"})
        elif field.name != "taken_at_zone":
            columns.append(_feature(field.name, _dtype(field)))
    return columns


def render_card(job: ExportJob, files: str, columns: list[Feature] | None = None) -> str:
    """Return the card; ``files`` is a pattern for the data files. The YAML is written as JSON, a subset of it."""
    configs = [{"config_name": "default", "data_files": [{"split": "train", "path": files}]}]
    front: dict[str, object] = {"configs": configs}
    if columns is not None:
        front["dataset_info"] = {"features": columns}
    lines = [f"{name}: {json.dumps(value)}" for name, value in front.items()]
    reader = job.selection.reader
    return "\n".join(
        [
            "---",
            *lines,
            "---",
            "",
            "# Images from imseek",
            "",
            f"Exported from generation {reader.generation} of the collection {reader.identity.uuid}.",
            'With `datasets`: `load_dataset("this folder")`.',
            "",
        ]
    )


def _feature(name: str, dtype: str) -> Feature:
    return {"name": name, "dtype": dtype}


def _dtype(field: pa.Field) -> str:
    """Return the type of a column in rows, where hashes are hexadecimal and times ISO 8601."""
    kind = field.type
    if field.name == "phash" or pa.types.is_temporal(kind) or pa.types.is_fixed_size_binary(kind):
        return "string"
    if pa.types.is_boolean(kind):
        return "bool"
    if pa.types.is_integer(kind):
        return "int64"
    return "float64" if pa.types.is_floating(kind) else "string"
