"""Hashes of the peers, in an environment that has them: run by bench/duplicates.py as a script.

    /tmp/peers/pid/bin/python bench/duplicating/peers.py FOLDER FILE.npz

Reads the names in FOLDER/entries.json; writes one array (n,) uint64 per method, and ``versions``.
"""

from __future__ import annotations

import json
import sys
from base64 import b64decode
from importlib.metadata import version
from pathlib import Path

import imagehash
import numpy as np
from czkawka import ImageSimilarity
from imagededup.methods import DHash, PHash
from PIL import Image


def main() -> None:
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    files = [folder / one["file"] for one in json.loads((folder / "entries.json").read_text())]
    phash, dhash, czkawka = PHash(verbose=False), DHash(verbose=False), ImageSimilarity()
    hashes: dict[str, list[int]] = {}
    for path in files:
        picture = Image.open(path)
        for name, text in {
            "imagededup phash": phash.encode_image(image_file=path),
            "imagededup dhash": dhash.encode_image(image_file=path),
            "ImageHash phash": str(imagehash.phash(picture)),
            "ImageHash dhash": str(imagehash.dhash(picture)),
            "ImageHash whash": str(imagehash.whash(picture)),
        }.items():
            hashes.setdefault(name, []).append(int(text, 16))
        hashes.setdefault("czkawka", []).append(int.from_bytes(b64decode(czkawka.hash_image(path) + "=")))
    versions = [f"{name} {version(name)}" for name in ("imagededup", "ImageHash", "czkawka")]
    np.savez(out, versions=versions, **{name: np.array(values, np.uint64) for name, values in hashes.items()})


if __name__ == "__main__":
    main()
