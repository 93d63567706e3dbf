"""Words of the pages: those that a native reader stumbled over do not come back, and those chosen instead are there."""

from __future__ import annotations

from pathlib import Path

import pytest

import imseek

_WEB = Path(imseek.__file__).parent / "ui" / "web"
#: What the pages said, and what they say instead.
_WORDING = (
    ("how far it is comes in", "estimating…"),
    ("Where it lies", "Location"),
    ("Clear up", "Clean up"),
    ("Bring back", "Restore"),
    ("Also, not", "Add or exclude"),
    ("Some are none of these", "Allow “none of these”"),
    ("if its weights are here", "Uses the best model available"),
    ('"Number"', '"ID"'),
    ('"Content"', "SHA-256"),
)


@pytest.fixture(scope="module")
def text() -> str:
    files = [path for path in sorted(_WEB.rglob("*")) if path.suffix in (".py", ".js")]
    return "\n".join(path.read_text("utf-8") for path in files)


@pytest.mark.parametrize(("before", "now"), _WORDING, ids=[now for _, now in _WORDING])
def test_pages_say_it_as_people_do(text: str, before: str, now: str) -> None:
    assert before not in text
    assert now in text
