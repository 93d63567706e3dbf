"""Many pictures on the Search page of `imseek ui`: jumps down the years, frames while scrolling, hits far down, memory.

    python bench/big.py --count 100000 --encoder fake:64 --dim 64 --out DIR
    python bench/long_lists.py --collection DIR [--jumps 30] [--frames 400] [--pages 300] [--searches 200]

The pictures need dates. The pages run in a process of their own, chromium beside them on the same machine. Printed:
jumps of the scrubber to random times, until two frames later; frames at 30 and 400 pixels each, by date and by
relevance; with the processor time of the page's main thread for each. Then, without a browser, the server's processor
time for each page of 200 hits, down to the last of `--pages`, and its resident memory after as many different searches.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import numpy as np
import recorder

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from browsing import CHROMIUM, FLAGS, Pages, pages

_JUMP: Final = """async (share) => {
  const roots = (at) => [...at.querySelectorAll("*")].flatMap((one) =>
    one.shadowRoot ? [one.shadowRoot, ...roots(one.shadowRoot)] : []);
  const scrubber = roots(document).map((one) => one.querySelector(".scrubber")).find(Boolean);
  const box = scrubber.getBoundingClientRect();
  const [clientX, clientY] = [box.left + 20, box.top + 2 + share * (box.height - 4)];
  const at = { pointerId: 1, bubbles: true, isPrimary: true, clientX, clientY };
  const began = performance.now();
  scrubber.dispatchEvent(new PointerEvent("pointerdown", { ...at, buttons: 1 }));
  scrubber.dispatchEvent(new PointerEvent("pointerup", at));
  await new Promise(requestAnimationFrame);
  await new Promise(requestAnimationFrame);
  return performance.now() - began;
}"""
_SCROLL: Final = """async ([step, count]) => {
  const scroller = document.querySelector("[data-testid=stMain]");
  const frames = [];
  let before = await new Promise(requestAnimationFrame);
  for (let n = 0; n < count; n++) {
    scroller.scrollTop += step;
    const now = await new Promise(requestAnimationFrame);
    frames.push(now - before);
    before = now;
  }
  return frames;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collection", type=Path, required=True)
    parser.add_argument("--jumps", type=int, default=30)
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--pages", type=int, default=300)
    parser.add_argument("--searches", type=int, default=200)
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with (
        tempfile.TemporaryDirectory() as folder,
        sync_playwright() as playwright,
        pages(Path(folder), Path(folder, "home"), str(options.collection.absolute())) as ui,
    ):
        print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        thread = page.context.new_cdp_session(page)
        thread.send("Performance.enable", {"timeDomain": "threadTicks"})
        page.goto(ui.at())
        page.get_by_role("slider", name="Date").wait_for(timeout=120_000)
        page.wait_for_timeout(3000)
        times = []
        for share in np.random.default_rng(0).random(options.jumps):
            before = _main_thread(thread)
            took = page.evaluate(_JUMP, float(share))
            times.append((took, _main_thread(thread) - before))
            page.wait_for_timeout(150)
        recorder.add_times("a jump of the scrubber", [took for took, _ in times])
        recorder.add_times("  processor time of the main thread", [cpu for _, cpu in times])
        _scroll(page, thread, "by date", options.frames)
        page.goto(ui.at(q="a red car", cutoff="off"))
        page.locator(".card").first.wait_for(timeout=120_000)
        page.wait_for_timeout(2000)
        _scroll(page, thread, "by relevance", options.frames)
        browser.close()
        _fetch_pages(ui, options.pages, options.searches)


def _scroll(page: Any, thread: Any, order: str, frames: int) -> None:
    for step in (30, 400):
        before = _main_thread(thread)
        frame_times = page.evaluate(_SCROLL, [step, frames])
        recorder.add_times(f"frames at {step} pixels each, {order}", frame_times)
        cpu = (_main_thread(thread) - before) / frames
        print(f"  processor time of the main thread: {cpu:.1f} ms a frame")
        recorder.add_row("frames", order=order, step=step, main_thread_ms=cpu)


def _fetch_pages(ui: Pages, most: int, searches: int) -> None:
    at = urlsplit(ui.url)
    with httpx.Client(base_url=f"{at.scheme}://{at.netloc}", follow_redirects=True, timeout=120) as client:
        client.get(ui.entrance)
        name = next(one["name"] for one in client.get("/state").json()["collections"])
        url, hits, times = f"/pictures/{name}/hits?q=a+red+car&cutoff=off&n=200", 0, []
        while url and len(times) < most:
            before = recorder.process_seconds(ui.process.pid)
            answer = client.get(url).raise_for_status().json()
            times.append((recorder.process_seconds(ui.process.pid) - before) * 1000)
            hits += len(answer["cards"])
            url = answer["more"]
        print(f"{hits:,} hits in pages of 200")
        recorder.put(hits=hits)
        tenth = max(1, len(times) // 10)
        recorder.add_times("processor time of the server, the first tenth of pages", times[:tenth])
        recorder.add_times("processor time of the server, the last tenth", times[-tenth:])
        for n in range(searches):
            client.get(f"/pictures/{name}/hits?q=a+car+number+{n}&cutoff=off&n=200").raise_for_status()
    memory = next(line for line in Path(f"/proc/{ui.process.pid}/status").read_text().splitlines() if "VmRSS" in line)
    resident = int(memory.split()[1]) / 1024
    print(f"resident memory of the server after {searches} more searches: {resident:.0f} MiB")
    recorder.put(resident_mib=resident)


def _main_thread(session: Any) -> float:
    """Milliseconds of processor time of the page's main thread so far."""
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"]) * 1000


if __name__ == "__main__":
    sys.exit(recorder.run(main))
