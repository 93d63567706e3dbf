"""Probes stored as models of a collection (docs/format.md, Models)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.analysis.space_vectors import BLOCK
from imseek.data.catalog import models
from imseek.data.catalog.models import Model
from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids
from imseek.errors import CorruptCollectionError, EncoderMismatchError, UsageError, did_you_mean
from imseek.metrics.estimate import Estimate
from imseek.probes import calibration
from imseek.probes.cache_model import CacheModel
from imseek.probes.labels import LabelledImages, Labels
from imseek.probes.linear import Linear
from imseek.probes.model_selection import Scorer, ValidationResult, centre_rows
from imseek.probes.prompt_learning import JUDGED_ROWS, VERSION, ClassPrompts, PicturePrompts, check_version
from imseek.probes.results import ProbeInfo, ProbeScore
from imseek.probes.training import TrainedProbe
from imseek.search.encoder_loader import load_prompt_tower
from imseek.types.arrays import Float32
from imseek.types.collection_info import SpaceInfo

KIND: Final = "probe"
_SCORERS: Final[Mapping[str, type[Linear] | type[CacheModel] | type[ClassPrompts]]] = {
    "linear": Linear,
    "cache": CacheModel,
    "coop": ClassPrompts,
}


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """A stored probe. ``learned`` are the ids of its training images, ``contents`` (m, 4) int64 the sha256 of their
    files."""

    info: ProbeInfo
    labels: Labels
    scorer: Scorer
    centre: Float32
    learned: Ids
    contents: Ids
    model: Model

    def logits(self, rows: Float32) -> Float32:
        """Compute logits: (m, dim) unit rows → (m, classes) float32."""
        return self.scorer.logits(centre_rows(rows, self.centre))

    def check_time(self, images: int) -> None:
        """Raise UsageError if this many images would take far too long."""
        if isinstance(self.scorer, PicturePrompts):
            self.scorer.check_time(images)

    @property
    def block(self) -> int:
        """How many images are judged at once: few where each takes long, so that one can stop between them."""
        return JUDGED_ROWS if isinstance(self.scorer, PicturePrompts) else BLOCK

    def probabilities(self, rows: Float32) -> npt.NDArray[np.float32]:
        """Compute probabilities: (m, dim) unit rows → (m, classes); they sum to 1 unless an image may have several
        classes."""
        return calibration.probabilities(self.logits(rows), self.info.temperature, self.info.several)


def build_model(
    name: str,
    trained: TrainedProbe,
    labelled: LabelledImages,
    labels: Labels,
    where: str | None,
    space: SpaceInfo,
) -> Model:
    """Build the model that stores a probe."""
    selection = trained.learned
    facts = {
        "method": selection.scorer.name,
        **({"version": VERSION} if isinstance(selection.scorer, ClassPrompts | PicturePrompts) else {}),
        "settings": dict(selection.best.settings),
        "temperature": selection.best.temperature,
        "classes": list(labelled.classes),
        "counts": list(labelled.counts()),
        "labels": asdict(labels),
        "where": where,
        "encoder": space.encoder,
        "fingerprint": space.fingerprint,
        "dim": space.dim,
        "scores": [_score_facts(one) for one in selection.results],
        "notes": list(trained.notes),
    }
    digests = np.frombuffer(b"".join(trained.contents), np.dtype("<i8")).reshape(-1, 4).astype(np.int64)
    arrays = {**selection.scorer.arrays(), "centre": trained.centre, "learned": labelled.ids, "contents": digests}
    return Model(name, KIND, facts, arrays)


def probe_of(root: Path, model: Model) -> Probe:
    """Read a probe of the collection at ``root`` from a model. Raises CorruptCollectionError where this imseek
    cannot."""
    facts = model.facts
    try:
        check_version(facts, model.name)
        scorer = _read_scorer(root, model)
        origin = facts["labels"]
        labels = Labels(origin["kind"], tuple(origin["names"]), origin["several"], origin["negatives"])
        info = ProbeInfo(
            name=model.name,
            method=facts["method"],
            classes=tuple(facts["classes"]),
            counts=tuple(facts["counts"]),
            several=labels.several,
            labels=labels.describe(),
            where=facts["where"],
            encoder=facts["encoder"],
            fingerprint=facts["fingerprint"],
            dim=facts["dim"],
            created=model.created,
            temperature=facts["temperature"],
            scores=tuple(_parse_score(one) for one in facts["scores"]),
            notes=tuple(facts["notes"]),
        )
        arrays = model.arrays
        return Probe(info, labels, scorer, arrays["centre"], arrays["learned"], arrays["contents"], model)
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptCollectionError(f"the model {model.name} is not a probe: {error!r}") from error


def _read_scorer(root: Path, model: Model) -> Scorer:
    facts = model.facts
    if facts["method"] != PicturePrompts.name:
        return _SCORERS[facts["method"]].of_arrays(model.arrays, facts["settings"])
    tower = partial(load_prompt_tower, root, facts["encoder"], facts["fingerprint"])
    return PicturePrompts.of_arrays(model.arrays, facts["settings"], facts["classes"], tower)


def find(root: Path, name: str) -> Probe:
    """Find a probe by name. Raises UsageError, with similar names."""
    model = models.find(root, name)
    if model is None or model.kind != KIND:
        names = [one.name for one in models.of_kind(root, KIND)]
        message = f"no probe is called {name!r}"
        message += "" if model is None else f" (that is a model of kind {model.kind})"
        raise UsageError(
            message, hint=did_you_mean(name, names) if names else f"imseek probe fit {name} learns one from tags"
        )
    return probe_of(root, model)


def check_name_free(root: Path, name: str, *, replace: bool) -> None:
    """Raise UsageError where a new probe cannot have this name."""
    models.check_name(name)
    before = models.find(root, name)
    if before is None:
        return
    if before.kind != KIND:
        raise UsageError(f"{name!r} is the name of something else: {before.kind}", hint="choose another name")
    if not replace:
        raise UsageError(
            f"there is a probe {name} already, of {before.created}",
            hint="another name, or --force to put the new one in its place",
        )


def space_of(reader: Reader, probe: ProbeInfo) -> SpaceInfo:
    """Return the space with the vectors a probe was trained on. Raises EncoderMismatchError where there is none now."""
    for space in reader.current.image_spaces:
        if space.fingerprint == probe.fingerprint:
            return space
    now = ", ".join(space.encoder for space in reader.current.image_spaces)
    raise EncoderMismatchError(
        f"the probe {probe.name} has learned from other vectors ({probe.encoder}, {probe.fingerprint[:16]}…) than "
        f"this collection has now ({now})",
        hint=f"imseek probe fit {probe.name} --force learns it anew from the labels",
    )


def find_space(reader: Reader, reference: str | None) -> SpaceInfo:
    """Find a space by number or encoder; by default the first. Raises UsageError."""
    spaces = reader.current.image_spaces
    if reference is None:
        return spaces[0]
    for space in spaces:
        if reference in (str(space.space_id), space.encoder):
            return space
    available = ", ".join(f"{space.space_id} ({space.encoder})" for space in spaces)
    raise UsageError(f"no space {reference!r} of pictures", hint=f"there are: {available}")


def _score_facts(one: ValidationResult) -> dict[str, Any]:
    return {
        "method": one.method,
        "settings": dict(one.settings),
        "accuracy": None if one.accuracy is None else asdict(one.accuracy),
        "log_loss": one.log_loss,
        "ece": one.ece,
        "tested": one.tested,
    }


def _parse_score(facts: Mapping[str, Any]) -> ProbeScore:
    accuracy = facts["accuracy"]
    return ProbeScore(
        facts["method"],
        facts["settings"],
        None if accuracy is None else Estimate(**accuracy),
        facts["log_loss"],
        facts["ece"],
        facts["tested"],
    )
