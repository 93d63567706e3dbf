"""Colours and type of the pages, in light and dark, as settings of Streamlit and as variables of our own style."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

#: By Streamlit's names. Text has a contrast of 4.5:1 at least on both backgrounds (tests/unit/test_theme.py).
_COLOURS: Final = {
    "light": {
        "primaryColor": "#2f6f9f",
        "backgroundColor": "#fbfbfa",
        "secondaryBackgroundColor": "#f0efec",
        "textColor": "#1f1f1e",
        "linkColor": "#2a648f",
        "borderColor": "#dcdbd6",
    },
    "dark": {
        "primaryColor": "#7db7e0",
        "backgroundColor": "#161615",
        "secondaryBackgroundColor": "#242423",
        "textColor": "#ededeb",
        "linkColor": "#8fc1e6",
        "borderColor": "#3a3a37",
    },
}
#: Colours without a name in Streamlit: quiet text, warnings, and text on the primary colour.
_MORE: Final = {
    "light": {"grey": "#5f5e5a", "warn": "#9a4a14", "on-primary": "#ffffff"},
    "dark": {"grey": "#a9a8a3", "warn": "#eaa06a", "on-primary": "#0d1c28"},
}
_SHORT: Final = {
    "primaryColor": "primary",
    "backgroundColor": "paper",
    "secondaryBackgroundColor": "tile",
    "textColor": "ink",
    "linkColor": "link",
    "borderColor": "rule",
}


def streamlit_options() -> dict[str, Any]:
    """Return the settings of Streamlit; both modes follow the system."""
    options: dict[str, Any] = {
        "theme.baseFontSize": 15,
        "theme.baseRadius": "6px",
        "theme.headingFontSizes": ["1.5rem", "1.2rem", "1.05rem", "1rem", "0.95rem", "0.9rem"],
    }
    for mode, colours in _COLOURS.items():
        options.update({f"theme.{mode}.{name}": value for name, value in colours.items()})
    return options


def colours(mode: str) -> dict[str, str]:
    """Return the colours of ``light`` or ``dark`` by their names in the style: ``paper``, ``ink``, ``grey`` …"""
    return {**{_SHORT[name]: value for name, value in _COLOURS[mode].items()}, **_MORE[mode]}


def css_variables() -> str:
    """Return the colours as CSS variables: ``--imseek-paper`` and so on."""

    def of(mode: str) -> str:
        return " ".join(f"--imseek-{name}: {value};" for name, value in colours(mode).items())

    return f":root {{ {of('light')} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {of('dark')} }} }}\n"


def page_style() -> str:
    """Return the style of all pages."""
    return css_variables() + (Path(__file__).parent / "shell.css").read_text("utf-8")
