"""The JSON of every command over one collection, field by field: what scripts that people have written rely on.

The commands run in one order, since each meets what those before it have left. After a change that is meant:
``pytest tests/e2e/test_json_output.py --snapshot-update``, and read the difference.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from masks import JsonFile, mask
from PIL import Image
from probing import COLOURS, album, draw

from imseek.data.user_files import file_stat

#: The schema of the answer and the command. One that ends with `error` answers on stderr.
LINES = (
    ("index", "index album --encoder fake --captions"),
    ("index", "index album"),
    ("index", "index more --dry-run"),
    ("error", "index nowhere"),
    ("sources", "source list"),
    ("search", "search 'red wall' -n 2"),
    ("search", "search --like album/red/00.png --not blue -n 2"),
    ("search", "search red --where \"folder LIKE '%lime'\" --group-by folder -n 2"),
    ("search", "search red --by caption -n 2"),
    ("search", "search red --cutoff auto -n 2"),
    ("error", "search red --where 'width >'"),
    ("search", "similar album/lime/03.png -n 2"),
    ("duplicates", "duplicates"),
    ("duplicates", "duplicates --plan plan.json --action quarantine"),
    ("judge", "judge 1 2 --different"),
    ("judge", "judge"),
    ("judge", "judge 1 2 --forget"),
    ("apply", "apply plan.json --yes"),
    ("undo-list", "undo --list"),
    ("undo", "undo --yes"),
    ("tag", "tag add red album/red/00.png album/red/01.png album/red/02.png"),
    ("tag", "tag add lime album/lime/00.png album/lime/01.png album/lime/02.png"),
    ("tag", "tag add blue album/blue/00.png album/blue/01.png album/blue/02.png"),
    ("tag", "tag remove blue album/blue/02.png"),
    ("tags", "tag list"),
    ("probe", "probe fit colours"),
    ("probes", "probe list"),
    ("probe", "probe show colours"),
    ("probe-propose", "probe propose colours -n 2"),
    ("probe-evaluate", "probe evaluate colours --truth folder"),
    ("probe-apply", "probe apply colours --save colour"),
    ("label", "label --classes red,lime,blue --save kind"),
    ("label", "label --again kind"),
    ("label-forget", "label --forget kind"),
    ("moderate", "moderate --policy policy.yaml"),
    ("map", "map --method pca"),
    ("clusters", "clusters -k 3 --save kinds"),
    ("clusters-again", "clusters --again kinds"),
    ("outliers", "outliers -n 2"),
    ("sample", "sample --random 2 --seed 1"),
    ("sample", "sample --diverse 2"),
    ("dataset-quality", "dataset quality -n 1"),
    ("dataset-balance", "dataset balance --by folder"),
    ("dataset-leakage", "dataset leakage --split folder"),
    ("captions", "captions"),
    ("evaluate-retrieval", "evaluate retrieval"),
    ("evaluate-zeroshot", "evaluate zeroshot --truth folder"),
    ("evaluate-ann", "evaluate ann --k 2"),
    ("report", "report report.html"),
    ("export", "export all.csv"),
    ("maintain", "maintain --index Flat --merge --purge"),
    ("maintain", "maintain --measure"),
    ("info", "info"),
    ("verify", "collection verify"),
    ("repair", "collection repair"),
    ("trusted", "collection trust --list"),
    ("backup", "backup photos.tar"),
    ("backup", "backup --verify photos.tar"),
    ("restore", "restore photos.tar copy --copy"),
    ("coverage", "coverage default copy"),
    ("collections", "collection list"),
    ("jobs", "jobs list"),
    ("error", "jobs cancel 9"),
    ("encoders", "encoders fast"),
    ("encoders-check", "encoders check fake"),
    ("sidecars", "tag write-sidecars"),
    ("encode", "encode album/red/00.png policy.yaml --encoder fake -o vectors.npy"),
    ("album", "album create best album/red/01.png album/red/00.png"),
    ("album", "album arrange best album/red/01.png --cover album/red/00.png"),
    ("albums", "album list"),
    ("album-show", "album show best"),
    ("encoders-compare", "encoders compare fake fake:8 --sample 5 --text red"),
    ("facets", "facets"),
)  # fmt: skip

POLICY = """\
concepts:
  - name: reddish
    positive: red
    negative: [blue, lime]
    threshold: 0.6
"""


@pytest.mark.always
def test_json(cli: Callable[..., Any], tmp_path: Path, snapshot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMSEEK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(file_stat, "RACY_NS", 0)  # Otherwise a run reads again what was written just before.
    snapshot = snapshot.use_extension(JsonFile)
    _draw_album(Path("album"))
    draw(Path("more"), "red", 99)
    Path("policy.yaml").write_text(POLICY)
    differences = []
    for number, (schema, line) in enumerate(LINES, start=1):
        outcome = cli(*shlex.split(line), "--json")
        answer = {"command": line, "exit_code": outcome.code, "answer": outcome.json(schema)}
        text = mask(answer, {str(tmp_path): "TMP"})
        if text != snapshot(name=f"{number:02}-{schema}"):
            differences.append(f"{number:02}-{schema}: imseek {line} --json")
    assert not differences, "\n\n".join(differences)


def _draw_album(folder: Path) -> None:
    """Eight pictures of each of three colours, a copy of one, and captions in the metadata of three."""
    album(folder)
    for colour in COLOURS:
        exif = Image.Exif()
        exif[0x010E] = f"a {colour} wall"
        path = folder / colour / "07.png"
        with Image.open(path) as picture:
            picture.save(path, exif=exif)
    (folder / "copy.png").write_bytes((folder / "red/00.png").read_bytes())
