"""Schemas of answers with ``--json``, and of queries: ``python -P -m imseek.ui.cli.json_schemas docs/schemas``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from imseek import ExportReport
from imseek.captions import AgreementSummary
from imseek.clusters.results import AssignReport, OutlierReport, SampleReport
from imseek.dataset.results import Balance, LeakReport
from imseek.duplicates.action_results import ApplyReport, UndoReport
from imseek.encoders import DownloadResult, EncoderCheck, EncoderList
from imseek.evaluate.results import AgreementReport, CutoffReport, NeighbourReport, RetrievalReport
from imseek.labels.results import LabelEvaluation
from imseek.probes.results import ProbeApplyReport, ProbeEvaluation, Proposals
from imseek.search import FacetSummary
from imseek.sidecars.results import SidecarReport, SidecarUndo
from imseek.types.albums import Album, AlbumReport
from imseek.types.encode_report import EncodeReport
from imseek.types.maintenance_reports import RepairReport, VerifyReport
from imseek.types.publish import PublishReport
from imseek.types.tags import TagReport
from imseek.ui.cli import (
    album,
    apply,
    backup,
    clusters,
    collection,
    config,
    coverage,
    dataset,
    doctor,
    duplicates,
    evaluate_compare,
    index,
    info,
    job_answers,
    judge,
    label,
    maintain,
    moderate,
    probe,
    report,
    search_json_types,
    source,
    tag,
    tune,
)
from imseek.ui.cli.map import MapAnswer
from imseek.ui.cli.score_answers import ScoredCaptions, ScoredPictures
from imseek.ui.render.json_schema import schema_of
from imseek.ui.render.query_schema import query_schema
from imseek.ui.render.result_json import Answer, ErrorAnswer

#: The type of an answer by the name of its schema, docs/schemas/NAME.json.
ANSWERS: Final[Mapping[str, Any]] = {
    "aesthetic": Answer[ScoredPictures],
    "album": Answer[AlbumReport],
    "album-show": Answer[Album],
    "albums": Answer[album.AlbumList],
    "apply": Answer[ApplyReport],
    "backup": backup.BackupAnswer,
    "captions": Answer[AgreementSummary | ScoredCaptions],
    "clusters": Answer[clusters.ClusterAnswer],
    "clusters-again": Answer[AssignReport],
    "collections": collection.CollectionList,
    "config": config.SettingList,
    "config-get": config.SettingState,
    "coverage": coverage.CoverageAnswer,
    "dataset-balance": Answer[Balance],
    "dataset-leakage": Answer[LeakReport],
    "dataset-quality": Answer[dataset.QualityAnswer],
    "doctor": doctor.DoctorReport,
    "duplicates": Answer[duplicates.DuplicatesAnswer],
    "duplicates-lines": duplicates.DuplicatesLine,
    "encode": EncodeReport,
    "encoders": EncoderList,
    "encoders-check": EncoderCheck,
    "encoders-compare": Answer[AgreementReport],
    "encoders-get": DownloadResult,
    "error": ErrorAnswer,
    "evaluate-ann": Answer[NeighbourReport],
    "evaluate-compare": Answer[evaluate_compare.Comparison],
    "evaluate-cutoff": Answer[CutoffReport],
    "evaluate-retrieval": Answer[RetrievalReport],
    "evaluate-zeroshot": Answer[LabelEvaluation],
    "export": Answer[ExportReport],
    "facets": Answer[FacetSummary],
    "index": Answer[index.IndexRun],
    "info": Answer[info.Overview],
    "info-image": Answer[info.ImageText],
    "job": Answer[job_answers.JobAnswer],
    "jobs": Answer[job_answers.JobList],
    "judge": Answer[judge.JudgementList],
    "label": Answer[label.LabelAnswer],
    "label-forget": Answer[label.ForgetAnswer],
    "maintain": Answer[maintain.Maintenance],
    "map": Answer[MapAnswer],
    "moderate": Answer[moderate.ModerateAnswer],
    "outliers": Answer[OutlierReport],
    "probe": Answer[probe.ProbeAnswer],
    "probe-apply": Answer[ProbeApplyReport],
    "probe-evaluate": Answer[ProbeEvaluation],
    "probe-propose": Answer[Proposals],
    "probes": Answer[probe.ProbeList],
    "publish": Answer[PublishReport],
    "repair": Answer[RepairReport],
    "report": Answer[report.WrittenReport],
    "restore": Answer[backup.RestoreAnswer],
    "sample": Answer[SampleReport],
    "search": search_json_types.SearchAnswer,
    "sidecars": Answer[SidecarReport],
    "sidecars-undo": Answer[SidecarUndo],
    "sources": Answer[source.SourceList],
    "tag": Answer[TagReport],
    "tags": Answer[tag.TagList],
    "trust": Answer[collection.TrustReport],
    "trusted": collection.TrustList,
    "tune": Answer[tune.TuneAnswer],
    "undo": Answer[UndoReport],
    "undo-list": Answer[apply.UndoList],
    "verify": Answer[VerifyReport],
}


#: Commands of the answers that are not called as theirs.
_COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "album": ("album add", "album arrange", "album create", "album delete", "album remove", "album rename"),
    "albums": ("album list",),
    "apply": ("duplicates apply",),
    "backup": ("backup create", "backup verify"),
    "clusters-again": ("clusters --again NAME",),
    "collections": ("collection list",),
    "config": ("config list",),
    "duplicates": ("duplicates find",),
    "duplicates-lines": ("duplicates find --jsonl",),
    "encoders": ("encoders list",),
    "error": (),
    "index": ("index", "watch"),
    "info-image": ("info --json ID",),
    "job": ("jobs cancel", "index --background"),
    "jobs": ("jobs list",),
    "judge": ("duplicates judge",),
    "label-forget": ("label --forget NAME",),
    "probe": ("probe fit", "probe show"),
    "probes": ("probe list",),
    "repair": ("collection repair",),
    "restore": ("backup restore",),
    "search": ("search", "similar"),
    "sources": ("source list",),
    "sidecars": ("tag write-sidecars",),
    "sidecars-undo": ("tag write-sidecars --undo ID",),
    "tag": ("tag add", "tag remove", "tag rename"),
    "tags": ("tag list",),
    "trust": ("collection trust",),
    "trusted": ("collection trust --list",),
    "undo": ("duplicates undo",),
    "undo-list": ("duplicates undo --list",),
    "verify": ("collection verify",),
}


def commands_of(name: str) -> tuple[str, ...]:
    """Return the commands that give the answer of a schema; none for errors."""
    return _COMMANDS.get(name, (name.replace("-", " "),))


@cache
def schemas() -> Mapping[str, dict[str, Any]]:
    """Return the schemas of all answers by name."""
    return {name: schema_of(answer, _title(name)) for name, answer in ANSWERS.items()}


def _title(name: str) -> str:
    commands = (words if words.endswith("--jsonl") else f"{words} --json" for words in commands_of(name))
    listing = " and ".join(f"`imseek {words}`" for words in commands)
    return f"Answer of {listing}" if listing else f"Any {name} with `--json`"


def write_schemas(folder: Path) -> None:
    """Write the schemas of all answers and of queries, a file each, and remove other schemas."""
    folder.mkdir(parents=True, exist_ok=True)
    every = {**schemas(), "query": query_schema()}
    for name, schema in every.items():
        (folder / f"{name}.json").write_text(json.dumps(schema, indent=1) + "\n")
    for file in folder.glob("*.json"):
        if file.stem not in every:
            file.unlink()


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
