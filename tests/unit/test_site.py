"""The web site of the documentation: it builds without a warning, and a link that leads nowhere ends the build."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from documentation import ROOT

import imseek

pytestmark = pytest.mark.slow


def build(target: Path, config: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "mkdocs", "build", "-f", str(config), "-d", str(target)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.always
def test_it_builds_without_a_warning(tmp_path: Path) -> None:
    done = build(tmp_path / "site", ROOT / "mkdocs.yml")
    lines = (done.stdout + done.stderr).splitlines()
    assert (done.returncode, [line for line in lines if not line.startswith("INFO")]) == (0, [])
    api = (tmp_path / "site" / "api.html").read_text()
    assert [name for name in imseek.__all__ if name not in ("__version__", "upkeep") and name not in api] == []
    assert ":func:" not in api
    assert (tmp_path / "site" / "schemas" / "search.json").exists()
    start = (tmp_path / "site" / "index.html").read_text()
    assert 'href="tutorials/find.html"' in start
    assert 'src="pictures/demo.png"' in start
    assert ".md" not in {Path(part.split('"')[0].split("#")[0]).suffix for part in start.split('href="')[1:]}


def test_a_link_that_leads_nowhere_is_an_error(tmp_path: Path) -> None:
    """With the settings of the real site, and one page."""
    links = ("nowhere.md", "page.md#nothing", "../nowhere.md", "pictures/nothing.png")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text("# Page\n\n" + "".join(f"[here]({link})\n" for link in links))
    (tmp_path / "docs" / "index.md").write_text("# Start\n\n[page](page.md#page)\n")
    small = tmp_path / "mkdocs.yml"
    small.write_text(
        f"INHERIT: {ROOT / 'mkdocs.yml'}\ndocs_dir: docs\nnav: [index.md, page.md]\nplugins: [search]\nhooks: []\n"
    )
    done = build(tmp_path / "site", small)
    assert done.returncode == 1
    warnings = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("WARNING")]
    assert len(warnings) == len(links)  # Each of them is one, and one is enough.
    for link in links:
        assert [line for line in warnings if f"'{link}'" in line or f"'{link.partition('#')[2]}'" in line], link
    (tmp_path / "docs" / "page.md").write_text("# Page\n")
    assert build(tmp_path / "site", small).returncode == 0
