"""Rerankers: models that look at a query and its best candidates together, and order these anew.

A reranker is slower than comparing vectors, and sees more: pictures in full, texts beside them. Two are our own
(:mod:`imseek.search.caption_reranker`, :mod:`imseek.search.token_reranker`), others are entry points of the group
``imseek.rerankers`` (docs/plugins.md). They run only in searches that name them (docs/decisions/0043-rerankers.md).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, Self, TypeAlias, runtime_checkable

import numpy as np

from imseek.data.vectors.base import Ids
from imseek.encoders.input_checks import available_cpus
from imseek.encoders.runtime import Runtime
from imseek.errors import ImseekError, PluginError, QueryError, StaleGenerationError, did_you_mean
from imseek.plugins import find_plugins
from imseek.search.candidate_set import CandidateSet, StageContext, concatenate
from imseek.search.query import Query, Term
from imseek.search.query_vectors import decode_picture
from imseek.search.region import Region, decode_region
from imseek.types.arrays import Float32, Pixels

if TYPE_CHECKING:
    from imseek.search.prepared_query import PreparedQuery

#: Kinds of terms that a reranker may read, and kinds of data about candidates that it may look up.
TermKind: TypeAlias = Literal["text", "picture"]
CandidateData: TypeAlias = Literal["pictures", "metadata", "vectors"]

#: Rerankers of our own, which come first.
OWN: Final = ("captions", "tokens")
#: Seconds that a reranker has for one query.
MAX_SECONDS: Final = 60.0
#: Answers of a reranker that are kept for their further pages.
_MAX_CACHED: Final = 32


@runtime_checkable
class Reranker(Protocol):
    """Scores the best candidates of a query. Must be thread-safe.

    ``name`` and ``version`` appear in notes; another version may order differently. ``reads`` are the kinds of terms
    that it understands, ``"text"`` and ``"picture"``: a query with others is refused. ``needs`` are the data that it
    looks up, of ``"pictures"``, ``"metadata"`` and ``"vectors"``; others are refused to it.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def reads(self) -> Collection[TermKind]: ...

    @property
    def needs(self) -> Collection[CandidateData]: ...

    def score(self, request: RerankRequest) -> Float32:
        """Return (n,) float32 finite scores of the n candidates, the higher the better, on any scale.

        Equal scores keep the order that the candidates had. Whatever it raises ends the search; an
        :class:`imseek.errors.ImseekError` is shown to the user as it is.
        """
        ...


class RerankContext(StageContext, Protocol):
    """What this stage looks up besides what others do."""

    @property
    def reranker(self) -> LoadedReranker | None:
        """The reranker that the query names."""
        ...

    @property
    def each(self) -> Sequence[PreparedQuery]:
        """The query as each collection has it."""
        ...

    @property
    def digest(self) -> bytes:
        """Identifies the query and the generations searched, whatever the page."""
        ...

    def metadata(self, candidates: CandidateSet) -> list[Mapping[str, Any]]:
        """Return (m,) metadata."""
        ...

    def open_originals(self) -> AbstractContextManager[Callable[[int, int], bytes]]:
        """Open what returns the bytes of a picture, by the index of its collection and its id."""
        ...


