"""Power cuts: a scenario is recorded once, then replayed up to any operation, and the disk loses what it may lose."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from durability.disk import EVERYTHING, Acknowledge, Disk, Operation, Return, Tree, cuts, write_tree
from durability.forks import Server, environment
from durability.stage import PASSING, Stage, go_on, perform, traces
from durability.trace import RETURNED, record

ROOT = ".imseek"


@dataclass
class Recording:
    """What a scenario did to a collection, and what the collection held at each generation that it acknowledged."""

    name: str
    template: Path
    operations: list[Operation]
    facts: dict[str, Any] = field(default_factory=dict)
    #: Kinds of problems that there were before the scenario.
    damaged: list[str] = field(default_factory=list)
    #: Operations that came before, of a run that was killed; nothing was lost then.
    before: Sequence[Operation] = ()

    @property
    def photos(self) -> Path:
        return self.template / "photos"

    @property
    def acknowledged(self) -> int | None:
        """The last generation that was acknowledged before."""
        return max((o.generation for o in self.before if isinstance(o, Acknowledge)), default=None)

    def disk(self) -> Disk:
        """As it was before the operations, with what was not durable then."""
        disk = Disk.of(self.photos)
        for operation in self.before:
            disk.do(operation)
        return disk


def recorded(name: str, template: Path, server: Server) -> Recording:
    """Perform a scenario once, beside its template (made here, if it is not there), and learn what each acknowledged
    generation holds."""
    if not template.exists():
        server("prepare", name=name, home=template)
    _, damaged = server("problems", home=template)
    return _learned(Recording(name, template, _operations(name, template, None), damaged=damaged), server)


def continued(recording: Recording, killed_before: int, server: Server) -> Recording:
    """The same scenario by a process that comes after one that was killed (no power cut yet)."""
    before = recording.operations[:killed_before]
    after = Recording(recording.name, recording.template, [], damaged=recording.damaged, before=before)
    after.operations = _operations(recording.name, recording.template, after.disk().after(EVERYTHING))
    known = after.acknowledged
    if known is not None:
        after.facts = {n: facts for n, facts in recording.facts.items() if int(n) <= known}
    return _learned(after, server)


def _operations(name: str, template: Path, tree: Tree | None) -> list[Operation]:
    home = template.with_name("recorded")
    if tree is None:
        shutil.copytree(template, home)
    else:
        lay_out(template / "photos", tree, home)
    command = [sys.executable, "-W", "error", "-m", "durability.power", name, str(home)]
    operations = record(command, home / "photos", home / "acknowledged", environment())
    shutil.rmtree(home)
    assert {Acknowledge, Return} <= {type(operation) for operation in operations}, "the harness hears of commits"
    return operations


def _learned(recording: Recording, server: Server) -> Recording:
    disk = recording.disk()
    _learn(recording, disk, server)
    for operation in recording.operations:
        disk.do(operation)
        if isinstance(operation, Acknowledge):
            _learn(recording, disk, server)
    return recording


def _learn(recording: Recording, disk: Disk, server: Server) -> None:
    """What anybody sees who has not lost power is what must be seen after a power cut."""
    home = recording.template.with_name("learning")
    lay_out(recording.photos, disk.after(EVERYTHING), home)
    _, facts = server("facts", home=home)
    shutil.rmtree(home)
    if facts is not None:
        known = recording.facts.setdefault(str(facts["generation"]), facts)
        assert known == facts, "a generation never changes"


def lay_out(photos: Path, tree: Tree, home: Path) -> None:
    """Make ``home`` a copy of the scenario's, with what the power cut left of the collection."""
    shutil.copytree(photos, home / "photos", ignore=shutil.ignore_patterns(ROOT))
    write_tree(home / "photos", {name: data for name, data in tree.items() if name.startswith(ROOT)})


@dataclass(frozen=True)
class Outage:
    """A power cut before an operation: what it left, and the last generation that had been acknowledged."""

    before: int
    cut: str
    tree: Tree
    acknowledged: int | None
    returned: bool

    def key(self) -> int:
        """Equal for outages that leave the same."""
        return hash((self.acknowledged, self.returned, frozenset(self.tree.items())))


def outages(
    recording: Recording,
    seeds: int,
    *,
    operations: Sequence[Operation] | None = None,
    first: int = 0,
    last: int | None = None,
    seed: str = "",
) -> Iterator[Outage]:
    """Every distinct state that a power cut may leave, before each operation and after the last one.

    With ``first`` and ``last``: before the operations from the one to the other. With ``operations``: others than
    those that were recorded. ``seed`` is where chance begins in the random states.
    """
    operations = recording.operations if operations is None else operations
    disk, acknowledged, returned = recording.disk(), recording.acknowledged, False
    seen: set[int] = set()
    for n in range((len(operations) if last is None else last) + 1):
        if n >= first:
            for cut in (*cuts(seeds, of=f"{seed} {n}"), *disk.alone()):
                outage = Outage(n, cut.name, disk.after(cut), acknowledged, returned)
                if (key := outage.key()) not in seen:
                    seen.add(key)
                    yield outage
        if n < len(operations):
            operation = operations[n]
            disk.do(operation)
            returned = returned or isinstance(operation, Return)
            if isinstance(operation, Acknowledge):
                acknowledged = operation.generation


