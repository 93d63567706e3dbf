"""WebDataset: tars of pictures with what is known of them, as img2dataset names them.

A picture is ``KEY.jpg`` with ``KEY.json`` and ``KEY.txt`` (its caption, empty where it has none, since readers expect
the same files of each picture); KEY is its image_id. The same images make the same bytes.
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
from imseek.exports.base import Job, Written
from imseek.exports.image_files import Picture, Pictures, Row

#: The most pictures in a tar, and its bytes, unless said otherwise.
IMAGES: Final = 10_000
SIZE: Final = 10**9

#: Names and contents of the files of a picture.
Sample: TypeAlias = list[tuple[str, bytes]]


def write(job: Job) -> Written:
    """``ending`` is given to all pictures, whatever they hold: for readers that expect the same of each."""
    options = job.options
    ending = None if options.ending is None else check_ending(options.ending)
    pictures, endings = Pictures(job), set[str]()

    def samples() -> Iterator[Sample]:
        for row, picture in pictures:
            endings.add(ending or picture.ending)
            yield sample(row, picture, ending)

    images = options.shard_images or IMAGES
    written = write_tars(job.path, samples(), images, options.shard_size or SIZE)
    if written:
        (job.path / card.NAME).write_text(_card(job, endings), "utf-8")
    notes = []
    if len(endings) > 1:
        notes.append(
            f"the pictures are of several kinds ({', '.join(sorted(endings))}): some readers expect one kind only "
            "(--ending jpg names them alike; their bytes stay)"
        )
    return Written(sum(written), skipped=tuple(pictures.skipped), notes=tuple(notes))


def check_ending(ending: str) -> str:
    """Raises UsageError for what cannot end a name, or is the ending of another file of a picture."""
    plain = ending.removeprefix(".").lower()
    if not (plain.isascii() and plain.isalnum()) or plain in ("json", "txt"):
        raise UsageError(f"{ending!r} is no ending for pictures", hint="--ending jpg")
    return plain


def sample(row: Row, picture: Picture, ending: str | None = None) -> Sample:
    key = key_of(row["image_id"])
    text = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
    return [
        (f"{key}.{ending or picture.ending}", picture.data),
        (f"{key}.json", text.encode()),
        (f"{key}.txt", str(row.get("caption", "")).encode()),
    ]


def key_of(image_id: int) -> str:
    """Of one length, so that the order of names is that of ids."""
    return f"{image_id:09d}"


def write_tars(folder: Path, samples: Iterator[Sample], images: int, size: int) -> list[int]:
    """``00000.tar``, ``00001.tar`` …, each of at most so many pictures and of ``size`` bytes, but of one picture at
    least. Returns how many are in each."""
    counts: list[int] = []
    waiting = next(samples, None)
    while waiting is not None:
        count = 0
        with tarfile.open(folder / f"{len(counts):05d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            while waiting is not None and (
                count == 0 or (count < images and _end(tar.offset + _length(waiting)) <= size)
            ):
                for name, data in waiting:
                    info = tarfile.TarInfo(name)  # its owner is nobody, its time 1970
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
                count += 1
                waiting = next(samples, None)
        counts.append(count)
    return counts


def _length(sample: Sample) -> int:
    """The bytes that it takes in a tar: a header for each file, and whole blocks."""
    block = tarfile.BLOCKSIZE
    return sum(block + -(-len(data) // block) * block for _, data in sample)


def _end(offset: int) -> int:
    """The size of a tar whose files end there: two empty blocks follow, and it is filled up to whole records."""
    record = tarfile.RECORDSIZE
    return -(-(offset + 2 * tarfile.BLOCKSIZE) // record) * record


def _card(job: Job, endings: set[str]) -> str:
    features: list[card.Feature] = [{"name": ending, "dtype": "image"} for ending in sorted(endings)]
    features.append({"name": "json", "struct": card.features(job.selection)})
    features += [{"name": name, "dtype": "string"} for name in ("txt", "__key__", "__url__")]
    return card.text(job, "*.tar", features)
