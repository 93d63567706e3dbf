"""Thresholds for duplicate pairs: those of the collection's encoder, calibrated once on its own pictures."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from typing import Final, TypeAlias

import numpy as np

from imseek.analysis.originals import Originals
from imseek.data.reader import Reader
from imseek.data.writing.writer import Writer
from imseek.duplicates.comparison_space import comparison_space
from imseek.duplicates.pixels.cosine_calibration import SAMPLE, calibrate, load_thresholds, store_thresholds
from imseek.duplicates.pixels.verdict import DEFAULTS, Thresholds
from imseek.duplicates.unique_contents import UniqueContents
from imseek.encoders.base import Encoder
from imseek.errors import (
    EncoderError,
    EncoderMismatchError,
    LockedError,
    MediaError,
    MissingExtraError,
    StorageError,
    UnknownEncoderError,
)
from imseek.media import decode
from imseek.progress import SILENT, Task
from imseek.types.arrays import Float32, Pixels
from imseek.types.collection_info import SpaceInfo

PHASE: Final = "measuring the encoder"
#: The encoder that the default thresholds belong to.
_DEFAULT_ENCODER: Final = "builtin"

#: What loading an encoder raises.
_UNUSABLE: Final = (EncoderError, MissingExtraError, UnknownEncoderError)

#: Loads the image encoder of a space.
LoadEncoder: TypeAlias = Callable[[SpaceInfo], Encoder]


def resolve_thresholds(
    reader: Reader, space: SpaceInfo, contents: UniqueContents, load: LoadEncoder, task: Task = SILENT
) -> tuple[Thresholds, tuple[str, ...]]:
    """Return the thresholds of an image space, and notes about them.

    They are read from the catalog if stored there. Otherwise they are calibrated on a sample of the contents, and
    stored if the sample was full and no one else is writing. If the encoder cannot be loaded, those of ``builtin`` are
    returned with a note.
    """
    try:
        return _find_thresholds(reader, space, contents, load, task), ()
    except _UNUSABLE as error:
        note = f"{space.encoder} cannot be asked ({error}): cosines are judged by the limits of {_DEFAULT_ENCODER}"
        return DEFAULTS, (note,)


def choose_space(
    reader: Reader,
    spaces: Sequence[SpaceInfo],
    kinds: Collection[str],
    contents: UniqueContents,
    load: LoadEncoder,
    task: Task = SILENT,
) -> tuple[SpaceInfo, Thresholds, tuple[str, ...]]:
    """Return the image space whose vectors propose duplicates, its thresholds, and notes about them.

    It is that of :func:`~imseek.duplicates.comparison_space.comparison_space`, or the first one where the encoder of
    that has to be asked and cannot be loaded.
    """
    space, notes = comparison_space(spaces, kinds), tuple[str, ...]()
    if space is not spaces[0]:
        try:
            return space, _find_thresholds(reader, space, contents, load, task), ()
        except _UNUSABLE as error:
            notes = (f"{space.encoder} cannot be asked ({error}): pictures are compared by {spaces[0].encoder}",)
    limits, more = resolve_thresholds(reader, spaces[0], contents, load, task)
    return spaces[0], limits, notes + more


def _find_thresholds(
    reader: Reader, space: SpaceInfo, contents: UniqueContents, load: LoadEncoder, task: Task
) -> Thresholds:
    if space.encoder == _DEFAULT_ENCODER:
        return DEFAULTS
    if (stored := load_thresholds(reader.root, space.fingerprint)) is not None:
        return stored
    encoder = load(space)
    if encoder.fingerprint() != space.fingerprint:
        raise EncoderMismatchError("its weights are others now")
    pictures = list(_sample_pictures(reader, contents, encoder.info.draft_size, task))

    def encode(batch: Sequence[Pixels]) -> Float32:
        return encoder.encode_images(np.stack([encoder.prepare(pixels) for pixels in batch]))

    thresholds = calibrate(pictures, encode)
    if len(pictures) == SAMPLE:
        with suppress(LockedError, StorageError), Writer(reader.root, "duplicates") as writer:
            store_thresholds(writer, space.fingerprint, thresholds)
    return thresholds


def _sample_pictures(reader: Reader, contents: UniqueContents, side: int | None, task: Task) -> Iterator[Pixels]:
    """Yield at most SAMPLE different pictures, always the same ones; unreadable pictures are replaced by others."""
    count = 0
    positions = np.random.default_rng(0).permutation(len(contents))[: 4 * SAMPLE]
    ids = contents.ids[positions].tolist()
    with Originals(reader, ids) as originals:
        for image_id in ids:
            task.report(PHASE, count, min(SAMPLE, len(contents)))
            if count == SAMPLE:
                return
            with suppress(MediaError):
                if (data := originals.read(image_id)) is not None:
                    yield decode(data, min_side=side, measured=False).pixels
                    count += 1
