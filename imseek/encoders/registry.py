"""From a reference, as users write it, to an encoder. Nothing heavy is imported before an encoder is loaded."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imseek.encoders.base import Encoder
from imseek.encoders.presets import DEFAULT, PRESETS
from imseek.encoders.runtime import Runtime
from imseek.errors import EncoderUnavailableError, UnknownEncoderError
from imseek.types.adapters import adapter_of

if TYPE_CHECKING:
    from imseek.encoders.catalogue import Entry

AUTO: Final = "auto"

_FORMS: Final = (
    AUTO,
    "builtin",
    *PRESETS,
    "openclip:MODEL/TAG",
    "openclip:MODEL@FILE",
    "hf-hub:ORG/REPO",
    "local-dir:PATH",
    "align:ORG/REPO",
    "align:PATH",
    "timm:MODEL",
    "timm:MODEL@FILE",
    "fake",
)
_HOMES: Final = ("hf-hub:", "local-dir:")
#: Of ``fake``: as many as a collection takes.
_DIMENSIONS: Final = re.compile(r"[1-9][0-9]{0,4}")
_LIBRARY_SCHEMES: Final = ("openclip", "hf-hub", "local-dir", "align", "timm")


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a reference stands for, decided once, when a collection is created.

    ``note`` is a line for the user wherever the collection's encoder is named. ``download`` is the entry of the
    catalogue whose weights loading will fetch from the hub: show its size and licence first.
    """

    reference: str
    note: str | None = None
    download: Entry | None = None


def resolve(reference: str) -> Resolution:
    """The encoder that ``reference`` stands for; only ``auto`` leaves a choice.

    ``auto`` is the ``default`` preset if the hub's cache has it or the hub answers within five seconds, and
    else ``builtin``, with a note. A reference that the user names is never replaced by another.
    Raises UnknownEncoderError for what is no reference at all, and LicenceError for restricted weights that are
    still to be fetched.
    """
    if reference == "builtin":
        return Resolution(
            reference, note='basic encoder; a collection made with the encoder "default" finds more'
        )
    from imseek.encoders import hub, licences
    from imseek.encoders.catalogue import find_encoder

    if reference != AUTO:
        reference = canonical(reference)
        named = find_encoder(reference)
        if named is None or named.is_cached:
            return Resolution(reference)
        licences.refuse_restricted(reference, named.repository)
        return Resolution(reference, download=named)
    entry = find_encoder(DEFAULT.reference)
    assert entry is not None
    if entry.is_cached:
        return Resolution(entry.reference)
    try:
        hub.describe(entry.parts, entry.reference)
    except EncoderUnavailableError:
        today = datetime.date.today().isoformat()
        return Resolution(
            "builtin",
            note=f"basic encoder (hub unreachable on {today}); a collection made when online gets the default one",
        )
    return Resolution(entry.reference, download=entry)


def load(
    reference: str,
    *,
    modalities: Sequence[str] = ("image", "text"),
    runtime: Runtime | None = None,
    fingerprint: str | None = None,
    notify: Callable[[str], None] | None = None,
) -> Encoder:
    """The encoder that ``reference`` names; ``auto`` must be resolved first.

    ``modalities`` are those that will be asked for: the encoder refuses others, and need not load their
    towers. Weights are located, and fetched from the hub if need be, but read at their first use.
    ``runtime`` says on which device, how precisely and in how many threads they are used. With ``fingerprint``,
    that of the encoder which is wanted, words alone need no weights once its text tower has been exported to the
    user's cache. ``notify`` is given a line before an export, which takes some seconds, and where the precision
    ``auto`` turns out not to keep image vectors true.

    Raises UnknownEncoderError, MissingExtraError, EncoderUnavailableError, LicenceError, UntrustedWeightsError.
    """
    reference = canonical(reference)
    scheme, _, rest = reference.partition(":")
    if scheme == "fake":
        from imseek.encoders.fake import DEFAULT_DIM, FakeEncoder

        return FakeEncoder(int(rest or DEFAULT_DIM), modalities=modalities, reference=reference)
    if scheme == "builtin":
        from imseek.encoders.builtin import BuiltinEncoder

        return BuiltinEncoder(modalities=modalities, runtime=runtime)
    if fingerprint is not None and tuple(modalities) == ("text",):
        from imseek.encoders.openclip.onnx_text import ExportedTextEncoder

        exported = ExportedTextEncoder.from_cache(reference, fingerprint, runtime)
        if exported is not None:
            return exported
    _fetch_listed(reference)
    if scheme == "align":
        from imseek.encoders.align import AlignEncoder

        return AlignEncoder(reference, modalities=modalities, runtime=runtime, notify=notify)
    if scheme == "timm":
        from imseek.encoders.timm_images import TimmEncoder

        return TimmEncoder(reference, modalities=modalities, runtime=runtime, notify=notify)
    from imseek.encoders.openclip.encoder import OpenClipEncoder

    return OpenClipEncoder(reference, modalities=modalities, runtime=runtime, notify=notify)


def _fetch_listed(reference: str) -> None:
    """Fetch what the catalogue lists before the libraries are imported: that a hub is not there is known at once."""
    from imseek.encoders import hub
    from imseek.encoders.catalogue import find_encoder

    entry = find_encoder(reference)
    if entry is not None:
        hub.ensure(reference, entry.parts)


def canonical(reference: str) -> str:
    """``reference`` as catalogue and collections write it: presets by what they stand for, tags as open_clip spells
    them, files and folders by their absolute paths.

    Raises UnknownEncoderError for what is no reference.
    """
    if not isinstance(reference, str):
        raise UnknownEncoderError(f"a reference is a text, not {type(reference).__name__}")
    if reference in PRESETS:
        return PRESETS[reference].reference
    scheme, _, rest = reference.partition(":")
    if reference in ("builtin", "fake") or (scheme == "fake" and _DIMENSIONS.fullmatch(rest)):
        return reference
    if scheme == "openclip" and "/" in rest and "@" not in rest and not rest.startswith(_HOMES):
        model, _, tag = rest.partition("/")
        return f"openclip:{model}/{tag.lower().replace('-', '_')}"
    if scheme in _LIBRARY_SCHEMES and rest:
        return f"{scheme}:{_placed(scheme, rest)}"
    if (named := adapter_of(reference)) is not None:
        raise UnknownEncoderError(
            f"{named[0]} is an adapter of a collection, and no encoder by itself",
            hint=f"`imseek tune --use {named[0]}` there, or the encoder below it: {named[1]}",
        )
    from imseek.encoders.catalogue import list_encoders, near

    known = [*(form for form in _FORMS if form != reference), *(entry.reference for entry in list_encoders())]
    found = near(reference, known)
    raise UnknownEncoderError(
        f"no encoder is called {reference!r}",
        hint=f"did you mean {' or '.join(found)}?" if found else f"references are: {', '.join(_FORMS)}",
    )


def _placed(scheme: str, rest: str) -> str:
    """What follows the scheme, with the file or folder that it may name by its absolute path."""
    model, _, file = rest.partition("@")
    if file and scheme in ("openclip", "timm") and not rest.startswith(_HOMES):
        return f"{model}@{_absolute(file)}"
    if scheme == "local-dir" or (scheme == "align" and _absolute(rest).is_dir()):
        return str(_absolute(rest))
    return rest


def _absolute(path: str) -> Path:
    return Path(os.path.expanduser(path)).absolute()  # noqa: PTH111 - that of Path raises for an unknown user
