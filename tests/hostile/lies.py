"""What a lie is. The modules beside hold them; :func:`hostile.corpus.corpus` gathers them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from hostile.forge import Forge

Tell: TypeAlias = Callable[[Forge], object]


@dataclass(frozen=True, slots=True)
class Lie:
    """A kind of lie about a kind of file, told in one or more variants.

    ``variants`` are functions by label that change a copy of the sound collection. ``family`` is what kinds have in
    common that are read by the same code; a short run tells each lie once in each family. Where ``verify`` is true,
    ``collection verify`` must report a problem, or refuse the collection: a writer would meet the lie, or the
    collection is not what it says. Where ``scans`` is true, the lie is about places of pictures: files there may be
    looked at, but neither changed nor given out. Where ``trust`` is true, the lie is about what a user believes who
    says that a collection is trusted (code in a FAISS file's reader, weights, servers): it is told of one that was not.
    ``slow`` lies take seconds to tell.
    """

    kind: str
    name: str
    variants: Mapping[str, Tell]
    verify: bool = True
    scans: bool = False
    slow: bool = False
    trust: bool = False
    family: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"


def gather(
    kind: str,
    triples: Iterable[tuple[str, str, Tell]],
    *,
    verify: bool = True,
    scans: bool = False,
    trust: bool = False,
    family: str = "",
) -> list[Lie]:
    """Lies of one kind from (name, variant, function) triples, those of one name as variants."""
    variants: dict[str, dict[str, Tell]] = {}
    for name, label, tell in triples:
        variants.setdefault(name, {})[label] = tell
    return [Lie(kind, name, found, verify, scans, trust=trust, family=family) for name, found in variants.items()]
