"""Zero-shot labels: which of the given classes each image belongs to, from stored vectors.

A label may come from written text in an image rather than its content: CLIP takes an apple with a note "iPod" for an
iPod (Goh et al. 2021, "Multimodal Neurons in Artificial Neural Networks"). An image more similar to "a sign that says
iPod" than to an iPod deserves a second look.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.analysis.space_vectors import BLOCK, Vectors
from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids
from imseek.encoders.base import Encoder
from imseek.labels import logit_scale, top_classes
from imseek.labels.class_vectors import class_vectors, sentence_vectors
from imseek.labels.logit_scale import Scale
from imseek.labels.recipe import Recipe, check_multi
from imseek.labels.results import Labels
from imseek.progress import SILENT, Task
from imseek.types.arrays import Float32
from imseek.types.collection_info import SpaceInfo

#: Templates that describe written text naming a class.
WRITING_TEMPLATES: Final = (
    'the word "{}" written on paper',
    'a sign that says "{}"',
    'a label with the text "{}"',
    'the word "{}"',
)


@dataclass(frozen=True, slots=True, eq=False)
class ClassVectors:
    """Class vectors (c, dim) with offsets.

    ``none`` is the index of the last row where it stands for none of the classes. ``mean`` is the mean image vector, if
    used.
    """

    rows: Float32
    offsets: Float32
    none: int | None
    mean: Float32 | None


@dataclass(frozen=True, slots=True, eq=False)
class LabelContext:
    """What work on labels needs besides its data: its task, notes for the user, and how to load an encoder.

    ``load`` supplies an encoder that is in memory already; None: it is loaded where it is needed.
    """

    task: Task = SILENT
    load: Callable[[SpaceInfo], Encoder] | None = None
    notes: list[str] = field(default_factory=list)

    def note(self, line: str) -> None:
        """Add a note once."""
        if line not in self.notes:
            self.notes.append(line)


def caution_caveat(space: SpaceInfo) -> str | None:
    """Return a caveat about flags of this space's encoder; None where it can read."""
    if space.quality == "full":
        return None
    return (
        f"{space.encoder} cannot read: its labels do not come from words in pictures, and what is flagged is any "
        "picture that looks like a sign or paper (docs/limits.md)"
    )


def encode_classes(
    reader: Reader,
    space: SpaceInfo,
    recipe: Recipe,
    scale: Scale,
    context: LabelContext,
    vectors: Vectors | None = None,
    mean: Float32 | None = None,
) -> ClassVectors:
    """Encode the classes of a recipe. ``mean`` is the mean image vector if known; otherwise it is that of ``vectors``.

    Raises like :func:`imseek.labels.class_vectors.sentence_vectors`.
    """
    if recipe.multi:
        check_multi(scale, space.encoder)
    count = len(recipe.classes)

    def sentences(n: int) -> list[str]:
        return recipe.classes.sentences(n, recipe.templates) if n < count else list(recipe.none)

    rows = sentence_vectors(
        reader.root,
        space,
        count + bool(recipe.none),
        sentences,
        notify=context.note,
        task=context.task,
        load=context.load,
    )
    if recipe.centred and mean is None:
        mean = _mean_vector(vectors if vectors is not None else Vectors(reader, space), context)
    if not recipe.centred:
        mean = None
    return ClassVectors(rows, logit_scale.offsets(rows, scale, mean), count if recipe.none else None, mean)


