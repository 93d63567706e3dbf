"""The formats that contain pictures. Their dependencies are imported only when they are written."""

from __future__ import annotations

from typing import Final

from imseek.exports.base import Format, Job, Written


def _webdataset(job: Job) -> Written:
    from imseek.exports.webdataset import write

    return write(job)


def _imagefolder(job: Job) -> Written:
    from imseek.exports.imagefolder import write

    return write(job)


def _fiftyone(job: Job) -> Written:
    from imseek.exports.fiftyone import write

    return write(job)


def _projector(job: Job) -> Written:
    from imseek.exports.projector import write

    return write(job)


PICTURED: Final = (
    Format(
        "fiftyone",
        "folder",
        "a FiftyOneDataset: pictures, fields, vectors",
        _fiftyone,
        vectors=True,
        options=frozenset({"link"}),
        loose=True,
    ),
    Format(
        "imagefolder",
        "folder",
        "pictures and metadata.jsonl",
        _imagefolder,
        options=frozenset({"link", "classes"}),
        loose=True,
    ),
    Format(
        "projector",
        "folder",
        "vectors, their images and a sprite for TensorBoard",
        _projector,
        vectors=True,
        loose=True,
    ),
    Format(
        "webdataset",
        "folder",
        "tars of pictures, each with its metadata and caption",
        _webdataset,
        options=frozenset({"shard_images", "shard_size", "ending"}),
    ),
)
