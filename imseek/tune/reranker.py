"""Learn the model that makes and compares tokens of pictures, from captions, and measure what it gains.

Each held-out caption is a query whose own pictures are right. The first stage orders the held-out pictures by their
vectors; the model orders its best 100 anew, as a search does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.analysis.originals import Originals
from imseek.analysis.snapshot_session import run_with_reader
from imseek.data.catalog import model_files, models
from imseek.data.catalog.models import Model
from imseek.data.current_generation import read_current
from imseek.data.reader import Reader
from imseek.data.writing.writer import Writer
from imseek.encoders.base import Encoder
from imseek.encoders.input_checks import available_cpus
from imseek.encoders.interaction_training import InteractionPairs, train_interaction
from imseek.encoders.patch_features import PatchEncoder, require_patches
from imseek.encoders.token_interaction import WORDS, Interaction
from imseek.errors import MediaError, UsageError
from imseek.indexer.ordered_map import OrderedMap
from imseek.media import decode
from imseek.metrics import bootstrap
from imseek.metrics.retrieval import Ranks
from imseek.progress import Task
from imseek.search.token_reranker import VERSION, combine
from imseek.tune.data_split import MIN_GROUPS, Split, split_examples
from imseek.tune.examples import Examples, read_examples
from imseek.tune.results import RerankerGain, RerankerOutcome, RerankerReport
from imseek.tune.retrieval_gain import DECISION_LEVEL, renumber, summarise_ranks
from imseek.types.arrays import Float32
from imseek.types.spaces import SpaceInfo
from imseek.types.token_spaces import KIND, NAME

#: Most pictures that are read for each part: features of one take 125 kB.
MAX_IMAGES: Final = {"train": 3000, "validation": 500, "held_out": 1500}
#: Steps of training at most, steps between validations, and validations without improvement before it ends.
STEPS: Final = 400
VALIDATE_EVERY: Final = 20
PATIENCE: Final = 4
#: Best hits of a query that are ordered anew, and those that hard negatives come from.
DEPTH: Final = 100
HARD: Final = 20
#: Factors of the model's scores to try. 0 leaves the order as it is.
WEIGHTS: Final = (0.0, 0.03, 0.1, 0.2, 0.4, 0.8, 1.6)
_DEADLINE: Final = 60.0
_BATCH: Final = 32


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Captions and pictures of one part. ``pairs`` (p, 2) are a text of the n ``states`` and a picture of ``features``.

    ``words`` (t, dim) and ``images`` (n, dim) are unit vectors of the first stage; ``groups`` (t,) are resampled
    together.
    """

    features: npt.NDArray[np.float16]
    images: Float32
    states: tuple[Float32, ...]
    words: Float32
    pairs: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int64]

    @property
    def belongs(self) -> npt.NDArray[np.bool_]:
        """(t, n): which pictures a text is the caption of."""
        mask = np.zeros((len(self.states), len(self.images)), np.bool_)
        mask[tuple(self.pairs.T)] = True
        return mask

    def first_stage(self, most: int) -> npt.NDArray[np.int64]:
        """Return (t, k) pictures that each text finds, best first."""
        order: npt.NDArray[np.int64] = np.argsort(-(self.words @ self.images.T), axis=1, kind="stable")[:, :most]
        return order


