"""The page of a map: what it holds, as a browser's script reads it, and that nothing in it can become markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib import resources

import numpy as np
import pyarrow as pa
import pytest

from imseek.maps.results import MapInfo
from imseek.ui.render.map_page import page
from imseek.ui.render.map_page.colouring import CLASSES, NONE, OTHERS, SCALE, colour_by_column

pytestmark = pytest.mark.slow

INFO = MapInfo("map", "umap", "fake", "f" * 64, 0, 15, 0.1, None, 3, 1, 0.875, 10, 40, "2026-11-25T00:00:00+00:00")
HOSTILE = "</script><script>alert(1)</script><!--<b onload=x>\u202e"


def table(paths, values=None, fitted=None):
    n = len(paths)
    columns = {
        "image_id": pa.array(range(100, 100 + n), pa.int64()),
        "x": pa.array(np.linspace(-3, 5, n), pa.float32()),
        "y": pa.array(np.linspace(0, 2, n), pa.float32()),
        "fitted": pa.array(fitted or [True] * n),
        "path": pa.array(paths, pa.string()),
    }
    if values is not None:
        columns["label"] = values if isinstance(values, pa.Array) else pa.array(values)
    return pa.table(columns)


class Page(HTMLParser):
    """What a browser makes of it: the text of each element by its id, and its policy."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.by_id: dict[str, str] = {}
        self.scripts: list[tuple[str | None, str]] = []
        self.styles: list[str] = []
        self.tags: list[str] = []
        self.title = ""
        self._at: tuple[str, dict[str, str | None]] = ("", {})
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        self._at = (tag, dict(attrs))
        if tag == "meta" and dict(attrs).get("http-equiv") == "Content-Security-Policy":
            self.policy = dict(attrs)["content"]
        if tag == "script":
            self.scripts.append((dict(attrs).get("type"), ""))

    def handle_data(self, data) -> None:
        tag, attrs = self._at
        if tag == "script":
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
        if tag == "style":
            self.styles.append(data)
        if tag == "title":
            self.title += data
        if attrs.get("id"):
            self.by_id[attrs["id"]] = self.by_id.get(attrs["id"], "") + data

    def handle_endtag(self, tag) -> None:
        self._at = ("", {})

    @property
    def data(self):
        return json.loads(self.by_id["data"])

    @property
    def thumbnails(self):
        return json.loads(self.by_id["thumbnails"])


def made(*args, **given) -> Page:
    return Page("".join(page(*args, **{"info": INFO, "title": "Map of x", **given})))


def numbers(text: str, kind: str) -> list:
    return np.frombuffer(base64.b64decode(text), kind).tolist()


class TestData:
    def test_values_are_in_the_page(self) -> None:
        colour = made(table(["/1", "/2", "/3"], ["b", "a", None]), colour="label").data["colour"]
        assert [colour["labels"][at] for at in numbers(colour["values"], "<u4")] == ["b", "a", "no value"]
        colour = made(table(["/1", "/2"], [0.5, 2.5]), colour="label").data["colour"]
        assert numbers(colour["values"], "<f4") == [0.5, 2.5]

    def test_where_things_are(self) -> None:
        found = made(table(["/a/b/1.jpg", "/a/2.jpg", None, "/a/b/3.jpg"], fitted=[True, True, True, False])).data
        assert found["count"] == 4
        assert found["ids"] == [100, 101, 102, 103]
        # Eight wide and two high: moved to the middle, scaled alike.
        assert numbers(found["x"], "<f4") == pytest.approx([-1, -1 / 3, 1 / 3, 1])
        assert numbers(found["y"], "<f4") == pytest.approx([-0.25, -1 / 12, 1 / 12, 0.25])
        folders = [found["folders"][at] for at in numbers(found["folder"], "<u4")]
        assert list(zip(folders, found["names"], strict=True)) == [
            ("/a/b", "1.jpg"),
            ("/a", "2.jpg"),
            ("", "place unknown"),
            ("/a/b", "3.jpg"),
        ]
        assert found["folders"] == ["/a/b", "/a", ""]
        assert numbers(found["placed"], "u1") == [0, 0, 0, 1]
        assert found["colour"] is None
        assert numbers(found["shades"], "u1") == [0] * 4

    def test_thumbnails_are_those_asked_for_that_can_be_read(self) -> None:
        asked = []

        def thumbnail(image_id):
            asked.append(image_id)
            return None if image_id == 101 else f"picture {image_id}".encode()

        found = made(table([f"/{n}.png" for n in range(5)]), pictured=[3, 1, 0], thumbnail=thumbnail)
        assert asked == [103, 101, 100]
        assert numbers(found.data["pictured"], "<u4") == [3, 0]
        assert [base64.b64decode(one) for one in found.thumbnails] == [b"picture 103", b"picture 100"]
        assert "thumbnails of 2, of the others the path only" in found.by_id["about"]
        assert "1 pictures could not be read or were too many" in found.by_id["about"]

    def test_thumbnails_are_bounded(self, monkeypatch) -> None:
        monkeypatch.setattr("imseek.ui.render.map_page.document.MAX_BYTES", 25)
        found = made(table(["/1", "/2", "/3", "/4"]), pictured=[0, 1, 2, 3], thumbnail=lambda _: b"x" * 10)
        assert len(found.thumbnails) == 3

    def test_one_image_and_one_place(self) -> None:
        assert numbers(made(table(["/1.png"])).data["x"], "<f4") == [0]
        assert made(table([])).data["count"] == 0

    def test_what_it_says_of_itself(self) -> None:
        about = made(table(["/1.png"])).by_id["about"]
        assert about == "1 image; UMAP of fake; trustworthiness 0.875; no thumbnails"


