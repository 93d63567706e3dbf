"""All rules of our styles are known to the browser: it drops a rule whole if it cannot read a part of its selector."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest

from imseek.ui.web.theme import page_style

_STYLES = {
    "page": page_style(),
    **{
        one.name: one.read_text("utf-8")
        for one in resources.files("imseek.ui.web.components").iterdir()
        if one.name.endswith(".css")
    },
}
_COUNT = """(css) => {
  const count = (rules) => [...rules].reduce((sum, rule) => sum + 1 + count(rule.cssRules ?? []), 0);
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(css);
  return count(sheet.cssRules);
}"""


@pytest.fixture(scope="module")
def blank(browser: Any) -> Iterator[Any]:
    context = browser.new_context()
    page = context.new_page()
    page.goto("about:blank")
    yield page
    context.close()


def _count(css: str) -> int:
    """Return the number of rules, without those for Firefox alone."""
    return re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL).count("{") - css.count("::-moz-")


def test_no_rule_is_dropped(blank: Any) -> None:
    written = {name: _count(css) for name, css in _STYLES.items()}
    assert {name: blank.evaluate(_COUNT, css) for name, css in _STYLES.items()} == written
