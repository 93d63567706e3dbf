"""Choose the kind of approximate index for a collection, and build the search parameters of each kind.

Parameters travel with the call. FAISS needs a different class of them for each kind of index, and some kinds silently
ignore one of the wrong class: so they are built only here.
"""

from __future__ import annotations

import math
import re
from typing import Any

import faiss

from imseek.data.catalog import index_policy
from imseek.errors import UsageError

#: An inverted file has FACTOR · √n lists, each trained on about ROWS_PER_LIST rows.
LIST_FACTOR = 4
ROWS_PER_LIST = 40
MAX_LISTS = 1 << 13
#: Bytes that an index needs besides its codes: FAISS, buffers, allocations of a search.
_FIXED_BYTES = 64 << 20
#: Dimensions per 4-bit code of product quantisation, the most accurate first. Its 16 values are scanned by shuffles in
#: registers (André et al. 2015). Candidates are rescored, so the codes need not be exact.
_DIMENSIONS_PER_CODE = (2, 4, 8)

#: Kinds whose searches take no parameters.
_NO_PARAMETERS = (
    faiss.IndexPQFastScan,
    faiss.IndexPQ,
    faiss.IndexNSG,
    faiss.IndexRefine,
    faiss.IndexAdditiveQuantizer,
)

#: CAGRA (Ootomo et al. 2023) and its degree: a graph that only a GPU can build, unknown to FAISS's factory.
_CAGRA = re.compile(r"CAGRA(\d*)")


