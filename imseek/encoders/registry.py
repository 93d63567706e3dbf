"""Resolve and load encoders by their references. Imports nothing heavy before loading an encoder."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from imseek.encoders.base import Encoder
from imseek.encoders.presets import DEFAULT, PRESETS
from imseek.encoders.runtime import Runtime
from imseek.errors import EncoderError, EncoderUnavailableError, UnknownEncoderError
from imseek.plugins import find_plugins
from imseek.tilde_expansion import expand_user
from imseek.types.adapters import adapter_of
from imseek.types.truncated_encoder_references import DIM, truncated_reference, truncation_of

if TYPE_CHECKING:
    from imseek.encoders.catalogue import Entry
    from imseek.encoders.prompt_tower import PromptTower

AUTO: Final = "auto"
#: Beginning of the note about the built-in encoder.
BASIC_NOTE: Final = "basic encoder"

_FORMS: Final = (
    AUTO,
    "builtin",
    *PRESETS,
    "openclip:MODEL/TAG",
    "openclip:MODEL@FILE",
    "hf-hub:ORG/REPO",
    "local-dir:PATH",
    "transformers:ORG/REPO",
    "align:ORG/REPO",
    "timm:MODEL",
    "timm:MODEL@FILE",
    "dim:N+REFERENCE",
    "fake",
)
_PREFIXES: Final = ("hf-hub:", "local-dir:")
#: Dimensions of ``fake``, up to the most that a collection takes.
_DIMENSIONS: Final = re.compile(r"[1-9][0-9]{0,4}")


class LoadFamily(Protocol):
    """Load an encoder of one family; its weights are in the hub's cache if the catalogue lists them."""

    def __call__(
        self,
        reference: str,
        *,
        modalities: Sequence[str],
        runtime: Runtime | None,
        notify: Callable[[str], None] | None,
    ) -> Encoder: ...


@dataclass(frozen=True, slots=True)
class Resolution:
    """The encoder that a reference stands for, decided once, when a collection is created.

    ``note`` is a line to show wherever the collection's encoder is named. ``download`` is the catalogue entry whose
    weights loading will download: show its size and licence first.
    """

    reference: str
    note: str | None = None
    download: Entry | None = None


def resolve(reference: str) -> Resolution:
    """Resolve ``reference``; only ``auto`` leaves a choice.

    ``auto`` is the ``default`` preset if the hub's cache has it or the hub answers within five seconds, otherwise
    ``builtin`` with a note, as it is where torch is missing. A reference that the user names is never replaced by
    another. Raises UnknownEncoderError for an invalid reference, EncoderUnavailableError for one that needs torch where
    that is missing, LicenceError for restricted weights that are not downloaded yet, and EncoderError for a vector
    length that the model was not trained for.
    """
    if reference == "builtin":
        return Resolution(reference, note=f'{BASIC_NOTE}; a collection made with the encoder "default" finds more')
    if isinstance(reference, str) and (truncation := truncation_of(reference)) is not None:
        whole = resolve(truncation[1])
        if whole.download is not None:  # No encoder of the catalogue was trained so: do not fetch it to say that.
            from imseek.encoders.truncated_vectors import untrained_error

            raise untrained_error(whole.reference, truncation[0], whole.download.dim)
        return replace(whole, reference=truncated_reference(truncation[0], whole.reference))
    from imseek.encoders import hub, licences
    from imseek.encoders.catalogue import find_encoder
    from imseek.encoders.device import has_torch, require_torch

    if reference != AUTO:
        reference = canonical(reference)
        if reference.partition(":")[0] in _FAMILIES:
            require_torch(reference)
        named = find_encoder(reference)
        if named is None or named.is_cached:
            return Resolution(reference)
        licences.refuse_restricted(reference, named.repository)
        return Resolution(reference, download=named)
    if not has_torch():
        return Resolution(
            "builtin", note=f"{BASIC_NOTE} (PyTorch is not installed); a collection made with it gets the default one"
        )
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
            note=f"{BASIC_NOTE} (hub unreachable on {today}); a collection made when online gets the default one",
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
    """Load the encoder that ``reference`` names; ``auto`` must be resolved first.

    ``modalities`` are those needed: the encoder refuses others and may skip their towers. Weights are located, and
    downloaded if necessary, but read on first use. ``runtime`` sets device, precision and threads. With the encoder's
    ``fingerprint``, texts and a few pictures need neither weights nor their library once the towers are exported to the
    user's cache. ``notify`` receives a line before an export, which takes some seconds, and where the precision
    ``auto`` proves too inaccurate for image vectors.

    Raises UnknownEncoderError, MissingExtraError, EncoderUnavailableError, LicenceError, UntrustedWeightsError, and
    PluginError where a plugin does not load.
    """
    reference = canonical(reference)
    if (truncation := truncation_of(reference)) is not None:
        from imseek.encoders.truncated_vectors import TruncatedEncoder

        whole = load(truncation[1], modalities=modalities, runtime=runtime, notify=notify)
        return TruncatedEncoder(whole, truncation[0], reference)
    scheme, _, rest = reference.partition(":")
    if scheme == "fake":
        from imseek.encoders.fake import DEFAULT_DIM, FakeEncoder

        return FakeEncoder(int(rest or DEFAULT_DIM), modalities=modalities, reference=reference)
    if scheme == "builtin":
        from imseek.encoders.builtin import BuiltinEncoder
        from imseek.encoders.builtin.recipe import version_of

        version = version_of(fingerprint)  # A collection keeps the version that it was made with.
        return BuiltinEncoder(modalities=modalities, runtime=runtime, notify=notify, version=version)

    def load_library() -> Encoder:
        from imseek.encoders.device import require_torch
        from imseek.encoders.library_encoder import LibraryEncoder

        if scheme in _FAMILIES:  # An encoder of a plugin may need no torch.
            require_torch(reference)
        _fetch_listed(reference)
        encoder = _family(scheme)(reference, modalities=modalities, runtime=runtime, notify=notify)
        if fingerprint is not None and isinstance(encoder, LibraryEncoder):  # A collection has it: it is used again.
            encoder.export_if_few()
        return encoder

    exported = (
        None if fingerprint is None else _load_exported(reference, fingerprint, modalities, runtime, load_library)
    )
    return exported or load_library()


