"""Every script in bench/ runs to its end at its smallest size and records the figures that it promises."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import databases
import numpy as np
import pytest
from browsing import CHROMIUM
from clip_retrieving import PYTHON as CLIP_RETRIEVAL
from PIL import Image

import imseek

ROOT = Path(__file__).parents[2]
BENCH = ROOT / "bench"
#: Modules that scripts share, and what makes photographs for others, pictures of results or of pages, or a file of the
#: package.
HELPERS = {
    "builtin_pictures",
    "calibration_picture",
    "composed",
    "drawn_text",
    "endings",
    "inside_set",
    "nouns",
    "page_pictures",
    "photo_queries",
    "photos",
    "recorder",
    "stamps",
    "world_outline",
}
#: Scripts that no machine of ours can run by itself, and why: at least their --help does.
NOT_RUN = {
    "axe": "axe-core, a package of npm",
    "duplicates_review": "a collection with dozens of groups of duplicates",
    "encode": "clip-retrieval and rclip, in environments of their own, and the weights that all three run",
    "gpu": "a CUDA card",
    "parity_metrics": "the package of CLIP_benchmark",
    "train_builtin": "pictures of Debian and npm, and resvg-py",
}


@dataclass(frozen=True)
class Case:
    """``arguments`` may have {stamps}, {photos}, {words}, {colours}, {vectors} and {tmp} in them.

    ``figures`` are the paths of numbers that the script promises, such as ``table.column``; ``first`` are commands that
    run before it. ``unsound``: its negative controls need more pictures than these to be told from chance.
    """

    script: str
    arguments: str
    figures: tuple[str, ...]
    first: tuple[str, ...] = ()
    unsound: bool = False
    id: str = field(default="")


_STAMPS = "--stamps {stamps}"
CASES = (
    Case(
        "backup",
        "--count 300 --rounds 1 --out {tmp}",
        ("archive_mb", "peak_mb.restore", "commands.seconds", "compression.share_left"),
    ),
    Case("big", "--count 300 --dim 64 --out {tmp}/made", ("images", "vectors_s", "catalog_s")),
    Case(
        "clusters",
        f"{_STAMPS} --seeds 1",
        ("clusters.ami_kinds", "names.share_named", "outliers.auc", "samples.mean_distance"),
    ),
    Case(
        "clusters",
        "--scale {vectors} --only sample --threads 1",
        ("scale.wall_s", "scale.own_most_mb"),
        id="scale",
    ),
    Case("cold", "{colours} red --runs 1", ("programs.median_s", "programs.cpu_s")),
    Case("promises", _STAMPS, ("auto.f1", "auto.empty"), unsound=True),
    Case("compose", _STAMPS, ("methods.r_at_1", "overall.average_precision"), unsound=True),
    Case("crash", "--kills 2 --only purge", ("total.lost", "scenarios.kills", "scenarios.failures")),
    Case(
        "cutoff",
        _STAMPS,
        ("ways.f1", "sizes.shipped", "normal_scores.recall", "shares.recall"),
        unsound=True,
    ),
    Case("cutoff", "--cost", ("median_ms", "slowest_ms"), id="cost"),
    Case("dataset", f"--part quality --most 12 {_STAMPS}", ("lists.share",), id="quality"),
    Case("dataset", "--part cost --photos {photos}", ("cost.with_ms", "cost.without_ms"), id="cost"),
    Case("dataset", f"--part coverage {_STAMPS}", ("coverage.precision",), id="coverage"),
    Case("diversity", _STAMPS, ("queries", "ways.right_at_10", "ways.alike_cosine")),
    Case(
        "copies",
        f"{_STAMPS} --cache {{tmp}} --no-peers --share 0.02 --distractors 500 --wrong {{tmp}}/wrong",
        ("copies.map", "copies.recall", "calibration.pairs", "intervals.map", "cpu_s.inside", "distractors.share"),
    ),
    Case("copies_fit", f"{_STAMPS} --cache {{tmp}} --share 0.05", ("pairs", "copies", "map", "recall")),
    Case(
        "duplicates",
        f"{_STAMPS} --cache {{tmp}} --no-peers --most 4",
        ("ways.f1", "wrong.other", "calibration.pairs", "halves.same"),
    ),
    Case(
        "duplicates_crash",
        "--kills 2 --only quarantine --folder {tmp}",
        ("kills", "failures", "ways.operations"),
    ),
    Case("duplicates_groups", "--pairs 2000", ("shapes.cpu_s", "shapes.groups", "shapes.peak_mib")),
    Case("duplicates_inside", f"{_STAMPS} --most 5", ("recall", "precision", "call_s", "kinds.recall")),
    Case(
        "duplicates_scale",
        "--count 2000 --work {tmp} --turns 1 --asked 50 --against-faiss",
        ("planted_recall", "runs.wall_s", "runs.own_mb", "near_s", "faiss_near_s"),
    ),
    Case(
        "duplicates_scale",
        "--files --count 2000 --work {tmp}",
        ("calls.cpu_s", "calls.own_mb", "calls.candidates", "calls.recall", "phases.cpu_s", "ways.found"),
        id="files",
    ),
    Case("edited", f"{_STAMPS} --half A --every 400", ("same.precision", "same.recall")),
    Case("efficiency", "ViT-B-32 --precision fp32 --batch 1", ("models.forward_ms", "models.efficiency")),
    Case("icicles", "{tmp}/search.svg --runs 1 -- search red -c {colours}", ("processor_s", "samples")),
    Case("everyday", "--photos 20 --runs 1 --work {tmp}", ("commands.imseek_s", "commands.imseek_cpu_s")),
    Case(
        "evaluate",
        f"{_STAMPS} --draws 2",
        ("retrieval.r_at_1", "without_storage.r_at_10", "compare.map_b", "mismatch.auc.value"),
        unsound=True,
    ),
    Case(
        "evaluate",
        "--parts ann --collection {vectors} --queries 10",
        ("ann.recall_at_10.value", "ann.median_ms"),
        id="ann",
    ),
    Case("export", "--count 300 --dim 8 --cache {tmp}", ("formats.seconds", "formats.mb", "formats.peak_mib")),
    Case("feedback", _STAMPS, ("ways.p_at_10_after", "ways.map_after"), unsound=True),
    Case(
        "fuzz",
        "tar --runs 20 --seconds 5 --folder {tmp}",
        ("targets.runs", "targets.features", "targets.findings"),
    ),
    Case(
        "heic",
        "--pictures 1 --repeat 1 --only HEIC",
        ("worker_start_cpu_ms", "pictures.here_cpu_ms", "pictures.ratio"),
    ),
    Case(
        "hostile",
        "--corpus records --families --reads 1 --writes 1 --parts 8",
        ("trials", "verify_missed", "counts.trials"),
    ),
    Case("hostile_inputs", "--only policy:", ("trials", "counts.trials")),
    Case(
        "hubness",
        _STAMPS,
        ("corrections.mrr", "corrections.skew", "by_pictures.first_is_of_kind"),
        unsound=True,
    ),
    Case(
        "hybrid",
        f"{_STAMPS} --half A --weights 2",
        ("rankings.gain", "engine.share_of_equal_answers"),
        unsound=True,
    ),
    Case(
        "index",
        "--part pipeline --part rescan --part memory --rounds 1 --jpegs 40 --files 40 --pictures 200",
        ("pipeline.share", "runs.seconds", "memory.most_resident_mib"),
    ),
    Case(
        "labels",
        f"stamps {_STAMPS}",
        ("half_a.top_1", "half_b.top_1", "half_b.ece_factor_16", "none.auc"),
        id="stamps",
    ),
    Case("labels", "writing", ("photographs", "marked_with_a_word", "nearer"), id="writing"),
    Case(
        "labels",
        "scale --collection {colours} --classes 3 --top 2",
        ("scale.wall_s", "scale.own_peak_mib"),
        id="scale",
    ),
    Case(
        "long_lists",
        "--collection {tmp}/made --jumps 2 --frames 20 --pages 3 --searches 2",
        ("hits", "resident_mib", "times.p50_ms", "frames.main_thread_ms"),
        first=("big.py --count 3000 --encoder fake:64 --dim 64 --out {tmp}/made",),
    ),
    Case("map_page", "300", ("arrays_mb", "steps.seconds", "paint.first_contentful_paint_ms")),
    Case("maps", _STAMPS, ("same_folder_by_vector", "maps.trustworthiness_of_b")),
    Case("maps", "--count 1000 --sample 500 --work {tmp} --index", ("cost.wall_s", "cost.trust"), id="cost"),
    Case(
        "milvus",
        "--count 500 --queries 20 --alone 4 --work {tmp}",
        ("publish_s", "queries.ids_equal", "searches.milvus_ms"),
    ),
    Case("near_duplicates", f"{_STAMPS} --count 20", ("rules.found_mean", "rules.wrong", "rules.found.jpeg")),
    Case("page_descriptors", "--loads 5 --every 5", ("series.all",)),
    Case(
        "ocr",
        "--pictures 8 --photos 8 --no-tesseract",
        ("recall.word_recall", "gate.lost_share", "photos.false_words_per_photo", "speed.cpu_ms_per_image"),
    ),
    Case(
        "parity",
        "--most 0 --family SigLIP --family DINOv2",
        ("members.image_difference", "members.parameters"),
    ),
    Case(
        "parts",
        "ask --at {tmp}/made --queries 5 --lists 2",
        ("image.recall", "text.warm_p50_ms", "before.anonymous"),
        first=(
            "big.py --count 4000 --dim 64 --out {tmp}/made",
            "parts.py build --at {tmp}/made --parts 2 --kind IVF16,SQ8 --tuned 20 --recall 0.9",
        ),
        id="ask",
    ),
    Case(
        "parts",
        "grow --at {tmp}/made --rows 500 --tuned 20",
        ("wall", "peak_mb"),
        first=(
            "big.py --count 4000 --dim 64 --out {tmp}/made",
            "parts.py build --at {tmp}/made --parts 2 --kind IVF16,SQ8 --tuned 20 --recall 0.9",
        ),
        id="grow",
    ),
    Case("picture_exports", "--images 4", ("mb", "ways.seconds")),
    Case(
        "pictures",
        "--images 4 --seconds 0.5 --clients 1",
        ("requests.per_s", "requests.server_cpu_ms", "exports.cpu_ms"),
    ),
    Case("postgres", "--images 4 --runs 1", ("pictures", "medians.sqlite", "medians.postgres")),
    Case("power_cuts", "--only judge --seeds 0 --most 12", ("failed", "scenarios.states", "scenarios.failed")),
    Case("power_cuts", "--only judge --mutations --most 6", ("failed", "mutations.caught"), id="mutations"),
    Case("precision", _STAMPS, ("modes.mean_cosine", "modes.overlap_of_10"), unsound=True),
    Case(
        "probes",
        f"{_STAMPS} --seeds 1 --collection {{tmp}}/made",
        ("methods.accuracy", "strategies.accuracy"),
    ),
    Case("probes_scale", "--images 2000 --every 7", ("images", "steps.wall_s", "steps.peak_mb")),
    Case(
        "prompts",
        f"{_STAMPS} --seeds 1 --shots 1,2 --steps 1 --picture-steps 1 --judged 20 --picture {{tmp}}/curves.svg",
        ("methods.accuracy", "base_to_new.base", "base_to_new.new"),
    ),
    Case("quality", _STAMPS, ("stamps", "representations.r_at_1", "representations.median_rank"), unsound=True),
    Case(
        "ray_index",
        "{pictures} --part speed --images 6 --rounds 1 --encoder fake",
        ("speed.images_per_s", "speed.cpu_ms"),
    ),
    Case(
        "readers",
        "--minutes 0.1 --readers 1 --pictures 30",
        ("compared", "faults", "answer_ms.p50", "log_most_mb"),
    ),
    Case("regions", "--pictures {pictures} --count 6", ("regions.recall_at_1", "regions.cpu_seconds")),
    Case("tokens", f"{_STAMPS} --folds 2 --no-b --noise 1", ("gains.gain", "gains.steps")),
    Case("rerank", f"{_STAMPS} --depth 20", ("rankings.r_at_10", "rankings.cpu_seconds", "rankings.grown_mb")),
    Case("rescan", "--files 30", ("runs.seconds", "runs.opened")),
    Case("robustness", "--mutations 3 --only PNG --keep {tmp}", ("files", "faults", "formats.slowest_s")),
    Case("round_trips", "{pictures} --limit 6", ("pictures", "parquet.equal", "clip_retrieval.same")),
    Case(
        "search",
        "--count 2000 --dim 64 --systems imseek imseek-index --threads 1 --queries 10 --rounds 1 --tail 20 "
        "--recall 0.9 --work {tmp}",
        ("systems.text.p50_ms", "systems.image.recall", "systems.resident_mb", "systems.build_s"),
    ),
    Case(
        "search",
        "--count 2000 --dim 64 --systems imseek --curves --index IVF16,SQ8 --queries 10 --tail 20 --work {tmp}",
        ("curves.recall", "curves.cpu_ms", "curves.setting"),
        id="curves",
    ),
    Case(
        "serve",
        "--collection {colours} --clients 2 --seconds 1",
        ("answers_per_s", "p99_ms", "errors", "server_mib"),
    ),
    Case("spaces", "--cost --rows 2000", ("cost.one_space_ms", "cost.two_spaces_ms")),
    Case("suggest", "--images 200 --queries 10 --work {tmp}", ("first_s", "p95_ms", "while_counting_ms", "fresh_s")),
    Case("tune", f"{_STAMPS} --seeds 1", ("captions", "adapters.r_at_10", "adapters.gain")),
    Case("ui", "--collection {colours} --searches 2", ("first_page_ms", "times.p50_ms")),
    Case("vectors", "--check --count 65536", ("rows_per_s", "properties.value")),
    Case("vectors", "--check --profile clip --count 65536", ("rows_per_s", "properties.value"), id="clip"),
    Case("where", "--rows 2000 --places", ("import_ms", "filters.first_ms", "filters.share_passing")),
    Case(
        "words",
        "--images 3000 --queries 3 --photos 20 --runs 1 --work {tmp}",
        ("document_us", "index_bytes_per_image", "queries.p50_ms", "queries.cpu_ms", "indexing_growth"),
    ),
)
#: What a script needs beside `make test`'s installation: without it, it is no case, and its --help is tried.
NEEDS: dict[str, Callable[[], bool]] = {
    "fuzz": lambda: find_spec("atheris") is not None,
    "map_page": CHROMIUM.exists,
    "ocr": Path("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc").exists,
    "page_descriptors": CHROMIUM.exists,
    "long_lists": CHROMIUM.exists,
    "ui": CHROMIUM.exists,
    "postgres": lambda: databases.missing() is None,
    "power_cuts": lambda: shutil.which("strace") is not None,
    "readers": lambda: shutil.which("strace") is not None,
    "round_trips": CLIP_RETRIEVAL.exists,
}
RUNNABLE = tuple(case for case in CASES if NEEDS.get(case.script, lambda: True)())
HELP_ONLY = sorted({*NOT_RUN, *(case.script for case in CASES if case not in RUNNABLE)})


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("case", RUNNABLE, ids=[f"{case.script}-{case.id}".rstrip("-") for case in RUNNABLE])
def test_a_small_run_records_the_figures_that_a_script_promises(
    case: Case, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    for command in case.first:
        script, *arguments = _words(command, tmp_path, request)
        _run(script, arguments, tmp_path, (0,))
    done = _run(
        f"{case.script}.py",
        _words(case.arguments, tmp_path, request),
        tmp_path,
        (0, 1) if case.unsound else (0,),
    )
    written = Path(done.stdout.splitlines()[-1])
    record = json.loads(written.read_text(), parse_constant=pytest.fail)
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\d-{case.script}(-\d)?\.json", written.name)
    assert set(record) == {"name", "date", "machine", "commit", "command", "seconds", "exit_code", "figures"}
    assert (record["name"], record["exit_code"]) == (case.script, done.returncode)
    for path in case.figures:
        found = list(_numbers(record["figures"], path.split(".")))
        assert found, f"{path} is not there: {record['figures']}"
        assert any(isinstance(one, int | float) for one in found), f"{path} is no number: {found}"


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("script", HELP_ONLY)
def test_a_script_that_cannot_run_here_says_what_it_does(script: str, tmp_path: Path) -> None:
    assert "usage" in _run(f"{script}.py", ["--help"], tmp_path, (0,)).stdout


def test_each_script_has_a_small_run_or_a_reason_for_none() -> None:
    scripts = {path.stem for path in BENCH.glob("*.py")} - HELPERS
    assert {case.script for case in CASES} | set(NOT_RUN) == scripts
    assert not {case.script for case in CASES} & set(NOT_RUN)


def test_each_script_is_run_by_the_recorder() -> None:
    for script in {case.script for case in CASES} | set(NOT_RUN):
        assert (BENCH / f"{script}.py").read_text().endswith("    sys.exit(recorder.run(main))\n"), script


def _run(script: str, arguments: Sequence[str], folder: Path, codes: Sequence[int]) -> subprocess.CompletedProcess[str]:
    results = folder / "results"
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "IMSEEK_BENCH_RESULTS": str(results),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, str(BENCH / script), *arguments],
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder,
        check=False,
        timeout=500,
    )
    assert done.returncode in codes, done.stdout[-2000:] + done.stderr[-4000:]
    assert "Traceback" not in done.stderr, done.stderr[-4000:]
    return done


def _words(arguments: str, folder: Path, request: pytest.FixtureRequest) -> list[str]:
    """The arguments, with fixtures in place of their names in braces."""

    def value(found: re.Match[str]) -> str:
        return str(folder if found[1] == "tmp" else request.getfixturevalue(found[1]))

    return [re.sub(r"\{(\w+)\}", value, word) for word in arguments.split()]


def _numbers(figures: Any, names: Sequence[str]) -> Iterator[Any]:
    """What lies at a path, in each row of a table on the way."""
    if isinstance(figures, list):
        for one in figures:
            yield from _numbers(one, names)
    elif not names:
        yield figures
    elif names[0] in figures:
        yield from _numbers(figures[names[0]], names[1:])


# -- what the scripts measure ------------------------------------------------------------------------------


#: Folder, photograph, what captions call it, and how many: in each half there are 16 or more of two top folders.
_KINDS = (
    ("animals/mammals", "chelsea.png", "cat", 24),
    ("animals/fish", "hubble_deep_field.jpg", "fish", 24),
    ("food/fruit", "coffee.png", "cup of coffee", 44),
    ("vehicles", "rocket.jpg", "rocket", 16),
    ("plants/flowers", "flower.jpg", "flower", 16),
    ("symbols/letters", "astronaut.png", "letter", 14),
)
_TINTS = {"red": (230, 40, 30), "blue": (30, 70, 230), "old": None}


@pytest.fixture(scope="session")
def stamps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Captioned pictures in folders like Tux Paint's: parts of photographs, some of them in a colour."""
    root, chance = tmp_path_factory.mktemp("stamps"), np.random.default_rng(0)
    for folder, photograph, noun, count in _KINDS:
        (root / folder).mkdir(parents=True)
        whole = Image.open(_photograph(photograph)).convert("RGB")
        for n in range(count):
            (colour, tint) = list(_TINTS.items())[n % len(_TINTS)]
            width, height = (int(side * chance.uniform(0.3, 0.7)) for side in whole.size)
            left, top = int(chance.integers(whole.width - width)), int(chance.integers(whole.height - height))
            picture = whole.resize((190, 160), box=(left, top, left + width, top + height))
            if tint is not None:
                picture = Image.blend(picture, Image.new("RGB", picture.size, tint), 0.6)
            # Scripts keep vectors in the user's cache by names: a name is of one content.
            mark = hashlib.sha256(picture.tobytes()).hexdigest()[:8]
            path = root / folder / f"{noun.replace(' ', '-')}-{n:02}-{mark}.png"
            picture.save(path)
            path.with_suffix(".txt").write_text(f"A {colour} {noun}.\n")
    return root


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six small photographs."""
    root = tmp_path_factory.mktemp("pictures")
    for name in ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png", "flower.jpg", "china.jpg"):
        Image.open(_photograph(name)).convert("RGB").resize((160, 120)).save(root / f"{Path(name).stem}.jpg")
    return root


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    subprocess.run([sys.executable, str(BENCH / "photos.py"), str(root), "--big", "1", "--small", "1"], check=True)
    return root


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    """A collection whose encoder knows colours only."""
    root = tmp_path_factory.mktemp("colours") / "collection"
    with imseek.create(root, encoder="fake") as collection:
        collection.index([pictures])
    return root


@pytest.fixture(scope="session")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection of made-up vectors with an index."""
    root = tmp_path_factory.mktemp("vectors") / "collection"
    command = [sys.executable, str(BENCH / "big.py"), "--count", "3000", "--dim", "64", "--out", str(root)]
    subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT), "IMSEEK_BENCH_RESULTS": str(root.parent)},
        check=True,
    )
    imseek.maintenance.build_index(root, imseek.IndexPolicy(kind="IVF16,SQ8"))
    return root


def _photograph(name: str) -> Path:
    import skimage
    import sklearn

    folders = (Path(skimage.__file__).parent / "data", Path(sklearn.__file__).parent / "datasets" / "images")
    return next(folder / name for folder in folders if (folder / name).exists())
