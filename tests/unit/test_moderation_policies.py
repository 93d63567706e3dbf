"""Policies in YAML: what is read, and that each mistake is told with its line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from imseek.errors import MissingExtraError, UsageError
from imseek.labels import moderation_policies
from imseek.labels.classes import BACKGROUND

GOOD = """\
# What we do not want on the noticeboard.
name: noticeboard
templates: "a photo of {}"
concepts:
  - name: weapon
    positive: [a gun, a knife held as a weapon]
    negative: [a tool, a kitchen knife]
    threshold: 0.8
  - name: fire
    positive: a burning house
    threshold: 0.5
    templates: ["{}", "a picture of {}"]
"""


def _load(tmp_path: Path, text: str) -> moderation_policies.Policy:
    path = tmp_path / "policy.yaml"
    path.write_text(text, "utf-8")
    return moderation_policies.load_policy(path)


def test_a_policy(tmp_path: Path) -> None:
    found = _load(tmp_path, GOOD)
    assert found.name == "noticeboard"
    assert found.concepts == (
        moderation_policies.Concept(
            "weapon",
            ("a gun", "a knife held as a weapon"),
            ("a tool", "a kitchen knife"),
            0.8,
            ("a photo of {}",),
        ),
        moderation_policies.Concept("fire", ("a burning house",), BACKGROUND, 0.5, ("{}", "a picture of {}")),
    )


def test_the_name_is_else_that_of_the_file(tmp_path: Path) -> None:
    assert _load(tmp_path, GOOD.replace("name: noticeboard\n", "")).name == "policy"


@pytest.mark.parametrize(
    ("old", "new", "line", "match", "hint"),
    [
        ("threshold: 0.8", "treshold: 0.8", 8, "no 'treshold'", "did you mean threshold?"),
        ("concepts:", "concept:", 4, "no 'concept'", "did you mean concepts?"),
        ("threshold: 0.8", "threshold: 80%", 8, "probability between 0 and 1", None),
        ("threshold: 0.8", "threshold: 1.5", 8, "probability between 0 and 1", None),
        ("threshold: 0.8", "threshold: .nan", 8, "probability between 0 and 1", None),
        ("threshold: 0.8", "threshold: true", 8, "probability between 0 and 1", None),
        ("threshold: 0.8", "threshold: '0.8'", 8, "probability between 0 and 1", None),
        ("    threshold: 0.8\n", "", 5, "no `threshold`", None),
        ("    positive: a burning house\n", "", 9, "no `positive`", None),
        ("name: fire", "name: weapon", 9, "'weapon' already", None),
        ("name: fire", "name: Big Fire", 9, "cannot be the name", "lower-case"),
        ("name: fire", "name: fire\n    name: smoke", 10, "'name' is there twice", None),
        ("[a tool, a kitchen knife]", "[]", 7, "`negative` is empty", None),
        ("[a tool, a kitchen knife]", "[a tool, A  Tool]", 7, "there twice", None),
        ("[a tool, a kitchen knife]", "[a gun]", 5, "positive and negative", None),
        ("[a tool, a kitchen knife]", "[a tool, 7]", 7, "a prompt is a text", 'in quotes, "7"'),
        ("[a tool, a kitchen knife]", "[a tool, '']", 7, "a prompt is empty", None),
        ("[a tool, a kitchen knife]", "{a: b}", 7, "is a list", None),
        ("[a tool, a kitchen knife]", "[a tool, [a]]", 7, "a prompt is a text", None),
        ("[a tool, a kitchen knife]", "&x [*x]", 7, "a prompt is a text", None),
        ("[a tool, a kitchen knife]", "[a tool", 8, "this is not YAML", None),
        ("[a tool, a kitchen knife]", "!!python/object/apply:os.system [ls]", 7, "not allowed", None),
        ("[a tool, a kitchen knife]", "!secret [a tool]", 7, "not allowed", None),
        ("[a tool, a kitchen knife]", "[a tool, !secret knife]", 7, "the tag '!secret' is not allowed", None),
        ('"a photo of {}"', "imagnet", 3, "neither a set of templates", "did you mean imagenet?"),
        ('["{}", "a picture of {}"]', '["{}", "a picture"]', 12, "no place for a prompt", "write {} there"),
        ("  - name: weapon", "  name: weapon", 6, "this is not YAML", None),
    ],
)
def test_each_mistake_is_told_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, match: str, hint: str | None
) -> None:
    assert old in GOOD
    with pytest.raises(UsageError, match=match) as caught:
        _load(tmp_path, GOOD.replace(old, new, 1))
    message = str(caught.value)
    assert f"policy.yaml, line {line}: " in message
    if hint is not None:
        assert hint in str(caught.value.hint)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "the file is empty"),
        ("# nothing\n", "the file is empty"),
        ("concepts: []\n", "line 1: there are no concepts"),
        ("name: x\n", "line 1: there are no `concepts`"),
        ("- a\n- b\n", "line 1: a policy needs members"),
        ("just words", "line 1: a policy needs members"),
        ("concepts:\n  - gun\n", "line 2: a concept needs members"),
        ("concepts: gun\n", "line 1: `concepts` is a list"),
        ("a: 1\n---\nb: 2\n", "this is not YAML"),
        ("\x00", "this is not YAML"),
        ("concepts:\n\t- x\n", "line 2: this is not YAML"),
    ],
)
def test_files_that_are_no_policy(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        _load(tmp_path, text)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        moderation_policies.load_policy(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    with pytest.raises(UsageError, match="not UTF-8"):
        moderation_policies.load_policy(tmp_path / "latin.yaml")
    (tmp_path / "deep.yaml").write_text("[" * 100_000)
    with pytest.raises(UsageError, match="deep"):
        moderation_policies.load_policy(tmp_path / "deep.yaml")


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingExtraError) as caught:
        _load(tmp_path, GOOD)
    assert "explore" in str(caught.value.hint)
