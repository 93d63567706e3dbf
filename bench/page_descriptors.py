"""Check that the number of descriptors of `imseek ui` stays the same while pages are opened and closed.

    python bench/page_descriptors.py [--loads 500] [--pages search duplicates map labels collections] [--json FILE]

The pages run in a process of their own, chromium beside them on the same machine. Each load opens one of the pages in
turn in a context of its own, waits until it shows its content (results, groups of duplicates, a map, a class with
its pictures), and closes it. The open descriptors of the server are counted by kind: before, after every --every loads,
and after a rest. The run ends early after --seconds. The library is a temporary one with a few generated pictures.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import recorder
from picture_exports import make

import imseek
from imseek import maps

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from browsing import CHROMIUM, FLAGS, Pages, pages

#: Milliseconds for a page to show its content.
_PATIENCE: Final = 60_000
#: Seconds in which connections that a browser left behind are closed.
_REST: Final = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loads", type=int, default=500)
    parser.add_argument("--pages", nargs="+", choices=sorted(READY), default=list(READY))
    parser.add_argument("--every", type=int, default=50, help="count after every N loads")
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--json", type=Path, help="write the counts here, too")
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        home = library(Path(folder))
        print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        with pages(Path(folder), home) as ui:
            browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
            series = measure(browser, ui, options.pages, options.loads, options.every, options.seconds)
            browser.close()
            time.sleep(_REST)
            series.append({"loads": series[-1]["loads"], **descriptors(ui.process.pid)})
    print(f"after {_REST} s without a page: {series[-1]['all']} descriptors")
    text = json.dumps({"pages": options.pages, "series": series})
    print(text)
    recorder.put(pages=options.pages, series=series)
    if options.json:
        options.json.write_text(text + "\n")


def library(folder: Path) -> Path:
    """A library with one collection: twelve pictures, two of them twice, and a map."""
    pictures, home = folder / "pictures", folder / "home"
    make(pictures, 12)
    for n in range(2):
        (pictures / f"copy-{n}.jpg").write_bytes((pictures / f"{n:06d}.jpg").read_bytes())
    path = home / "collections" / "photos"
    path.parent.mkdir(parents=True)
    with imseek.create(path, encoder="fake") as collection:
        collection.index([pictures])
    maps.lay_out(path, method="pca")
    return home


def measure(browser: Any, ui: Pages, names: list[str], loads: int, every: int, seconds: float) -> list[dict[str, Any]]:
    """Return the counts before, after every ``every`` loads, and after the last one."""
    end = time.monotonic() + seconds
    series = [{"loads": 0, **descriptors(ui.process.pid)}]
    for n in range(loads):
        load(browser, ui, names[n % len(names)])
        late = time.monotonic() > end
        if (n + 1) % every == 0 or n + 1 == loads or late:
            series.append({"loads": n + 1, **descriptors(ui.process.pid)})
            print(f"{n + 1:5} loads: {series[-1]['all']:4} descriptors  {series[-1]['kinds']}", flush=True)
        if late:
            print(f"ended early, after {seconds:.0f} s")
            break
    return series


def load(browser: Any, ui: Pages, name: str) -> None:
    """Open a page as a new visitor, wait until it shows its content, and close it."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    try:
        context.set_default_timeout(_PATIENCE)
        page = context.new_page()
        page.goto(ui.at("" if name == "search" else name, **({"q": "red"} if name == "search" else {})))
        READY[name](page)
    finally:
        context.close()


def descriptors(pid: int) -> dict[str, Any]:
    """Count the open descriptors of a process, in all and by kind."""
    kinds: collections.Counter[str] = collections.Counter()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            kinds[_kind(str(path.readlink()))] += 1
        except FileNotFoundError:  # Closed since it was listed.
            continue
    return {"all": sum(kinds.values()), "kinds": dict(kinds.most_common())}


def _kind(target: str) -> str:
    name = target.rpartition("/")[2]
    if target.startswith("anon_inode:"):
        return "event loops" if "eventpoll" in target else "other"
    if target.startswith("/") and ".imseek" not in name:
        return "catalog" if name.startswith("catalog.sqlite") else "mapped files" if name.endswith(".npy") else "files"
    return "sockets" if target.startswith("socket:") else "other"


def _search(page: Any) -> None:
    page.locator(".card").first.wait_for()


def _duplicates(page: Any) -> None:
    button, group = page.get_by_role("button", name="Find duplicates"), page.get_by_text("Group 1 of")
    button.or_(group).first.wait_for()
    if button.is_visible():
        button.click()
    group.first.wait_for()


def _map(page: Any) -> None:
    page.locator("canvas.points[data-view]").wait_for()


def _labels(page: Any) -> None:
    page.get_by_label("Classes").press_sequentially("red")
    page.get_by_role("region", name="red").locator(".card").first.wait_for()


def _collections(page: Any) -> None:
    page.get_by_text("Not indexed").first.wait_for()


#: Waits for the content of each page.
READY: Final[Mapping[str, Callable[[Any], None]]] = {
    "search": _search,
    "duplicates": _duplicates,
    "map": _map,
    "labels": _labels,
    "collections": _collections,
}

if __name__ == "__main__":
    sys.exit(recorder.run(main))
