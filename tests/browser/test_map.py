"""The page of maps: laid out as a job, looked at, coloured, chosen from with a lasso."""

from __future__ import annotations

import base64
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from browsing import Visit
from playwright.sync_api import expect
from skimage.measure import points_in_poly

import imseek
from imseek import maps
from imseek.types.indexing_runs import SourceOptions
from imseek.ui.render.map_page import page as map_page
from imseek.ui.render.map_page.document import scale_to_square

MANY = 5_000
KINDS = 12
HOSTILE = "<img src=x onerror=alert(1)> ![x](http://elsewhere.example/x) :material/home:"
#: A WebP of one pixel.
PIXEL = base64.b64decode("UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, photo_files: list[Path]) -> Path:
    """``photos``: eight photographs, with a map; ``fresh``: a folder with seven of them, without; ``many``: 5,000
    vectors without pictures, with a map."""
    folder = tmp_path_factory.mktemp("library")
    within = folder / "collections"
    with imseek.create(within / "photos", encoder="builtin") as collection:
        collection.index(names=photo_files)
    maps.lay_out(within / "photos", method="pca")
    (folder / "pictures").mkdir()
    for path in photo_files[1:]:
        shutil.copyfile(path, folder / "pictures" / path.name)
    with imseek.create(within / "fresh", encoder="fake") as collection:
        collection.index([folder / "pictures"])
    generator = np.random.default_rng(3)
    kind = generator.integers(0, KINDS, MANY)
    vectors = generator.normal(size=(KINDS, 32))[kind] * 1.2 + generator.normal(size=(MANY, 32))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.save(folder / "made.npy", vectors.astype(np.float32))
    names = [HOSTILE, *(f"kind {n}" for n in range(1, KINDS))]
    pq.write_table(pa.table({"kind": [names[one] for one in kind.tolist()]}), folder / "made.parquet")
    with imseek.create(within / "many", encoder="fake:32") as collection:
        collection.index([folder / "made.npy"], source=SourceOptions(encoder="fake:32"))
    maps.lay_out(within / "many", method="pca")
    return folder


@pytest.fixture
def chart(visit: Visit, browser: Any) -> Visit:
    """``visit`` of the page of maps, once the map is drawn."""
    context = browser.contexts[-1]
    context.route("**/pictures/many/**", lambda asked: asked.fulfill(body=PIXEL, content_type="image/webp"))

    def open_(collection: str, **query: Any) -> Any:
        page = visit("map", c=collection, **query)
        # With words, the first of them load an encoder.
        expect(page.locator("canvas.points")).to_have_attribute("data-view", re.compile(r"\S"), timeout=60_000)
        return page

    return open_


def drawn(home: Path, name: str) -> tuple[dict[int, tuple[float, float]], pa.Table]:
    table = maps.table(home / "collections" / name, columns=["path", "kind"] if name == "many" else ["path"])
    ids = table.column("image_id").to_pylist()
    return dict(zip(ids, map(tuple, scale_to_square(table).tolist()), strict=True)), table


class Screen:
    """Where on the screen points are, from -1 to 1."""

    def __init__(self, page: Any) -> None:
        canvas = page.locator("canvas.points")
        box = canvas.bounding_box()
        self.x, self.y, self.unit = map(float, canvas.get_attribute("data-view").split())
        self.middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def of(self, at: tuple[float, float]) -> tuple[float, float]:
        return (
            self.middle[0] + (at[0] - self.x) * self.unit,
            self.middle[1] - (at[1] - self.y) * self.unit,
        )

    def plane(self, px: float, py: float) -> tuple[float, float]:
        return self.x + (px - self.middle[0]) / self.unit, self.y - (py - self.middle[1]) / self.unit

    def inside(self, corners: list[tuple[int, int]], places: dict[int, tuple[float, float]]) -> set[int]:
        """What scikit-image says of it."""
        found = points_in_poly(list(places.values()), [self.plane(*corner) for corner in corners])
        return {one for one, is_in in zip(places, found, strict=True) if is_in}


def lasso(page: Any, corners: list[tuple[int, int]]) -> None:
    page.keyboard.down("Shift")
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*corner)
    page.mouse.up()
    page.keyboard.up("Shift")


