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
        learned = _learn(root, source, loss, seed, load, task)
    else:
        with _open_run(root, "tune", progress, stop) as (writer, task):
            learned = _learn(root, source, loss, seed, load, task)
            if learned.taught is not None and learned.taught.facts.helps:
                space = _store(writer, learned, learned.taught, name, loss, seed, task)
            if space is not None:
                notes = _caption_notes(writer, learned.space) + _renew_indexes(writer, task)
    taught = learned.taught
    outcome: TuneOutcome
    if taught is not None and not taught.facts.helps:
        outcome = "refused"
    elif space is not None:
        outcome = "switched"
    else:
        outcome = "interrupted" if task.is_cancelled else "tried"
    current = read_current(root)
    split = learned.split
    return TuneReport(
        outcome=outcome,
        name=name,
        encoder=learned.space.encoder,
        source=learned.examples.source,
        loss=loss,
        seed=seed,
        pairs=len(learned.examples.pairs),
        train=len(split.train),
        validation=len(split.validation),
        held_out=len(split.held_out),
        taught=None if taught is None else taught.facts,
        space_id=None if space is None else space.space_id,
        replaced=None if space is None else learned.space.space_id,
        images=current.images,
        seconds=time.monotonic() - started,
        generation=current.generation,
        notes=learned.examples.notes + notes,
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
    named = adapter_of(space.encoder)
    if named is None:
        raise UsageError(
            f"the vectors of {space.encoder} are searched as they are: there is nothing to go back from",
            hint="`imseek tune --use NAME` goes to tuned ones that are kept",
        )
    with _open_run(root, "tune --back", progress, stop) as (writer, task):
        kept = adapter_spaces.find_base_space(writer, space)
        if kept is not None and adapter_spaces.switch_space(writer, kept, space, None, task):
            notes = _caption_notes(writer, space) + _renew_indexes(writer, task)
            return _switch_report(writer, kept, space, "switched", started, notes)
    if kept is not None:  # New vectors must be comparable with the kept ones, whatever version has come since.
        encoder = load_encoder(root, kept, ("image", "text"), runtime, notify)
        input_checks.check_fingerprint(encoder, named[1], kept.fingerprint)
        made = space_compatibility.space_of(encoder, kept.note)
        request = ReencodeRequest(made, space.space_id, False, allow_missing)
        return run_reencode(root, "tune --back", encoder, request, progress, stop)
    return maintenance.reencode(
        root,
        named[1],
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
        there = ", ".join(one.name for one in models.of_kind(root, ADAPTER))
        hint = f"there are: {there}" if there else "`imseek tune` learns one"
        raise UsageError(f"no adapter {name!r} in this collection", hint=hint)
    adapter = Adapter.of(model.arrays)
    with _open_run(root, "tune --use", progress, stop) as (writer, task):
        wanted = [
            one.info
            for one in spaces.list_spaces(writer)
            if one.info.modality == "image" and (adapter_of(one.info.encoder) or ("",))[0] == name
        ]
        if space in wanted:
            return _switch_report(writer, space, None, "already", started, ())
        other = model.facts.get("fingerprint") != space.fingerprint
        if other or not wanted or wanted[0].encoder != adapter_reference(name, space.encoder):
            of = str(model.facts.get("encoder"))
            raise UsageError(
                f"{name} is an adapter of {of}, and {name_beside(space.encoder, of)} is searched",
                hint="`imseek tune --back` first" if adapter_of(space.encoder) else None,
            )
        done = adapter_spaces.switch_space(writer, wanted[0], space, adapter, task)
        notes = (_caption_notes(writer, space) + _renew_indexes(writer, task)) if done else ()
        outcome: ReencodeOutcome = "switched" if done else "interrupted"
        return _switch_report(writer, wanted[0], space, outcome, started, notes)


@dataclass(frozen=True, slots=True)
class _TrainingResult:
    space: SpaceInfo
    examples: Examples
    split: Split
    taught: TrainedAdapter | None


def _check_untuned(space: SpaceInfo) -> None:
    if (named := adapter_of(space.encoder)) is not None:
        raise UsageError(
            f"the vectors that are searched are tuned already, by {named[0]}",
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
        wanted = examples.default_source(reader) if source is None else source
        found = examples.read_examples(reader, wanted, lambda: load(space), seed)
        return space, found, data_split.split_examples(reader, found, seed)

    space, found, split = run_with_reader(root, read)
    taught = training.train_from_examples(found, split, loss=loss, seed=seed, task=task)
    return _TrainingResult(space, found, split, taught)


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
    learned: _TrainingResult,
    taught: TrainedAdapter,
    name: str,
    loss: TuneLoss,
    seed: int,
    task: Task,
) -> SpaceInfo | None:
    """Store an adapter, with how it was trained, and the space of its vectors."""
    from imseek.data.catalog.models import Model
    from imseek.data.writing import adapter_spaces

    space, adapter = learned.space, taught.adapter
    facts = {
        "source": learned.examples.source,
        "loss": loss,
        "seed": seed,
        "pairs": len(learned.examples.pairs),
        "train": len(learned.split.train),
        "validation": len(learned.split.validation),
        "held_out": len(learned.split.held_out),
        **asdict(taught.facts),
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
