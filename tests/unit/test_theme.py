"""Colours of the web pages: text can be read on all of their backgrounds (WCAG 2.2, 1.4.3)."""

from __future__ import annotations

import pytest

pytest.importorskip("streamlit", reason="streamlit is not installed")
from imseek.ui.web import theme


def luminance(colour: str) -> float:
    """Relative luminance: https://www.w3.org/TR/WCAG22/#dfn-relative-luminance"""
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_stands_out_from_its_background(mode: str) -> None:
    colours = theme.colours(mode)
    low = {
        (text, ground): contrast(colours[text], colours[ground])
        for text in ("ink", "grey", "warn", "link", "primary")
        for ground in ("paper", "tile")
    }
    low["on-primary", "primary"] = contrast(colours["on-primary"], colours["primary"])
    assert {pair: ratio for pair, ratio in low.items() if ratio < 4.5} == {}


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