def around(at: tuple[float, float], size: int) -> list[tuple[int, int]]:
    """A line that turns inwards once."""
    shape = ((-1, -1), (0.2, -0.3), (1, -0.9), (0.8, 1), (0, 0.4), (-0.9, 0.7))
    return [(round(at[0] + size * x), round(at[1] + size * y)) for x, y in shape]


def test_pointing_shows_the_picture_and_its_name(chart: Visit, home: Path) -> None:
    page = chart("photos")
    page.get_by_role("checkbox", name="pictures").uncheck()  # They lie over points.
    places, table = drawn(home, "photos")
    screen = Screen(page)
    card = page.locator(".card.shown")
    for image_id, path in zip(*(table.column(name).to_pylist() for name in ("image_id", "path")), strict=True):
        page.mouse.move(*screen.of(places[image_id]))
        expect(card.locator(".name")).to_have_text(path.rsplit("/", 1)[-1])
        expect(card.locator(".facts")).to_contain_text(f"picture {image_id}")
        expect(card.locator("img")).to_have_js_property("complete", True)
        assert card.locator("img").evaluate("image => image.naturalWidth") > 100
    page.mouse.move(5, 5)
    expect(card).to_have_count(0)


@pytest.mark.long
def test_keys_lead_from_picture_to_picture(chart: Visit, home: Path) -> None:
    page = chart("photos")
    places, _ = drawn(home, "photos")
    page.locator("canvas.points").focus()
    page.keyboard.press("ArrowRight")
    facts = page.locator(".card.shown .facts")
    seen = [int(re.findall(r"picture (\d+)", facts.inner_text())[0])]
    assert seen[0] == min(places, key=lambda one: np.hypot(*places[one])), "from the middle"
    for _ in range(len(places)):
        page.keyboard.press("ArrowRight")
        expect(facts).to_be_visible()
        seen.append(int(re.findall(r"picture (\d+)", facts.inner_text())[0]))
    across = [places[one][0] for one in seen]
    assert across == sorted(across)
    assert len(set(seen)) > 1
    page.keyboard.press("Space")
    expect(page.locator(".status")).to_contain_text("1 selected")
    expect(facts).to_contain_text("selected")
    page.keyboard.press("Escape")
    expect(facts).to_have_count(0)


@pytest.mark.long
def test_a_click_shows_a_picture_large(chart: Visit, home: Path) -> None:
    page = chart("photos")
    page.get_by_role("checkbox", name="pictures").uncheck()
    places, table = drawn(home, "photos")
    image_id = table.column("image_id").to_pylist()[2]
    page.mouse.click(*Screen(page).of(places[image_id]))
    expect(page.get_by_role("dialog")).to_be_visible()
    name = table.column("path").to_pylist()[2].rsplit("/", 1)[-1]
    expect(page.get_by_role("dialog")).to_contain_text(name)
    page.wait_for_url("**view=**")
    page.reload()
    expect(page.get_by_role("dialog")).to_contain_text(name)
    page.go_back()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator(".points").first).to_be_visible()
    page.go_forward()
    expect(page.get_by_role("dialog")).to_contain_text(name)


def test_a_lasso_chooses_what_is_inside_it(chart: Visit, home: Path) -> None:
    page = chart("many")
    places, table = drawn(home, "many")
    screen = Screen(page)
    corners = around(screen.middle, 28)
    wanted = screen.inside(corners, places)
    assert 5 < len(wanted) < 60
    lasso(page, corners)
    expect(page.locator(".status")).to_contain_text(f"{len(wanted)} selected")
    expect(page.locator(".grid .card")).to_have_count(len(wanted))
    rows = {str(path).rsplit("/", 1)[-1]: image_id for image_id, path in _paths(table)}
    titles = page.locator(".grid .title").all_text_contents()
    assert {rows[title.removeprefix("made.npy, row ")] for title in titles} == wanted
    # It stays when colours change, when another page was seen, and a large one is as exact.
    arrays: list[str] = []
    page.on("request", lambda asked: arrays.append(asked.url) if "/arrays/" in asked.url else None)
    page.get_by_role("combobox", name="Colours").click()
    page.get_by_role("option", name="Folder").click()
    expect(page.locator(".legend")).to_contain_text("folder")
    assert len(arrays) == 1, "the colours; points and what is selected are there already"
    expect(page.locator(".status")).to_contain_text(f"{len(wanted)} selected")
    page.get_by_role("link", name="Labels").click()
    expect(page.locator("canvas.points")).to_have_count(0)
    page.get_by_role("link", name="Map").click()
    expect(page.locator(".status")).to_contain_text(f"{len(wanted)} selected")
    screen = Screen(page)
    corners = around(screen.middle, 150)
    lasso(page, corners)
    expect(page.locator(".status")).to_contain_text(f"{len(screen.inside(corners, places)):,} selected")
    page.get_by_role("button", name="Clear selection").click()
    expect(page.locator(".status")).to_have_text("5,000 pictures")
    expect(page.locator(".grid .card")).to_have_count(0)


