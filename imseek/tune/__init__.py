"""Learn a small adapter that fits vectors to a collection, and measure what it gains: ``imseek.tune.tune(…)``.

It learns from the collection's captions, tags or judgements, and is measured on held-out pictures. Only if it helps
there are all vectors adapted into a new space, which replaces the old one. The old space is kept, so that :func:`back`
and :func:`use` can switch between them. No picture is opened.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from imseek.analysis.snapshot_session import run_with_reader
from imseek.data.current_generation import read_current
from imseek.data.files.system_errors import translate_os_errors
from imseek.data.reader import Reader
from imseek.errors import UsageError
from imseek.progress import ProgressCallback, Task
from imseek.tune.results import (
    RerankerReport,
    Retrieval,
    TuneGain,
    TuneLoss,
    TuneOutcome,
    TuneReport,
    TuneSource,
    Tuning,
)
from imseek.types.adapters import ADAPTER, adapter_of, adapter_reference
from imseek.types.collection_arguments import AnyCollection, path_of
from imseek.types.maintenance_reports import ReencodeOutcome, ReencodeReport
from imseek.types.spaces import SpaceInfo, name_beside

if TYPE_CHECKING:
    from imseek.data.writing.writer import Writer
    from imseek.encoders.base import Encoder
    from imseek.encoders.runtime import Runtime
    from imseek.tune.data_split import Split
    from imseek.tune.examples import Examples
    from imseek.tune.training import TrainedAdapter

__all__ = ["RerankerReport", "Retrieval", "TuneGain", "TuneReport", "Tuning", "back", "train_reranker", "tune", "use"]

#: The default name of an adapter.
NAME: Final = "tuned"


def tune(
    collection: AnyCollection,
    *,
    source: TuneSource | None = None,
    loss: TuneLoss = "infonce",
    name: str = NAME,
    seed: int = 0,
    dry_run: bool = False,
    runtime: Runtime | None = None,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
    notify: Callable[[str], None] | None = None,
) -> TuneReport:
    """Learn an adapter over the first space's image vectors, and search the adapted vectors if that helps.

    ``source`` sets what it learns from (default: the first available of captions, tags, judgements): pictures and their
    captions or tags, or pairs judged the same. ``loss`` is ``"infonce"`` or ``"sigmoid"``
    (:mod:`imseek.encoders.adapter_training`). ``name`` names the model that holds the adapter, and is part of the new
    space's reference. The same ``seed`` gives the same adapter on the same machine. With ``dry_run`` nothing is
    changed. If the held-out pictures show no gain, the outcome is ``"refused"`` and nothing is changed either. A killed
    or stopped (``stop``) run changes nothing.

    Raises UsageError if there is too little to learn from (with the amount needed), the space is already tuned, its
    encoder has no text tower although ``source`` is text, or ``name`` is taken; EncoderMismatchError, whatever loading
    an encoder raises, CollectionNotFoundError, LockedError, ReadOnlyError, StorageError if the disk is full or fails,
    and CorruptCollectionError.
    """
    from imseek.data.writing import adapter_spaces

    if loss not in get_args(TuneLoss):
        raise UsageError(f"{loss!r} is not a loss", hint=f"one of {', '.join(get_args(TuneLoss))}")
    if source is not None and source not in get_args(TuneSource):
        raise UsageError(f"nothing is learned from {source!r}", hint=f"one of {', '.join(get_args(TuneSource))}")
    root = path_of(collection)
    started = time.monotonic()
    # Fail before anything is loaded.
    run_with_reader(root, lambda reader: _check_untuned(reader.current.space))
    adapter_spaces.check_name(root, name)
    load = _text_encoder_loader(root, runtime, notify)
    space: SpaceInfo | None = None
    notes: tuple[str, ...] = ()
    if dry_run:
        task = Task(progress, stop)
        result = _learn(root, source, loss, seed, load, task)
    else:
        with _open_run(root, "tune", progress, stop) as (writer, task):
            result = _learn(root, source, loss, seed, load, task)
            if result.trained is not None and result.trained.facts.helps:
                space = _store(writer, result, result.trained, name, loss, seed, task)
            if space is not None:
                notes = _caption_notes(writer, result.space) + _renew_indexes(writer, task)
    trained = result.trained
    outcome: TuneOutcome
    if trained is not None and not trained.facts.helps:
        outcome = "refused"
    elif space is not None:
        outcome = "switched"
    else:
        outcome = "interrupted" if task.is_cancelled else "tried"
    current = read_current(root)
    split = result.split
    return TuneReport(
        outcome=outcome,
        name=name,
        encoder=result.space.encoder,
        source=result.examples.source,
        loss=loss,
        seed=seed,
        pairs=len(result.examples.pairs),
        train=len(split.train),
        validation=len(split.validation),
        held_out=len(split.held_out),
        taught=None if trained is None else trained.facts,
        space_id=None if space is None else space.space_id,
        replaced=None if space is None else result.space.space_id,
        images=current.images,
        seconds=time.monotonic() - started,
        generation=current.generation,
        notes=result.examples.notes + notes,
    )


def train_reranker(
    collection: AnyCollection,
    *,
    seed: int = 0,
    dry_run: bool = False,
    runtime: Runtime | None = None,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
    notify: Callable[[str], None] | None = None,
) -> RerankerReport:
    """Learn from captions to make tokens of pictures and to compare words with them, and store the model if that helps.

    Pictures with captions are read again. If captions held out show no gain beyond chance, the outcome is ``"refused"``
    and nothing is changed; with ``dry_run`` nothing is changed either way. Afterwards
    :func:`imseek.maintenance.make_tokens` makes the tokens, and searches may name the reranker ``tokens``.

    Raises as :func:`tune`, and EncoderError for an encoder that gives no features of patches.
    """
    from imseek.tune import reranker

    root = path_of(collection)
    run_with_reader(root, lambda reader: _check_untuned(reader.current.space))
    reranker.check_name(root)
    load = functools.cache(_text_encoder_loader(root, runtime, notify, ("image", "text")))
    if dry_run:
        return reranker.train(root, load, seed, Task(progress, stop), None)
    with _open_run(root, "tune --reranker", progress, stop) as (writer, task):
        return reranker.train(root, load, seed, task, writer)


def back(
    collection: AnyCollection,
    *,
    allow_missing: bool = False,
    runtime: Runtime | None = None,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
    notify: Callable[[str], None] | None = None,
) -> ReencodeReport:
    """Search the encoder's own vectors again. The tuned space and its adapter are kept for :func:`use`.

    This is a single commit if the kept vectors cover all images. Otherwise the pictures added since are read and
    encoded as by :func:`imseek.maintenance.reencode`, which also describes ``allow_missing`` and the errors. Raises
    UsageError if the first space is not tuned.
    """
    from imseek import maintenance
    from imseek.data.writing import adapter_spaces
    from imseek.encoders import input_checks, space_compatibility
    from imseek.indexer.reencode import ReencodeRequest
    from imseek.maintenance.reencoding import run_reencode
    from imseek.search.encoder_loader import load_encoder

    root = path_of(collection)
    started = time.monotonic()
    space = run_with_reader(root, lambda reader: reader.current.space)
    adapted = adapter_of(space.encoder)
    if adapted is None:
        raise UsageError(
            f"the vectors of {space.encoder} are searched as they are: there is nothing to go back from",
            hint="`imseek tune --use NAME` goes to tuned ones that are kept",
        )
    with _open_run(root, "tune --back", progress, stop) as (writer, task):
        base_space = adapter_spaces.find_base_space(writer, space)
        if base_space is not None and adapter_spaces.switch_space(writer, base_space, space, None, task):
            notes = _caption_notes(writer, space) + _renew_indexes(writer, task)
            return _switch_report(writer, base_space, space, "switched", started, notes)
    if base_space is not None:  # New vectors must be comparable with the kept ones, whatever version has come since.
        encoder = load_encoder(root, base_space, ("image", "text"), runtime, notify)
        input_checks.check_fingerprint(encoder, adapted[1], base_space.fingerprint)
        base_info = space_compatibility.space_of(encoder, base_space.note)
        request = ReencodeRequest(base_info, space.space_id, False, allow_missing)
        return run_reencode(root, "tune --back", encoder, request, progress, stop)
    return maintenance.reencode(
        root,
        adapted[1],
        space=space.space_id,
        allow_missing=allow_missing,
        runtime=runtime,
        progress=progress,
        stop=stop,
        notify=notify,
    )


def use(
    collection: AnyCollection,
    name: str = NAME,
    *,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> ReencodeReport:
    """Search the vectors of the adapter ``name`` again, after :func:`back`.

    Vectors of images added since are adapted first; no picture is opened. Raises UsageError if there is no such adapter
    or another encoder's vectors are searched, CollectionNotFoundError, CorruptCollectionError, LockedError,
    ReadOnlyError, StorageError.
    """
    from imseek.data.catalog import models, spaces
    from imseek.data.writing import adapter_spaces
    from imseek.encoders.vector_adapter import Adapter

    root = path_of(collection)
    started = time.monotonic()
    space = run_with_reader(root, lambda reader: reader.current.space)
    model = models.find(root, name)
    if model is None or model.kind != ADAPTER:
        names = ", ".join(one.name for one in models.of_kind(root, ADAPTER))
        hint = f"there are: {names}" if names else "`imseek tune` learns one"
        raise UsageError(f"no adapter {name!r} in this collection", hint=hint)
    adapter = Adapter.of(model.arrays)
    with _open_run(root, "tune --use", progress, stop) as (writer, task):
        tuned_spaces = [
            one.info
            for one in spaces.list_spaces(writer)
            if one.info.modality == "image" and (adapter_of(one.info.encoder) or ("",))[0] == name
        ]
        if space in tuned_spaces:
            return _switch_report(writer, space, None, "already", started, ())
        is_foreign = model.facts.get("fingerprint") != space.fingerprint
        if is_foreign or not tuned_spaces or tuned_spaces[0].encoder != adapter_reference(name, space.encoder):
            base = str(model.facts.get("encoder"))
            raise UsageError(
                f"{name} is an adapter of {base}, and {name_beside(space.encoder, base)} is searched",
                hint="`imseek tune --back` first" if adapter_of(space.encoder) else None,
            )
        switched = adapter_spaces.switch_space(writer, tuned_spaces[0], space, adapter, task)
        notes = (_caption_notes(writer, space) + _renew_indexes(writer, task)) if switched else ()
        outcome: ReencodeOutcome = "switched" if switched else "interrupted"
        return _switch_report(writer, tuned_spaces[0], space, outcome, started, notes)


@dataclass(frozen=True, slots=True)
class _TrainingResult:
    space: SpaceInfo
    examples: Examples
    split: Split
    trained: TrainedAdapter | None


def _check_untuned(space: SpaceInfo) -> None:
    if (adapted := adapter_of(space.encoder)) is not None:
        raise UsageError(
            f"the vectors that are searched are tuned already, by {adapted[0]}",
            hint="`imseek tune --back` first: an adapter is learned over the vectors of the encoder itself",
        )


def _learn(
    root: Path,
    source: TuneSource | None,
    loss: TuneLoss,
    seed: int,
    load: Callable[[SpaceInfo], Encoder],
    task: Task,
) -> _TrainingResult:
    from imseek.tune import data_split, examples, training

    def read(reader: Reader) -> tuple[SpaceInfo, Examples, Split]:
        space = reader.current.space
        _check_untuned(space)
        chosen_source = examples.default_source(reader) if source is None else source
        found_examples = examples.read_examples(reader, chosen_source, lambda: load(space), seed)
        return space, found_examples, data_split.split_examples(reader, found_examples, seed)

    space, found, split = run_with_reader(root, read)
    trained = training.train_from_examples(found, split, loss=loss, seed=seed, task=task)
    return _TrainingResult(space, found, split, trained)


def _text_encoder_loader(
    root: Path,
    runtime: Runtime | None,
    notify: Callable[[str], None] | None,
    modalities: tuple[str, ...] = ("text",),
) -> Callable[[SpaceInfo], Encoder]:
    """Return a loader of a space's encoder for text. It raises UsageError if the encoder has no text tower."""
    from imseek.encoders.input_checks import check_fingerprint
    from imseek.search.encoder_loader import load_encoder

    def load(space: SpaceInfo) -> Encoder:
        encoder = load_encoder(root, space, modalities, runtime, notify)
        if "text" not in encoder.info.modalities:
            raise UsageError(
                f"{space.encoder} knows no words, so nothing can be learned from captions or tags",
                hint="`--from judgements` learns from pictures alone",
            )
        check_fingerprint(encoder, space.encoder, space.fingerprint)
        return encoder

    return load