def train(
    root: Path, load: Callable[[SpaceInfo], Encoder], seed: int, task: Task, writer: Writer | None
) -> RerankerReport:
    """Learn and measure; with a ``writer``, store the model if it helps. See :func:`imseek.tune.train_reranker`."""
    started = time.monotonic()

    def read(reader: Reader) -> tuple[SpaceInfo, Examples, list[Part], int, npt.NDArray[np.int64]]:
        space = reader.current.space
        encoder = load(space)
        patches = require_patches(encoder, space.encoder)
        examples = read_examples(reader, "captions", lambda: encoder, seed)
        split = split_examples(reader, examples, seed)
        positions_by_part = {name: getattr(split, name)[:most] for name, most in MAX_IMAGES.items()}
        features = read_features(
            reader, encoder, patches, examples.ids[np.concatenate([*positions_by_part.values()])], task
        )
        unread = sum(map(len, positions_by_part.values())) - len(features)
        training_ids = examples.ids[np.concatenate([positions_by_part["train"], positions_by_part["validation"]])]
        read_ids = np.array([image_id for image_id in training_ids.tolist() if image_id in features], np.int64)
        states = read_states(examples, patches, features, task)
        parts = [_part(examples, split, positions, features, states) for positions in positions_by_part.values()]
        return space, examples, parts, unread, read_ids

    space, examples, parts, unread, learned_ids = run_with_reader(root, read)
    encoder = load(space)
    short = [name for name, part in zip(MAX_IMAGES, parts, strict=True) if len(part.states) < 2]
    if short and not task.is_cancelled:
        raise UsageError(
            f"{unread:,} of the captioned pictures cannot be read, and too few are left",
            hint=f"are their sources mounted? {MIN_GROUPS} are needed",
        )
    result = None if task.is_cancelled else learn(parts, require_patches(encoder, space.encoder), seed, task)
    gain = None if result is None else result[1]
    outcome: RerankerOutcome = "interrupted"
    if gain is not None:
        outcome = "tried" if gain.helps and writer is None else "stored" if gain.helps else "refused"
    if outcome == "stored" and writer is not None and result is not None:
        facts = {"version": VERSION, "weight": result[1].weight, "encoder": space.encoder, "seed": seed}
        facts |= {"fingerprint": space.fingerprint, "r1": [result[1].before.r1, result[1].after.r1]}
        model_files.put(writer, Model(NAME, KIND, facts, {**result[0].arrays, "learned": learned_ids}))
    current = read_current(root)
    train_part, validation, held_out = (len(part.images) for part in parts)
    return RerankerReport(
        outcome=outcome,
        encoder=space.encoder,
        seed=seed,
        pairs=sum(len(part.pairs) for part in parts),
        train=train_part,
        validation=validation,
        held_out=held_out,
        unread=unread,
        gained=gain,
        bytes_each=0 if result is None else 2 * int(np.prod(result[0].shape)),
        images=current.images,
        seconds=time.monotonic() - started,
        generation=current.generation,
        notes=examples.notes,
    )


def check_name(root: Path) -> None:
    """Raise UsageError where another kind of model has the name of the one that makes tokens."""
    model = models.find(root, NAME)
    if model is not None and model.kind != KIND:
        raise UsageError(f"a {model.kind} of this collection has the name {NAME!r}", hint="delete it, or rename it")


def learn(
    parts: Sequence[Part], patches: PatchEncoder, seed: int, task: Task
) -> tuple[Interaction, RerankerGain] | None:
    """Train on the first part, choose steps and weight by the second, and measure on the third; None if cancelled."""
    lesson, validation, held_out = parts
    pairs = InteractionPairs(lesson.features, lesson.states, lesson.pairs, lesson.first_stage(HARD), lesson.belongs)
    best, best_model, idle = (-1.0, 0.0, 0), None, 0
    for steps, model in train_interaction(pairs, patches.patch_alignment(), seed=seed, every=VALIDATE_EVERY):
        if task.is_cancelled:
            return None
        task.report("learn", steps, STEPS)
        scored_texts = _score_texts(validation, model)
        # Of equal ones the smallest weight counts: it changes least.
        now = max((float((1 / _first_ranks(scored_texts, weight)).mean()), -weight) for weight in WEIGHTS)
        if now > best[:2]:
            best, best_model, idle = (*now, steps), model, 0
        else:
            idle += 1
        if steps >= STEPS or idle > PATIENCE:
            break
    assert best_model is not None
    weight, steps = -best[1], best[2]
    scored_texts = _score_texts(held_out, best_model)
    before, after = (_first_ranks(scored_texts, one) for one in (0.0, weight))
    count = len(held_out.images)
    old_ranks, new_ranks = Ranks(before, 1 / before, count), Ranks(after, 1 / after, count)
    groups = renumber(held_out.groups)
    gain = bootstrap.paired_interval(
        old_ranks.precision, new_ranks.precision, groups=groups, level=DECISION_LEVEL, seed=seed
    )
    return best_model, RerankerGain(
        steps=steps,
        weight=weight,
        before=summarise_ranks(old_ranks),
        after=summarise_ranks(new_ranks),
        r1=bootstrap.paired_interval(old_ranks.hits(1), new_ranks.hits(1), groups=groups, seed=seed),
        gain=gain,
        helps=gain.low > 0,
    )


def _score_texts(part: Part, model: Interaction) -> list[tuple[Float32, npt.NDArray[np.bool_], int]]:
    """Return for each text the model's scores (k,) of the first stage's best pictures, which of them are right, and the
    first right rank of all pictures."""
    tokens = np.concatenate(
        [model.compress(part.features[n : n + _BATCH].astype(np.float32)) for n in range(0, len(part.features), _BATCH)]
    )
    scored_texts = []
    for states, order, is_right in zip(part.states, part.first_stage(len(part.images)), part.belongs, strict=True):
        best = order[:DEPTH]
        scored_texts.append((model.score(states, tokens[best]), is_right[best], int(np.argmax(is_right[order])) + 1))
    return scored_texts


