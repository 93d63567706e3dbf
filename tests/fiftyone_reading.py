"""What FiftyOne itself reads of data sets on disk, as JSON. It runs in FiftyOne's environment:

    .venv/fiftyone/bin/python tests/fiftyone_reading.py OUT.json DATASET…

mongomock takes the place of MongoDB, whose server FiftyOne would download.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import mongoengine
import mongomock
import numpy as np
import pymongo
from mongomock.gridfs import enable_gridfs_integration

enable_gridfs_integration()
CLIENT = mongomock.MongoClient()
# FiftyOne asks for it, and any other attribute of a client is a database.
CLIENT._closed = False
pymongo.MongoClient = lambda *_, **__: CLIENT
connect = mongoengine.connect
mongoengine.connect = lambda name, **_: connect(name, mongo_client_class=pymongo.MongoClient)

import fiftyone as fo  # noqa: E402
import fiftyone.brain as fob  # noqa: E402
from fiftyone import ViewField  # noqa: E402


def read(folder: str) -> dict[str, Any]:
    """The schema, all samples, and what questions about them find."""
    dataset = fo.Dataset.from_dir(folder, dataset_type=fo.types.FiftyOneDataset, progress=False)
    schema = dataset.get_field_schema()
    samples = []
    for sample in dataset:
        for name, field in schema.items():
            if sample[name] is not None:
                field.validate(sample[name])  # Reading alone takes any value in any field.
        samples.append({"id": sample.id} | {name: plain(sample[name]) for name in schema})
    found = {
        "info": dataset.info,
        "fields": {name: type_name(field) for name, field in schema.items()},
        "samples": samples,
        "tags": dataset.count_sample_tags(),
        "kept": dataset.match_tags("kept").values("image_id"),
    }
    if "pet" in schema:
        cats = dataset.filter_labels("pet", ViewField("label") == "cat")
        found |= {"pets": dataset.count_values("pet.label"), "cats": cats.values("image_id")}
    index = fob.compute_similarity(dataset, embeddings="embedding", brain_key="imseek", backend="sklearn")
    vectors, ids, _ = index.get_embeddings()
    return found | {"vectors": dict(zip(map(str, ids), vectors.tolist(), strict=True))}


def type_name(field: Any) -> str:
    """Of a field, or of what is embedded in it."""
    return getattr(field, "document_type", type(field)).__name__


def plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, np.ndarray):
        return {"dtype": str(value.dtype), "values": value.tolist()}
    if isinstance(value, fo.Label | fo.Metadata):
        return {name: plain(value[name]) for name in value.field_names} | {"class": type(value).__name__}
    return list(value) if isinstance(value, list | tuple) else value


Path(sys.argv[1]).write_text(json.dumps([read(folder) for folder in sys.argv[2:]]))