def _store(
    writer: Writer,
    result: _TrainingResult,
    trained: TrainedAdapter,
    name: str,
    loss: TuneLoss,
    seed: int,
    task: Task,
) -> SpaceInfo | None:
    """Store an adapter, with how it was trained, and the space of its vectors."""
    from imseek.data.catalog.models import Model
    from imseek.data.writing import adapter_spaces

    space, adapter = result.space, trained.adapter
    facts = {
        "source": result.examples.source,
        "loss": loss,
        "seed": seed,
        "pairs": len(result.examples.pairs),
        "train": len(result.split.train),
        "validation": len(result.split.validation),
        "held_out": len(result.split.held_out),
        **asdict(trained.facts),
        "encoder": space.encoder,
        "fingerprint": space.fingerprint,
    }
    model = Model(name, ADAPTER, facts, adapter.arrays)
    return adapter_spaces.create_adapted_space(
        writer, space, model, adapter.fingerprint(space.fingerprint), adapter, task
    )


def _caption_notes(writer: Writer, replaced: SpaceInfo) -> tuple[str, ...]:
    captions = writer.current().caption_space
    if captions is None or captions.fingerprint != replaced.fingerprint:
        return ()
    return (
        f"captions (space {captions.space_id}) stay with {captions.encoder}: they are searched as before, and compared "
        "with their pictures again after `imseek maintain --captions`",
    )


@contextmanager
def _open_run(
    root: Path, kind: str, progress: ProgressCallback | None, stop: threading.Event | None
) -> Iterator[tuple[Writer, Task]]:
    from imseek.data.writing.writer import Writer

    with translate_os_errors(root), Writer(root, kind) as writer:
        yield writer, writer.begin_task(progress, stop)


def _renew_indexes(writer: Writer, task: Task) -> tuple[str, ...]:
    from imseek.data.vectors import index_renewal

    return index_renewal.renew_due(writer, task)


def _switch_report(
    writer: Writer,
    space: SpaceInfo,
    replaced: SpaceInfo | None,
    outcome: ReencodeOutcome,
    started: float,
    notes: tuple[str, ...],
) -> ReencodeReport:
    current = writer.current()
    return ReencodeReport(
        outcome=outcome,
        space_id=space.space_id,
        encoder=space.encoder,
        replaced=None if replaced is None else replaced.space_id,
        images=current.images,
        before=current.images,
        encoded=0,
        copied=0,
        missing=(),
        seconds=time.monotonic() - started,
        generation=current.generation,
        precision="fp32",
        notes=notes,
    )