@pytest.mark.long
def test_fingers_zoom_and_choose(chart: Visit, home: Path) -> None:
    page = chart("many")
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2})

    def touch(kind: str, *points: tuple[float, float]) -> None:
        given = [{"x": x, "y": y, "id": n} for n, (x, y) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": given})

    screen = Screen(page)
    x, y = map(round, screen.middle)
    touch("touchStart", (x - 40, y), (x + 40, y))
    for step in range(5, 45, 5):
        touch("touchMove", (x - 40 - step, y), (x + 40 + step, y))
    touch("touchEnd")
    canvas = page.locator("canvas.points")
    expect(canvas).not_to_have_attribute("data-view", f"{screen.x} {screen.y} {screen.unit}")
    zoomed = Screen(page)
    assert zoomed.unit == pytest.approx(2 * screen.unit, rel=0.05)
    page.get_by_role("button", name="Lasso").click()
    corners = around((x, y), 40)
    wanted = zoomed.inside(corners, drawn(home, "many")[0])
    touch("touchStart", corners[0])
    for corner in corners[1:]:
        touch("touchMove", corner)
    touch("touchEnd")
    expect(page.locator(".status")).to_contain_text(f"{len(wanted)} selected")


@pytest.mark.long
def test_a_class_of_the_legend_alone(chart: Visit, home: Path) -> None:
    page = chart("many", colour="Column kind")
    places, table = drawn(home, "many")
    kinds = dict(zip(places, table.column("kind").to_pylist(), strict=True))
    entries = page.locator(".legend li button")
    expect(entries).to_have_count(KINDS)
    expect(page.locator(".legend")).to_contain_text(HOSTILE)
    label, count = entries.first.locator("span").all_inner_texts()[1:]
    assert int(count) == sum(kind == label for kind in kinds.values())
    entries.first.click()
    expect(page.locator(".status")).to_contain_text(f"{count} in this colour")
    page.get_by_role("button", name="Rectangle").click()
    screen = Screen(page)
    left, top, right, bottom = (round(screen.middle[n % 2] + d) for n, d in enumerate((-60, -50, 70, 80)))
    page.mouse.move(left, top)
    page.mouse.down()
    page.mouse.move(right, bottom)
    page.mouse.up()
    inside = screen.inside([(left, top), (right, top), (right, bottom), (left, bottom)], places)
    wanted = {one for one in inside if kinds[one] == label}
    assert 0 < len(wanted) < len(inside)
    expect(page.locator(".status")).to_contain_text(f"{len(wanted)} selected")


@pytest.mark.long
def test_colours_by_words_are_scores(chart: Visit, home: Path) -> None:
    page = chart("photos", colour="Similarity to words", words="a cat")
    expect(page.locator(".legend")).to_contain_text("score")
    page.get_by_role("checkbox", name="pictures").uncheck()
    places, table = drawn(home, "photos")
    ids = table.column("image_id").to_pylist()
    with imseek.open(home / "collections" / "photos") as collection:
        scores = dict(zip(ids, maps.scores(collection, "a cat", ids).tolist(), strict=True))
    names = dict(_paths(table))
    best = max(scores, key=scores.__getitem__)
    assert names[best].endswith("chelsea.png")
    screen = Screen(page)
    for image_id in (best, min(scores, key=scores.__getitem__)):
        page.mouse.move(*screen.of(places[image_id]))
        expect(page.locator(".card.shown .facts")).to_contain_text(f"picture {image_id} ")
        said = page.locator(".card.shown .facts").inner_text()
        assert float(said.rsplit("score: ", 1)[1]) == pytest.approx(scores[image_id], rel=1e-3, abs=1e-5)


@pytest.mark.long
def test_only_what_meets_a_condition(chart: Visit, home: Path) -> None:
    page = chart("many", only="kind = 'kind 3'")
    _, table = drawn(home, "many")
    count = table.column("kind").to_pylist().count("kind 3")
    expect(page.locator(".status")).to_have_text(f"{count} pictures")
    box = page.get_by_role("textbox", name="Only pictures where")
    box.fill("knd = 1")
    box.press("Enter")
    expect(page.get_by_text("no column 'knd'", exact=False)).to_be_visible()
    box.fill("kind = 'nothing'")
    box.press("Enter")
    expect(page.get_by_text("No image on the map meets the condition")).to_be_visible()


@pytest.mark.long
def test_a_map_is_laid_out_and_added_to(chart: Visit, visit: Visit, home: Path, photo_files: list[Path]) -> None:
    page = visit("map", c="fresh")
    expect(page.get_by_role("heading", name="No map yet")).to_be_visible()
    page.get_by_text("A first look (PCA)").click()
    page.get_by_role("button", name="Build the map").click()
    expect(page.locator(".status")).to_have_text("7 pictures", timeout=60_000)
    shutil.copyfile(photo_files[0], home / "pictures" / photo_files[0].name)
    with imseek.open(home / "collections" / "fresh") as collection:
        collection.index()
    page = chart("fresh")
    expect(page.get_by_text("1 picture came after this map was laid out.")).to_be_visible()
    page.get_by_role("button", name="Place them").click()
    expect(page.locator(".status")).to_have_text("8 pictures", timeout=60_000)
    assert maps.missing(home / "collections" / "fresh") == 0


@pytest.mark.long
def test_without_webgl_it_is_drawn_in_another_way(chart: Visit, browser: Any, home: Path) -> None:
    browser.contexts[-1].add_init_script(
        """const usual = HTMLCanvasElement.prototype.getContext;
        HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
          return kind === "webgl2" ? null : usual.call(this, kind, ...more);
        };"""
    )
    page = chart("photos")
    expect(page.locator(".status")).to_contain_text("without WebGL2: slower")
    page.get_by_role("checkbox", name="pictures").uncheck()
    places, table = drawn(home, "photos")
    page.mouse.move(*Screen(page).of(places[table.column("image_id").to_pylist()[0]]))
    expect(page.locator(".card.shown .name")).to_have_text(_paths(table)[0][1].rsplit("/", 1)[-1])
    coloured = page.evaluate(
        """() => { const find = (root) => { for (const e of root.querySelectorAll("*")) {
          if (e.className === "plain") return e;
          const inside = e.shadowRoot && find(e.shadowRoot); if (inside) return inside; } return null; };
        const c = find(document);
        return c.getContext("2d").getImageData(0, 0, c.width, c.height).data.some((v) => v > 0); }"""
    )
    assert coloured


@pytest.mark.long
@pytest.mark.parametrize("width", [400, 2500])
def test_nothing_is_wider_than_the_window(chart: Visit, width: int) -> None:
    page = chart("many", width=width, colour="Column kind", dark=width == 400)
    expect(page.locator(".legend li").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    box = page.locator(".stage").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width


def test_the_page_that_a_command_writes(visit: Visit, browser: Any, home: Path, tmp_path: Path) -> None:
    """It is drawn by the same script."""
    table = maps.table(home / "collections" / "photos", columns=["path", "format"])
    info = maps.find(home / "collections" / "photos")
    assert info is not None
    (tmp_path / "map.html").write_text("".join(map_page(table, info, title="A map", colour="format")), "utf-8")
    context = browser.new_context(viewport={"width": 1000, "height": 700})
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((tmp_path / "map.html").as_uri())
    canvas = page.locator("#points")
    box = canvas.bounding_box()
    shown = page.locator("#card.shown .name")
    page.locator("#needle").fill("chelsea")
    expect(page.locator("#found")).to_have_text("1 of 8")
    page.keyboard.press("Enter")
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(shown).to_have_text("chelsea.png")
    expect(page.locator("#legend li")).to_have_count(2)
    page.locator("#legend button").first.click()
    expect(page.locator("#found")).to_contain_text("of 8")
    assert errors == []
    context.close()


def _paths(table: pa.Table) -> list[tuple[int, str]]:
    return list(zip(*(table.column(name).to_pylist() for name in ("image_id", "path")), strict=True))
