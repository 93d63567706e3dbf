"""Registry of export formats. To add one, write a function that writes an :class:`ExportJob`, and add a line here.

The dependencies of formats that contain pictures are imported only when they are written.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from imseek.errors import PluginError, UsageError, did_you_mean
from imseek.exports.base import ExportJob, Format, WriteResult
from imseek.exports.clip_retrieval import write_clip_retrieval
from imseek.exports.faiss_file import write_faiss
from imseek.exports.parquet import write_parquet
from imseek.exports.results import ExportOptions
from imseek.exports.tabular import write_csv, write_jsonl
from imseek.plugins import Plugin, find_plugins


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


_ALL: Final = (
    Format(
        "clip-retrieval",
        "folder",
        "vectors and metadata for clip-retrieval index",
        write_clip_retrieval,
        vectors=True,
        options=frozenset({"copy"}),
    ),
    Format(
        "csv",
        "file",
        "a row for each image, no vectors",
        write_csv,
        streams=True,
        endings=(".csv",),
        options=frozenset({"spreadsheet"}),
    ),
    Format(
        "faiss",
        "folder",
        "an index for faiss.read_index, and the ids of its rows",
        write_faiss,
        vectors=True,
        options=frozenset({"half"}),
    ),
    Format(
        "jsonl",
        "file",
        "an object for each image, no vectors",
        write_jsonl,
        streams=True,
        endings=(".jsonl", ".ndjson"),
    ),
    Format(
        "parquet",
        "file",
        "a row for each image with its vector",
        write_parquet,
        vectors=True,
        endings=(".parquet", ".pq"),
    ),
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
FORMATS: Final[Mapping[str, Format]] = {fmt.name: fmt for fmt in _ALL}


def format_of(name: str | None, target: Path | None) -> Format:
    """Return a format by name, or by the extension of the target. Raises UsageError."""
    plugins = find_plugins("imseek.exports") if name not in FORMATS else {}
    if name is not None:
        if name in FORMATS:
            return FORMATS[name]
        if name in plugins:
            return load_format(plugins[name])
        raise UsageError(f"{name!r} is not a format", hint=did_you_mean(name, [*FORMATS, *plugins]))
    ending = "" if target is None else target.suffix.lower()
    candidates = [fmt for fmt in FORMATS.values() if ending in fmt.endings]
    if not candidates and ending:
        candidates = [
            fmt for fmt in map(_format_or_none, plugins.values()) if fmt is not None and ending in fmt.endings
        ]
    if len(candidates) != 1:
        names = ", ".join([*FORMATS, *plugins])
        raise UsageError("cannot tell the format from the file name", hint=f"--format, one of {names}")
    return candidates[0]


def load_format(plugin: Plugin) -> Format:
    """Load the format of a plugin. Raises PluginError."""
    loaded = plugin.load()
    if not isinstance(loaded, Format) or loaded.name != plugin.name:
        raise plugin.error(f"is not a Format of that name, but {loaded!r:.80}")
    return loaded


def _format_or_none(plugin: Plugin) -> Format | None:
    """Return the format of a plugin, None where it does not load: the name of a file says nothing about it."""
    try:
        return load_format(plugin)
    except PluginError:
        return None


def check_options(fmt: Format, options: ExportOptions) -> None:
    """Raise UsageError for options that the format does not accept, and for invalid values."""
    defaults = ExportOptions()
    for name in ExportOptions.__slots__:
        if name not in fmt.options and getattr(options, name) != getattr(defaults, name):
            accepting = [known.name for known in FORMATS.values() if name in known.options]
            raise UsageError(f"{name} is nothing that {fmt.name} knows", hint=f"it goes with {' and '.join(accepting)}")
    if options.link not in (None, "hard", "symbolic"):
        raise UsageError(f"link is {options.link!r}", hint="hard or symbolic")
    for name in ("shard_images", "shard_size"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise UsageError(f"{name} is {value}", hint="1 at least")
