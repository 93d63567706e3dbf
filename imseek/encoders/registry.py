"""From a reference, as users write it, to an encoder. Nothing heavy is imported before an encoder is loaded."""

from __future__ import annotations

import datetime
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from imseek.encoders.base import Encoder
from imseek.encoders.presets import DEFAULT, PRESETS, Preset
from imseek.encoders.runtime import Runtime
from imseek.errors import UnknownEncoderError

AUTO: Final = "auto"
# How long to wait for the hub before the built-in encoder is taken.
HUB_DEADLINE_SECONDS: Final = 5.0

_FORMS: Final = (
    AUTO,
    "builtin",
    *PRESETS,
    "openclip:MODEL/TAG",
    "openclip:MODEL@FILE",
    "hf-hub:ORG/REPO",
    "local-dir:PATH",
    "fake",
)
_OPEN_CLIP_SCHEMES: Final = ("openclip", "hf-hub", "local-dir")
# On every repository that open_clip can load.
_HUB_PROBE: Final = "open_clip_config.json"


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a reference stands for, decided once, when a collection is created.

    ``note`` is a line for the user wherever the collection's encoder is named. ``download`` is the preset
    whose weights loading will fetch from the hub: show its size and licence first.
    """

    reference: str
    note: str | None = None
    download: Preset | None = None


def resolve(reference: str) -> Resolution:
    """The encoder that ``reference`` stands for; only ``auto`` leaves a choice.

    ``auto`` is the ``default`` preset if the hub's cache has it or the hub answers within five seconds, and
    else ``builtin``, with a note. A reference that the user names is never replaced by another.
    Raises UnknownEncoderError for what is no reference at all.
    """
    if reference == "builtin":
        return Resolution(
            reference, note="basic encoder; `--encoder default` makes collections with a trained one"
        )
    if reference != AUTO:
        return Resolution(_canonical(reference))
    if _is_cached(DEFAULT):
        return Resolution(DEFAULT.reference)
    if _is_hub_reachable(DEFAULT):
        return Resolution(DEFAULT.reference, download=DEFAULT)
    today = datetime.date.today().isoformat()
    return Resolution(
        "builtin",
        note=f"basic encoder (hub unreachable on {today}); a collection made when online gets the default one",
    )


def load(
    reference: str, *, modalities: Sequence[str] = ("image", "text"), runtime: Runtime | None = None
) -> Encoder:
    """The encoder that ``reference`` names; ``auto`` must be resolved first.

    ``modalities`` are those that will be asked for: the encoder refuses others, and need not load their
    towers. Weights are located, and fetched from the hub if need be, but read at their first use.
    ``runtime`` says on which device, how precisely and in how many threads they are used.

    Raises UnknownEncoderError, MissingExtraError, EncoderUnavailableError, UntrustedWeightsError.
    """
    reference = _canonical(reference)
    scheme, _, rest = reference.partition(":")
    if scheme == "fake":
        from imseek.encoders.fake import DEFAULT_DIM, FakeEncoder

        return FakeEncoder(int(rest or DEFAULT_DIM), modalities=modalities, reference=reference)
    if scheme == "builtin":
        from imseek.encoders.builtin import BuiltinEncoder

        return BuiltinEncoder(modalities=modalities, runtime=runtime)
    from imseek.encoders.openclip import OpenClipEncoder

    return OpenClipEncoder(reference, modalities=modalities, runtime=runtime)


def _canonical(reference: str) -> str:
    """``reference`` with a preset's name replaced by what it stands for. Raises UnknownEncoderError."""
    if reference in PRESETS:
        return PRESETS[reference].reference
    scheme, _, rest = reference.partition(":")
    if reference in ("builtin", "fake") or (scheme == "fake" and rest.isdecimal() and int(rest) > 0):
        return reference
    if scheme in _OPEN_CLIP_SCHEMES and rest:
        return reference
    import difflib

    near = difflib.get_close_matches(reference, [form for form in _FORMS if form != reference], n=3)
    raise UnknownEncoderError(
        f"no encoder is called {reference!r}",
        hint=f"did you mean {' or '.join(near)}?" if near else f"references are: {', '.join(_FORMS)}",
    )


def _is_cached(preset: Preset) -> bool:
    from huggingface_hub import try_to_load_from_cache

    # Known to be absent is a special object, not a path.
    return any(isinstance(try_to_load_from_cache(preset.repository, name), str) for name in preset.files)


def _is_hub_reachable(preset: Preset) -> bool:
    """Whether the hub has ``preset`` and says so in time.

    The question runs in a thread that is left behind at the deadline: a resolver that hangs heeds no timeout.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url

    if constants.HF_HUB_OFFLINE:
        return False
    answers: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def ask() -> None:
        try:
            url = hf_hub_url(preset.repository, _HUB_PROBE)
            metadata = get_hf_file_metadata(url, timeout=HUB_DEADLINE_SECONDS)
            answers.put(metadata.commit_hash is not None)  # a captive portal answers too, but names no commit
        except Exception:
            answers.put(False)  # whatever stands in the way: weights cannot be fetched now

    threading.Thread(target=ask, name="imseek-hub-probe", daemon=True).start()
    try:
        return answers.get(timeout=HUB_DEADLINE_SECONDS)
    except queue.Empty:
        return False