def choose_factory(rows: int, dim: int, memory: int) -> str | None:
    """Return the FAISS factory string for ``rows`` vectors in ``memory`` bytes; None where they should be scanned.

    Raises UsageError where not even the smallest codes fit.
    """
    if rows * dim * 2 <= index_policy.EXACT_BYTES:
        return None
    lists = list_count(rows)
    fixed = _FIXED_BYTES + lists * dim * 4
    least = 0.0
    for per_code in _DIMENSIONS_PER_CODE:
        least = fixed + rows * (-(-dim // per_code) / 2 + 8)
        if least <= memory:
            return _product_codes(lists, dim, per_code)
    raise UsageError(
        f"an index of {rows:,} vectors of {dim} dimensions takes at least {least / 1e9:.1f} GB",
        hint="allow it more memory, or `--index none`: then every search reads all vectors",
    )


def _product_codes(lists: int, dim: int, per_code: int) -> str:
    """Return the factory string of inverted lists of product codes, each of ``per_code`` dimensions after a rotation,
    which adds as many as are needed."""
    codes = -(-dim // per_code)
    rotation = f"OPQ{codes}" if codes * per_code == dim else f"OPQ{codes}_{codes * per_code}"
    return f"{rotation},IVF{lists},PQ{codes}x4fs"


def list_count(rows: int) -> int:
    """Return a power of two near ``LIST_FACTOR`` · √rows, between 16 and ``MAX_LISTS``."""
    return int(min(MAX_LISTS, 1 << max(4, round(math.log2(LIST_FACTOR * math.sqrt(max(1, rows)))))))


def code_of(factory: str) -> str:
    """Return how a factory string stores rows, whatever the number of lists: ``SQ8`` for ``IVF4096,SQ8``."""
    return factory.rpartition(",")[2]


def with_lists(factory: str, lists: int) -> str:
    """Return a factory string of an inverted file with another number of lists."""
    return re.sub(r"IVF\d+", f"IVF{lists}", factory, count=1)


def make_index(factory: str, dim: int) -> Any:
    """Create an untrained index. Raises UsageError for a string that FAISS does not understand, or that loses the
    ids."""
    if (degree := cagra_degree(factory)) is not None:
        return faiss.IndexIDMap2(faiss.IndexHNSWCagra(dim, degree // 2, faiss.METRIC_INNER_PRODUCT))
    try:
        index = faiss.index_factory(dim, factory, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise UsageError(
            f"FAISS makes no index of {factory!r} for {dim} dimensions",
            hint="a factory string is like IVF4096,SQ8 (the FAISS wiki has them all), or auto, or none",
        ) from error
    if index.metric_type != faiss.METRIC_INNER_PRODUCT:  # HNSW over PQ falls back to distances.
        raise UsageError(f"{factory} does not rank by inner product")
    lists = inverted_file(index)
    if lists is not None and lists.nlist < 1:
        raise UsageError(f"{factory} has no lists")
    if lists is None and "IDMap" not in factory:
        index = _with_ids(index)
    return index


def _with_ids(index: Any) -> Any:
    """Add an id map to ``index``, below a transform if it has one.

    FAISS passes a filter through a transform unchanged, and translates its ids to row numbers only in an IDMap.
    """
    if not isinstance(index, faiss.IndexPreTransform):
        return faiss.IndexIDMap2(index)
    id_map = faiss.IndexIDMap2(faiss.downcast_index(index.index))
    id_map.own_fields = True  # The transform owned the inner index: now the id map does.
    id_map.this.disown()
    index.index = id_map
    return index


def cagra_degree(factory: str) -> int | None:
    """Return the degree of the graph in ``CAGRA64`` (64 where none is given); None for another factory string.

    Raises UsageError where no such graph can be built here.
    """
    match = _CAGRA.fullmatch(factory)
    if match is None:
        return None
    degree = int(match[1] or 64)
    if not 2 <= degree <= 512 or degree % 2:
        raise UsageError(f"a CAGRA graph has an even degree from 2 to 512, not {degree}")
    if not hasattr(faiss, "GpuIndexCagra"):
        raise UsageError(
            "this FAISS builds no CAGRA graphs: it was built without NVIDIA's cuVS",
            hint="conda install -c pytorch faiss-gpu-cuvs has it; or IVF4096,SQ8, which needs no GPU",
        )
    if not faiss.get_num_gpus():
        raise UsageError("a CAGRA graph is built on a GPU, and FAISS sees none")
    return degree


def inverted_file(index: Any) -> Any | None:
    """Return the IndexIVF inside ``index``, or None."""
    inner = unwrap_index(index)
    return inner if isinstance(inner, faiss.IndexIVF) else None


def unwrap_index(index: Any) -> Any:
    """Return the index inside id maps and transforms."""
    while True:
        if isinstance(index, faiss.IndexPreTransform | faiss.IndexIDMap | faiss.IndexIDMap2):
            index = faiss.downcast_index(index.index)
        else:
            return index


def supports_filters(index: Any) -> bool:
    """Whether this kind supports a selector of ids. Others raise, ignore it, or take ids for row numbers."""
    if isinstance(index, faiss.IndexIDMap | faiss.IndexIDMap2):
        index = faiss.downcast_index(index.index)
        if isinstance(index, faiss.IndexPreTransform):
            return False
    return not isinstance(unwrap_index(index), (*_NO_PARAMETERS, faiss.IndexIVFAdditiveQuantizer))


def largest_probe(index: Any) -> int:
    """Return the largest ``probe`` worth trying; 0 where a kind has no such parameter."""
    inner = unwrap_index(index)
    if isinstance(inner, faiss.IndexIVF):
        return int(inner.nlist)
    return 4096 if isinstance(inner, faiss.IndexHNSW) else 0


def search_parameters(index: Any, probe: int, selector: Any | None = None) -> Any:
    """Build the parameters of one search. They keep no reference to ``selector``, which must outlive the search."""
    if isinstance(index, faiss.IndexPreTransform):
        inner = search_parameters(faiss.downcast_index(index.index), probe, selector)
        return faiss.SearchParametersPreTransform(index_params=inner)
    if isinstance(index, faiss.IndexIDMap | faiss.IndexIDMap2):
        return search_parameters(faiss.downcast_index(index.index), probe, selector)
    if isinstance(index, _NO_PARAMETERS):
        return None
    options = {} if selector is None else {"sel": selector}
    if isinstance(index, faiss.IndexHNSW):
        return faiss.SearchParametersHNSW(efSearch=max(1, probe), **options)
    if not isinstance(index, faiss.IndexIVF):
        return faiss.SearchParameters(**options)
    options["nprobe"] = max(1, min(probe, index.nlist))
    if isinstance(faiss.downcast_index(index.quantizer), faiss.IndexHNSW):
        quantizer_options = faiss.SearchParametersHNSW(efSearch=2 * options["nprobe"])
        options["quantizer_params"] = quantizer_options
    if isinstance(index, faiss.IndexIVFRaBitQ | faiss.IndexIVFRaBitQFastScan):
        return faiss.IVFRaBitQSearchParameters(qb=8, **options)
    if isinstance(index, faiss.IndexIVFPQ):
        return faiss.IVFPQSearchParameters(**options)
    return faiss.SearchParametersIVF(**options)
