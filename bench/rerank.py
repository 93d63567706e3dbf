"""Gain and cost of a reranker: R@1, R@5 and R@10 without and with it, over the captioned stamps of Tux Paint.

    python bench/rerank.py [--reranker NAME] [--half B] [--depth 100] [--stamps DIR]

NAME is ``captions`` (the default; ``--weight`` in place of its own) or that of an installed plugin (docs/plugins.md).

A collection holds the stamps of one half, indexed by the built-in encoder, in numbered files, without captions and with
them. Queries are the captions, whose own picture is the only right answer, nouns ("a horse", with stamps of that noun
as right answers) and kinds ("a bird", with the stamps in that folder); where captions are stored, only the latter two.
R@k is the share of right stamps among the first k, of those possible. Seconds are processor time for one query, and MB
the growth of the process's peak memory.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import recorder
from hybrid import DEPTH, Setting, Task, cell, make_setting, make_tasks, read_captions
from quality import find_stamps

from imseek.search import caption_reranker

#: Queries that people might use for the content of a folder of stamps.
KINDS = {
    "animals/birds": "a bird", "animals/fish": "a fish", "animals/insects": "an insect", "animals/mammals": "a mammal",
    "animals/dinosaur": "a dinosaur", "animals/lizards": "a reptile", "animals/shellfish": "a shellfish",
    "clothes": "clothes", "clothes/hats": "something to wear on the head", "food/dessert": "a dessert",
    "food/fruit": "fruit", "food/nuts": "a nut", "food/spices": "a spice", "food/vegetables": "a vegetable",
    "hobbies/music": "a musical instrument", "household/arttools": "something to draw with",
    "household/dishes": "dishes", "household/electronics": "an electronic device", "household/tools": "a tool",
    "medical": "medicine", "military/vehicles": "a military vehicle", "plants/flowers": "a flower",
    "plants/mushrooms": "a mushroom", "plants/trees": "a tree", "seasonal/christmas": "Christmas",
    "seasonal/easter": "Easter", "seasonal/halloween": "Halloween", "space/solarsystem": "a planet",
    "sports": "sports equipment", "town/houses": "a house", "town/roadsigns": "a road sign", "vehicles/auto": "a car",
    "vehicles/construction": "a construction machine", "vehicles/emergency": "an emergency vehicle",
    "vehicles/flight": "an aircraft", "vehicles/locomotive": "a train", "vehicles/ship": "a ship",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=Path, help="folder of stamps (default: installed, or fetched by apt)")
    parser.add_argument("--half", choices="AB", default="B", help="A to choose by, B to report (default)")
    parser.add_argument("--reranker", default="captions")
    parser.add_argument("--depth", type=int, default=100, help="rerank_limit of the queries")
    parser.add_argument("--weight", type=float, default=caption_reranker.WEIGHT, help="of the cosines of `captions`")
    options = parser.parse_args()
    stamps = options.stamps or find_stamps()
    captions = read_captions(stamps, options.half)
    caption_task, nouns, _ = make_tasks(list(captions.values()))
    kinds = make_kinds(list(captions))
    numbers = [f"{n:05}{Path(name).suffix}" for n, name in enumerate(captions)]
    recorder.put(half=options.half, reranker=options.reranker, stamps=len(captions))
    print("| collection | queries | reranker | R@1 / R@5 / R@10 | s | MB |\n|---|---|---|---|---|---|")
    with (
        tempfile.TemporaryDirectory() as work,
        mock.patch.object(caption_reranker, "WEIGHT", options.weight),
    ):
        for name, stored, tasks in (
            ("pictures", (), [caption_task, nouns, kinds]),
            ("captions", tuple(captions.values()), [nouns, kinds]),
        ):
            setting = make_setting(name, stamps, list(captions), numbers, Path(work), stored)
            for task in tasks:
                measure(setting, task, None)
                measure(setting, task, options.reranker, options.depth)
            setting.collection.close()


def make_kinds(names: Sequence[str]) -> Task:
    """Return the kinds as queries; the stamps in their folder or below are right."""
    inside = {words: [name.startswith(f"{folder}/") for name in names] for folder, words in KINDS.items()}
    present = {words: row for words, row in inside.items() if any(row)}
    return Task("kinds", tuple(present), np.array(list(present.values())))


def measure(setting: Setting, task: Task, name: str | None, depth: int = 100) -> None:
    """Print a row: the figures of the task without a reranker, or with the one of that name."""
    position = {image_id: n for n, image_id in enumerate(setting.ids.tolist())}
    size, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    results = [
        setting.collection.search(query, limit=DEPTH, metadata=False, rerank=name, rerank_limit=depth)
        for query in task.queries
    ]
    seconds = (time.process_time() - start) / len(task.queries)
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - size) / 1024
    figures = task.figures([np.array([position[hit.image_id] for hit in one], np.int64) for one in results])
    label = name or "none"
    row = (setting.name, f"{task.name} ({len(task.queries)})", label, cell(figures), f"{seconds:.3f}", f"{growth:.0f}")
    print(f"| {' | '.join(row)} |", flush=True)
    recorder.add_row(
        "rankings", setting=setting.name, task=task.name, reranker=label,
        **{f"r_at_{k}": figure for k, figure in zip((1, 5, 10), figures.tolist(), strict=True)},
        cpu_seconds=seconds, grown_mb=growth,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(recorder.run(main))
