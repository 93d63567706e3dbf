"""The first run, and looking after what it made."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from browsing import Visit, wait_until_idle
from playwright.sync_api import expect

import imseek
from imseek import jobs
from imseek.errors import ImseekError

MANY = 24
HOSTILE = "**b** <img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library with nothing in it yet."""
    return tmp_path_factory.mktemp("empty-library")


@pytest.fixture
def pictures(tmp_path: Path, photo_files: list[Path]) -> Path:
    """Enough photographs for an index run to be watched, one of them cut off, in a folder with a folder beside it."""
    folder = tmp_path / "pictures"
    (folder / "many").mkdir(parents=True)
    (folder / "my others").mkdir()
    (folder / HOSTILE).mkdir()
    jpegs = [path for path in photo_files if path.suffix == ".jpg"]
    for n in range(MANY):
        data = jpegs[n % len(jpegs)].read_bytes()
        # Bytes behind the picture make another content of it.
        (folder / "many" / f"{n:03d}.jpg").write_bytes(data + b"%d" % n)
    shutil.copy(next(path for path in photo_files if path.name == "chelsea.png"), folder / "many")
    (folder / "many" / "broken.jpg").write_bytes(jpegs[0].read_bytes()[:5000])
    return folder


def create(page: Any, name: str, folder: str) -> None:
    """Fill in the form, and press."""
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Folder with pictures").fill(folder)
    expect(page.get_by_text(f"All pictures in {folder} and the folders below it will be indexed.")).to_be_visible()
    page.get_by_role("combobox", name="Encoder").click()
    page.get_by_role("option", name="Built-in").click()
    expect(page.get_by_text("No download")).to_be_visible()
    page.get_by_role("button", name="Create and index").click()


def hold(root: Path) -> int:
    """Stop the clock of the first run of a collection, as soon as there is one; returns its process."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with contextlib.suppress(ImseekError):
            for job in jobs.list(root):
                os.kill(job.pid, signal.SIGSTOP)
                return job.pid
        time.sleep(0.02)
    raise AssertionError("no run has begun")


def test_first_run(visit: Visit, home: Path, pictures: Path) -> None:
    page = visit("collections")
    expect(page.get_by_text("Create your first collection")).to_be_visible()

    # A name is judged as it is typed.
    page.get_by_label("Name", exact=True).fill("a/b")
    expect(page.get_by_text("Not a valid name")).to_be_visible()
    expect(page.get_by_role("button", name="Create and index")).to_be_disabled()

    # Names of folders are text, whatever they say.
    page.get_by_label("Folder with pictures").fill(f"{pictures}/")
    page.get_by_role("option").filter(has_text="<img").click()
    expect(page.get_by_text(f"All pictures in {pictures}/{HOSTILE}/ and")).to_be_visible()

    # A path is completed.
    page.get_by_label("Folder with pictures").fill(f"{pictures}/MA")
    expect(page.get_by_role("option", name="many")).to_contain_text(f"{MANY + 2} pictures")
    expect(page.get_by_role("option", name="my others")).to_have_count(0)
    page.get_by_label("Folder with pictures").press("Enter")
    expect(page.get_by_label("Folder with pictures")).to_have_value(f"{pictures}/many/")
    create(page, "holidays", f"{pictures}/many/")

    # The job is seen, survives a reload, and is stopped. It is held meanwhile, so that it is not quicker than we are.
    root = home / "collections" / "holidays"
    held = hold(root)
    stop = page.get_by_role("button", name="Stop", exact=True)
    expect(page.locator(".st-key-collections-run")).to_be_visible(timeout=60_000)
    page.reload()
    expect(page.locator(".st-key-collections-run")).to_contain_text("Indexing")
    stop.click()
    expect(page.get_by_text("Stopping: finishing")).to_be_visible()
    os.kill(held, signal.SIGCONT)
    expect(page.get_by_text("Indexing: stopped")).to_be_visible(timeout=60_000)
    (job,) = jobs.list(root)
    assert (job.state, job.exit_code) == (jobs.INTERRUPTED, 130)

    # Again, to the end.
    page.get_by_role("button", name="Update all").click()
    expect(page.get_by_text("Indexing: done")).to_be_visible(timeout=120_000)
    with imseek.open(root) as collection:
        assert collection.info().images == MANY + 1
    page.get_by_role("tab", name="Not indexed").click()
    expect(page.get_by_text("Truncated: 1")).to_be_visible()
    expect(page.get_by_text("Copy them again")).to_be_visible()
    expect(page.get_by_text("broken.jpg").first).to_be_visible()

    # A file that was mended is tried again.
    (pictures / "many" / "broken.jpg").write_bytes((pictures / "many" / "000.jpg").read_bytes() + b"mended")
    page.get_by_role("button", name="Retry all").click()
    expect(page.get_by_text("All files were indexed.")).to_be_visible(timeout=120_000)

    # The link leads to pictures.
    page.get_by_role("link", name="Search these pictures").click()
    expect(page.get_by_label("Search", exact=True)).to_be_visible()
    wait_until_idle(page)
    page.get_by_label("Search", exact=True).fill("a cat")
    page.get_by_label("Search", exact=True).press("Enter")
    expect(page.locator(".card").first).to_contain_text("chelsea.png", timeout=90_000)  # It loads the encoder.