def load_prompt_tower(reference: str, fingerprint: str, notify: Callable[[str], None] | None = None) -> PromptTower:
    """Load the text tower of an encoder on torch, to learn prompts or to use those that depend on the picture.

    An exported tower does not suffice: it takes words only. Raises as :func:`load`; EncoderUnavailableError without
    torch; EncoderError for an encoder whose text tower cannot learn; EncoderMismatchError where its weights are not
    those of ``fingerprint``.
    """
    from imseek.encoders.device import require_torch
    from imseek.encoders.input_checks import check_fingerprint
    from imseek.encoders.prompt_tower import PromptEncoder

    require_torch("a text tower that learns prompts")
    # For other encoders, a fingerprint would take an exported tower.
    builtin_fingerprint = fingerprint if reference == "builtin" else None
    encoder = load(reference, modalities=("text",), fingerprint=builtin_fingerprint, notify=notify)
    if not isinstance(encoder, PromptEncoder):
        reason = "cannot learn prompts" if "text" in encoder.info.modalities else "knows no words"
        raise EncoderError(f"the encoder {reference} {reason}", hint="leave out --method: other probes need no words")
    check_fingerprint(encoder, reference, fingerprint)
    return encoder.prompt_tower()


def _load_exported(
    reference: str,
    fingerprint: str,
    modalities: Sequence[str],
    runtime: Runtime | None,
    load_library: Callable[[], Encoder],
) -> Encoder | None:
    """Return the encoder on exported towers, which starts without its library; None where they are not in the cache."""
    texts: Encoder | None = None
    if "text" in modalities:
        from imseek.encoders.openclip.onnx_text import ExportedTextEncoder

        texts = ExportedTextEncoder.from_cache(reference, fingerprint, runtime)
    if "image" not in modalities:
        return texts
    from imseek.encoders.exported_images import ExportedEncoder

    return ExportedEncoder.from_cache(reference, fingerprint, runtime, texts, load_library)


def _load_folder(reference: str, **settings: Any) -> Encoder:
    """Load the model in a folder by the library whose description it holds."""
    folder = _absolute(reference.partition(":")[2])
    if (folder / "modules.json").is_file():
        from imseek.encoders.sentence_models import SentenceEncoder

        return SentenceEncoder(reference, **settings)
    if (folder / "config.json").is_file() and not (folder / "open_clip_config.json").is_file():
        return _load_transformers(reference, **settings)
    return _load_openclip(reference, **settings)


def _load_transformers(reference: str, **settings: Any) -> Encoder:
    from imseek.encoders.transformers_models import TransformersEncoder

    return TransformersEncoder(reference, **settings)


