"""Download an encoder's weights, after showing their licence and size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from imseek.encoders import catalogue, hub, licences
from imseek.encoders.hub import Part, TransferCallback
from imseek.errors import UnknownEncoderError
from imseek.types.json_form import Count, Json


@dataclass(frozen=True, slots=True)
class Offer:
    """A proposed download."""

    reference: str
    repository: str
    commit: str
    licence: str
    """An SPDX id, ``restricted`` or ``not verified``."""
    licence_name: str | None
    """The name of the licence on the repository's card."""
    files: Annotated[int, Json(minimum=1)]
    """Number of files that the encoder needs."""
    bytes: Count
    """Total size of these files."""
    missing: Count
    """Bytes still to download."""


@dataclass(frozen=True, slots=True)
class DownloadResult:
    """Result of a download."""

    reference: str
    path: Annotated[Path, Json(inline=True)]
    """The file with the weights."""
    offer: Annotated[Offer | None, Json(name="fetched")]
    """What was downloaded; None where everything was already cached."""


def download_encoder(
    reference: str,
    *,
    accept_license: bool = False,
    progress: TransferCallback | None = None,
    offered: Callable[[Offer], None] | None = None,
) -> DownloadResult:
    """Download the weights and tokenizer of ``reference`` to the hub's cache, resuming a broken download.

    ``offered`` receives licence and size before the download starts, ``progress`` its progress. ``accept_license`` is
    for weights whose licence does not allow any use. Cached files are left as they are.

    Raises UnknownEncoderError (also for weights that come with a package or lie in a file), LicenceError,
    EncoderUnavailableError where the hub cannot be reached, lacks the repository, breaks off, or the disk is full, and
    EncoderError for a file that arrived damaged.
    """
    reference, parts = plan(reference)
    if all(map(hub.is_complete, parts)) and all(map(hub.is_complete, _tokenizer(reference))):
        path = hub.cached_path(parts[0])
        assert path is not None
        return DownloadResult(reference, path, None)
    repositories = hub.describe(parts, reference)
    offer = _offer(reference, parts, repositories)
    if offered is not None:
        offered(offer)
    licences.check_licence(reference, parts[0].repository, repositories[0].licence, accepted=accept_license)
    with hub.report_downloads(progress):
        hub.fetch(reference, parts, repositories)
        if tokenizer := _tokenizer(reference):
            hub.fetch(reference, tokenizer, hub.describe(tokenizer, reference))
    path = hub.cached_path(parts[0])
    assert path is not None
    return DownloadResult(reference, path, offer)


def plan(reference: str) -> tuple[str, tuple[Part, ...]]:
    """Return the canonical reference and the hub files it needs.

    Raises UnknownEncoderError where there is nothing to download.
    """
    from imseek.encoders.registry import canonical

    reference = canonical(reference)
    entry = catalogue.find_encoder(reference)
    if entry is not None:
        return reference, entry.parts
    scheme, _, rest = reference.partition(":")
    in_folder = scheme in catalogue.TRANSFORMERS and Path(rest).is_dir()
    if scheme in ("builtin", "fake", "local-dir") or "@" in rest or in_folder:
        raise UnknownEncoderError(
            f"there is nothing to download for {reference}", hint="its weights are on this machine already"
        )
    if scheme == "hf-hub":
        return reference, catalogue.parts_of(reference, rest, catalogue.OPEN_CLIP_FILES)
    if scheme in catalogue.TRANSFORMERS:
        return reference, catalogue.parts_of(reference, rest, catalogue.FILES, tokenizer=rest)
    if scheme == "timm":
        from imseek.encoders.timm_images import weights_of

        return reference, catalogue.parts_of(reference, *weights_of(reference))
    raise UnknownEncoderError(
        f"the catalogue has no encoder {reference}",
        hint=catalogue.near_matches_hint(reference) or "`imseek encoders` lists it",
    )


def _tokenizer(reference: str) -> list[Part]:
    """Find the tokenizer of a hub model outside the catalogue: its configuration, already downloaded, names it."""
    if not reference.startswith("hf-hub:") or catalogue.find_encoder(reference) is not None:
        return []
    from imseek.encoders.openclip.source import configuration, tokenizer_parts

    return tokenizer_parts(configuration(reference)["model_cfg"])


def _offer(reference: str, parts: Sequence[Part], repositories: Sequence[hub.Repository]) -> Offer:
    provenance = licences.of_repository(parts[0].repository)
    on_card = repositories[0].licence
    files = {
        (repository.name, file.name): file
        for part, repository in zip(parts, repositories, strict=True)
        for file in repository.select(part)
    }
    missing = {key: file for key, file in files.items() if hub.cached_path(Part(key[0], (file.name,))) is None}
    offer = Offer(
        reference=reference,
        repository=parts[0].repository,
        commit=repositories[0].commit,
        licence=licences.spdx(on_card),
        licence_name=on_card,
        files=len(files),
        bytes=sum(file.size for file in files.values()),
        missing=sum(file.size for file in missing.values()),
    )
    if on_card is None and provenance is not None:
        return replace(offer, licence=provenance.licence, licence_name=provenance.licence_name)
    return offer
