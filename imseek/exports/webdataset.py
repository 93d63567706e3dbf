"""Write WebDataset tars of pictures and their metadata, with the file names of img2dataset.

A picture is ``KEY.jpg`` with ``KEY.json`` and ``KEY.txt`` (its caption, empty if it has none, since readers expect the
same files for each picture); KEY is its image_id. The same images give the same bytes.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

from imseek.errors import UsageError
from imseek.exports import card
from imseek.exports.base import ExportJob, WriteResult
from imseek.exports.picture_reader import Picture, PictureReader, Row

#: Default limits of a tar, in pictures and bytes.
SHARD_IMAGES: Final = 10_000
SHARD_BYTES: Final = 10**9

#: File names and contents of one picture.
Sample: TypeAlias = list[tuple[str, bytes]]


def write(job: ExportJob) -> WriteResult:
    """Write the tars. The option ``ending`` names all pictures alike whatever their format, as some readers expect."""
    options = job.options
    ending = None if options.ending is None else check_ending(options.ending)
    pictures, endings = PictureReader(job), set[str]()

    def samples() -> Iterator[Sample]:
        for row, picture in pictures:
            endings.add(ending or picture.ending)
            yield make_sample(row, picture, ending)

    images = options.shard_images or SHARD_IMAGES
    counts = write_tars(job.path, samples(), images, options.shard_size or SHARD_BYTES)
    if counts:
        (job.path / card.NAME).write_text(_card(job, endings), "utf-8")
    notes = []
    if len(endings) > 1:
        notes.append(
            f"the pictures are of several kinds ({', '.join(sorted(endings))}): some readers expect one kind only "
            "(--ending jpg names them alike; their bytes stay)"
        )
    return WriteResult(sum(counts), skipped=tuple(pictures.skipped), notes=tuple(notes))


def check_ending(ending: str) -> str:
    """Normalise an extension. Raises UsageError if it is invalid, or is that of another file of the sample."""
    plain = ending.removeprefix(".").lower()
    if not (plain.isascii() and plain.isalnum()) or plain in ("json", "txt"):
        raise UsageError(f"{ending!r} is not an ending for pictures", hint="--ending jpg")
    return plain


def make_sample(row: Row, picture: Picture, ending: str | None = None) -> Sample:
    key = key_of(row["image_id"])
    text = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
    return [
        (f"{key}.{ending or picture.ending}", picture.data),
        (f"{key}.json", text.encode()),
        (f"{key}.txt", str(row.get("caption", "")).encode()),
    ]


def key_of(image_id: int) -> str:
    """Return a key of fixed length, so that keys sort like ids."""
    return f"{image_id:09d}"


def write_tars(folder: Path, samples: Iterator[Sample], images: int, size: int) -> list[int]:
    """Write ``00000.tar``, ``00001.tar`` …, and return the number of pictures in each.

    A tar holds at most ``images`` pictures and ``size`` bytes, but at least one picture.
    """
    counts: list[int] = []
    sample = next(samples, None)
    while sample is not None:
        count = 0
        with tarfile.open(folder / f"{len(counts):05d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            while sample is not None and (
                count == 0 or (count < images and _tar_size(tar.offset + _tar_length(sample)) <= size)
            ):
                for name, data in sample:
                    info = tarfile.TarInfo(name)  # no owner, and the time 1970
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
                count += 1
                sample = next(samples, None)
        counts.append(count)
    return counts


def _tar_length(sample: Sample) -> int:
    """Return the bytes that a sample takes in a tar: a header for each file, and whole blocks."""
    block = tarfile.BLOCKSIZE
    return sum(block + -(-len(data) // block) * block for _, data in sample)


def _tar_size(offset: int) -> int:
    """Return the size of a tar whose files end at ``offset``: two empty blocks follow, rounded up to whole records."""
    record = tarfile.RECORDSIZE
    return -(-(offset + 2 * tarfile.BLOCKSIZE) // record) * record


def _card(job: ExportJob, endings: set[str]) -> str:
    features: list[card.Feature] = [{"name": ending, "dtype": "image"} for ending in sorted(endings)]
    features.append({"name": "json", "struct": card.features(job.selection)})
    features += [{"name": name, "dtype": "string"} for name in ("txt", "__key__", "__url__")]
    return card.render_card(job, "*.tar", features)
