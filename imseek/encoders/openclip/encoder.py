"""An open_clip model as an encoder: pictures on torch, texts on an exported text tower."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from imseek.encoders import hub
from imseek.encoders.base import EncoderInfo
from imseek.encoders.checkpoint import read_logit_parameters
from imseek.encoders.image_tower import ImageTower
from imseek.encoders.input_checks import available_cpus, check_modality
from imseek.encoders.library_encoder import LibraryEncoder
from imseek.encoders.openclip import eva_clip, long_clip
from imseek.encoders.openclip.source import Source, locate
from imseek.encoders.openclip.text import TextTower
from imseek.encoders.runtime import Runtime
from imseek.encoders.weights import MISMATCH_ERRORS, LazyModel, check_position_embeddings, wrong_weights
from imseek.types.arrays import Float32

if TYPE_CHECKING:
    from imseek.encoders.prompt_tower import PromptTower

# Settings that change vectors but leave no trace in the tensors: models that differ only here are different encoders.
_UNTRACED_SETTINGS: Final = {
    "vision_cfg": (
        "act_kwargs", "final_ln_after_pool", "head_width", "heads", "norm_kwargs", "pool_type", "timm_model_name",
        "timm_pool", "timm_proj",
    ),
    "text_cfg": (
        "act_kwargs", "context_length", "embed_cls", "eos_id", "final_ln_after_pool", "heads", "hf_model_name",
        "hf_pooler_type", "hf_tokenizer_name", "no_causal_mask", "norm_kwargs", "pad_id", "pool_type",
        "tokenizer_kwargs",
    ),
}  # fmt: skip

#: Files whose tensors have other names than open_clip's: how to tell, and how to load one.
_OTHER_LAYOUTS: Final = (
    (long_clip.is_stretched, long_clip.load_stretched),
    (eva_clip.has_authors_names, eva_clip.load_authors_names),
)


class OpenClipEncoder(LibraryEncoder):
    """An open_clip model as an encoder. Thread-safe; reads its weights for the first vector or the fingerprint."""

    def __init__(
        self,
        reference: str,
        *,
        modalities: Sequence[str] = ("image", "text"),
        runtime: Runtime | None = None,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        """Locate and check the weights of ``reference``.

        ``notify`` receives a line before the one-time export of the text tower, which takes some seconds, and where the
        precision ``auto`` proves too inaccurate for image vectors.

        Raises as :func:`imseek.encoders.openclip.source.locate`,
        :func:`imseek.encoders.checkpoint.read_logit_parameters` and, for pictures,
        :class:`imseek.encoders.image_tower.ImageTower`.
        """
        self._source = locate(reference)
        logit_scale, logit_bias = read_logit_parameters(self._source.checkpoint)
        self._modalities = tuple(modalities)
        runtime = runtime or Runtime()
        super().__init__(runtime, notify)
        self._weights = _lazy_model(self._source, modalities)
        self._threads = runtime.threads or available_cpus()
        self._lock = threading.Lock()
        self._texts: tuple[TextTower, tuple[str, ...]] | None = None
        config = self._source.config
        self._preprocessing = preprocessing = self._source.preprocessing
        dim: int = config["embed_dim"]
        self._images = (
            # Moving it to another device or precision does not affect the text tower.
            ImageTower(lambda: self._weights.model().visual, self.fingerprint, preprocessing, dim, runtime, notify)
            if "image" in modalities
            else None  # a text query needs no GPU
        )
        self._info = EncoderInfo(
            reference=self._source.reference,
            dim=dim,
            image_size=preprocessing.size,
            revision=self._source.revision,
            context_length=self._source.context_length,
            licence=self._source.licence,
            logit_scale=logit_scale,
            logit_bias=logit_bias,
            tokenizer=config["text_cfg"].get("hf_tokenizer_name", "open_clip"),
            draft_size=runtime.draft_size(preprocessing.size),
            batch_size=1 if self._images is None else self._images.batch_size,
            preprocessing=preprocessing.record(),
        )

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Encode n non-empty strings as (n, dim) float32 unit rows. Raises QueryError for an empty text."""
        check_modality("text", self._modalities, self._info.reference)
        tower, _ = self._text_tower()
        return tower(texts)

    def notes(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Return a line for each text that exceeds the context window, and one where torch replaces the export."""
        tower, lines = self._text_tower()
        return tower.notes(texts) + lines

    def prompt_tower(self) -> PromptTower:
        """Load the text tower on torch (:class:`imseek.encoders.prompt_tower.PromptEncoder`)."""
        from imseek.encoders.openclip.export import load_prompt_tower

        check_modality("text", self._modalities, self._info.reference)
        return load_prompt_tower(self._source, self._weights.model())

    def _text_tower(self) -> tuple[TextTower, tuple[str, ...]]:
        with self._lock:
            if self._texts is None:
                from imseek.encoders.openclip.export import load_text_tower

                self._texts = load_text_tower(
                    self._source,
                    self._weights.model,
                    self._info,
                    self.fingerprint(),
                    threads=self._threads,
                    notify=self._notify,
                )
            return self._texts


def _lazy_model(source: Source, modalities: Sequence[str]) -> LazyModel:
    """Load the model of ``source`` on demand, without the image tower, the larger part, for texts alone."""
    record = {
        "preprocessing": source.preprocessing.record(),
        "quick_gelu": bool(source.config.get("quick_gelu")),
        "architecture": {
            part: {name: source.config[part][name] for name in names if name in source.config[part]}
            for part, names in _UNTRACED_SETTINGS.items()
        },
    }
    drop = None if "image" in modalities else "visual"
    return LazyModel(source.reference, source.checkpoint, record, lambda: _build(source), drop=drop)


def _build(source: Source) -> Any:
    """Build open_clip's model in float32 on the CPU."""
    import open_clip

    load_layout = next((load for fits, load in _OTHER_LAYOUTS if fits(source.checkpoint)), None)
    try:
        with hub.offline(), _silent():  # load exactly what `locate` found
            model = open_clip.create_model(
                source.model,
                pretrained=None if load_layout else source.pretrained,
                load_weights=load_layout is None,
                precision="fp32",
                device="cpu",
                require_pretrained=load_layout is None,
            )
            if load_layout is not None:
                load_layout(model, source.checkpoint)
    except MISMATCH_ERRORS as error:
        raise wrong_weights(source.checkpoint, source.model, error) from error
    if "@" in source.reference:  # only the user says that the two belong together
        check_position_embeddings(source.checkpoint, source.model, model.state_dict())
    return model.eval()


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Silence open_clip's warnings of a random start, and of several files, of which we have chosen one."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
