"""Make the tokens of pictures, by the model that compares them, in a space that no search reads.

They are vectors like others: written in shards, built in parts, merged, verified, repaired, backed up and purged with
them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from typing import Any, Final

import numpy as np

from imseek.data.catalog import model_files, models, spaces
from imseek.data.catalog.models import Model
from imseek.data.collection_records import MAX_DIM
from imseek.data.writing.space_build import SpaceBuild
from imseek.data.writing.writer import Writer
from imseek.encoders.base import Encoder
from imseek.encoders.patch_features import require_patches
from imseek.encoders.space_compatibility import space_of
from imseek.encoders.token_interaction import Interaction
from imseek.errors import CorruptCollectionError, EncoderError, UsageError
from imseek.indexer.reencode import PictureRows, are_few
from imseek.progress import Task
from imseek.types.arrays import Float32
from imseek.types.maintenance_reports import MissingPicture, TokenOutcome, TokenReport
from imseek.types.pictures import SkipReason
from imseek.types.token_spaces import KIND, NAME, are_tokens, tokens_reference

PHASE: Final = "tokens"


class TokenEncoder:
    """An encoder whose vector of a picture is the concatenation of its tokens, of unit length as a whole."""

    def __init__(self, encoder: Encoder, model: Interaction) -> None:
        """Raises EncoderError for an encoder without patches or tokens that are longer than a row may be, and
        CorruptCollectionError for a model of other features."""
        count, dim = model.shape
        if count * dim > MAX_DIM:
            raise EncoderError(f"{count} tokens of {dim} numbers exceed the {MAX_DIM:,} that a collection stores")
        self._patches = require_patches(encoder, encoder.info.reference)
        if len(model.keys) != len(self._patches.patch_alignment().image):
            raise _other_features(encoder)
        self._encoder, self._model = encoder, model
        self.info = replace(
            encoder.info, reference=tokens_reference(encoder.info.reference), dim=count * dim, modalities=("image",)
        )

    @property
    def precision(self) -> str:
        return self._encoder.precision

    def fingerprint(self) -> str:
        return self._model.fingerprint(self._encoder.fingerprint())

    def prepare(self, pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, Any]:
        return self._encoder.prepare(pixels)

    def encode_images(self, batch: np.ndarray[Any, Any]) -> Float32:
        features = self._patches.patch_features(batch)
        if features.shape[1] != self._model.positions.shape[1]:
            raise _other_features(self._encoder)
        tokens = self._model.compress(features)
        rows: Float32 = tokens.reshape(len(batch), -1) / np.float32(tokens.shape[1] ** 0.5)
        return rows

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        raise EncoderError("tokens are of pictures only")

    def notes(self, texts: Sequence[str]) -> tuple[str, ...]:
        return ()


def _other_features(encoder: Encoder) -> CorruptCollectionError:
    return CorruptCollectionError(
        f"the model of tokens is not for features of {encoder.info.reference}",
        hint="`imseek maintain --no-tokens` deletes it",
    )


def find_model(writer: Writer) -> Model:
    """Return the model that makes tokens. Raises UsageError where nothing was learned."""
    model = models.find(writer.root, NAME)
    if model is None or model.kind != KIND:
        raise UsageError(
            "this collection has no model that makes tokens",
            hint="`imseek tune --reranker` learns one from captions, if it helps",
        )
    return model


def make_tokens(writer: Writer, encoder: TokenEncoder, task: Task, notify: Callable[[str], None]) -> TokenReport:
    """Make the tokens of images that have none; see :func:`imseek.maintenance.make_tokens`."""
    started = time.monotonic()
    space = spaces.prepare_space(writer, space_of(encoder, None))
    build = SpaceBuild(writer, space, retry=True)
    before, each = build.done, 2 * space.dim
    if build.total > before:
        notify(
            f"tokens take {each / 1e3:,.0f} kB a picture: {each * (build.total - before) / 1e6:,.1f} MB for "
            f"{build.total - before:,} pictures"
        )
    rows = PictureRows(writer, encoder, build, task)
    outcome: TokenOutcome = "already" if before == build.total else "made"
    if not build.run(rows, task, PHASE, lambda: len(rows.missing)):
        outcome = "interrupted"
    elif not _is_acceptable(tuple(rows.missing.values()), build.total, spaces.unsearched_images(writer)):
        outcome = "refused"
    else:
        # A picture that cannot be read gets zeros, as an image without a caption does: its shard goes on.
        build.fill()
        _drop_spaces(writer, besides=space.space_id)
    return TokenReport(
        outcome=outcome,
        space_id=space.space_id,
        encoder=space.encoder,
        images=build.total,
        before=before,
        encoded=rows.encoded,
        copied=rows.copied,
        missing=tuple(rows.missing.values()),
        bytes_each=each,
        seconds=time.monotonic() - started,
        generation=build.generation,
    )


def _is_acceptable(missing: Sequence[MissingPicture], total: int, resting: Set[int]) -> bool:
    """Return whether only few pictures are missing, none because its source may not be mounted.

    Unlike a switch to other vectors, this loses no search, and the next run tries them again.
    """
    lost = [picture for picture in missing if picture.image_id not in resting]
    few = are_few(len(lost), total)
    return few and all(picture.settled or picture.reason != SkipReason.VANISHED for picture in lost)


def forget_tokens(writer: Writer) -> bool:
    """Delete all tokens and their model; return whether there were any."""
    try:
        model = models.find(writer.root, NAME)
        is_ours = model is not None and model.kind == KIND
    except CorruptCollectionError:  # A damaged one goes, too, if it is of this kind.
        is_ours = models.kind_on_file(writer.root, NAME) == KIND
    if is_ours:
        model_files.drop(writer, NAME)
    return _drop_spaces(writer) or is_ours


def _drop_spaces(writer: Writer, besides: int | None = None) -> bool:
    infos = [one.info for one in spaces.list_spaces(writer)]
    old = [info.space_id for info in infos if are_tokens(info.encoder) and info.space_id != besides]
    for space_id in old:
        spaces.drop(writer, space_id)
    return bool(old)
