"""JSON output of `imseek encoders`."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from imseek.ui.cli.jsonout import path

if TYPE_CHECKING:
    from imseek.encoders import DownloadResult, EncoderCheck, Entry
    from imseek.encoders.encoder_check import TowerStatistics


def encoder(entry: Entry) -> dict[str, Any]:
    return {
        "reference": entry.reference,
        "preset": None if entry.preset is None else entry.preset.name,
        "family": entry.family,
        "modalities": list(entry.modalities),
        "repository": entry.repository,
        "dim": entry.dim,
        "image_size": entry.image_size,
        "context_length": entry.context_length,
        "tokenizer": entry.tokenizer,
        "languages": entry.languages,
        "image_parameters": entry.image_parameters,
        "text_parameters": entry.text_parameters,
        "image_gflops": entry.image_gflops,
        "text_gflops": entry.text_gflops,
        "speed": entry.speed,
        "licence": entry.licence,
        "licence_name": entry.licence_name,
        "any_use": entry.any_use,
        "download_bytes": entry.download_bytes,
        "cached": entry.is_cached,
    }


def downloaded(fetched: DownloadResult) -> dict[str, Any]:
    offer = fetched.offer
    return {
        "reference": fetched.reference,
        **path(os.fsencode(fetched.path)),
        "fetched": None if offer is None else asdict(offer),
    }


def checked(found: EncoderCheck) -> dict[str, Any]:
    return {
        "reference": found.info.reference,
        "revision": found.info.revision,
        "fingerprint": found.fingerprint,
        "dim": found.info.dim,
        "precision": found.precision,
        "load_seconds": round(found.load_seconds, 3),
        "images": _rounded(found.images),
        "texts": None if found.texts is None else _rounded(found.texts),
        "problems": list(found.problems),
    }


def _rounded(rows: TowerStatistics) -> dict[str, Any]:
    return {name: round(value, 6) for name, value in asdict(rows).items()}
