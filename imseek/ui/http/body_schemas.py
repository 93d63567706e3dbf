"""Request and response bodies of the routes, as the OpenAPI document shows them."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from imseek.jobs import Job
from imseek.search import OptionField, option_fields
from imseek.types.collection_info import CollectionInfo
from imseek.types.pictures import Image
from imseek.types.search_results import MatchField, SearchResult
from imseek.types.word_completions import SuggestionKind
from imseek.ui.render.result_json import to_json
from imseek.ui.server.places import without_places
from imseek.ui.server.query_bounds import bounds_of
from imseek.ui.server.service import EmbeddingResult

#: Maximum number of members of an object, and of elements of a list.
MEMBERS: Final = 64
ELEMENTS: Final = 1000


class Body(BaseModel):
    """JSON sent by a client. ``true`` is refused where a number is expected: in Python it is one."""

    @model_validator(mode="before")
    @classmethod
    def _has_numbers_for_numbers(cls, body: Any) -> Any:
        if isinstance(body, dict):
            for name, field in cls.model_fields.items():
                member = field.alias or name
                value = body.get(member)
                if field.annotation is bool:
                    continue
                if isinstance(value, bool) or (
                    isinstance(value, list) and any(one is True or one is False for one in value)
                ):
                    raise ValueError(f"{member} must not be true or false")
        return body


class Strict(Body):
    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _is_small(cls, body: Any) -> Any:
        """Check sizes before the members are validated: millions of wrong ones would give a kilobyte of errors each."""
        if isinstance(body, dict):
            if len(body) > MEMBERS:
                raise ValueError(f"an object has at most {MEMBERS} members")
            if any(isinstance(value, list) and len(value) > ELEMENTS for value in body.values()):
                raise ValueError(f"a list has at most {ELEMENTS:,} elements")
        return body


def _member(one: OptionField) -> tuple[Any, Any]:
    """Return an option as type and field of a model."""
    hint, default = (list[int], []) if one.kind is tuple else (one.hint, one.default)
    return hint, Field(default, description=one.option.help, **bounds_of(one.name))


_OPTIONS: Final = {name: _member(one) for name, one in option_fields().items()}


class _Terms(Strict):
    text: str | list[str | dict[str, Any]] | None = None
    like: Any = Field(None, description="URLs of pictures, ids of stored images, or terms as objects.")
    not_: Any = Field(None, alias="not", description="What is not wanted: words, or terms as objects.")


if TYPE_CHECKING:
    _Query = _Terms  # Only `document` reads the members, all of them.
else:
    _Query = create_model("_Query", __base__=_Terms, **_OPTIONS)


class QueryBody(_Query):
    """A query; docs/queries.md says what each member does. Terms are words, or objects with one of ``text``, ``url``,
    ``image_id``, ``vector``, ``picture`` (base64), and a ``weight``."""

    vectors: bool = Field(False, description="Hits carry their vectors.")

    def document(self) -> dict[str, Any]:
        """Return the query as :func:`imseek.search.query_json.query_from_json` reads it."""
        members = self.model_dump(by_alias=True, exclude={"vectors"}, exclude_unset=True)
        return {name: value for name, value in members.items() if value is not None}


class _Words(BaseModel):
    q: str = Field(min_length=1, max_length=4000, description="What to look for, in words.")
    not_: list[str] = Field([], alias="not", max_length=16, description="What is not wanted.")


if TYPE_CHECKING:
    _WordQuery = _Words
else:
    _WordQuery = create_model("_WordQuery", __base__=_Words, **_OPTIONS)


class WordQuery(_WordQuery):
    """A query by words in the parameters of an address."""

    def document(self) -> dict[str, Any]:
        """Return the query as :func:`imseek.search.query_json.query_from_json` reads it."""
        members = self.model_dump(by_alias=True, exclude_unset=True)
        return {"text" if name == "q" else name: value for name, value in members.items() if value is not None}


class Batch(Strict):
    queries: list[QueryBody] = Field(min_length=1, max_length=256)


class EmbedBody(Strict):
    """Texts and pictures to encode with the encoder of a collection, by default of the first one."""

    collection: str | None = None
    texts: list[str] = []
    pictures: list[str] = Field([], description="Files of pictures, in base64.")


class Embeddings(BaseModel):
    """A unit vector for each text and each picture, in their order; those of one ``fingerprint`` are comparable."""

    encoder: str
    fingerprint: str
    dim: int
    texts: list[list[float]]
    pictures: list[list[float]]


class MatchBody(BaseModel):
    """Why an image is a hit: where the query matched, or the reranker that scored it."""

    field: MatchField
    words: list[str]
    excerpt: str | None = None
    score: float | None = None


class HitBody(BaseModel):
    image_id: int
    source_id: int | None
    score: float = Field(ge=-1, le=1)
    uri: str | None
    path: str | None = Field(description="Null where the server keeps places to itself.")
    path_b64: str | None = Field(None, description="The bytes of a path that is not UTF-8.")
    metadata: dict[str, Any]
    duplicates: list[int]
    matches: list[MatchBody]
    group: str | None
    image: str = Field(description="Where the picture is, on this server.")
    thumbnail: str
    vector: list[float] | None = None


class SpaceBody(BaseModel):
    space_id: int
    encoder: str
    weight: float


class GroupBody(BaseModel):
    """The next ``hits`` of an answer of ``size`` hits."""

    name: str | None
    size: int
    hits: int


class Answer(BaseModel):
    """``cut``: how many a cutoff left out; ``lost``: the share of relevant images among these, where the collection is
    calibrated; ``nothing``: whether the cutoff left out all; ``next_page``: what ``page`` takes for the hits after
    these."""

    schema_: int = Field(1, alias="schema")
    collection: str
    uuid: str
    encoder: str
    generation: int
    searched: int
    approximate: bool
    cut: int | None
    lost: float | None = None
    nothing: bool
    next_page: str | None
    notes: list[str]
    spaces: list[SpaceBody]
    groups: list[GroupBody]
    hits: list[HitBody]


class Answers(BaseModel):
    answers: list[Answer]


class CollectionBody(BaseModel):
    name: str
    uuid: str
    images: int
    generation: int
    encoder: str
    quality: str
    dim: int
    index: str
    fingerprint: str
    captions: bool


class Collections(BaseModel):
    collections: list[str]


class ImageBody(BaseModel):
    image_id: int
    content_hash: str
    source_id: int | None
    uri: str | None
    path: str | None
    path_b64: str | None = None
    metadata: dict[str, Any]
    tags: list[str]


class SuggestionBody(BaseModel):
    """A text that continues the words that are being typed. A ``tag`` is for a filter: words do not find it."""

    text: str
    kind: SuggestionKind


class Suggestions(BaseModel):
    suggestions: list[SuggestionBody]


class AlbumSummary(BaseModel):
    """An album; `cover` is the id of the image that stands for it, null for an empty one."""

    name: str
    images: int
    cover: int | None


class Albums(BaseModel):
    albums: list[AlbumSummary]


class AlbumBody(BaseModel):
    """An album with the ids of its images, in its order."""

    name: str
    cover: int | None
    image_ids: list[int]


class JobBody(BaseModel):
    job_id: int
    kind: str
    state: str
    started: str
    ended: str | None
    exit_code: int | None
    progress: dict[str, Any]


class NewJob(Strict):
    """A run that brings the collection in line with the sources that it has."""

    command: Literal["index"] = "index"
    rehash: bool = False
    retry_failed: bool = False


class Jobs(BaseModel):
    jobs: list[JobBody]


class Status(BaseModel):
    status: str


def answer(result: SearchResult, name: str, *, places: bool) -> Answer:
    if not places:
        result = without_places(result)
    body = to_json(result)
    body["spaces"] = [asdict(one) for one in result.spaces]  # weights with all digits
    for hit, row in zip(result.hits, body["hits"], strict=True):
        at = f"/collections/{quote(name, safe='')}/images/{hit.image_id}"
        row |= {"group": hit.group, "image": f"{at}/file", "thumbnail": f"{at}/thumbnail"}
    return Answer(schema=1, collection=name, uuid=result.collections[0].collection, **body)


def embeddings(result: EmbeddingResult) -> Embeddings:
    texts, pictures = (np.round(rows.astype(np.float64), 8).tolist() for rows in (result.texts, result.pictures))
    return Embeddings(
        encoder=result.encoder,
        fingerprint=result.fingerprint,
        dim=result.texts.shape[1],
        texts=texts,
        pictures=pictures,
    )


def collection(info: CollectionInfo, name: str, *, captions: bool) -> CollectionBody:
    space = info.encoder
    return CollectionBody(
        name=name,
        uuid=info.uuid,
        images=info.images,
        generation=info.generation,
        encoder=space.encoder,
        quality=space.quality,
        dim=space.dim,
        fingerprint=space.fingerprint,
        index=info.index,
        captions=captions,
    )


def image(record: Image, *, places: bool) -> ImageBody:
    return ImageBody(**to_json(record if places else replace(record, place=None)))


def job(record: Job) -> JobBody:
    return JobBody(**to_json(record))
