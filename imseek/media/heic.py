"""HEIC through libheif, refused where the library has known security holes."""

from __future__ import annotations

import re
from typing import Any, Final

from imseek.errors import MediaError
from imseek.types.pictures import SkipReason

#: The first versions without known holes. libheif 1.22.0 to 1.23.1 can run code from a picture (CVE-2026-84383), and up
#: to 1.23.5 each version fixed more (GHSA-v8qw-hwjv-44hw and others); libde265 1.1.3 is the version those were found
#: and fixed with. Libraries that a distribution patched without a new version number are refused too.
MINIMUM_VERSIONS: Final = {"libheif": (1, 23, 5), "libde265": (1, 1, 3)}
HINT: Final = "pip install 'pillow-heif>=1.8.1'"

_NUMBER: Final = re.compile(r"(\d+)\.(\d+)\.(\d+)")


def plugin() -> Any:
    """Return the HEIC plugin for Pillow. Raises ImportError, and MediaError where its libraries have known holes."""
    import pillow_heif

    information = pillow_heif.libheif_info()
    versions = {"libheif": information["libheif"], "libde265": information["decoders"].get("libde265")}
    for name, version in versions.items():
        if version is None:  # another HEVC decoder
            continue
        number = _NUMBER.search(version)
        if number is not None and tuple(map(int, number.groups())) >= MINIMUM_VERSIONS[name]:
            continue
        least = ".".join(map(str, MINIMUM_VERSIONS[name]))
        installed = version if number is None else number[0]
        message = f"HEIC images are not given to {name} {installed}, which has known security holes"
        raise MediaError(SkipReason.MISSING_CODEC, f"{message}: {least} or newer is needed ({HINT})", hint=HINT)
    return pillow_heif.HeifImageFile
