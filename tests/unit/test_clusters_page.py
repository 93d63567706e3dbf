"""The page of clusters, and their CSV: what they make of values from anywhere."""

from __future__ import annotations

import csv
import io
from html.parser import HTMLParser

import pytest

from imseek.clusters.results import Cluster, ClusterReport, OutlierReport, SampleReport, Shown
from imseek.types.pictures import Place
from imseek.ui.cli import clusters, outliers, sample
from imseek.ui.render.clusters_page import page, totals

pytestmark = pytest.mark.slow

NASTY = "</h2><script>alert(1)</script>"


def shown(image_id: int, path: bytes = b"/photos/a.jpg") -> Shown:
    return Shown(image_id, 0.9, Place(1, path, "file:///photos/a.jpg"))


def cluster(number: int, **values: object) -> Cluster:
    facts = {"size": 3, "cohesion": 0.8, "separation": 0.25, "neighbour": 1, "medoids": (shown(number),)}
    return Cluster(number, **{**facts, **values})  # type: ignore[arg-type]


def report(*clusters: Cluster, **values: object) -> ClusterReport:
    facts = {"noise": None, "chosen": "as asked for", "images": 9, **values}
    return ClusterReport("uuid", 7, "fake", "k-means", clusters=clusters, **facts)  # type: ignore[arg-type]


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}


def test_names_run_nothing() -> None:
    mean = shown(4, b'/p/"><img src=x onerror=alert(1)>\x1b[2J\xff.jpg')
    found = report(cluster(1, name=NASTY, contrast=5.0, medoids=(mean,)), notes=(NASTY,))
    text = "".join(page(found, lambda image_id: b"WEBP", title=NASTY))
    tags = Tags(text)
    assert "script" not in tags.tags
    assert tags.tags.count("img") == 1
    assert not {name for name in tags.attributes if name.startswith("on")}
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in text
    assert "\x1b" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_clusters_without_a_name_and_what_is_in_none() -> None:
    noise = cluster(0, cohesion=None, separation=None, neighbour=None, size=2)
    text = "".join(page(report(cluster(1), noise=noise), lambda image_id: None, title="T"))
    assert "1. <bdi>(no name)</bdi>" in text
    assert "<h2><bdi>in no cluster</bdi>" in text
    assert text.count("cannot be read") == 2
    assert '<a href="#c1">1</a>' in text
    assert totals(report(cluster(1), noise=noise)) == ("1 cluster of 9 images, 2 images in none; k-means, as asked for")
    assert totals(report(images=0)) == "no images"


def test_copies_are_said_to_be_identical() -> None:
    copies, alone = cluster(1, cohesion=1.0, name="a cat"), cluster(2, cohesion=1.0, size=1)
    text = "".join(page(report(copies, alone, cluster(3, cohesion=0.9999)), lambda image_id: None, title="T"))
    assert text.count(" · identical") == 1
    assert text.count("cohesion 1.00") == 2
    assert " sd" not in text


def test_a_page_holds_so_many_clusters() -> None:
    many = report(*(cluster(n) for n in range(1, 504)))
    text = "".join(page(many, lambda image_id: b"WEBP", title="T"))
    assert text.count("<section") == 500
    assert "Left out of this page: 3 clusters." in text


def rows_of(write: object, found: object) -> list[dict[str, str]]:
    file = io.StringIO(newline="")
    write(found, file)  # type: ignore[operator]
    return list(csv.DictReader(io.StringIO(file.getvalue(), newline="")))


def test_csv_has_exact_paths() -> None:
    strange = shown(4, b"/p/caf\xe9\n.jpg")
    (row,) = rows_of(clusters.write_csv, report(cluster(1, name="a, b", medoids=(strange,))))
    assert (row["cluster"], row["name"], row["size"], row["cohesion"]) == ("1", "a, b", "3", "0.8")
    assert row["path_b64"] == "L3AvY2Fm6QouanBn"
    lost = Shown(5, 0.25, None)
    odd = OutlierReport("uuid", 7, "fake", "knn", 9, 9, 8, (lost,), 0.1, copies={5: 2})
    (row,) = rows_of(outliers.write_csv, odd)
    assert (row["score"], row["copies"], row["image_id"], row["path"]) == ("0.25", "2", "5", "")
    some = SampleReport("uuid", 7, "fake", "random", 9, (lost,), (9,), 0.5, 0.2)
    (row,) = rows_of(sample.write_csv, some)
    assert (row["weight"], row["image_id"]) == ("9", "5")
