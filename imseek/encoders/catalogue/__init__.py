"""The catalogue of known encoders, as data. Reading it imports no network library.

weights.json holds what the libraries know (``make catalogue`` writes it), provenance.json what they do not: families,
languages, licences.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

from imseek.encoders import hub, licences
from imseek.encoders.hub import Part
from imseek.encoders.presets import PRESETS, Preset
from imseek.plugins import Plugin
from imseek.types.json_form import Json, json_member

Positive: TypeAlias = Annotated[int, Json(minimum=1)]
Speed: TypeAlias = Literal["fastest", "fast", "medium", "slow", "slowest"]

DATA: Final = Path(__file__).with_name("weights.json")

#: File names of weights, in order of preference: open_clip's, then those of transformers and timm.
OPEN_CLIP_FILES: Final = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
FILES: Final = ("model.safetensors", "pytorch_model.bin")

#: Schemes of repositories that transformers loads.
TRANSFORMERS: Final = ("transformers", "align")
#: The file that describes a model, in a repository or folder of transformers.
CONFIG: Final = "config.json"
#: Names of the file that describes an image processor, in transformers 4 and 5.
PROCESSORS: Final = ("preprocessor_config.json", "processor_config.json")

# Upper bounds in 10⁹ operations per picture. Half of them are within a factor of two of `default` (11.5).
_SPEEDS: Final[tuple[tuple[int, Speed], ...]] = ((6, "fastest"), (24, "fast"), (96, "medium"), (384, "slow"))
_OPEN_CLIP: Final = "open_clip"  # open_clip's own tokenizer, which its package holds


@dataclass(frozen=True, slots=True)
class Entry:
    """An encoder with trained weights."""

    reference: str
    """What ``--encoder`` takes."""
    family: str
    repository: str
    """The hub repository of the weights."""
    files: Annotated[tuple[str, ...], Json(hidden=True)]
    """Names of the weights there, in order of preference."""
    dim: Positive
    """Numbers in a vector."""
    image_size: Positive
    """Pixels of a side."""
    context_length: Positive | None
    """Tokens of the longest text that is encoded in one piece; None, as all about text, without a text tower."""
    tokenizer: str | None
    """``open_clip``, or the repository that has it."""
    languages: str | None
    image_parameters: Positive
    text_parameters: Positive | None
    image_gflops: Annotated[float, Json(minimum=0)]
    """10⁹ multiplications and additions for one picture."""
    text_gflops: Annotated[float | None, Json(minimum=0)]
    """The same for one text of full length."""
    licence: str
    """An SPDX id, ``restricted`` or ``not verified``."""
    licence_name: str | None
    """More about the licence."""
    download_bytes: Positive
    """Size of the weights in float32."""

    @property
    @json_member()
    def any_use(self) -> bool:
        """Whether the licence is verified and allows any use; other weights require accepting their licence."""
        return self.licence not in (licences.RESTRICTED, licences.NOT_VERIFIED)

    @property
    def preset(self) -> Preset | None:
        """The preset that stands for this encoder, if any."""
        return next((preset for preset in PRESETS.values() if preset.reference == self.reference), None)

    @property
    @json_member(Json(name="preset"))
    def preset_name(self) -> str | None:
        """The short name that stands for this encoder, if any."""
        return None if self.preset is None else self.preset.name

    @property
    @json_member()
    def modalities(self) -> tuple[Literal["image", "text"], ...]:
        return ("image",) if self.context_length is None else ("image", "text")

    @property
    @json_member()
    def speed(self) -> Speed:
        """How fast pictures are encoded."""
        return next((name for bound, name in _SPEEDS if self.image_gflops < bound), "slowest")

    @property
    def parts(self) -> tuple[Part, ...]:
        """The hub files to download: see :func:`parts_of`."""
        return parts_of(self.reference, self.repository, self.files, self.tokenizer)

    @property
    @json_member(Json(name="cached"))
    def is_cached(self) -> bool:
        """Whether the weights are in the hub's cache."""
        return hub.cached_path(self.parts[0]) is not None


@dataclass(frozen=True, slots=True)
class EncoderList:
    """Encoders of the catalogue, and those of plugins."""

    encoders: tuple[Entry, ...]
    plugins: tuple[Plugin, ...] = ()


def parts_of(reference: str, repository: str, files: tuple[str, ...], tokenizer: str | None = None) -> tuple[Part, ...]:
    """List an encoder's hub files: its weights first, then its configuration and its tokenizer."""
    parts = [Part(repository, files)]
    scheme = reference.partition(":")[0]
    if scheme == "hf-hub":
        parts.append(Part(repository, ("open_clip_config.json",)))
    if scheme in TRANSFORMERS:
        parts += [
            Part(repository, (CONFIG,)),
            Part(repository, PROCESSORS),
        ]
    if tokenizer not in (None, _OPEN_CLIP):
        assert tokenizer is not None
        parts.append(Part(tokenizer, hub.TOKENIZER_FILES, every=True))
    return tuple(parts)


def list_encoders() -> tuple[Entry, ...]:
    """Return all encoders of the catalogue, grouped by family in catalogue order, the smallest of a family first."""
    return _entries()


def find_encoder(reference: str) -> Entry | None:
    """Return the entry of ``reference`` or of the preset with that name; None where the catalogue does not list it."""
    return _by_reference().get(PRESETS[reference].reference if reference in PRESETS else reference)


def families() -> tuple[str, ...]:
    """Return the names of the families in catalogue order."""
    return tuple(dict.fromkeys(entry.family for entry in _entries()))


def near_matches(reference: str, among: Iterable[str] | None = None, *, n: int = 3) -> list[str]:
    """Return up to ``n`` references that contain or resemble ``reference``, best first.

    Searches ``among``, or the whole catalogue.
    """
    import difflib

    by_lower = {one.lower(): one for one in (_by_reference() if among is None else among)}
    lowered = reference.lower()
    containing = sorted((one for one in by_lower if lowered in one), key=len) if lowered else []
    similar = difflib.get_close_matches(lowered, by_lower, n=n, cutoff=0.5)
    return [by_lower[match] for match in dict.fromkeys([*containing, *similar])][:n]


def near_matches_hint(reference: str, among: Iterable[str] | None = None) -> str | None:
    """Return a hint with :func:`near_matches`; None where there are none."""
    matches = near_matches(reference, among)
    return f"near matches: {', '.join(matches)}" if matches else None


@functools.cache
def _entries() -> tuple[Entry, ...]:
    entries = [_entry(row) for row in json.loads(DATA.read_text(encoding="utf-8"))]
    order = list(dict.fromkeys(entry.family for entry in entries))
    return tuple(sorted(entries, key=lambda e: (order.index(e.family), e.image_gflops, e.image_parameters)))


@functools.cache
def _by_reference() -> dict[str, Entry]:
    return {entry.reference: entry for entry in _entries()}


def _entry(row: dict[str, object]) -> Entry:
    repository = str(row["repository"])
    provenance = licences.of_repository(repository)
    assert provenance is not None, repository  # a test checks that every repository has a rule
    facts = {key: value for key, value in row.items() if key not in ("files", "all_parameters")}
    return Entry(
        files=tuple(row["files"]),  # type: ignore[arg-type]
        family=provenance.family,
        languages=provenance.languages,
        licence=provenance.licence,
        licence_name=provenance.licence_name,
        **facts,  # type: ignore[arg-type]
    )
