"""Write a FiftyOneDataset on disk for import into FiftyOne: ``metadata.json``, ``samples.json``, pictures in ``data/``.

Documents are MongoDB extended JSON, as ``fiftyone.utils.data.importers.FiftyOneDatasetImporter`` (1.22) reads them.
Their fields are in ``fiftyone_fields``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np

from imseek.exports import fiftyone_fields as fields
from imseek.exports.base import ExportJob, WriteResult
from imseek.exports.file_copies import FileCopies
from imseek.exports.picture_reader import PictureReader

_PICTURES: Final = "data"
#: The oldest version with these fields: newer versions of FiftyOne migrate it, older ones reject it.
_VERSION: Final = "1.0.0"


def write(job: ExportJob) -> WriteResult:
    """Write the dataset."""
    pictures, copies = PictureReader(job), FileCopies(job)
    schema = fields.FieldSchema(job.selection.schema, scored=job.selection.scores is not None)
    oid = fields.object_ids(job.selection.reader.identity.uuid)
    (job.path / _PICTURES).mkdir()
    images = 0
    with (job.path / "samples.json").open("x", encoding="utf-8") as file:
        file.write('{"samples": [')
        for row, picture in pictures:
            vector = job.selection.vectors.stored_rows(np.array([row["image_id"]], np.int64))[0]
            sample = {
                "_id": oid(row["image_id"]),
                "filepath": copies.add(_PICTURES, row, picture),
                "tags": row.get("tags", []),
                "metadata": fields.metadata(row, picture),
                "_media_type": "image",
                "_rand": 0.999 + 0.001 * fields.random_fraction(row["image_id"]),
                **schema.values(row, oid),
                fields.EMBEDDING: fields.vector(vector),
            }
            file.write(("," if images else "") + "\n" + json.dumps(sample))
            images += 1
        file.write("\n]}\n")
    (job.path / "metadata.json").write_text(json.dumps(_dataset(job, schema)) + "\n")
    notes = [f"the column {column!r} is called {field!r}" for column, field in schema.renames.items()]
    return WriteResult(images, copies.linked, tuple(pictures.skipped), (*copies.notes(), *notes))


def _dataset(job: ExportJob, schema: fields.FieldSchema) -> dict[str, Any]:
    """Return the dataset document. The importer adds the name, dates and collections of the dataset it imports into."""
    space, reader = job.selection.space, job.selection.reader
    origin = {
        "collection": reader.identity.uuid,
        "generation": reader.generation,
        "encoder": space.encoder,
        "fingerprint": space.fingerprint,
    }
    return {
        "name": Path(job.target or job.path).name,
        "version": _VERSION,
        "media_type": "image",
        "tags": [],
        "info": {"imseek": origin},
        "app_config": {
            "grid_media_field": "filepath",
            "media_fields": ["filepath"],
            "modal_media_field": "filepath",
            "plugins": {},
        },
        "classes": {},
        "default_classes": [],
        "mask_targets": {},
        "default_mask_targets": {},
        "skeletons": {},
        "sample_fields": schema.documents(),
        "saved_views": [],
        "workspaces": [],
        "annotation_runs": {},
        "brain_methods": {},
        "evaluations": {},
        "runs": {},
    }