def _load_openclip(reference: str, **settings: Any) -> Encoder:
    from imseek.encoders.openclip.encoder import OpenClipEncoder

    return OpenClipEncoder(reference, **settings)


def _load_timm(reference: str, **settings: Any) -> Encoder:
    from imseek.encoders.timm_images import TimmEncoder

    return TimmEncoder(reference, **settings)


#: The families by the schemes of their references, ``timm:…``. A new family takes its place here.
_FAMILIES: Final[Mapping[str, LoadFamily]] = {
    "openclip": _load_openclip,
    "hf-hub": _load_openclip,
    "local-dir": _load_folder,
    "transformers": _load_transformers,
    "align": _load_transformers,  # the scheme of ALIGN before transformers had one
    "timm": _load_timm,
}


def _family(scheme: str) -> LoadFamily:
    """Return the family of a scheme, ours or a plugin's. Raises PluginError."""
    if scheme in _FAMILIES:
        return _FAMILIES[scheme]
    plugin = find_plugins("imseek.encoders")[scheme]
    load_family: LoadFamily = plugin.load()
    if not callable(load_family):
        raise plugin.error(f"must be a function that makes an encoder, and is a {type(load_family).__name__}")

    def load_plugin(reference: str, **settings: Any) -> Encoder:
        encoder = load_family(reference, **settings)
        if not isinstance(encoder, Encoder):
            raise plugin.error(f"makes a {type(encoder).__name__}, which lacks methods of an encoder")
        return encoder

    return load_plugin


def scheme_names() -> frozenset[str]:
    """Return the schemes of our own references, which no plugin can take."""
    return frozenset((AUTO, "builtin", "fake", DIM, *PRESETS, *_FAMILIES))


def _fetch_listed(reference: str) -> None:
    """Download the weights of a catalogue entry before importing any library, so that a missing hub shows at once."""
    from imseek.encoders import hub
    from imseek.encoders.catalogue import find_encoder

    entry = find_encoder(reference)
    if entry is not None:
        hub.ensure_cached(reference, entry.parts)


def canonical(reference: str) -> str:
    """Return ``reference`` in canonical form: presets replaced, tags in open_clip's spelling, absolute paths.

    Raises UnknownEncoderError for an invalid reference.
    """
    if not isinstance(reference, str):
        raise UnknownEncoderError(f"a reference is a text, not {type(reference).__name__}")
    if reference in PRESETS:
        return PRESETS[reference].reference
    if (truncation := truncation_of(reference)) is not None:
        return truncated_reference(truncation[0], canonical(truncation[1]))
    scheme, _, rest = reference.partition(":")
    if reference in ("builtin", "fake") or (scheme == "fake" and _DIMENSIONS.fullmatch(rest)):
        return reference
    if scheme == "openclip" and "/" in rest and "@" not in rest and not rest.startswith(_PREFIXES):
        model, _, tag = rest.partition("/")
        return f"openclip:{model}/{tag.lower().replace('-', '_')}"
    if scheme in _FAMILIES and rest:
        return f"{scheme}:{_with_absolute_path(scheme, rest)}"
    plugins = find_plugins("imseek.encoders")
    if scheme in plugins:
        return reference
    if (adapter := adapter_of(reference)) is not None:
        raise UnknownEncoderError(
            f"{adapter[0]} is an adapter of a collection, and no encoder by itself",
            hint=f"`imseek tune --use {adapter[0]}` there, or the encoder below it: {adapter[1]}",
        )
    from imseek.encoders.catalogue import list_encoders, near_matches

    forms = [*(form for form in _FORMS if form != reference), *plugins]
    references = [*forms, *(entry.reference for entry in list_encoders())]
    matches = near_matches(reference, references)
    raise UnknownEncoderError(
        f"no encoder is called {reference!r}",
        hint=f"did you mean {' or '.join(matches)}?" if matches else f"references are: {', '.join(forms)}",
    )


def _with_absolute_path(scheme: str, rest: str) -> str:
    """Make the path of a file or folder in ``rest``, the part after the scheme, absolute."""
    model, _, file = rest.partition("@")
    if file and scheme in ("openclip", "timm") and not rest.startswith(_PREFIXES):
        return f"{model}@{_absolute(file)}"
    if scheme == "local-dir" or (scheme in ("transformers", "align") and _absolute(rest).is_dir()):
        return str(_absolute(rest))
    return rest


def _absolute(path: str) -> Path:
    return expand_user(path).absolute()
