"""The formats that contain pictures. Their dependencies are imported only when they are written."""

from __future__ import annotations

from typing import Final

from imseek.exports.base import ExportJob, Format, WriteResult


def _write_webdataset(job: ExportJob) -> WriteResult:
    from imseek.exports.webdataset import write

    return write(job)


def _write_imagefolder(job: ExportJob) -> WriteResult:
    from imseek.exports.imagefolder import write

    return write(job)


def _write_fiftyone(job: ExportJob) -> WriteResult:
    from imseek.exports.fiftyone import write

    return write(job)


def _write_projector(job: ExportJob) -> WriteResult:
    from imseek.exports.projector import write

    return write(job)


IMAGE_FORMATS: Final = (
    Format(
        "fiftyone",
        "folder",
        "a FiftyOneDataset: pictures, fields, vectors",
        _write_fiftyone,
        vectors=True,
        options=frozenset({"link"}),
        loose=True,
    ),
    Format(
        "imagefolder",
        "folder",
        "pictures and metadata.jsonl",
        _write_imagefolder,
        options=frozenset({"link", "classes"}),
        loose=True,
    ),
    Format(
        "projector",
        "folder",
        "vectors, their images and a sprite for TensorBoard",
        _write_projector,
        vectors=True,
        loose=True,
    ),
    Format(
        "webdataset",
        "folder",
        "tars of pictures, each with its metadata and caption",
        _write_webdataset,
        options=frozenset({"shard_images", "shard_size", "ending"}),
    ),
)
