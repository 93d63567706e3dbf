"""Decisions about groups, as pure functions that are tested without a page.

A group is identified by its images and their contents. So a decision holds as long as both are unchanged, also in later
searches; a group that has gained an image is a new one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Final, Literal, TypeAlias

from imseek.duplicates.results import (
    KIND_FACTS,
    LEAST_CONFIDENCE,
    Duplicate,
    DuplicateGroup,
    DuplicateKind,
    DuplicateReport,
)
from imseek.types.duplicate_judgements import Verdict

#: Decision about a group. *keep*: these images stay, the others may go. *different*: its images are no duplicates of
#: each other. *apart*: these images are no duplicates of the rest. *later*: not now.
Act: TypeAlias = Literal["keep", "different", "apart", "later"]
ACTS: Final[tuple[Act, ...]] = ("keep", "different", "apart", "later")
#: Identify an image with its content, and a group.
Token: TypeAlias = str
Key: TypeAlias = tuple[Token, ...]
#: Two contents as SHA-256 in hex, the lower first.
Pair: TypeAlias = tuple[str, str]
Verdicts: TypeAlias = dict[Pair, Verdict | None]
#: Reason of a keeper that the user chose.
CHOSEN: Final = "chosen by you"


def token(member: Duplicate) -> Token:
    return f"{member.collection[:8]}:{member.image_id}:{member.content_hash[:16]}"


def key_of(group: DuplicateGroup) -> Key:
    return tuple(sorted(token(member) for member in group.members))


@dataclass(slots=True)
class Decision:
    """One decision. ``images`` are those that the act names.

    ``verdicts`` are the judgements that it makes, ``before`` the earlier verdicts of these pairs; None until they are
    stored.
    """

    group: Key
    act: Act
    images: tuple[Token, ...] = ()
    verdicts: Verdicts = field(default_factory=dict)
    before: Verdicts | None = None


@dataclass(frozen=True, slots=True)
class State:
    """State of a group: ``act`` is None if it is undecided, ``apart`` are images that do not belong to it."""

    act: Act | None = None
    keep: tuple[Token, ...] = ()
    apart: tuple[Token, ...] = ()

    @property
    def is_settled(self) -> bool:
        return self.act in ("keep", "different")


UNDECIDED: Final = State()


def states(decisions: Iterable[Decision]) -> dict[Key, State]:
    """Return the state of each group after all decisions, in their order."""
    states_by_group: dict[Key, State] = {}
    for decision in decisions:
        before = states_by_group.get(decision.group, UNDECIDED)
        if decision.act == "apart":
            states_by_group[decision.group] = State(apart=(*before.apart, *decision.images))
        else:
            states_by_group[decision.group] = State(
                decision.act, decision.images if decision.act == "keep" else (), before.apart
            )
    return states_by_group


def remaining_group(group: DuplicateGroup, state: State) -> DuplicateGroup:
    """Return the group without images set apart. If one member is left, there is nothing to decide."""
    if not state.apart:
        return group
    members = tuple(member for member in group.members if token(member) not in state.apart)
    reason = group.reason if members[:1] == group.members[:1] else "the first of those left"
    return replace(group, members=members, reason=reason)


def is_foreign(group: DuplicateGroup) -> bool:
    """Return whether the keeper belongs to another collection, where nothing is ever touched."""
    return any(member.collection != group.keeper.collection for member in group.others)


def decide(group: DuplicateGroup, state: State, act: Act, images: Collection[Token]) -> Decision:
    """Return a decision about a group in a state; ``images`` are among its members. Raises ValueError if it is
    invalid."""
    left = remaining_group(group, state).members
    chosen_members = [member for member in left if token(member) in images]
    verdicts: Verdicts = {}
    if act == "keep":
        if not chosen_members or KIND_FACTS[group.kind].removal == "never":
            raise ValueError("nothing that could be kept")
        # Copies need no judgement; images of one scene are not the same just because one is enough.
        if group.kind == "same":
            verdicts = _each(left, "same")
    elif act == "different":
        chosen_members = []
        verdicts = _each(left, "different")  # Copies get no judgement: all of them stay.
    elif act == "apart":
        rest = [member for member in left if member not in chosen_members]
        if not chosen_members or not rest or is_foreign(group):
            raise ValueError("nothing is left to tell it from")
        verdicts = {
            pair: "different" for one in chosen_members for other in rest if (pair := _pair(one, other)) is not None
        }
        if not verdicts:
            raise ValueError("files of the same bytes are duplicates")
        # Their copies are set apart with them.
        hashes = {one.content_hash for one in chosen_members}
        chosen_members = [member for member in left if member.content_hash in hashes]
    else:
        chosen_members = []
    return Decision(key_of(group), act, tuple(token(member) for member in chosen_members), verdicts)


def _each(members: Sequence[Duplicate], verdict: Verdict) -> Verdicts:
    return {pair: verdict for one, other in combinations(members, 2) if (pair := _pair(one, other)) is not None}


def _pair(first: Duplicate, second: Duplicate) -> Pair | None:
    a, b = sorted((first.content_hash, second.content_hash))
    return None if a == b else (a, b)


def next_open(groups: Sequence[DuplicateGroup], decided: Mapping[Key, State], at: int) -> int | None:
    """Return the index of the next undecided group from ``at`` on, cyclically; groups for ``later`` come last."""
    order: list[int] = [*range(at, len(groups)), *range(min(at, len(groups)))]
    for act in (None, "later"):
        for n in order:
            state = decided.get(key_of(groups[n]), UNDECIDED)
            if state.act == act and len(remaining_group(groups[n], state).members) > 1:
                return n
    return None


def apply_decisions(
    report: DuplicateReport, decided: Mapping[Key, State], suggested: Collection[DuplicateKind] = ()
) -> DuplicateReport:
    """Return the report with the groups for a plan.

    These are the groups decided as *keep*, with the kept image as keeper, and undecided groups of the kinds
    ``suggested`` with their suggestion, as far as that is sure enough to need no look.
    """
    groups = []
    for group in report.groups:
        state = decided.get(key_of(group), UNDECIDED)
        left = remaining_group(group, state)
        if state.act == "keep":
            stays = {*state.keep, token(group.keeper)} if is_foreign(group) else state.keep
            keepers = [member for member in left.members if token(member) in stays]
            rest = [member for member in left.members if token(member) not in stays]
            if keepers and rest:
                members = (replace(keepers[0], pair=None), *rest)
                groups.append(DuplicateGroup(group.kind, members, CHOSEN))
        elif state.act is None and group.kind in suggested and len(left.members) > 1:
            sure = [member for member in left.others if member.is_sure(LEAST_CONFIDENCE)]
            suggestion = replace(left, edited_stay=False, members=(left.keeper, *sure))
            if sure and suggestion.has_suggestion:
                groups.append(suggestion)
    return replace(report, groups=tuple(groups))


@dataclass(frozen=True, slots=True)
class Tally:
    """Progress of the review: numbers of groups, decided and put off, and images and bytes that may go by the
    decisions."""

    groups: int
    settled: int
    later: int
    surplus: int
    bytes: int

    @property
    def left(self) -> int:
        return self.groups - self.settled - self.later


def tally(report: DuplicateReport, decided: Mapping[Key, State]) -> Tally:
    settled = later = 0
    for group in report.groups:
        state = decided.get(key_of(group), UNDECIDED)
        settled += state.is_settled or len(remaining_group(group, state).members) < 2
        later += state.act == "later" and len(remaining_group(group, state).members) > 1
    planned = apply_decisions(report, decided)
    return Tally(len(report.groups), settled, later, planned.surplus, planned.bytes)


def to_json(decisions: Iterable[Decision]) -> list[dict[str, Any]]:
    return [
        {
            "group": list(one.group),
            "act": one.act,
            "images": list(one.images),
            "wanted": verdicts_to_json(one.verdicts),
            "before": None if one.before is None else verdicts_to_json(one.before),
        }
        for one in decisions
    ]


def from_json(document: Any) -> list[Decision]:
    """Parse what :func:`to_json` wrote. Raises ValueError, KeyError or TypeError for anything else."""
    decisions = []
    for entry in document:
        if entry["act"] not in ACTS:
            raise ValueError(entry["act"])
        before = None if entry["before"] is None else verdicts_from_json(entry["before"])
        decisions.append(
            Decision(
                tuple(map(str, entry["group"])),
                entry["act"],
                tuple(map(str, entry["images"])),
                verdicts_from_json(entry["wanted"]),
                before,
            )
        )
    return decisions


def verdicts_to_json(verdicts: Verdicts) -> list[list[str | None]]:
    return [[a, b, verdict] for (a, b), verdict in verdicts.items()]


def verdicts_from_json(document: Any) -> Verdicts:
    """Parse what :func:`verdicts_to_json` wrote. Raises ValueError or TypeError for anything else."""
    if any(verdict not in ("same", "different", None) for _, _, verdict in document):
        raise ValueError("no verdict")
    return {(str(a), str(b)): verdict for a, b, verdict in document}
