"""Results of ``imseek tune``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from imseek.metrics.estimate import Estimate
from imseek.types.json_form import Count, Json, Seconds

TuneSource: TypeAlias = Literal["captions", "tags", "judgements"]
TuneLoss: TypeAlias = Literal["infonce", "sigmoid"]
#: What was searched for, and in what.
TuneDirection: TypeAlias = Literal["text to image", "image to text", "image to image"]
#: *switched*: the new space is searched. *refused*: no improvement. *tried*: an improvement, but no change was
#: requested. *interrupted*: nothing changed.
TuneOutcome: TypeAlias = Literal["switched", "refused", "tried", "interrupted"]
#: A share with all its digits.
_Share: TypeAlias = Annotated[float, Json(minimum=0, maximum=1)]


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Retrieval quality of queries over items."""

    questions: Count
    """Number of queries."""
    items: Count
    r1: _Share
    """R@1, the share of queries with a relevant item in the first place."""
    r5: _Share
    r10: _Share
    median_rank: Annotated[float, Json(minimum=1)]
    """Median rank of the first relevant item."""
    precision: _Share
    """Mean average precision."""


@dataclass(frozen=True, slots=True)
class TuneGain:
    """Held-out quality before and after tuning in one direction."""

    direction: TuneDirection
    before: Retrieval
    """With the vectors of the encoder."""
    after: Retrieval
    """With those of the adapter."""
    r1: Estimate
    """Difference of R@1, with the 95 % interval of a paired bootstrap."""
    precision: Estimate
    """Difference of the mean average precision, with the 95 % interval of a paired bootstrap."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """An adapter's training, and its effect on unseen images."""

    steps: Count
    """Number of steps after which it was best on the validation images."""
    rank: Count
    """Rank of the residual."""
    strength: _Share
    """Share of the residual that was kept."""
    scale: float
    """Factor of the cosines in the loss in the end."""
    moved: Annotated[float, Json(minimum=-1, maximum=1)]
    """Mean cosine of held-out vectors with their originals."""
    gains: tuple[TuneGain, ...]
    gain: Estimate
    """Difference of the average precision over all directions with equal weight, with a 99 % interval: it decides."""
    helps: bool


@dataclass(frozen=True, slots=True)
class RerankerGain:
    """A reranker's training, and its effect on captions and pictures that it has not seen."""

    steps: Count
    """Number of steps after which it was best on the validation images."""
    weight: float
    """Factor of its scores, relative to the logarithm of the rank before; 0 where no other helped in the validation."""
    before: Retrieval
    """Held-out captions as queries, ordered by the vectors."""
    after: Retrieval
    """The same with the best 100 of each ordered by the reranker."""
    r1: Estimate
    """Difference of R@1, with the 95 % interval of a paired bootstrap."""
    gain: Estimate
    """Difference of the mean of 1 / rank, with a 99 % interval: it decides."""
    helps: bool


#: *stored*: the model is there, and pictures can get tokens; the others as for :data:`TuneOutcome`.
RerankerOutcome: TypeAlias = Literal["stored", "refused", "tried", "interrupted"]


@dataclass(frozen=True, slots=True)
class RerankerReport:
    """The result of ``tune --reranker``."""

    outcome: RerankerOutcome
    """stored: `maintain --tokens` can make tokens now; refused: no improvement; tried: an improvement, but no change
    was requested; interrupted: nothing changed."""
    encoder: str
    seed: Count
    pairs: Count
    """Number of captions with a picture that was read."""
    train: Count
    """Images for training."""
    validation: Count
    """Images for early stopping."""
    held_out: Count
    """Images for the evaluation."""
    unread: Count
    """Images that could not be read, and are passed over."""
    gained: RerankerGain | None
    """Null if it was interrupted before the evaluation."""
    bytes_each: Count
    """What the tokens of an image take on disk."""
    images: Count
    seconds: Seconds
    generation: Count
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TuneReport:
    """The result of ``tune``."""

    outcome: TuneOutcome
    """switched: the new space is searched from this generation on; refused: no improvement; tried: an improvement, but
    no change was requested; interrupted: nothing changed."""
    name: str
    """Name of the adapter."""
    encoder: str
    """Encoder whose vectors it was trained on."""
    source: TuneSource
    loss: TuneLoss
    seed: Count
    pairs: Count
    """Number of pairs in all."""
    train: Count
    """Images for training."""
    validation: Count
    """Images for early stopping."""
    held_out: Count
    """Images for the evaluation."""
    taught: Tuning | None
    """Null if it was interrupted before the evaluation."""
    space_id: Count | None
    """The new space; null where there is none."""
    replaced: Count | None
    """The space in use before, which is kept."""
    images: Count
    seconds: Seconds
    generation: Count
    notes: tuple[str, ...] = ()
