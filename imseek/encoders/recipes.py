"""Describe an encoder so that another process can load exactly the same one."""

from __future__ import annotations

from dataclasses import dataclass

from imseek.encoders import registry
from imseek.encoders.base import Encoder
from imseek.encoders.input_checks import check_fingerprint
from imseek.encoders.runtime import Runtime
from imseek.encoders.vector_adapter import AdaptedEncoder, Adapter


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """A picklable description: ``base`` is the reference to load, ``adapter`` an optional adapter for its vectors.

    ``base_fingerprint`` tells versions of ``builtin`` apart.
    """

    reference: str
    fingerprint: str
    base: str
    base_fingerprint: str
    adapter: Adapter | None = None

    @classmethod
    def of(cls, encoder: Encoder) -> Recipe:
        """Describe ``encoder``."""
        reference, fingerprint = encoder.info.reference, encoder.fingerprint()
        if isinstance(encoder, AdaptedEncoder):
            base = encoder.base
            return cls(reference, fingerprint, base.info.reference, base.fingerprint(), encoder.adapter)
        return cls(reference, fingerprint, reference, fingerprint)

    def load(self, runtime: Runtime | None) -> Encoder:
        """Load the encoder for pictures.

        Raises as :func:`imseek.encoders.registry.load`, and EncoderMismatchError where the weights differ here.
        """
        # For other encoders, a fingerprint would take exported towers, which are slower for many pictures.
        builtin_fingerprint = self.base_fingerprint if self.base == "builtin" else None
        encoder = registry.load(self.base, modalities=("image",), runtime=runtime, fingerprint=builtin_fingerprint)
        if self.adapter is not None:
            encoder = AdaptedEncoder(encoder, self.adapter, self.reference)
        check_fingerprint(encoder, self.reference, self.fingerprint)
        return encoder