class TestColours:
    def test_classes_by_frequency_then_name(self) -> None:
        found = colour_by_column("label", pa.chunked_array([["b", "a", "c", "a", None, "c"]]), str)
        assert found.colours == (*CLASSES[:3], OTHERS, NONE)
        assert found.shades.tolist() == [2, 0, 1, 0, 4, 1]
        assert found.legend["legend"] == [
            {"label": "a", "count": 2, "shade": 0},
            {"label": "c", "count": 2, "shade": 1},
            {"label": "b", "count": 1, "shade": 2},
            {"label": "no value", "count": 1, "shade": 4},
        ]
        labels = [found.legend["labels"][at] for at in found.values]
        assert labels == ["b", "a", "c", "a", "no value", "c"]

    def test_rarer_classes_are_grey_and_keep_their_label(self) -> None:
        names = [f"{n:02}" for n in range(30)]
        found = colour_by_column("label", pa.chunked_array([names * 2 + ["00"]]), str)
        assert found.shades[:30].tolist() == [*range(20), *[20] * 10]
        assert found.colours[20] == OTHERS
        assert found.legend["legend"][-1] == {"label": "10 others", "count": 20, "shade": 20}
        assert found.legend["labels"][found.values[29]] == "29"

    def test_the_rarest_labels_are_left_out(self, monkeypatch) -> None:
        monkeypatch.setattr("imseek.ui.render.map_page.colouring._MAX_LABELS", 2)
        found = colour_by_column("label", pa.chunked_array([["a", "a", "b", "b", "c"]]), str)
        assert found.legend["labels"] == ["a", "b", "others", "no value"]
        assert found.values.tolist() == [0, 0, 1, 1, 2]

    def test_numbers_on_a_scale(self) -> None:
        found = colour_by_column("score", pa.chunked_array([[1.0, 3.0, None, 2.0, float("nan")]]), str)
        assert found.colours == (*SCALE, NONE)
        assert found.shades.tolist() == [0, 254, 255, 127, 255]
        assert (found.legend["low"], found.legend["high"], found.legend["none"]) == (1, 3, 2)
        assert found.values[:2].tolist() == [1, 3]

    @pytest.mark.parametrize(
        ("values", "kind"),
        [
            (list(range(64)), "class"),
            (list(range(65)), "number"),
            ([True, False, None], "class"),
            ([None, None], "class"),
            ([1.5, 1.5], "number"),
        ],
    )
    def test_what_counts_as_a_class(self, values, kind) -> None:
        assert colour_by_column("c", pa.chunked_array([pa.array(values)]), str).legend["kind"] == kind

    def test_times(self) -> None:
        from datetime import datetime

        times = pa.chunked_array([pa.array([datetime(2020, 1, 1), None, datetime(2022, 1, 1)])])
        found = colour_by_column("taken_at", times, str)
        assert found.legend["low"] == pytest.approx(2020, abs=0.01)
        assert found.legend["high"] == pytest.approx(2022, abs=0.01)
        assert found.shades.tolist() == [0, 255, 254]

    def test_paths_without_what_they_have_in_common(self) -> None:
        found = colour_by_column("folder", pa.chunked_array([["/home/me/a", "/home/me/b/c", "/home/me/a"]]), str)
        assert [entry["label"] for entry in found.legend["legend"]] == ["a", "b/c"]
        assert found.legend["column"] == "folder below …/me/"
        for kept in (["/home", "/home/me"], ["/a", "b"], ["/a"], ["/a", "/b"]):
            labels = [
                one["label"] for one in colour_by_column("folder", pa.chunked_array([kept]), str).legend["legend"]
            ]
            assert labels == kept


class TestHostile:
    def test_names_and_values_stay_text(self) -> None:
        found = made(table([f"/{HOSTILE}/{HOSTILE}.png", "/ok.png"], [HOSTILE, "x"]), title=HOSTILE, colour="label")
        plain = made(table(["/a/a.png", "/ok.png"], ["y", "x"]), colour="label")
        assert found.tags == plain.tags, "no element came of a name"
        assert len(found.scripts) == 3
        escaped = HOSTILE.replace("\u202e", "\\u202e")
        assert found.title == escaped
        assert found.data["folders"][0] + "/" + found.data["names"][0] == f"/{escaped}/{escaped}.png"
        assert escaped in {entry["label"] for entry in found.data["colour"]["legend"]}
        for kind, text in found.scripts:
            if kind == "application/json":
                assert "<" not in text

    def test_the_policy_allows_its_own_script_and_style_alone(self) -> None:
        found = made(table(["/1.png"], ["x"]), colour="label")
        (script,) = [text for kind, text in found.scripts if kind is None]
        (style,) = found.styles

        def hashed(text):
            return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"

        assert found.policy == (
            f"default-src 'none'; img-src data:; style-src {hashed(style)}; script-src {hashed(script)}"
        )
        assert not re.findall(r"\b(?:src|href)=\"(?!data:)", found.text)
        assert not re.findall(r"https?://", found.text)
        assert not re.findall(r"\son[a-z]+=|style=", found.text.replace(script, ""))

    @pytest.mark.parametrize(
        "name",
        [
            "map.js",
            "plane.js",
            "points.js",
            "density.js",
            "tiles.js",
            "card.js",
            "gestures.js",
            "legend.js",
        ],
    )
    def test_the_script_sets_texts_as_text(self, name) -> None:
        script = resources.files("imseek.ui.render.map_page").joinpath(name).read_text("utf-8")
        for banned in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "</script",
            "fetch(",
        ):
            assert banned not in script
