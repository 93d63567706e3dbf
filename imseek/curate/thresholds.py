"""The thresholds that a collection's pairs are judged by: those of its encoder, found once from its own pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final, TypeAlias

import numpy as np

from imseek.curate.originals import Originals
from imseek.curate.pixels.calibration import SAMPLE, calibrate, keep, kept
from imseek.curate.pixels.classify import DEFAULTS, Thresholds
from imseek.curate.unique_contents import Contents
from imseek.data.reader import Reader
from imseek.data.writer import Writer
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
from imseek.types import Float32, Pixels, Progress, ProgressCallback, SpaceInfo

PHASE: Final = "measuring the encoder"
#: That of the defaults.
_OWN: Final = "builtin"

#: Loads the encoder of a space, for pictures.
Load: TypeAlias = Callable[[SpaceInfo], Encoder]


def thresholds(
    reader: Reader,
    space: SpaceInfo,
    contents: Contents,
    load: Load,
    progress: ProgressCallback | None = None,
) -> tuple[Thresholds, tuple[str, ...]]:
    """Those for a space of pictures, and what is to be said about them.

    What the catalog has; else found from a sample of the contents, and stored where that was large enough and nobody
    else is writing. Where the encoder cannot be had, those of ``builtin``, with a note.
    """
    if space.encoder == _OWN:
        return DEFAULTS, ()
    if (stored := kept(reader.root, space.fingerprint)) is not None:
        return stored, ()
    try:
        encoder = load(space)
        if encoder.fingerprint() != space.fingerprint:
            raise EncoderMismatchError("its weights are others now")
    except (EncoderError, MissingExtraError, UnknownEncoderError) as error:
        note = f"{space.encoder} cannot be asked ({error}): cosines are judged by the limits of {_OWN}"
        return DEFAULTS, (note,)
    pictures = list(_sample(reader, contents, encoder.info.draft_size, progress))

    def encode(batch: Sequence[Pixels]) -> Float32:
        return encoder.encode_images(np.stack([encoder.prepare(pixels) for pixels in batch]))

    found = calibrate(pictures, encode)
    if len(pictures) == SAMPLE:
        with suppress(LockedError, StorageError), Writer(reader.root, "duplicates") as writer:
            keep(writer, space.fingerprint, found)
    return found, ()


def _sample(
    reader: Reader, contents: Contents, side: int | None, progress: ProgressCallback | None
) -> Iterator[Pixels]:
    """At most SAMPLE different pictures, the same ones whenever they are asked for; some more are tried where some
    cannot be read."""
    began, given = time.monotonic(), 0
    tried = np.random.default_rng(0).permutation(len(contents))[: 4 * SAMPLE]
    ids = contents.ids[tried].tolist()
    with Originals(reader, ids) as originals:
        for image_id in ids:
            if progress is not None:
                progress(Progress(PHASE, given, min(SAMPLE, len(contents)), 0, time.monotonic() - began))
            if given == SAMPLE:
                return
            with suppress(MediaError):
                if (data := originals.read(image_id)) is not None:
                    yield decode(data, min_side=side, measured=False).pixels
                    given += 1
