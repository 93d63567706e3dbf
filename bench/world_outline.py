"""Make imseek/search/where/world.json, the outline of countries on which the places of pictures are shown.

    npm pack world-atlas@2.0.2 && tar xzf world-atlas-2.0.2.tgz
    python bench/world_outline.py package/countries-50m.json

The file is Natural Earth's 1:50m Admin 0 countries (version 4.1, public domain: its terms of use say "No permission is
needed to use Natural Earth"), as TopoJSON from the npm package world-atlas. Lines are simplified (Douglas-Peucker) and
rounded to a tenth of a degree, and islets are left out unless they are all that a country has.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

TARGET: Final = Path(__file__).resolve().parent.parent / "imseek/search/where/world.json"
#: Degrees by which a line may be off, steps per degree, and square degrees below which an islet is left out.
TOLERANCE: Final = 0.25
STEPS: Final = 10
ISLET: Final = 0.1
NAMES: Final = {
    "Bosnia and Herz.": "Bosnia and Herzegovina",
    "Dem. Rep. Congo": "Democratic Republic of the Congo",
    "Heard I. and McDonald Is.": "Heard Island and McDonald Islands",
    "Fr. S. Antarctic Lands": "French Southern and Antarctic Lands",
    "Macedonia": "North Macedonia",
    "S. Geo. and the Is.": "South Georgia and the South Sandwich Islands",
    "eSwatini": "Eswatini",
    "United States of America": "United States",
}
WORDS: Final = {
    **{"Is.": "Islands", "I.": "Island", "Rep.": "Republic", "Barb.": "Barbuda", "Gren.": "Grenadines"},
    **{"N.": "Northern", "S.": "South", "W.": "Western", "Eq.": "Equatorial", "Fr.": "French", "Br.": "British"},
    **{"U.S.": "US", "Ter.": "Territory", "Vin.": "Vincent"},
}

Points = npt.NDArray[np.float64]
Steps = npt.NDArray[np.int64]


def simplify(points: Points) -> Points:
    """Return the points of a line without those that deviate from it by less than the tolerance."""
    keep = np.zeros(len(points), np.bool_)
    keep[[0, -1]] = True
    spans = [(0, len(points) - 1)]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        inner, along = points[first + 1 : last] - points[first], points[last] - points[first]
        length = float(np.hypot(*along))
        distances = np.abs(inner @ [along[1], -along[0]]) / length if length > 1e-9 else np.hypot(*inner.T)
        if distances.max() > TOLERANCE:
            middle = first + 1 + int(distances.argmax())
            keep[middle] = True
            spans += [(first, middle), (middle, last)]
    return points[keep]


def area(ring: Points) -> float:
    x, y = ring.T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def outline(topology: dict[str, Any]) -> dict[str, Any]:
    scale, start = (np.array(topology["transform"][one]) for one in ("scale", "translate"))
    lines = [np.cumsum(np.array(arc), axis=0) * scale + start for arc in topology["arcs"]]

    def ring_points(ring: list[int]) -> Points:
        return np.concatenate([lines[n] if n >= 0 else lines[~n][::-1] for n in ring])

    rough = [np.round(simplify(line) * STEPS).astype(int) for line in lines]
    arcs: list[Steps] = []
    places: dict[int, int] = {}

    def place(n: int) -> int:
        """Return the position of a line among those that are used."""
        if n not in places:
            places[n] = len(arcs)
            arcs.append(rough[n])
        return places[n]

    def ring_lines(ring: list[int]) -> list[int]:
        if len(np.unique(np.concatenate([rough[max(n, ~n)] for n in ring]), axis=0)) >= 3:
            return [place(n) if n >= 0 else ~place(~n) for n in ring]
        points = ring_points(ring)  # A small country stays a shape.
        (west, south), (east, north) = np.floor(points.min(axis=0) * STEPS), np.ceil(points.max(axis=0) * STEPS)
        arcs.append(np.array([[west, south], [west, north], [east, north], [east, south], [west, south]], int))
        return [len(arcs) - 1]

    countries = []
    for geometry in topology["objects"]["countries"]["geometries"]:
        if geometry["type"] is None:
            continue
        polygons = geometry["arcs"] if geometry["type"] == "MultiPolygon" else [geometry["arcs"]]
        rings = sorted((ring for polygon in polygons for ring in polygon), key=lambda one: -area(ring_points(one)))
        rings = [ring for n, ring in enumerate(rings) if n == 0 or area(ring_points(ring)) >= ISLET]
        name = geometry["properties"]["name"]
        name = NAMES.get(name) or re.sub(r"\S+\.(?=\s|$)", lambda one: WORDS.get(one[0], one[0]), name)
        countries.append([name, [ring_lines(ring) for ring in rings]])
    steps = [np.diff(arc, axis=0, prepend=0) for arc in arcs]
    steps = [one[np.r_[True, (one[1:] != 0).any(axis=1)]] for one in steps]
    return {
        "source": "Natural Earth 4.1, Admin 0 countries 1:50m, simplified by bench/world_outline.py",
        "licence": "public domain",
        "steps": STEPS,
        "arcs": [one.ravel().tolist() for one in steps],
        "countries": sorted(countries),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("topology", type=Path)
    result = outline(json.loads(parser.parse_args().topology.read_text("utf-8")))
    text = json.dumps(result, separators=(",", ":"), ensure_ascii=False)
    TARGET.write_text(text + "\n", "utf-8")
    print(f"{TARGET}: {len(text):,} bytes, {len(result['arcs']):,} lines, {len(result['countries'])} countries")


if __name__ == "__main__":
    main()
