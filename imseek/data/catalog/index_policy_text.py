"""Encode and decode a collection's index policy as the catalog stores it."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Final

from imseek.data.files.checked_json import JsonObject
from imseek.types.index_policy import IndexPolicy

#: Name of the policy in ``meta``.
POLICY: Final = "index_policy"
_KIND: Final = re.compile(r"[ -~]{1,200}")


def format_policy(policy: IndexPolicy) -> str:
    """Encode a policy for the catalog."""
    return json.dumps(asdict(policy), sort_keys=True)


def parse_policy(text: str) -> IndexPolicy:
    """Decode the output of :func:`format_policy`, ignoring members of a later imseek. Raises ValueError if invalid."""
    try:
        document = JsonObject(json.loads(text))
    except RecursionError as error:
        raise ValueError("brackets in brackets") from error
    defaults = IndexPolicy()
    kind = document.text("kind", pattern=_KIND) if "kind" in document else defaults.kind
    recall = document.number("recall", least=0, most=1) if "recall" in document else defaults.recall
    renew = document.get("renew") if "renew" in document else defaults.renew
    if not isinstance(renew, bool):
        raise ValueError("not an index policy")
    return IndexPolicy(kind, document.optional_whole("memory"), recall, renew)
