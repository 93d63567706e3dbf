"""What a reranker gains: R@1, R@5 and R@10 of the captioned stamps of Tux Paint without it and with it, and its cost.

    python bench/rerank.py --reranker NAME [--half B] [--depth 100] [--stamps DIR]

NAME is that of an installed plugin (docs/plugins.md), or ``captions``, which was tried and not shipped (decision 43):
the cosine, by MiniLM, of the query and the caption of each candidate, less the logarithm of its rank before.

A collection holds the stamps of one half, indexed by the built-in encoder, in numbered files, without captions and with
them. Queries are the captions, whose own picture is the only right answer, nouns ("a horse", right is the same noun)
and kinds ("a bird", right is what lies in that folder); where captions are stored, only the latter two. R@k is the
share of right ones among the first k, of those possible. Seconds are processor time for one query, and MB the growth of
the process's largest size.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from unittest import mock

import numpy as np
import recorder
from hybrid import DEPTH, Setting, Task, cell, make_setting, make_tasks, read_captions
from quality import find_stamps

from imseek.encoders.builtin.onnx_cache import text_network
from imseek.encoders.builtin.text import TextTower
from imseek.encoders.checks import available_cpus
from imseek.plugins import Plugin
from imseek.search import RerankRequest, rerankers
from imseek.types.arrays import Float32

#: What folders of stamps hold, as people would ask for it.
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


class CaptionCosine:
    """Scores candidates by what their captions mean, less the logarithm of their rank before."""

    name = "captions"
    version = "trial"
    reads = ("text",)
    needs = ("metadata",)

    def __init__(self, weight: float) -> None:
        self._weight = weight
        self._rows: dict[str, Float32] = {}

    def load(self) -> Callable[..., CaptionCosine]:
        """Act as the entry point."""
        return lambda *, runtime, notify: self

    @cached_property
    def _tower(self) -> TextTower:
        return TextTower(text_network()[0], threads=available_cpus())

    def score(self, request: RerankRequest) -> Float32:
        captions = [str(one.get("caption") or "") for one in request.metadata()]
        new = sorted({*captions} - self._rows.keys() - {""})
        if new:
            self._rows.update(zip(new, self._tower(new), strict=True))
        query = self._tower(list(request.texts)).mean(axis=0)
        cosines = np.array([float(self._rows[one] @ query) if one else 0.0 for one in captions])
        rank = np.log1p(np.arange(len(request)))
        scores: Float32 = (self._weight * cosines - rank).astype(np.float32)
        return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=Path, help="folder of stamps (default: installed, or fetched by apt)")
    parser.add_argument("--half", choices="AB", default="B", help="A to choose by, B to report (default)")
    parser.add_argument("--reranker", default="captions")
    parser.add_argument("--depth", type=int, default=100, help="rerank_limit of the queries")
    parser.add_argument("--weight", type=float, default=5.0, help="of the cosines of `captions`")
    options = parser.parse_args()
    stamps = options.stamps or find_stamps()
    captions = read_captions(stamps, options.half)
    asked, nouns = make_tasks(list(captions.values()))
    kinds = make_kinds(list(captions))
    numbers = [f"{n:05}{Path(name).suffix}" for n, name in enumerate(captions)]
    recorder.put(half=options.half, reranker=options.reranker, stamps=len(captions))
    print("| collection | queries | reranker | R@1 / R@5 / R@10 | s | MB |\n|---|---|---|---|---|---|")
    tried = CaptionCosine(options.weight)
    plugins = dict(rerankers.find_plugins("imseek.rerankers"))
    plugins.setdefault(tried.name, Plugin("imseek.rerankers", tried.name, "bench", tried.version, tried))
    with (
        tempfile.TemporaryDirectory() as work,
        mock.patch.object(rerankers, "find_plugins", return_value=plugins),
    ):
        for name, told, tasks in (("pictures", False, [asked, nouns, kinds]), ("captions", True, [nouns, kinds])):
            copies = copy_stamps(stamps, captions, Path(work) / "stamps")
            setting = make_setting(name, copies, list(captions), numbers, Path(work), captions=told)
            for task in tasks:
                measure(setting, task, None)
                measure(setting, task, options.reranker, options.depth)
            setting.collection.close()


def copy_stamps(stamps: Path, captions: Mapping[str, str], target: Path) -> Path:
    """Copy stamps with their captions alone: the other lines of their text files are translations."""
    for name, caption in captions.items():
        file = target / name
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(stamps / name, file)
        file.with_suffix(".txt").write_text(caption, "utf-8")
    return target


def make_kinds(names: Sequence[str]) -> Task:
    """Return the kinds as queries, of which right is what lies in their folder or below."""
    inside = {words: [name.startswith(f"{folder}/") for name in names] for folder, words in KINDS.items()}
    there = {words: row for words, row in inside.items() if any(row)}
    return Task("kinds", tuple(there), np.array(list(there.values())))


def measure(setting: Setting, task: Task, name: str | None, depth: int = 100) -> None:
    """Print a row: the figures of the task without a reranker, or with the one of that name."""
    position = {image_id: n for n, image_id in enumerate(setting.ids.tolist())}
    size, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    found = [
        setting.collection.search(query, limit=DEPTH, metadata=False, rerank=name, rerank_limit=depth)
        for query in task.queries
    ]
    seconds = (time.process_time() - began) / len(task.queries)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - size) / 1024
    figures = task.figures([np.array([position[hit.image_id] for hit in one], np.int64) for one in found])
    shown = name or "none"
    row = (setting.name, f"{task.name} ({len(task.queries)})", shown, cell(figures), f"{seconds:.3f}", f"{grown:.0f}")
    print(f"| {' | '.join(row)} |", flush=True)
    recorder.add_row(
        "rankings", setting=setting.name, task=task.name, reranker=shown,
        **{f"r_at_{k}": figure for k, figure in zip((1, 5, 10), figures.tolist(), strict=True)},
        cpu_seconds=seconds, grown_mb=grown,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(recorder.run(main))
