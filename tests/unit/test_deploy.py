"""deploy/: container files and services of systemd say what docs/deploy.md says, and name what is there."""

from __future__ import annotations

import re
import shlex
import tomllib
from configparser import ConfigParser
from pathlib import Path

import documentation
import pytest
from documentation import ROOT

from imseek.ui.cli import main

DEPLOY = ROOT / "deploy"
CONTAINERS = sorted(DEPLOY.glob("Containerfile*"))
SERVICES = sorted(DEPLOY.glob("*.service"))
PAGE = documentation.read(ROOT / "docs" / "deploy.md")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def instructions(path: Path) -> list[tuple[str, str]]:
    """Each instruction with its arguments, lines put together."""
    text = re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


def final_stage(path: Path) -> list[tuple[str, str]]:
    found = instructions(path)
    last = max(n for n, (name, _) in enumerate(found) if name == "FROM")
    return found[last:]


@pytest.mark.parametrize("path", CONTAINERS, ids=lambda path: path.name)
def test_a_container_runs_without_rights_and_writes_to_one_volume(path: Path) -> None:
    stage = dict(final_stage(path))
    assert stage["USER"] == "imseek"
    assert stage["VOLUME"] == "/data"
    assert "/health" in stage["HEALTHCHECK"]
    assert (stage["ENTRYPOINT"], stage["CMD"]) == ('["imseek"]', '["serve", "--host", "0.0.0.0"]')
    written = dict(re.findall(r"(IMSEEK_\w+|HF_HOME)=(\S+)", stage["ENV"]))
    assert written.keys() == {"IMSEEK_HOME", "IMSEEK_CACHE", "HF_HOME"}
    assert all(value.startswith("/data/") for value in written.values())
    assert f"deploy/{path.name}" in PAGE


@pytest.mark.parametrize("path", CONTAINERS, ids=lambda path: path.name)
def test_what_is_copied_is_there_and_is_sent_to_the_builder(path: Path) -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source
        for name, arguments in instructions(path)
        if name == "COPY" and not arguments.startswith("--from")
        for source in arguments.split()[:-1]
    }
    assert copied
    assert [source for source in copied if source not in sent or not (ROOT / source).exists()] == []


def names(wanted: list[str]) -> set[str]:
    return {re.split(r"[<>=~\[; ]", one)[0] for one in wanted}


def test_the_small_container_has_the_servers_packages() -> None:
    (run,) = (line for name, line in instructions(DEPLOY / "Containerfile") if name == "RUN" and "light.txt" in line)
    listed = set(run.split("-r deploy/light.txt")[1].split())
    extras = PROJECT["optional-dependencies"]
    assert listed == names([*extras["server"], *extras["watch"]]) | {"pillow-heif"}


def test_extras_of_the_large_container_are_there() -> None:
    (extras,) = re.findall(r"'\.\[([\w,]+)\]'", (DEPLOY / "Containerfile.cuda").read_text())
    assert set(extras.split(",")) <= PROJECT["optional-dependencies"].keys()


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_a_service_starts_a_command_that_is_there(path: Path) -> None:
    unit = ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(path)
    assert set(unit.sections()) == {"Unit", "Service", "Install"}
    program, *arguments = shlex.split(unit["Service"]["ExecStart"])
    assert program == "%h/.local/bin/imseek"
    # With --help, options are read and nothing runs.
    assert main([*arguments, "--help"]) == 0
    assert unit["Service"]["SuccessExitStatus"] == "143", "how it ends by SIGTERM (docs/cli.md)"
    assert path.stem in PAGE