def label_images(
    reader: Reader,
    vectors: Vectors,
    recipe: Recipe,
    scale: Scale,
    encoded_classes: ClassVectors,
    context: LabelContext,
    ids: Ids | None = None,
) -> Labels:
    """Label all of ``vectors``, or those of ``ids`` (m,), ascending.

    Memory: the class vectors, a tile of 32 MiB, and 12 + 8·``top`` bytes per image. Raises Cancelled where it
    was stopped.
    """
    ids = vectors.ids if ids is None else ids
    k = min(recipe.top, len(encoded_classes.rows))
    top = np.empty((len(ids), k), np.int32)
    probabilities = np.empty((len(ids), k), np.float32)
    cautious = (
        _WritingDetector(reader, vectors.space, recipe, scale, encoded_classes, context) if recipe.caution else None
    )
    cautions = np.zeros(len(ids), np.bool_)
    for start in range(0, len(ids), BLOCK):
        context.task.check()
        part = slice(start, min(start + BLOCK, len(ids)))
        rows = vectors.of(ids[part])
        top[part], probabilities[part] = top_classes.find_top_classes(
            rows, encoded_classes.rows, encoded_classes.offsets, scale, k, multi=recipe.multi
        )
        if cautious is not None:
            cautions[part] = cautious.flags(rows, top[part, 0])
        context.task.report("labels", part.stop, len(ids))
    if encoded_classes.none is not None:
        top[top == encoded_classes.none] = -1
    counts = _count_labels(top, probabilities, recipe)
    return Labels(
        image_ids=ids,
        classes=recipe.classes.names,
        top=top,
        probabilities=probabilities,
        given=counts,
        cautions=cautions & (counts > 0) if recipe.caution else None,
        multi=recipe.multi,
        factor=scale.factor,
        factor_source=scale.source,
        encoder=vectors.space.encoder,
        generation=reader.generation,
    )


def _count_labels(top: npt.NDArray[np.int32], probabilities: Float32, recipe: Recipe) -> npt.NDArray[np.int32]:
    """Count the labels of each image (n,): the first of its top classes."""
    enough = probabilities >= (recipe.threshold or 0)
    if recipe.multi:
        counts: npt.NDArray[np.int32] = enough.sum(axis=1, dtype=np.int32)
        return counts
    return (enough[:, 0] & (top[:, 0] >= 0)).astype(np.int32)


def _mean_vector(vectors: Vectors, context: LabelContext) -> Float32:
    """Mean vector (dim,) float32; zeros without any."""
    total = np.zeros(vectors.dim, np.float64)
    for _, rows in vectors.blocks():
        context.task.check()
        total += rows.sum(axis=0, dtype=np.float64)
    return (total / max(1, len(vectors))).astype(np.float32)


class _WritingDetector:
    """Compares images with written text naming their label; encodes texts only for labels that occur."""

    def __init__(
        self,
        reader: Reader,
        space: SpaceInfo,
        recipe: Recipe,
        scale: Scale,
        encoded_classes: ClassVectors,
        context: LabelContext,
    ) -> None:
        self._reader, self._space, self._recipe, self._context = reader, space, recipe, context
        self._encoded_classes, self._scale = encoded_classes, scale
        # By label: the direction from its class to its written text, and a constant.
        self._writing_axes: dict[int, tuple[Float32, float]] = {}

    def flags(self, rows: Float32, numbers: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        """Return which images (m,) are more similar to written text naming their class than to the class."""
        present = np.unique(numbers).tolist()
        missing = [n for n in present if n not in self._writing_axes and n != self._encoded_classes.none]
        names = [self._recipe.classes.names[n] for n in missing]
        written_vectors = class_vectors(
            self._reader.root,
            self._space,
            names,
            WRITING_TEMPLATES,
            notify=self._context.note,
            task=Task(stop=self._context.task.stop),  # Its few words are no phase of their own.
        )
        offsets = logit_scale.offsets(written_vectors, self._scale, self._encoded_classes.mean)
        for n, written_vector, offset in zip(missing, written_vectors, offsets.tolist(), strict=True):
            constant = offset - float(self._encoded_classes.offsets[n])
            self._writing_axes[n] = written_vector - self._encoded_classes.rows[n], constant
        is_written = np.zeros(len(rows), np.bool_)
        for n in present:
            if n != self._encoded_classes.none:
                is_member = numbers == n
                direction, constant = self._writing_axes[n]
                is_written[is_member] = rows[is_member] @ direction + constant > 0
        return is_written


__all__ = [
    "WRITING_TEMPLATES",
    "ClassVectors",
    "LabelContext",
    "caution_caveat",
    "encode_classes",
    "label_images",
]
