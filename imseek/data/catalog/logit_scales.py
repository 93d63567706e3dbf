"""Read a space's logit scale and bias from the catalog."""

from __future__ import annotations

import json
from pathlib import Path

from imseek.data.catalog.read_connection import connect_read_only


def read_logit_scale(root: Path, space_id: int) -> tuple[float | None, float | None]:
    """Return the encoder's training scale for cosines and its sigmoid bias; None where not recorded."""
    with connect_read_only(root) as connection:
        row = connection.execute("SELECT logit_scale, facts FROM spaces WHERE space_id = ?", (space_id,)).fetchone()
    if row is None:
        return None, None
    facts = json.loads(row[1])
    bias = facts.get("logit_bias") if isinstance(facts, dict) else None
    return row[0], bias
