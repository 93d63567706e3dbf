"""Licences of weights, as found on each repository's card (catalogue/provenance.json)."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from imseek.errors import LicenceError

RESTRICTED: Final = "restricted"
NOT_VERIFIED: Final = "not verified"

# Licences that allow any use, in the spelling of cards.
_ANY_USE: Final = {
    "apache-2.0": "Apache-2.0",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "cc-by-4.0": "CC-BY-4.0",
    "cc0-1.0": "CC0-1.0",
    "isc": "ISC",
    "mit": "MIT",
    "unlicense": "Unlicense",
}
_RULES: Final = Path(__file__).parent / "catalogue" / "provenance.json"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Known facts about the weights of repositories that match the pattern ``repository``.

    ``licence`` is an SPDX id, ``restricted`` (``licence_name`` then names it) or ``not verified``. ``source`` is where
    the licence was read: the repository's ``card``, or the registry of ``timm``, by the same authors. ``languages`` are
    those of the training texts, None for an encoder of pictures only.
    """

    repository: str
    family: str
    languages: str | None
    licence: str
    licence_name: str | None = None
    source: str | None = None

    @property
    def any_use(self) -> bool:
        return self.licence not in (RESTRICTED, NOT_VERIFIED)


def of_repository(repository: str) -> Provenance | None:
    """Return the first rule that matches ``repository``, or None."""
    return next((rule for rule in rules() if fnmatchcase(repository, rule.repository)), None)


@functools.cache
def rules() -> tuple[Provenance, ...]:
    """Load the rules from provenance.json, in order."""
    return tuple(Provenance(**rule) for rule in json.loads(_RULES.read_text(encoding="utf-8")))


def check_licence(reference: str, repository: str, on_card: str | None, *, accepted: bool) -> None:
    """Raise LicenceError unless the weights are for any use, or their licence was ``accepted``.

    ``on_card`` is the licence named on the repository's card. It decides for unknown repositories; for known ones, a
    card that has become stricter counts too.
    """
    provenance = of_repository(repository)
    refuse_restricted(reference, repository, on_card, accepted=accepted)
    free_card = on_card is not None and on_card.lower() in _ANY_USE
    if not accepted and not free_card and not (on_card is None and provenance is not None and provenance.any_use):
        raise _refusal(reference, repository, _licence_name(provenance, on_card))


def refuse_restricted(reference: str, repository: str, on_card: str | None = None, *, accepted: bool = False) -> None:
    """Raise LicenceError for weights known to be restricted, without asking the hub."""
    provenance = of_repository(repository)
    if not accepted and provenance is not None and provenance.licence == RESTRICTED:
        raise _refusal(reference, repository, _licence_name(provenance, on_card))


def spdx(on_card: str | None) -> str:
    """Convert a card's licence to the catalogue's form."""
    if on_card is None:
        return NOT_VERIFIED
    return _ANY_USE.get(on_card.lower(), RESTRICTED)


def _refusal(reference: str, repository: str, licence: str) -> LicenceError:
    return LicenceError(
        f"the weights of {reference} are not for any use: their licence is {licence}",
        hint=f"read it in the repository {repository}; "
        f"`imseek encoders get {reference} --accept-license` then fetches them",
    )


def _licence_name(provenance: Provenance | None, on_card: str | None) -> str:
    if on_card is not None:
        return on_card
    if provenance is not None and provenance.licence_name is not None:
        return provenance.licence_name
    return "not stated"
