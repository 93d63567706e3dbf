"""Answers of commands against the schemas that are made from their types."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import jsonschema

from imseek.ui.cli.json_schemas import schemas


def validate(document: Any, name: str) -> None:
    """Fail unless the document agrees with the schema of that name, docs/schemas/NAME.json."""
    known = schemas()
    if name in known:
        jsonschema.validate(document, known[name], cls=jsonschema.Draft202012Validator)
    old = resources.files("imseek.ui").joinpath("schemas", f"{name}.json")
    if old.is_file():
        jsonschema.validate(document, json.loads(old.read_text()), cls=jsonschema.Draft202012Validator)
    else:
        assert name in known
