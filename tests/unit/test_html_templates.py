"""The templates of HTML pages: nothing that they print is markup, unless they say so."""

from __future__ import annotations

import re
from importlib import resources

import pytest
from jinja2 import DictLoader, UndefinedError

from imseek.ui.render import html_templates

TEMPLATES = [
    one for one in resources.files("imseek.ui.render").joinpath("templates").iterdir() if one.name.endswith(".j2")
]


def rendered(source: str, **values: object) -> str:
    environment = html_templates._environment().overlay(loader=DictLoader({"page": source}))
    return environment.get_template("page").render(values)


def test_text_is_one_escaped_line() -> None:
    nasty = "</p><script>\n\u202e\x1b'\"&amp;\udcff{{ 1 }}"
    escaped = r"&lt;/p&gt;&lt;script&gt;\n\u202e\x1b&#39;&#34;&amp;amp;\xff{{ 1 }}"
    assert rendered("{{ text }}", text=nasty) == escaped
    assert rendered("{{ text ~ text }}", text=nasty) == escaped * 2
    assert rendered("{% macro m(x) %}<b>{{ x }}</b>{% endmacro %}{{ m(text) }}", text=nasty) == f"<b>{escaped}</b>"


def test_data_cannot_end_its_script() -> None:
    assert rendered("{{ data | tojson }}", data={"a": "</script><!--", "b": [1, 2]}) == (
        r'{"a":"\u003c/script\u003e\u003c!--","b":[1,2]}'
    )
    with pytest.raises(ValueError, match="JSON compliant"):
        rendered("{{ data | tojson }}", data=float("nan"))


def test_a_name_that_is_missing_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="'titel' is undefined"):
        rendered("{{ titel }}")


def test_only_our_own_text_is_safe() -> None:
    said = [(one.name, match) for one in TEMPLATES for match in re.findall(r"[\w| ]*\bsafe\b", one.read_text("utf-8"))]
    assert sorted((name, text.strip()) for name, text in said) == [
        ("map.html.j2", "script | safe"),
        ("map.html.j2", "style | safe"),
        ("parts.html.j2", "webp | data_uri | safe"),
    ]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda one: one.name)
def test_attributes_are_quoted(template) -> None:
    assert not re.findall(r"=\{\{", template.read_text("utf-8"))
