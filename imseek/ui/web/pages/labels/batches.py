"""Batches of images to label, with the labels given so far, without Streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from imseek import probes, tags
from imseek.collection import Collection
from imseek.errors import ImseekError
from imseek.overview import read_state
from imseek.probes.results import ProbeInfo, Proposal
from imseek.search import Query, Term
from imseek.ui.web import search_state
from imseek.ui.web.components.grid import Card
from imseek.ui.web.components.labeller import SKIP
from imseek.ui.web.pages.labels import label_shelves
from imseek.ui.web.pages.labels.tag_label_sets import LabelSet, changes

#: Number of images in a batch, and maximum number of skipped images that are excluded.
SIZE: Final = 24
_MAX_SKIPPED: Final = 900
#: Images of a large collection considered for a batch; the next batch considers others.
POOL: Final = 8000
#: Seconds to wait for another writer.
_LOCK_TIMEOUT: Final = 1.0


@dataclass
class Batch:
    """A batch of images; ``number`` changes with the cards.

    ``stored_keys`` are by id; ``error`` is the one that kept later ones from being stored. ``skipped`` images are
    not proposed again.
    """

    number: int
    cards: tuple[Card, ...] = ()
    notes: tuple[str, ...] = ()
    stored_keys: dict[int, str] = field(default_factory=dict)
    skipped: set[int] = field(default_factory=set)
    error: ImseekError | None = None

    def keep(self, collection: Collection, label_set: LabelSet, keys: Mapping[int, str]) -> None:
        """Store the keys that have changed. After an error they remain to be stored later."""
        card_ids = {card.id for card in self.cards}
        self.skipped = (self.skipped - card_ids) | {image_id for image_id, key in keys.items() if key == SKIP}
        new = changes(self.stored_keys, keys)
        self.error = None
        if new:
            try:
                tags.choose(collection, label_set.choices(new), label_set.tags, patience=_LOCK_TIMEOUT)
            except ImseekError as error:
                self.error = error
                return
        self.stored_keys = dict(keys)


def propose_batch(
    name: str,
    collection: Collection,
    label_set: LabelSet,
    previous: Batch | None,
    counts: Mapping[str, int],
    probe: ProbeInfo | None = None,
) -> Batch:
    """Return the images most worth labelling next, by active learning.

    Uses the ``probe`` if it has the same classes and has learned from at least half of the labels. Otherwise a probe is
    trained first, which takes longer the more labels there are. Raises as :func:`imseek.probes.propose`.
    """
    skipped = set() if previous is None else previous.skipped
    where, notes = sample_condition(collection, _number(previous), [tag for tag in label_set.tags if tag in counts])
    n = SIZE + min(len(skipped), _MAX_SKIPPED)
    labels = label_set.labels(counts)
    labelled = sum(counts.get(tag, 0) for tag in label_set.tags)
    fresh = probe is not None and probe.classes == labels.names and 2 * sum(probe.counts) >= labelled
    probe_name = probe.name if probe is not None and fresh else None
    report = probes.propose(collection, probe_name, labels, n=n, where=where)
    proposals = [proposal for proposal in report.proposals if proposal.image_id not in skipped][:SIZE]
    places = {proposal.image_id: proposal.place for proposal in proposals}
    cards = tuple(
        label_shelves.card(name, proposal.image_id, places[proposal.image_id], _guess(proposal))
        for proposal in proposals
    )
    notes = notes if cards else ("No pictures left to label.",)
    return Batch(_number(previous), cards, notes, skipped=skipped)


def sample_condition(collection: Collection, number: int, tags_: Sequence[str]) -> tuple[str | None, tuple[str, ...]]:
    """Return the condition that selects a sample of a large collection and all images with one of these tags, and a
    note.

    Both are empty for a small collection. Another ``number`` selects another sample.
    """
    images = read_state(collection.path).images
    parts = images // POOL
    if parts < 2:
        return None, ()
    conditions = [
        f"image_id % {parts} = {number % parts}",
        *(f"tag({search_state.sql_literal(tag)})" for tag in tags_),
    ]
    return " OR ".join(conditions), (f"Chosen from one picture in {parts}; from others next time.",)


def search_batch(
    name: str,
    collection: Collection,
    label_set: LabelSet,
    previous: Batch | None,
    counts: Mapping[str, int],
    words: str,
) -> Batch:
    """Return unlabelled images found by words. Raises as :meth:`imseek.Collection.search`."""
    skipped = set() if previous is None else previous.skipped
    used_tags = [tag for tag in label_set.tags if tag in counts]
    where = " AND ".join(f"NOT tag({search_state.sql_literal(tag)})" for tag in used_tags) or None
    query = Query((Term(text=words),), limit=SIZE + min(len(skipped), _MAX_SKIPPED), where=where)
    hits = [hit for hit in collection.search(query).hits if hit.image_id not in skipped][:SIZE]
    cards = tuple(label_shelves.card(name, hit.image_id, hit.place) for hit in hits)
    return Batch(_number(previous), cards, () if cards else ("No more results.",), skipped=skipped)


def _number(previous: Batch | None) -> int:
    return 1 if previous is None else previous.number + 1


def _guess(proposal: Proposal) -> str:
    if proposal.label is None or proposal.probability is None:
        return ""
    return f"{proposal.label}? {proposal.probability:.2f}"