class RerankRequest:
    """A query and its n best candidates, best first. Their data is read when first used.

    Methods raise PluginError for data that the reranker does not name in its ``needs``, and once it has taken more
    than 60 seconds. A reranker that computes for long without them calls :meth:`check_time`.
    """

    def __init__(self, reranker: Reranker, query: Query, candidates: CandidateSet, context: RerankContext) -> None:
        self.query = query
        self._reranker, self._candidates, self._context = reranker, candidates, context
        self._end = time.monotonic() + MAX_SECONDS
        self._stack = ExitStack()
        self._read: Callable[[int, int], bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __len__(self) -> int:
        """The number of candidates."""
        return len(self._candidates)

    @property
    def ids(self) -> Ids:
        """(n,) int64 ids of the images; of several collections searched together, ids may repeat."""
        return self._candidates.ids

    @property
    def scores(self) -> Float32:
        """(n,) float32 scores of the search so far: cosines, or shares of words in a search by text."""
        return self._candidates.scores

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts of the query that are wanted; ``query.terms`` has all, with their weights."""
        return tuple(term.text for term in self.query.terms if term.text is not None and term.weight > 0)

    @property
    def collections(self) -> Sequence[PreparedQuery]:
        """The query as each collection has it, for rerankers of our own."""
        return self._context.each

    def metadata(self) -> list[Mapping[str, Any]]:
        """Return the metadata of each candidate, as hits have it: ``caption``, ``keywords``, ``text``…"""
        self._check("metadata")
        return self._context.metadata(self._candidates)

    def vectors(self) -> Float32:
        """Return (n, dim) float32 unit rows, whose dot products say how similar two candidates are."""
        self._check("vectors")
        return self._context.vectors(self._candidates)

    def pixels(self, position: int, *, min_side: int | None = None) -> Pixels | None:
        """Return the picture of a candidate, (h, w, 3) uint8 sRGB, upright; None if it is gone or cannot be read.

        It is decoded as for indexing, in a confined process where its format asks for that. With ``min_side``, it may
        be a smaller copy whose shorter side has that many pixels, which is much faster for large photographs.
        Thread-safe.
        """
        self._check("pictures")
        image_id, owner = int(self._candidates.ids[position]), int(self._candidates.owners[position])
        return self._decode_stored(owner, image_id, min_side)

    def pictures(self, *, min_side: int | None = None) -> Iterator[Pixels | None]:
        """Yield what :meth:`pixels` returns for each candidate, in order; several are decoded at a time."""
        self._check("pictures")
        with ThreadPoolExecutor(threads := available_cpus()) as pool:
            ahead: list[Future[Pixels | None]] = []
            try:
                for position in range(len(self)):
                    ahead.append(pool.submit(self.pixels, position, min_side=min_side))
                    if len(ahead) > threads:
                        yield ahead.pop(0).result()
                while ahead:
                    yield ahead.pop(0).result()
            finally:
                for future in ahead:
                    future.cancel()

    def term_pixels(self, term: Term, *, min_side: int | None = None) -> Pixels:
        """Return the picture of a term, or its region: of a file, a URL or a stored image; as :meth:`pixels`.

        Raises QueryError if there is none that can be read, MediaError if the network fails.
        """
        self.check_time()
        if term.image_id is None:
            return decode_picture(term, min_side)
        self._check("pictures")
        if (pixels := self._decode_stored(0, int(term.image_id), min_side, term.region)) is None:
            raise QueryError(f"the picture of image {term.image_id} cannot be read", hint="is its source mounted?")
        return pixels

    def check_time(self) -> None:
        """Raise PluginError once the reranker has taken more than its 60 seconds."""
        if time.monotonic() > self._end:
            raise PluginError(
                f"the reranker {self._reranker.name} {self._reranker.version} took more than {MAX_SECONDS:.0f} seconds",
                hint="let it see fewer images: a smaller rerank limit",
            )

    def _check(self, data: CandidateData) -> None:
        self.check_time()
        if data not in self._reranker.needs:
            raise PluginError(f"the reranker {self._reranker.name} looks up {data}, which its `needs` do not name")
        if data == "pictures" and self._read is None:
            self._read = self._stack.enter_context(self._context.open_originals())

    def _decode_stored(
        self, owner: int, image_id: int, min_side: int | None, region: Region | None = None
    ) -> Pixels | None:
        assert self._read is not None
        try:
            return decode_region(self._read(owner, image_id), region, min_side)
        except StaleGenerationError:
            raise
        except (ImseekError, OSError):
            return None


@dataclass(frozen=True, slots=True)
class LoadedReranker:
    """A reranker that is ready for queries, with its recent scores: further pages must follow the order of the first.

    ``error`` returns an error that names its package and the fault. ``no_scores`` is the message for one of ours that
    returns only zeros because it has nothing to compare.
    """

    reranker: Reranker
    error: Callable[[str], PluginError]
    recent: OrderedDict[bytes, Float32] = field(default_factory=OrderedDict)
    no_scores: str | None = None

    def check_query(self, query: Query) -> None:
        """Raise QueryError for a query with a term that the reranker does not understand."""
        kinds = {"text" if term.text is not None else "picture" if term.shows else "vector" for term in query.terms}
        if others := sorted(kinds - {*self.reranker.reads}):
            reads = " and ".join(f"{kind}s" for kind in sorted(self.reranker.reads))
            raise QueryError(f"the reranker {self.reranker.name} compares {reads}, and the query has a {others[0]}")

    def note(self, count: int, *, is_ordered: bool) -> str:
        """Say in one line who ordered the best ``count`` hits, or why nobody did."""
        if not is_ordered and self.no_scores is not None:
            return self.no_scores
        return f"the best {count:,} are in the order of the reranker {self.reranker.name} {self.reranker.version}"

    def scores(self, query: Query, candidates: CandidateSet, context: RerankContext) -> Float32:
        """Return the scores (n,) of candidates; on further pages those of the first, if they are still known.

        Raises PluginError if the reranker fails or returns anything else than n finite numbers.
        """
        key = context.digest + candidates.ids.tobytes() + candidates.owners.tobytes()
        if query.page is not None and (cached := self.recent.get(key)) is not None:
            return cached
        try:
            with RerankRequest(self.reranker, query, candidates, context) as request:
                returned = self.reranker.score(request)
        except ImseekError:
            raise
        except Exception as error:
            raise self.error(f"fails: {type(error).__name__}: {error}") from error
        scores = self._check_scores(returned, len(candidates))
        self.recent[key] = scores
        while len(self.recent) > _MAX_CACHED:
            self.recent.popitem(last=False)
        return scores

    def _check_scores(self, returned: object, count: int) -> Float32:
        try:
            scores = np.asarray(returned)
            shape, is_real = scores.shape, scores.dtype.kind in "fiu"
        except ValueError:  # Rows of different lengths.
            shape, is_real = (), False
        if not is_real or shape != (count,):
            description = f"an array {shape} of {scores.dtype}" if is_real else f"a {type(returned).__name__}"
            raise self.error(f"returns {description}, and not {count} scores")
        with np.errstate(over="ignore"):  # Checked in the next line.
            scores = scores.astype(np.float32)
        if not np.isfinite(scores).all():
            raise self.error("returns scores that are not finite")
        return scores


def load_reranker(
    name: str, *, runtime: Runtime | None = None, notify: Callable[[str], None] | None = None
) -> LoadedReranker:
    """Load a reranker, ours or a plugin's.

    Raises QueryError for an unknown name, PluginError if it is unusable, MissingExtraError if its weights are missing.
    """
    if name in OWN:
        reranker, no_scores = _load_own(name, runtime, notify)
        return LoadedReranker(
            reranker, lambda problem: PluginError(f"the reranker {name} {problem}"), no_scores=no_scores
        )
    plugins = find_plugins("imseek.rerankers")
    if name not in plugins:
        raise QueryError(f"there is no reranker {name!r}", hint=did_you_mean(name, known_rerankers()))
    plugin = plugins[name]
    make = plugin.load()
    try:
        plugin_reranker = make(runtime=runtime, notify=notify)
    except ImseekError:
        raise
    except Exception as error:
        raise plugin.error(f"fails: {type(error).__name__}: {error}") from error
    if not isinstance(plugin_reranker, Reranker) or plugin_reranker.name != name:
        raise plugin.error(f"makes no Reranker of that name, but {plugin_reranker!r:.80}")
    return LoadedReranker(plugin_reranker, plugin.error)


def _load_own(name: str, runtime: Runtime | None, notify: Callable[[str], None] | None) -> tuple[Reranker, str]:
    """Load a reranker of our own, with what to say where it has nothing to compare."""
    if name == "captions":
        from imseek.search.caption_reranker import NO_CAPTION, CaptionReranker

        return CaptionReranker(runtime=runtime, notify=notify), NO_CAPTION
    from imseek.search.token_reranker import NO_TOKENS, TokenReranker

    return TokenReranker(runtime=runtime, notify=notify), NO_TOKENS


def known_rerankers() -> list[str]:
    """Return the names of rerankers, ours and those of plugins, without loading any."""
    return list(dict.fromkeys([*OWN, *find_plugins("imseek.rerankers")]))


def order_by_reranker(candidates: CandidateSet, query: Query, context: RerankContext) -> CandidateSet:
    """Order the best ``rerank_limit`` candidates by the reranker of the query, then append the rest.

    The relevance, by which later stages weigh candidates, keeps its values, which are now in another order: scores of
    a reranker have a scale of their own, which those of the rest do not share.
    One of our own that has nothing to compare leaves the candidates without scores.
    """
    best = candidates.take(range(min(query.rerank_limit, len(candidates))))
    loaded = context.reranker
    assert loaded is not None
    if not len(best):
        return candidates
    scores = loaded.scores(query, best, context)
    if loaded.no_scores is not None and not scores.any():
        return candidates
    order = np.argsort(-scores, kind="stable")
    ranked = replace(best.take(order), relevance=best.relevance, reranked=scores[order])
    rest = candidates.take(range(len(best), len(candidates)))
    return replace(concatenate([ranked, rest]), irrelevant=candidates.irrelevant)
