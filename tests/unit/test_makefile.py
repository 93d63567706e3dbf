"""``make``: its targets are listed, and whatever fails beside the tests fails the target."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
#: Parts of other targets: what they install.
PARTS = {"installed", "debian"}
TOOLS = ("ruff", "mypy", "lint-imports", "pytest", "wheel")
#: A program that notes how it was called, and ends as the test wants.
TOOL = """#!/bin/sh
echo "$(basename $0) $*" >> {log}
case "$(basename $0) $*" in {failing}*) exit 3;; esac
"""


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    return subprocess.run(["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def targets() -> set[str]:
    (phony,) = re.findall(r"^\.PHONY:((?:.*\\\n)*.*)", MAKEFILE, re.MULTILINE)
    return set(re.findall(r"[a-z][a-z-]*", phony.replace("$(CHECKED)", "")))


def test_help_lists_every_target() -> None:
    listed = re.findall(r"^  make ([a-z-]+) +\S", make("help").stdout, re.MULTILINE)
    assert set(listed) == {name for name in targets() - PARTS if not name.startswith(("pytest-", "check-"))}
    assert len(listed) == len(set(listed))
    assert {"help", "check", "test", "test-long"} <= set(listed)


@pytest.mark.parametrize("target", ["check", "test"])
@pytest.mark.parametrize("failing", ["nothing", "ruff check", "ruff format", "mypy", "lint-imports", "pytest"])
def test_what_fails_beside_the_tests_fails_the_target(tmp_path: Path, target: str, failing: str) -> None:
    """And all the others run to their end."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").touch()
    for tool in TOOLS:
        path = tmp_path / "bin" / tool
        path.write_text(TOOL.format(log=tmp_path / "log", failing=f'"{failing}"'))
        path.chmod(0o755)
    later = time.time() + 60
    for stamp in (".installed-test", ".installed-clip-retrieval", ".compiled"):
        (tmp_path / stamp).touch()
        os.utime(tmp_path / stamp, (later, later))
    installed = [f"--old-file={program}" for program in PARTS]  # Nothing is to be installed for this test.
    done = make(target, f"VENV={tmp_path}", f"CHECK_WHEEL={tmp_path}/bin/wheel", *installed)
    called = (tmp_path / "log").read_text().splitlines()
    expected = [*TOOLS, "ruff"] if target == "test" else [*TOOLS[:-1], "ruff"]
    assert sorted(line.split()[0] for line in called) == sorted(expected), done.stderr
    assert (done.returncode == 0) == (failing == "nothing"), done.stderr
    if failing != "nothing":
        assert "Error 3" in done.stderr


def test_linters_run_beside_the_tests(tmp_path: Path) -> None:
    """Not before them: of each target, all are prerequisites of one call of make, with jobs."""
    for target in ("check", "test", "long"):
        assert f"$(TOGETHER) pytest-{target} $(CHECKED)" in MAKEFILE
    assert re.search(r"^TOGETHER = .*--keep-going --jobs", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("script", ["run", "wheel", "release"])
def test_scripts_of_ci_are_sound(script: str) -> None:
    path = ROOT / ".ci" / script
    assert os.access(path, os.X_OK)
    bash = shutil.which("bash")
    assert bash is not None
    assert subprocess.run([bash, "-n", path], check=False).returncode == 0
    assert "set -euo pipefail" in path.read_text()
