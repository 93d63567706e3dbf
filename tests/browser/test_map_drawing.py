"""The script that draws maps, alone in a browser: density, what fits, names of regions, legends that filter."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest

from imseek.ui.render.map_page.document import drawing_script

#: A plane of 60,000 points in three groups, of 30 that lie alone, and what draws it.
_MAKE = """
const random = (seed) => () => (seed = (seed * 1664525 + 1013904223) >>> 0) / 2 ** 32;
function make(groups, alone = []) {
  const next = random(7), xs = [], ys = [], shades = [];
  groups.forEach(([x, y, wide, count], shade) => {
    for (let k = 0; k < count; k++) {
      xs.push(x + wide * (next() + next() - 1));
      ys.push(y + wide * (next() + next() - 1));
      shades.push(shade);
    }
  });
  for (const [x, y] of alone) [xs, ys, shades].forEach((list, n) => list.push([x, y, 3][n]));
  const [p, o] = ["p", "o"].map((id) => Object.assign(document.getElementById(id), { width: 900, height: 600 }));
  const plane = makePlane(Float32Array.from(xs), Float32Array.from(ys), new Uint8Array(xs.length).fill(1), () => {});
  Object.assign(plane, { shades: Uint8Array.from(shades), isRamp: false,
    colours: [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0], [0.5, 0.5, 0.5], [0.7, 0.7, 0.7]] });
  plane.resized(900, 600);
  const painter = makePainter(plane, p, () => {}), context = o.getContext("2d", { willReadFrequently: true });
  const draw = () => {
    do context.clearRect(0, 0, 900, 600); while (painter.draw(context, true));
    return context.getImageData(0, 0, 900, 600).data;
  };
  return { plane, painter, draw };
}
const at = (data, px, py) => {
  const start = 4 * (900 * Math.floor(py) + Math.floor(px));
  return [...data.slice(start, start + 4)];
};
"""
#: Places all over the plane, far from the groups.
_ALONE = [(-0.95 + 0.19 * (n % 11), 0.95 - 0.09 * (n // 11)) for n in range(30)]
_GROUPS = [(-0.6, -0.5, 0.2, 30_000), (0.1, -0.6, 0.15, 20_000), (0.7, -0.5, 0.1, 10_000)]


@pytest.fixture(scope="module")
def drawing(browser: Any) -> Iterator[Any]:
    """Evaluates a script beside the drawing script, without WebGL, so that 20,000 points are drawn one by one."""
    overlay = resources.files("imseek.ui.web.components").joinpath("scatter_overlay.js").read_text("utf-8")
    context = browser.new_context(viewport={"width": 900, "height": 600})
    page = context.new_page()
    page.add_init_script(
        "HTMLCanvasElement.prototype.usual = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...more) {"
        " return kind === 'webgl2' ? null : this.usual(kind, ...more); };"
    )
    page.goto("about:blank")
    page.set_content("<canvas id=p></canvas><canvas id=o></canvas>")
    page.add_script_tag(content=drawing_script() + overlay + _MAKE)

    def run(script: str, *given: Any) -> Any:
        return page.evaluate(f"(given) => {{ {script} }}", list(given))

    yield run
    context.close()


def test_density_shows_every_point_even_one_alone(drawing: Any) -> None:
    found = drawing(
        """const { plane, painter, draw } = make(given[0], given[1]);
        painter.changed();
        plane.zoomTo(0.95);
        const data = draw();
        const near = ([x, y]) => { for (let dx = -2; dx <= 2; dx++) for (let dy = -2; dy <= 2; dy++)
          if (at(data, plane.screenX(x) + dx, plane.screenY(y) + dy)[3]) return true; return false; };
        const middle = ([x, y]) => at(data, plane.screenX(x), plane.screenY(y));
        return [plane.visible(), given[1].map(near), given[0].map(middle), middle([-0.4, 0.1])];""",
        _GROUPS,
        _ALONE,
    )
    visible, alone, groups, empty = found
    assert visible == 60_030
    assert all(alone)
    assert [colour[:3] for colour in groups] == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    assert all(colour[3] > 150 for colour in groups)
    assert empty[3] == 0


def test_density_of_a_filter_shows_its_points_and_fades_the_others(drawing: Any) -> None:
    red, green = drawing(
        """const { plane, painter, draw } = make(given[0]);
        plane.fit(40);
        plane.flags.forEach((_, i) => { plane.flags[i] = plane.shades[i] === 1 ? 1 : 0; });
        painter.changed();
        const data = draw();
        return given[0].map(([x, y]) => at(data, plane.screenX(x), plane.screenY(y)));""",
        _GROUPS,
    )[:2]
    assert green[3] > 150
    assert 0 < red[3] < 60


def test_zoomed_in_density_becomes_points_and_moved_tiles_fit_together(drawing: Any) -> None:
    found = drawing(
        """const { plane, painter, draw } = make(given[0]);
        painter.changed();
        plane.fit(40);
        const seen = [];
        for (let n = 0; n < 12; n++) {
          const data = draw();
          seen.push([plane.visible() <= 20_000, data.some((v) => v > 0)]);
          plane.zoomBy(1.7, plane.screenX(0.7), plane.screenY(-0.5));
        }
        plane.fit(40);
        const before = draw();
        plane.moveBy(40, 0);
        const after = draw();
        let same = 0, all = 0;
        for (let y = 0; y < 600; y += 7) for (let x = 100; x < 800; x += 7) {
          const [a, b] = [at(before, x, y)[3], at(after, x + 40, y)[3]];
          if (a || b) { all++; same += Math.abs(a - b) < 60; }
        }
        return [seen, same / all];""",
        _GROUPS,
    )
    assert found[0][0] == [False, True]
    assert found[0][-1] == [True, False], "drawn on the other canvas"
    assert found[1] > 0.9


def test_a_few_far_from_all_others_do_not_make_these_small(drawing: Any) -> None:
    high, few = drawing(
        """const tall = (alone, count) => {
          const { plane } = make([[0.001, 0.002, 0.003, count]], alone);
          plane.fit(40);
          return 0.006 * plane.unit();
        };
        return [tall([[1, 1], [-1, -1], [1, -0.5]], 5000), tall([[1, 1]], 20)];"""
    )
    assert high > 400
    assert few < 20, "of few points all are shown"


def test_smaller_groups_get_names_when_zoomed_in(drawing: Any) -> None:
    whole, zoomed = drawing(
        """const small = [[0.45, -0.6, 0.02, 60], [0.53, -0.6, 0.02, 40]];
        const { plane } = make([[-0.5, 0, 0.3, 4000], [0.5, 0.3, 0.25, 3000], ...small]);
        const long = "a name that is much too long for a map";
        const values = Uint32Array.from(plane.shades), labels = ["cats", "dogs", "cups", long, "others", "no value"];
        plane.fit(40);
        const names = () => nameRegions(plane, values, labels).map(([text, x, y]) => [text, x, y]);
        const whole = names();
        [plane.view.x, plane.view.y] = [0.49, -0.6];
        plane.zoomTo(9);
        return [whole, names()];"""
    )
    assert [text for text, _, _ in whole[:2]] == ["cats", "dogs"]
    assert whole[0][1:] == pytest.approx([-0.5, 0], abs=0.05)
    assert [text for text, _, _ in zoomed] == ["cups", "…" + "a name that is much too long for a map"[-23:]]
    assert zoomed[0][1:] == pytest.approx([0.45, -0.6], abs=0.01)


def test_ends_of_a_scale_and_several_classes_filter(drawing: Any) -> None:
    found = drawing(
        """const map = { isRamp: true, colours: [[0, 0, 1], [0, 1, 0], [1, 0, 0], [0.5, 0.5, 0.5]] };
        const picked = [], box = document.createElement("div");
        const sum = (shown) => [shown.indexOf(1), shown.lastIndexOf(1), shown.filter((n) => n).length];
        const pick = (shown) => picked.push(shown && sum(shown));
        fillLegend(box, { kind: "number", column: "width", low: 0, high: 508, none: 3 }, map, pick);
        const [least, most] = box.querySelectorAll("input");
        const move = (slider, to) => { slider.value = to; slider.dispatchEvent(new Event("input")); };
        move(least, 100); move(most, 50); move(least, 0); move(most, 254);
        const said = [least.getAttribute("aria-label"), box.querySelector(".ends").textContent];
        const list = document.createElement("div");
        const legend = [0, 1, 2].map((shade) => ({ shade, label: `class ${shade}`, count: 4 }));
        fillLegend(list, { kind: "class", column: "kind", legend }, { ...map, isRamp: false }, pick);
        const buttons = list.querySelectorAll("button");
        const press = (n, ctrlKey) => buttons[n].dispatchEvent(new MouseEvent("click", { ctrlKey }));
        press(1); press(2, true); press(1, true); press(2, false);
        return [picked, said, [...buttons].map((one) => one.ariaPressed)];"""
    )
    assert found[0][:4] == [[100, 254, 155], [50, 50, 1], [0, 50, 51], None]
    assert found[1] == ["width: least", "0508"]
    assert found[0][4:] == [[1, 1, 1], [1, 2, 2], [2, 2, 1], None]
    assert found[2] == ["false"] * 3
