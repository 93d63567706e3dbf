"""The readers that are fuzzed, by name: bytes in, nothing out but the errors that each documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fuzz import collection_targets, input_targets, query_targets
from fuzz.target import Target

TARGETS: Final[Mapping[str, Target]] = collection_targets.TARGETS | query_targets.TARGETS | input_targets.TARGETS
