"""Probabilities of a policy's concepts for each image, from stored vectors.

For a concept with positive prompts P and negative prompts N: the mean of e^(factor · cosine) over P, divided by the sum
of that mean and the same over N. With one prompt each this is CLIP's two-way softmax; means keep longer lists from
having an advantage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imseek.analysis.space_vectors import BLOCK, Vectors
from imseek.data.reader import Reader
from imseek.labels import logit_scale
from imseek.labels.class_vectors import fill_templates, sentence_vectors
from imseek.labels.logit_scale import Scale
from imseek.labels.moderation_policies import Concept, Policy
from imseek.labels.results import ConceptCount, Moderation
from imseek.labels.top_classes import sigmoid
from imseek.labels.zero_shot import WRITING_TEMPLATES, LabelContext
from imseek.types.arrays import Float32
from imseek.types.collection_info import SpaceInfo


@dataclass(frozen=True, slots=True, eq=False)
class _Prompts:
    """Vectors (p, dim) and offsets (p,) of prompts."""

    rows: Float32
    offsets: Float32

    def cosines(self, pictures: Float32) -> Float32:
        """Cosines with offsets (m, p)."""
        values: Float32 = pictures @ self.rows.T
        values += self.offsets
        return values


@dataclass(frozen=True, slots=True, eq=False)
class _ConceptPrompts:
    """Prompts of a concept: positive, negative, and written text naming it."""

    positive: _Prompts
    negative: _Prompts
    written: _Prompts | None


def moderate(
    reader: Reader,
    vectors: Vectors,
    policy: Policy,
    scale: Scale,
    context: LabelContext,
    *,
    cautious: bool,
) -> Moderation:
    """Score all of ``vectors``. Memory: the prompts, a block of vectors, and 6 bytes per image and concept.

    Raises like :func:`imseek.labels.class_vectors.sentence_vectors`, Cancelled where it was stopped.
    """
    sides = [_encode_concept(reader, vectors.space, concept, scale, context, cautious) for concept in policy.concepts]
    n, c = len(vectors), len(policy.concepts)
    probabilities = np.empty((n, c), np.float32)
    cautions = np.zeros((n, c), np.bool_)
    for part, rows in vectors.blocks(BLOCK):
        context.task.check()
        for at, side in enumerate(sides):
            yes, no = side.positive.cosines(rows), side.negative.cosines(rows)
            probabilities[part, at] = sigmoid(_log_mean_exp(yes, scale.factor) - _log_mean_exp(no, scale.factor))
            if side.written is not None:
                cautions[part, at] = side.written.cosines(rows).max(axis=1) > yes.max(axis=1)
        context.task.report("moderating", part.stop, n)
    flagged = probabilities >= np.array([concept.threshold for concept in policy.concepts], np.float32)
    return Moderation(
        image_ids=vectors.ids,
        policy=policy.name,
        concepts=tuple(
            ConceptCount(concept.name, concept.threshold, int(flagged[:, at].sum()))
            for at, concept in enumerate(policy.concepts)
        ),
        probabilities=probabilities,
        flagged=flagged,
        cautions=cautions & flagged if cautious else None,
        factor=scale.factor,
        factor_source=scale.source,
        encoder=vectors.space.encoder,
        generation=reader.generation,
    )


def _log_mean_exp(cosines: Float32, factor: float) -> Float32:
    """Log of the mean of e^(factor · cosine): (m, p) → (m,)."""
    logits = np.float32(factor) * cosines
    highest = logits.max(axis=1, keepdims=True)
    log_means: Float32 = highest[:, 0] + np.log(np.exp(logits - highest).mean(axis=1))
    return log_means


def _encode_concept(
    reader: Reader,
    space: SpaceInfo,
    concept: Concept,
    scale: Scale,
    context: LabelContext,
    cautious: bool,
) -> _ConceptPrompts:
    def prompts(texts: Sequence[str], templates: Sequence[str]) -> _Prompts:
        rows = sentence_vectors(
            reader.root,
            space,
            len(texts),
            lambda n: fill_templates(templates, (texts[n],)),
            notify=context.note,
            task=context.task,
        )
        return _Prompts(rows, logit_scale.offsets(rows, scale, None))

    return _ConceptPrompts(
        prompts(concept.positive, concept.templates),
        prompts(concept.negative, concept.templates),
        prompts(concept.positive, WRITING_TEMPLATES) if cautious else None,
    )
