"""Some pictures to label, and what was given to them so far, without Streamlit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from imseek import probes, tags
from imseek.collection import Collection
from imseek.errors import ImseekError
from imseek.search.query import Query, Term
from imseek.types.probes import Proposal
from imseek.ui.web.components.grid import Card
from imseek.ui.web.components.labeller import SKIP
from imseek.ui.web.pages.labels import pictures
from imseek.ui.web.pages.labels.sets import LabelSet, changes

#: Pictures that are shown at once, and of those that were skipped so many are remembered.
SIZE: Final = 24
_SKIPPED: Final = 900
#: Seconds that a key waits for another writer.
_PATIENCE: Final = 1.0


@dataclass
class Batch:
    """``number`` is another one for other cards. ``given`` are keys by id as they are stored; ``refused`` says why what
    came after is not. ``skipped`` are pictures that are not proposed again."""

    number: int
    cards: tuple[Card, ...] = ()
    notes: tuple[str, ...] = ()
    given: dict[int, str] = field(default_factory=dict)
    skipped: set[int] = field(default_factory=set)
    refused: ImseekError | None = None

    def keep(self, collection: Collection, one: LabelSet, now: Mapping[int, str]) -> None:
        """Store what is given ``now`` where it is other than before. What is refused stays to be tried again."""
        mine = {card.id for card in self.cards}
        self.skipped = (self.skipped - mine) | {image_id for image_id, key in now.items() if key == SKIP}
        new = changes(self.given, now)
        self.refused = None
        if new:
            try:
                tags.choose(collection, one.choices(new), one.tags, patience=_PATIENCE)
            except ImseekError as error:
                self.refused = error
                return
        self.given = dict(now)


def useful(
    name: str, collection: Collection, one: LabelSet, before: Batch | None, said: Mapping[str, int]
) -> Batch:
    """What is worth labelling next. Raises as :func:`imseek.probes.propose`."""
    skipped = set() if before is None else before.skipped
    found = probes.propose(
        collection, labels=one.labels(said), n=min(1000, SIZE + min(len(skipped), _SKIPPED))
    )
    shown = [proposal for proposal in found.proposals if proposal.image_id not in skipped][:SIZE]
    there = {proposal.image_id: proposal.place for proposal in shown}
    cards = tuple(
        pictures.card(name, proposal.image_id, there[proposal.image_id], _guess(proposal))
        for proposal in shown
    )
    return Batch(_number(before), cards, () if cards else ("No picture is left to label.",), skipped=skipped)


def searched(
    name: str,
    collection: Collection,
    one: LabelSet,
    before: Batch | None,
    said: Mapping[str, int],
    words: str,
) -> Batch:
    """What words find that is not labelled yet. Raises as :meth:`imseek.Collection.search`."""
    skipped = set() if before is None else before.skipped
    mine = [tag for tag in one.tags if tag in said]
    where = " AND ".join(f"NOT tag({pictures.quoted(tag)})" for tag in mine) or None
    query = Query((Term(text=words),), limit=SIZE + min(len(skipped), _SKIPPED), where=where)
    hits = [hit for hit in collection.search(query).hits if hit.image_id not in skipped][:SIZE]
    cards = tuple(pictures.card(name, hit.image_id, hit.place) for hit in hits)
    return Batch(_number(before), cards, () if cards else ("Nothing more is found.",), skipped=skipped)


def _number(before: Batch | None) -> int:
    return 1 if before is None else before.number + 1


def _guess(proposal: Proposal) -> str:
    if proposal.label is None or proposal.probability is None:
        return ""
    return f"{proposal.label}? {proposal.probability:.2f}"
