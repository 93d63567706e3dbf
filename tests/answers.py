"""Answers of commands against the schemas that are made from their types."""

from __future__ import annotations

from typing import Any

import jsonschema

from imseek.ui.cli.json_schemas import schemas


def validate(document: Any, name: str) -> None:
    """Fail unless the document agrees with the schema of that name, docs/schemas/NAME.json."""
    jsonschema.validate(document, schemas()[name], cls=jsonschema.Draft202012Validator)
