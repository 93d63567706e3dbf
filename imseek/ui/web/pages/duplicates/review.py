"""What has been decided of which group, in the order in which it was: pure, so that it is tested without a page.

A group is known by its images and their contents. So what was decided holds as long as both are the same, also when
duplicates are looked for again; a group that has got another image is a new question.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Final, Literal, TypeAlias

from imseek.types import Duplicate, DuplicateGroup, DuplicateKind, DuplicateReport, Verdict

#: What a person says of a group. *keep*: these images stay, the others may go. *different*: its images are no
#: duplicates of each other. *apart*: these images are no duplicates of the rest. *later*: not now.
Act: TypeAlias = Literal["keep", "different", "apart", "later"]
ACTS: Final[tuple[Act, ...]] = ("keep", "different", "apart", "later")
#: An image with its content, and a group.
Token: TypeAlias = str
Key: TypeAlias = tuple[Token, ...]
#: Two contents, hexadecimal sha256, the lower first.
Pair: TypeAlias = tuple[str, str]
Verdicts: TypeAlias = dict[Pair, Verdict | None]
#: Why a keeper stays that a person has chosen.
CHOSEN: Final = "chosen by you"


def token(member: Duplicate) -> Token:
    return f"{member.collection[:8]}:{member.image_id}:{member.content_hash[:16]}"


def key_of(group: DuplicateGroup) -> Key:
    return tuple(sorted(token(member) for member in group.members))


@dataclass(slots=True)
class Said:
    """One decision. ``images`` are those that an act names. ``wanted`` are the judgements that come with it, ``before``
    what was stored of these pairs; None as long as they are not stored."""

    group: Key
    act: Act
    images: tuple[Token, ...] = ()
    wanted: Verdicts = field(default_factory=dict)
    before: Verdicts | None = None


@dataclass(frozen=True, slots=True)
class State:
    """What holds of a group: ``act`` None where nothing was decided, ``apart`` what does not belong to it."""

    act: Act | None = None
    keep: tuple[Token, ...] = ()
    apart: tuple[Token, ...] = ()

    @property
    def settled(self) -> bool:
        return self.act in ("keep", "different")


UNDECIDED: Final = State()


def states(said: Iterable[Said]) -> dict[Key, State]:
    """What all decisions, in their order, come to."""
    found: dict[Key, State] = {}
    for one in said:
        before = found.get(one.group, UNDECIDED)
        if one.act == "apart":
            found[one.group] = State(apart=(*before.apart, *one.images))
        else:
            found[one.group] = State(one.act, one.images if one.act == "keep" else (), before.apart)
    return found


def present(group: DuplicateGroup, state: State) -> DuplicateGroup:
    """The group without what does not belong to it. It may have one member only: then there is nothing to decide."""
    if not state.apart:
        return group
    members = tuple(member for member in group.members if token(member) not in state.apart)
    reason = group.reason if members[:1] == group.members[:1] else "the first of those left"
    return replace(group, members=members, reason=reason)


def is_foreign(group: DuplicateGroup) -> bool:
    """Whether its keeper is of another collection, in which nothing is ever touched."""
    return any(member.collection != group.keeper.collection for member in group.others)


def decide(group: DuplicateGroup, state: State, act: Act, images: Collection[Token]) -> Said:
    """A decision of a group in a state; ``images`` are of its members. Raises ValueError for no decision."""
    left = present(group, state).members
    named = [member for member in left if token(member) in images]
    wanted: Verdicts = {}
    if act == "keep":
        if not named or group.kind == "inside":
            raise ValueError("nothing that could be kept")
        # Copies need no judgement; pictures of a scene are not the same because one is enough.
        if group.kind == "same":
            wanted = _each(left, "same")
    elif act == "different":
        named = []
        wanted = _each(left, "different")  # Nothing is said of copies: all of them stay.
    elif act == "apart":
        rest = [member for member in left if member not in named]
        if not named or not rest or is_foreign(group):
            raise ValueError("nothing is left to tell it from")
        wanted = {
            pair: "different" for one in named for other in rest if (pair := _pair(one, other)) is not None
        }
        if not wanted:
            raise ValueError("files of the same bytes are duplicates")
        # Its copies go with it.
        hashes = {one.content_hash for one in named}
        named = [member for member in left if member.content_hash in hashes]
    else:
        named = []
    return Said(key_of(group), act, tuple(token(member) for member in named), wanted)


def _each(members: Sequence[Duplicate], verdict: Verdict) -> Verdicts:
    return {
        pair: verdict for one, other in combinations(members, 2) if (pair := _pair(one, other)) is not None
    }


def _pair(one: Duplicate, other: Duplicate) -> Pair | None:
    a, b = sorted((one.content_hash, other.content_hash))
    return None if a == b else (a, b)


def next_open(groups: Sequence[DuplicateGroup], decided: Mapping[Key, State], at: int) -> int | None:
    """Which group is to be decided next, from ``at`` on and round; those for ``later`` once there are no others."""
    order: list[int] = [*range(at, len(groups)), *range(min(at, len(groups)))]
    for wanted in (None, "later"):
        for n in order:
            state = decided.get(key_of(groups[n]), UNDECIDED)
            if state.act == wanted and len(present(groups[n], state).members) > 1:
                return n
    return None


def chosen(
    report: DuplicateReport, decided: Mapping[Key, State], suggested: Collection[DuplicateKind] = ()
) -> DuplicateReport:
    """The report with what a plan is to be made of: groups that a person has decided to keep some of, with these as
    keepers; and of kinds ``suggested`` also what nobody has decided or put off, as it was suggested."""
    groups = []
    for group in report.groups:
        state = decided.get(key_of(group), UNDECIDED)
        left = present(group, state)
        if state.act == "keep":
            stays = {*state.keep, token(group.keeper)} if is_foreign(group) else state.keep
            kept = [member for member in left.members if token(member) in stays]
            rest = [member for member in left.members if token(member) not in stays]
            if kept and rest:
                members = (replace(kept[0], pair=None), *rest)
                groups.append(DuplicateGroup(group.kind, members, CHOSEN))
        elif (
            state.act is None and group.kind in suggested and group.kind != "inside" and len(left.members) > 1
        ):
            groups.append(left)
    return replace(report, groups=tuple(groups))


@dataclass(frozen=True, slots=True)
class Tally:
    """How far one is: groups there are, decided, put off; images and bytes that are not to stay by the decisions."""

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
        settled += state.settled or len(present(group, state).members) < 2
        later += state.act == "later" and len(present(group, state).members) > 1
    kept = chosen(report, decided)
    return Tally(len(report.groups), settled, later, kept.surplus, kept.bytes)


def to_json(said: Iterable[Said]) -> list[dict[str, Any]]:
    return [
        {
            "group": list(one.group),
            "act": one.act,
            "images": list(one.images),
            "wanted": verdicts_to_json(one.wanted),
            "before": None if one.before is None else verdicts_to_json(one.before),
        }
        for one in said
    ]


def from_json(stored: Any) -> list[Said]:
    """Raises ValueError, KeyError or TypeError for what :func:`to_json` has not written."""
    found = []
    for one in stored:
        if one["act"] not in ACTS:
            raise ValueError(one["act"])
        before = None if one["before"] is None else verdicts_from_json(one["before"])
        found.append(
            Said(
                tuple(map(str, one["group"])),
                one["act"],
                tuple(map(str, one["images"])),
                verdicts_from_json(one["wanted"]),
                before,
            )
        )
    return found


def verdicts_to_json(verdicts: Verdicts) -> list[list[str | None]]:
    return [[a, b, verdict] for (a, b), verdict in verdicts.items()]


def verdicts_from_json(stored: Any) -> Verdicts:
    """Raises ValueError or TypeError for what :func:`verdicts_to_json` has not written."""
    if any(verdict not in ("same", "different", None) for _, _, verdict in stored):
        raise ValueError("no verdict")
    return {(str(a), str(b)): verdict for a, b, verdict in stored}