def try_outage(recording: Recording, outage: Outage, server: Server, home: Path) -> None:
    """Raises AssertionError where something acknowledged is lost, or the collection does not go on."""
    lay_out(recording.photos, outage.tree, home)
    facts = home / "facts.json"
    facts.write_text(json.dumps(recording.facts))
    try:
        server(
            "survive",
            name=recording.name,
            home=home,
            acknowledged=outage.acknowledged,
            returned=outage.returned,
            damaged=recording.damaged,
        )
    except AssertionError as error:
        raise AssertionError(
            f"{recording.name}: power cut before operation {outage.before} ({outage.cut} survived)\n{error}"
        ) from error
    finally:
        shutil.rmtree(home)


# -- in the forks --------------------------------------------------------------------------------------------


def facts_of(home: str) -> dict[str, Any] | None:
    """What a collection holds, as its readers see it; None where there is none, or it does not open."""
    from imseek.errors import ImseekError

    try:
        return _facts(Stage(Path(home)).root)
    except ImseekError:
        return None


def _facts(root: Path) -> dict[str, Any]:
    import imseek
    from imseek.data.reader import Reader

    with imseek.open(root) as collection:
        sources = {source.source_id: source for source in collection.info().sources}
    reader = Reader(root)
    space_id = reader.current.space.space_id
    found = [image_id for segment in reader.segments(space_id) for image_id in _live(segment)]
    places = {}
    for image_id, place in reader.places(found).items():
        within = os.path.relpath(place.path, sources[place.source_id].path)
        places[image_id] = [place.source_id, os.fsdecode(within)]
    images = {
        str(image_id): {
            "place": places.get(image_id),
            "vector": hashlib.sha256(reader.vector(image_id, space_id).tobytes()).hexdigest(),
            "tags": list(reader.image(image_id).tags),
            **{name: str(value) for name, value in sorted(row.items())},
        }
        for image_id, row in reader.metadata(found).items()
    }
    return {
        "generation": reader.generation,
        "images": images,
        "sources": {str(source_id): source.images for source_id, source in sources.items()},
        # Of a source that was relocated only the new root is known: it has no history.
        "roots": [os.fsdecode(source.path).rpartition("/photos")[2] for source in sources.values()],
    }


def problems(home: str) -> list[str]:
    """The kinds of problems that verify finds; none where there is no collection."""
    return sorted(_problems(Stage(Path(home)).root))


def _problems(root: Path) -> set[str]:
    import imseek

    if not (root / "collection.json").exists():
        return set()
    return {problem.kind for problem in imseek.maintenance.verify(root).problems}


def expect(facts: dict[str, Any], known: dict[str, Any]) -> None:
    """Raises AssertionError where facts are not those of their generation."""
    generation = facts["generation"]
    roots = [known[str(n)]["roots"] for n in (generation, generation + 1) if str(n) in known]
    assert facts["roots"] in roots
    assert {**facts, "roots": None} == {**known[str(generation)], "roots": None}


def _live(segment: Any) -> list[int]:
    import numpy as np

    return [int(image_id) for image_id in np.delete(np.array(segment.ids), segment.dead)]


def survive(name: str, home: str, acknowledged: int | None, returned: bool, damaged: list[str]) -> None:
    """What comes after a power cut: open, search, verify, go on, verify."""
    from imseek.data import layout
    from imseek.data.catalog.sqlite import catalog_checksums
    from imseek.errors import ImseekError

    stage = Stage(Path(home))
    known = json.loads((Path(home) / "facts.json").read_text())
    repair = name.startswith("repair")
    kinds = _problems(stage.root)
    if (stage.root / "collection.json").exists():
        try:
            facts = _facts(stage.root)
        except ImseekError:
            assert repair, "the collection does not open"
            assert acknowledged is None, "the collection that was repaired does not open"
        else:
            assert kinds <= PASSING | (set() if returned else set(damaged)), kinds
            if not repair or acknowledged is not None:
                assert facts["generation"] >= (acknowledged or 0), "an acknowledged generation is lost"
                expect(facts, known)
    else:
        assert acknowledged is None, "the collection is lost"
    if returned:
        assert layout.CATALOG in catalog_checksums.read(stage.root).files, "a writer that ends leaves a checksum"
        if name == "purge":
            assert not traces(stage), "words that were purged have come back"
            assert not kinds, f"files that were purged have come back: {kinds}"
    go_on(name, stage)


def main(name: str, home: str) -> None:
    """Perform a scenario and write down each acknowledged generation; this is what gets recorded."""
    from imseek.data.current_generation import read_current
    from imseek.data.writing.writer import Writer

    stage = Stage(Path(home))
    acknowledgements = os.open(Path(home) / "acknowledged", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def acknowledge(generation: int) -> int:
        os.write(acknowledgements, f"{generation}\n".encode())
        return generation

    apply, enter = Writer.apply, Writer.__enter__

    def entered(writer: Writer) -> Writer:
        enter(writer)
        acknowledge(writer.generation)  # What a killed one committed and did not live to say.
        return writer

    Writer.__enter__ = entered  # type: ignore[method-assign]
    Writer.apply = lambda self, change: acknowledge(apply(self, change))  # type: ignore[method-assign]
    stage.note = lambda _: None
    perform(name, stage)
    acknowledge(read_current(stage.root).generation)
    os.write(acknowledgements, RETURNED)


if __name__ == "__main__":
    main(*sys.argv[1:])
