"""Write files for TensorBoard's Embedding Projector: vectors and metadata as TSV, thumbnails in a sprite.

``projector_config.pbtxt`` is a ``tensorboard.plugins.projector.ProjectorConfig`` in text format. The page lays the
sprite out row by row and draws no texture of more than 8192 pixels a side.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, TextIO

import numpy as np

from imseek.exports.base import ExportJob, WriteResult
from imseek.exports.picture_reader import PictureReader, Row, rows_of
from imseek.exports.results import SkippedPicture
from imseek.media.sprite import Sprite, columns_of, make_tile

_VECTORS: Final = "vectors.tsv"
_METADATA: Final = "metadata.tsv"
_SPRITE: Final = "sprite.png"
_CONFIG: Final = "projector_config.pbtxt"

#: Largest side of the sprite, and usual and smallest useful side of a thumbnail, in pixels.
_MAX_SPRITE_SIDE: Final = 8192
_TILE_SIDE: Final = 64
_MIN_TILE_SIDE: Final = 8
#: Number of points that the page requests from TensorBoard.
_MAX_POINTS: Final = 100_000
#: Columns that mean nothing to people.
_OMITTED_COLUMNS: Final = frozenset({"content_hash", "phash", "path_b64", "taken_at_zone"})
_SPACE: Final = re.compile(r"[\s\x00-\x1f\x7f\x85\u2028\u2029]+")


def write(job: ExportJob) -> WriteResult:
    """Write all images as points; those with unreadable pictures get a grey square."""
    total = len(job.selection)
    _write_vectors(job)
    _write_metadata(job)
    side = tile_side(total)
    skipped: tuple[SkippedPicture, ...] = ()
    notes = []
    if side is None and total:
        notes.append(f"{total:,} pictures are too many for a sprite: there is none")
    elif side is not None:
        skipped = _write_sprite(job, total, side)
    if skipped:
        notes.append(f"points without a picture are grey: {len(skipped):,}")
    if total > _MAX_POINTS:
        notes.append(f"TensorBoard shows the first {_MAX_POINTS:,} points")
    (job.path / _CONFIG).write_text(render_config(job.selection.space.encoder, side), "utf-8")
    return WriteResult(total, skipped=skipped, notes=tuple(notes))


def tile_side(count: int) -> int | None:
    """Return the side of a thumbnail in pixels for this many images; None if there are none, or it would be too
    small."""
    if not count:
        return None
    side = min(_TILE_SIDE, _MAX_SPRITE_SIDE // columns_of(count))
    return side if side >= _MIN_TILE_SIDE else None


def render_config(name: str, side: int | None) -> str:
    """Return the configuration as protobuf text, which quotes strings as JSON does except beyond ASCII."""
    fields = [
        f"tensor_name: {_quote(name)}",
        f"tensor_path: {_quote(_VECTORS)}",
        f"metadata_path: {_quote(_METADATA)}",
    ]
    if side is not None:
        size = f"single_image_dim: {side}"
        fields.append(f"sprite {{\n    image_path: {_quote(_SPRITE)}\n    {size}\n    {size}\n  }}")
    return "embeddings {\n  " + "\n  ".join(fields) + "\n}\n"


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _write_vectors(job: ExportJob) -> None:
    with (job.path / _VECTORS).open("x", encoding="ascii") as file:
        for block in job.selection.blocks():
            for row in job.selection.rows_of(block).astype(np.float32):
                # Six digits restore the stored float16 values.
                file.write("\t".join(f"{value:.6g}" for value in row.tolist()) + "\n")


def _write_metadata(job: ExportJob) -> None:
    names = ["name", "image_id", "tags", "path"]
    if job.selection.scores is not None:
        names.append("score")
    names += [name for name in job.selection.schema.names if name not in _OMITTED_COLUMNS and name not in names]
    with (job.path / _METADATA).open("x", encoding="utf-8", errors="backslashreplace") as file:
        _write_line(file, names)
        for block in job.selection.blocks():
            for _, row in rows_of(block):
                row = {name: ", ".join(value) if isinstance(value, list) else value for name, value in row.items()}
                row["name"] = _point_name(row)
                _write_line(file, [row.get(name, "") for name in names])


def _write_line(file: TextIO, cells: list[Any]) -> None:
    """Write one line; each cell is cleaned of tabs and line breaks."""
    file.write("\t".join(_SPACE.sub(" ", str(cell)).strip() for cell in cells) + "\n")


def _point_name(row: Row) -> str:
    path = str(row.get("path", "")).rstrip("/")
    return path.rpartition("/")[2] or f"image {row['image_id']}"


def _write_sprite(job: ExportJob, total: int, side: int) -> tuple[SkippedPicture, ...]:
    pictures, sprite = PictureReader(job), Sprite(total, side)
    for position, (_, pixels) in enumerate(pictures.map(lambda picture: make_tile(picture.data, side))):
        if pixels is not None:
            sprite.paste(position, pixels)
    sprite.save(job.path / _SPRITE)
    return tuple(pictures.skipped)
