"""The search engine of a published collection."""

from __future__ import annotations

import math
from collections.abc import Callable

from imseek.data.milvus import layout
from imseek.data.milvus.client import MAX_ROWS, Client
from imseek.encoders.runtime import Runtime
from imseek.errors import QueryError
from imseek.search.backend import OpenOriginals
from imseek.search.engine import BaseEngine
from imseek.search.milvus.index import Condition
from imseek.search.milvus.publication_cache import PublishedGenerationCache
from imseek.search.milvus.reader import PublishedReader
from imseek.search.query_vectors import EncoderSource


class PublishedEngine(BaseEngine[PublishedReader]):
    """Searches one published collection. Thread-safe."""

    def __init__(
        self,
        client: Client,
        encoder: EncoderSource,
        originals: OpenOriginals,
        runtime: Runtime | None = None,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(PublishedGenerationCache(client), encoder, originals, runtime, notify)

    def _where(self, reader: PublishedReader, where: str) -> Condition:
        # Imported on the first filter, as for a folder.
        from imseek.search.where.columns_and_functions import Kind
        from imseek.search.where.milvus_filter import MilvusColumn, milvus_expression

        kinds = {
            "int": Kind.INT,
            "float": Kind.FLOAT,
            "text": Kind.TEXT,
            "bool": Kind.BOOL,
            "time": Kind.TIME,
        }
        columns = {
            column.name: MilvusColumn(column.field, Kind.DATE if column.name == "day" else kinds[column.kind])
            for column in reader.record.columns
        }
        columns["image_id"] = MilvusColumn(layout.ID, Kind.INT)
        return Condition(milvus_expression(where, columns, _tag_expression, _nearby_search(reader)))


def _tag_expression(tag: str) -> str:
    """Return the Milvus expression for images with a tag."""
    return f'{layout.MARKS} like "%{layout.encode_tag(tag)}%"'


def _nearby_search(reader: PublishedReader) -> Callable[[float, float, float], list[int]]:
    """Return a function that finds the images within a distance of a point.

    Milvus cannot compute distances on a sphere, so it is queried for a band of latitudes or a box, and the distances
    of the images in it are computed here.
    """

    def nearby(latitude: float, longitude: float, kilometres: float) -> list[int]:
        from imseek.search.where.columns_and_functions import EARTH_KM

        fields = {column.name: column.field for column in reader.record.columns}
        north, east = fields.get("latitude"), fields.get("longitude")
        if north is None or east is None:
            raise QueryError("no places are published with these images")
        angle = kilometres / EARTH_KM
        most = math.sin(angle / 2) ** 2 if angle < math.pi else 2.0
        band = math.degrees(angle) + 1e-6
        box = f"{north} >= {latitude - band!r} and {north} <= {latitude + band!r}"
        wide = _half_width(latitude, angle)
        if wide is not None and longitude - wide >= -180 and longitude + wide <= 180:
            box += f" and {east} >= {longitude - wide!r} and {east} <= {longitude + wide!r}"
        rows = reader.client.query(
            reader.record.rows,
            f"{north} is not null and {east} is not null and {box}",
            [layout.ID, north, east],
        )
        if len(rows) >= MAX_ROWS:
            raise QueryError(f"{MAX_ROWS:,} images or more lie around there", hint="a smaller distance in near()")
        return [
            int(row[layout.ID])
            for row in rows
            if _haversine(row[north] - latitude, row[east] - longitude, row[north], latitude) <= most
        ]

    return nearby


def _half_width(latitude: float, angle: float) -> float | None:
    """Return half the width of the box in degrees of longitude.

    None near a pole, where the box would circle the earth.
    """
    across = math.cos(math.radians(latitude))
    if angle >= math.pi / 2 or math.sin(angle) >= across:
        return None
    return math.degrees(math.asin(math.sin(angle) / across)) + 1e-6


def _haversine(up: float, right: float, latitude_a: float, latitude_b: float) -> float:
    """Return the haversine of the angle between two points, whose differences and latitudes are in degrees.

    See :data:`imseek.search.where.columns_and_functions.NEAR_SQL`.
    """
    cosines = math.cos(math.radians(latitude_a)) * math.cos(math.radians(latitude_b))
    return math.sin(math.radians(up) / 2) ** 2 + cosines * math.sin(math.radians(right) / 2) ** 2
