"""For those who come from outside: the workflow runs `.ci/run`, and reports bring what is needed to act on them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import imseek

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_the_workflow_runs_what_is_run_here() -> None:
    (job,) = load(GITHUB / "workflows" / "ci.yml")["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step][-1] == ".ci/run"
    assert "--privileged" in job["container"]["options"], "a skip would be a failure"


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_is_one_and_asks_for_doctor(path: Path) -> None:
    form = load(path)
    assert {"name", "description", "body"} <= form.keys()
    fields = {field["id"]: field for field in form["body"] if field["type"] != "markdown"}
    assert all(field["attributes"]["label"] for field in fields.values())
    assert "`imseek doctor" in fields["doctor"]["attributes"]["description"]
    for field in fields.values():
        assert field["type"] in ("textarea", "input", "dropdown", "checkboxes")
        options = field["attributes"].get("options", ())
        assert all(isinstance(option, str) for option in options), "YAML reads No as false"


def test_a_bug_is_not_reported_without_doctor() -> None:
    fields = {field.get("id"): field for field in load(GITHUB / "ISSUE_TEMPLATE" / "bug.yml")["body"]}
    assert fields["doctor"]["validations"] == {"required": True}


def test_pages_that_are_named_are_there() -> None:
    """For pages of the documentation themselves, test_docs.py looks."""
    texts = [GITHUB / "pull_request_template.md", *FORMS]
    named = {name for path in texts for name in re.findall(r"\b[A-Z]+\.md|docs/\w+\.md", path.read_text())}
    assert {"CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"} <= named
    assert all((ROOT / name).exists() for name in named)
    assert "## Deprecation" in (ROOT / "CONTRIBUTING.md").read_text()


def test_a_released_version_has_its_heading() -> None:
    """A version that is no longer the first one is in CHANGELOG.md, or `make release` refuses it."""
    headings = re.findall(r"^## (\d+\.\d+\.\d+) - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert imseek.__version__ == "0.1.0" or imseek.__version__ in headings