def _first_ranks(
    scored_texts: Sequence[tuple[Float32, npt.NDArray[np.bool_], int]], weight: float
) -> npt.NDArray[np.int64]:
    """Return the rank (t,) of the first right picture of each text, with scores of this weight."""
    ranks = []
    for scores, is_right, first in scored_texts:
        order = np.argsort(-combine(scores, weight), kind="stable")
        ranks.append(int(np.argmax(is_right[order])) + 1 if is_right.any() else first)
    return np.array(ranks, np.int64)


def read_features(
    reader: Reader, encoder: Encoder, patches: PatchEncoder, ids: npt.NDArray[np.int64], task: Task
) -> dict[int, npt.NDArray[np.float16]]:
    """Read pictures, and return features of their patches by image id; without those that cannot be read."""
    features: dict[int, npt.NDArray[np.float16]] = {}
    workers = available_cpus()
    with Originals(reader, ids.tolist()) as originals:

        def prepare(image_id: int) -> npt.NDArray[Any] | None:
            if (picture := originals.find(image_id)) is None:
                return None
            try:
                pixels = decode(picture.data, min_side=encoder.info.draft_size, measured=False).pixels
            except MediaError:
                return None
            return encoder.prepare(pixels)

        prepared_pictures: OrderedMap[int, npt.NDArray[Any] | None] = OrderedMap(
            prepare, workers=workers, lookahead=_BATCH + 2 * workers, deadline=_DEADLINE, late=lambda _: None
        )
        pending: list[tuple[int, npt.NDArray[Any]]] = []

        def encode() -> Iterator[tuple[int, npt.NDArray[np.float16]]]:
            if pending:
                rows = patches.patch_features(np.stack([prepared for _, prepared in pending]))
                yield from zip((image_id for image_id, _ in pending), rows.astype(np.float16), strict=True)
                pending.clear()

        for n, (image_id, prepared) in enumerate(zip(ids.tolist(), prepared_pictures(ids.tolist()), strict=True), 1):
            if task.is_cancelled:
                break
            if prepared is not None:
                pending.append((image_id, prepared))
            if len(pending) == _BATCH:
                features.update(encode())
                task.report("read", n, len(ids))
        features.update(encode())
    return features


def read_states(examples: Examples, patches: PatchEncoder, images: Collection[int], task: Task) -> dict[int, Float32]:
    """Return states of words, by position of the text, for texts of these images; without texts that have no words."""
    is_readable = np.isin(examples.ids[examples.pairs[:, 1]], [*images])
    text_numbers = np.unique(examples.pairs[is_readable, 0]).tolist()
    states_by_text: dict[int, Float32] = {}
    for start in range(0, len(text_numbers), _BATCH):
        if task.is_cancelled:
            break
        batch = text_numbers[start : start + _BATCH]
        batch_states = patches.token_states([examples.texts[text] for text in batch], WORDS)
        states_by_text.update((text, states) for text, states in zip(batch, batch_states, strict=True) if len(states))
        task.report("words", start + len(batch), len(text_numbers))
    return states_by_text


def _part(
    examples: Examples,
    split: Split,
    positions: npt.NDArray[np.int64],
    features: dict[int, npt.NDArray[np.float16]],
    states: Mapping[int, Float32],
) -> Part:
    """Select the pictures at some positions of the examples that were read, with their texts that have words.

    Takes their features from ``features``, which would be in memory twice otherwise.
    """
    positions = np.array([at for at in positions.tolist() if int(examples.ids[at]) in features], np.int64)
    place = np.full(len(examples.ids), -1, np.int64)
    place[positions] = np.arange(len(positions))
    own_pairs = examples.pairs[(place[examples.pairs[:, 1]] >= 0) & np.isin(examples.pairs[:, 0], [*states])]
    texts, text_rows = np.unique(own_pairs[:, 0], return_inverse=True)
    first = np.unique(own_pairs[:, 0], return_index=True)[1]
    assert examples.words is not None
    shape = features[int(examples.ids[positions[0]])].shape if len(positions) else (1, 1)
    part_features = np.empty((len(positions), *shape), np.float16)
    for row, image_id in zip(part_features, examples.ids[positions].tolist(), strict=True):
        row[:] = features.pop(image_id)
    return Part(
        features=part_features,
        images=examples.images[positions],
        states=tuple(states[text] for text in texts.tolist()),
        words=examples.words[texts],
        pairs=np.stack([text_rows.astype(np.int64), place[own_pairs[:, 1]]], axis=1),
        groups=split.groups[own_pairs[first, 1]],
    )
