"""Which cards and kinds of index there are for GPUs, and what is said where the CPU answers instead."""

from __future__ import annotations

import gc
from pathlib import Path

import faiss
import numpy as np
import pytest
from approximating import snapshot_of
from faking_gpu import DIM, FACTORIES, FEW, ROOM, Cards, assert_same, placed, segment, some_rows

import imseek
from imseek.data.vectors import gpu, open_index, placement_on
from imseek.data.vectors.build import LiveRows, build_index
from imseek.data.vectors.index_kinds import make_index
from imseek.data.vectors.index_metadata import SearchEffort, TuningResult, runs_on_gpu
from imseek.encoders import Runtime
from imseek.encoders.device import Gpu, Machine, check_cpu_fp32, plan
from imseek.errors import EncoderUnavailableError, UsageError
from imseek.ui.cli import doctor
from imseek.ui.render.vector_index_text import device_fact

pytestmark = pytest.mark.slow


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> Cards:
    """One card with room."""
    return Cards(ROOM).install(monkeypatch)


# -- names and kinds ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        *((factory, None) for factory in FACTORIES),
        ("SQfp16", None),
        ("OPQ8,IVF16,PQ8", None),
        ("IVF16,PQ8x4", "8 bits"),
        ("SQ8", "ScalarQuantizer"),
        ("HNSW16", "HNSWFlat"),
        ("RR32,IVF16,RaBitQ", "IVFRaBitQ"),
        ("IVF16,PQ8x4fs", "IVFPQFastScan"),
        ("IVF16_HNSW16,SQ8", "centres"),
        ("IVF16,SQ8,Refine(SQfp16)", "Refine"),
    ],
)
def test_the_kinds_that_go_to_a_card(factory: str, reason: str | None) -> None:
    found = gpu.gpu_refusal(make_index(factory, DIM))
    assert (found is None) == (reason is None)
    assert (reason or "") in (found or "")
    assert runs_on_gpu(factory) == (reason is None)  # as `imseek info` says it, without a look at the index


@pytest.mark.parametrize(
    ("device", "there", "expected"),
    [
        ("cuda", 2, (0,)),
        ("cuda:1", 2, (1,)),
        ("cuda:2,0", 4, (0, 2)),
        ("all", 3, (0, 1, 2)),
        ("cuda:2", 2, "there is no cuda:2, only 2 GPUs"),
        ("all", 0, "FAISS sees no GPU"),
    ],
)
def test_names_of_cards(
    monkeypatch: pytest.MonkeyPatch, device: str, there: int, expected: tuple[int, ...] | str
) -> None:
    Cards(*[ROOM] * there).install(monkeypatch)
    if isinstance(expected, tuple):
        assert gpu.gpu_numbers(device) == expected
    else:
        with pytest.raises(LookupError, match=expected):
            gpu.gpu_numbers(device)


# -- falling back ---------------------------------------------------------------------------------------------


def searched_with_note(device: str, factory: str | None = None) -> str | None:
    """The placement's note, after searches that answer as the CPU does."""
    segments, asked = [segment(some_rows(2000))], some_rows(3, 1)
    placement = placement_on(device)
    snapshot = None if factory is None else snapshot_of(segments, DIM, factory=factory, tuned=FEW)
    cpu = open_index("faiss", segments, DIM, snapshot=snapshot)
    card = open_index("faiss", segments, DIM, snapshot=snapshot, placement=placement)
    for _ in range(3):
        assert_same(card.search(asked, 10), cpu.search(asked, 10))
    assert placement is not None
    return placement.note


def test_a_faiss_without_gpus_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(faiss, "StandardGpuResources", raising=False)
    note = searched_with_note("cuda")
    assert note == "vectors are searched on the CPU: this FAISS was built without GPU support"


@pytest.mark.parametrize(
    ("free", "device", "factory", "reason"),
    [
        ((), "cuda", None, "FAISS sees no GPU"),
        ((ROOM,), "cuda:1", None, "there is no cuda:1, only 1 GPU"),
        ((ROOM,), "cuda", "RR32,IVF16,RaBitQ4", "no GPU supports IVFRaBitQ"),
        ((1000,), "cuda", None, "out of memory"),
        ((1000, 1000), "all", None, "out of memory"),
        ((1000, ROOM), "all", "Flat", "not implemented"),
        ((ROOM, ROOM), "all", "IVF16,SQ8", None),
        ((ROOM,), "cuda", None, None),
    ],
)
def test_what_cannot_be_done_is_said_and_done_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
    free: tuple[int, ...],
    device: str,
    factory: str | None,
    reason: str | None,
) -> None:
    cards = Cards(*free).install(monkeypatch)
    note = searched_with_note(device, factory)
    assert (note is None) == (reason is None) == bool(cards.searched)
    if reason is not None:
        assert note is not None
        assert note.startswith("vectors are searched on the CPU: ")
        assert reason in note
        assert "\n" not in note
        assert cards.free == list(free)  # nothing is left behind


@pytest.mark.parametrize("factory", [None, "IVF16,SQ8"])
def test_a_card_that_fails_is_given_up(cards: Cards, factory: str | None) -> None:
    segments, asked = [segment(some_rows(2000))], some_rows(3, 1)
    placement = placement_on("cuda:0")
    assert placement is not None
    snapshot = None if factory is None else snapshot_of(segments, DIM, factory=factory, tuned=FEW)
    index = open_index("faiss", segments, DIM, snapshot=snapshot, placement=placement)
    expected = index.search(asked, 10)
    assert placement.note is None
    cards.broken = RuntimeError("Error in f at x.cu:9: Error: 'err == 0' failed: CUDA error 77")
    assert_same(index.search(asked, 10), expected)
    assert placement.note == "vectors are searched on the CPU: cuda:0 failed (CUDA error 77)"
    cards.broken = None
    searched = len(cards.searched)
    assert_same(index.search(asked, 10), expected)
    assert len(cards.searched) == searched
    assert cards.free == [ROOM]
    del index, snapshot
    gc.collect()
    assert placement.note is None  # It was about that index.


