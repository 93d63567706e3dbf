"""Draw the calibration of confidences, as the share of right pairs in each bin, from results of edited.py.

    python bench/calibration_picture.py results/2026-11-29-edited-2.json ../docs/pictures/duplicates-calibration.svg

Bars are 95 % Wilson intervals, circles grow with the number of pairs and are empty for pairs of kind *edited*, and on
the line confidence and share are equal.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

#: Pixels of a side of the plot, and of its margin; the axes begin at LEAST.
SIDE, MARGIN = 420, 60
LEAST = 0.7
COLOURS = {"photo": "#0b6e99", "drawing": "#b3541e"}


def wilson(share: float, count: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of a share of ``count``."""
    z = 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return middle - half, middle + half


def draw(rows: list[dict[str, object]], heading: str) -> str:
    """Draw bins as SVG, each with its source, number of pairs, mean confidence and share of right pairs."""

    def place(x: float, y: float) -> tuple[float, float]:
        across, up = ((max(value, LEAST) - LEAST) / (1 - LEAST) for value in (x, y))
        return MARGIN + SIDE * across, MARGIN + SIDE * (1 - up)

    whole = SIDE + 2 * MARGIN
    parts = [f'<text x="{MARGIN}" y="24" font-size="15">{heading}</text>']
    for n in range(round((1 - LEAST) * 20) + 1):
        value = LEAST + n / 20
        (x, bottom), (left, y) = place(value, LEAST), place(LEAST, value)
        parts += [
            f'<path d="M{x:.1f} {MARGIN}V{bottom:.1f}M{left:.1f} {y:.1f}H{MARGIN + SIDE}" stroke="#ddd"/>',
            f'<text x="{x:.1f}" y="{bottom + 18:.1f}" text-anchor="middle">{value:.2f}</text>',
            f'<text x="{left - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{value:.2f}</text>',
        ]
    parts += [
        f'<path d="M{MARGIN} {MARGIN + SIDE}L{MARGIN + SIDE} {MARGIN}" stroke="#888"/>',
        f'<text x="{whole / 2}" y="{whole - 16}" text-anchor="middle">confidence (mean of the bin)</text>',
        f'<text transform="translate(16 {whole / 2}) rotate(-90)" text-anchor="middle">share that is right</text>',
    ]
    for at, (source, colour) in enumerate(COLOURS.items()):
        parts.append(f'<text x="{MARGIN + 12}" y="{MARGIN + 20 + 18 * at}" fill="{colour}">{source}s</text>')
        for row in rows:
            count, mean, right = int(row["pairs"]), float(row["mean"]), float(row["right"])  # type: ignore[call-overload, arg-type]
            if row["source"] != source or mean < LEAST:
                continue
            low, high = wilson(right, count)
            x, y = place(mean, right)
            is_edited = row["name"] == "edited"
            fill = "#fff" if is_edited else colour
            x += 4 * at - 3 + 2 * is_edited  # so that no bar hides another one
            parts.append(
                f'<path d="M{x:.1f} {place(0, low)[1]:.1f}V{place(0, high)[1]:.1f}" stroke="{colour}"/>'
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{2 + 1.5 * math.log10(count):.1f}" '
                f'fill="{fill}" stroke="{colour}">'
                f"<title>{count} {source}s, {row['name']}: said {mean:.3f}, right {right:.3f}</title></circle>"
            )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole} {whole}" font-family="sans-serif"'
    ground = '<rect width="100%" height="100%" fill="#fff"/>'
    return "\n".join([f'{head} font-size="12" fill="#333">', ground, *parts, "</svg>", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="what edited.py wrote")
    parser.add_argument("picture", type=Path, help="the SVG to write")
    options = parser.parse_args()
    record = json.loads(options.results.read_text())
    rows = [row for row in record["figures"]["calibration"] if row["name"] in ("same", "edited")]
    half = "A" if "--half A" in record["command"] else "B"
    options.picture.write_text(
        draw(rows, f"Duplicates: same (full) and edited (empty), half {half}, {record['date'][:10]}")
    )


if __name__ == "__main__":
    main()