def test_results_carry_one_note(collection: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collection.index([photos])
    expected = collection.search(3)
    assert not any("CPU" in note for note in expected.notes)
    Cards().install(monkeypatch)
    with imseek.open(collection.path, runtime=Runtime(device="cuda:0,1")) as opened:
        found = opened.search(3)
        again = opened.search_many([3, 4])
    assert found.hits == expected.hits
    for result in (found, *again):
        assert [n for n in result.notes if "CPU" in n] == ["vectors are searched on the CPU: FAISS sees no GPU"]


def test_info_and_doctor_say_where_vectors_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device_fact("IVF64,SQ8") == "searched on the CPU, on a GPU with --device cuda"
    assert device_fact("IVF64,PQ8x4fs") == "searched on the CPU, since no GPU supports it"
    Cards().install(monkeypatch)
    assert doctor._faiss().message.endswith(": vectors are searched on the CPU")
    Cards(ROOM, ROOM).install(monkeypatch)
    assert doctor._faiss().message.endswith("with --device cuda or all on 2 GPUs")

    def broken() -> int:
        raise ImportError("libcublas.so.12: cannot open shared object file")

    monkeypatch.setattr(gpu, "gpu_count", broken)
    check = doctor._faiss()
    assert (check.status, "libcublas" in check.message) == ("fail", True)


def test_a_collection_is_searched_by_a_card(
    collection: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.index([photos])
    cards = Cards(ROOM).install(monkeypatch)
    with imseek.open(collection.path, runtime=Runtime(device="cuda")) as opened:
        found = opened.search(3)
        (photos / "coffee.png").unlink()
        collection.index()
        fewer = opened.search(3)
    assert found.hits != fewer.hits == collection.search(3).hits
    assert (found.notes, fewer.notes) == ((), ())
    assert cards.searched
    assert len(cards.copied) == 1


# -- CAGRA ----------------------------------------------------------------------------------------------------


def test_cagra_needs_a_build_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(faiss, "GpuIndexCagra", raising=False)
    with pytest.raises(UsageError, match="without NVIDIA's cuVS"):
        make_index("CAGRA64", DIM)
    Cards().install(monkeypatch, cuvs=True)
    with pytest.raises(UsageError, match="sees none"):
        make_index("CAGRA", DIM)
    with pytest.raises(UsageError, match="even degree"):
        make_index("CAGRA7", DIM)
    with pytest.raises(UsageError, match="FAISS makes no index"):
        make_index("CAGRA64,SQ8", DIM)


def test_a_cagra_graph_is_kept_for_the_cpu_and_searched_by_the_card(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cards = Cards(ROOM).install(monkeypatch, cuvs=True)
    segments, asked = [segment(some_rows(2000), 10)], some_rows(20, 1)
    rows = LiveRows(segments)
    told: list[float] = []
    index = build_index(rows, DIM, "CAGRA32", 1 << 30, np.empty(0, np.int64), told.append)
    assert told == sorted(told)
    assert told[-1] == 1
    with pytest.raises(UsageError, match="GB to build"):
        build_index(rows, DIM, "CAGRA32", 1000, np.empty(0, np.int64), told.append)
    faiss.write_index(index, str(tmp_path / "index"))
    kept = faiss.read_index(str(tmp_path / "index"))
    truth = open_index("memory", segments, DIM).search(asked, 10)
    tuned = TuningResult(SearchEffort(200, 40), 0.9, 0)
    snapshot = snapshot_of(segments, DIM, tuned=tuned)
    snapshot.index = kept
    assert gpu.gpu_refusal(kept) is None
    for card in (
        open_index("faiss", segments, DIM, snapshot=snapshot),
        placed("faiss", segments, snapshot=snapshot),
    ):
        found = card.search(asked, 10)
        shared = [len(np.intersect1d(a.ids, b.ids)) for a, b in zip(found, truth, strict=True)]
        assert np.mean(shared) > 9.5
    assert cards.searched
    monkeypatch.delattr(faiss, "GpuIndexCagra")
    assert "cuVS" in (gpu.gpu_refusal(kept) or "")


# -- encoders, which take one card ----------------------------------------------------------------------------


@pytest.mark.parametrize(("device", "expected"), [("all", "cuda:0"), ("cuda:1,0", "cuda:1"), ("cuda:0,1", "cuda:0")])
def test_the_first_of_several_cards_encodes(device: str, expected: str) -> None:
    two = Machine(gpus=(Gpu("NVIDIA H100", bf16=True), Gpu("NVIDIA H100", bf16=True)))
    assert plan(Runtime(device=device), 224, two).device == expected


def test_all_cards_are_for_what_can_use_them() -> None:
    check_cpu_fp32(Runtime(device="all"), "builtin")
    with pytest.raises(EncoderUnavailableError, match="not on cuda:0,1"):
        check_cpu_fp32(Runtime(device="cuda:0,1"), "builtin")


@pytest.mark.parametrize("device", ["cuda:", "cuda:0,", "cuda:,1", "cuda0", "gpu", "ALL", "cuda:0 1", ""])
def test_no_other_names(device: str) -> None:
    with pytest.raises(UsageError, match="no device"):
        Runtime(device=device)
