"""Text of several lines, told while it is typed."""

from __future__ import annotations

from imseek.ui.web.components import component, nothing

#: Characters.
LONGEST = 100_000


def lines(
    label: str,
    *,
    key: str,
    text: str = "",
    epoch: int = 0,
    placeholder: str = "",
    hint: str = "",
    rows: int = 6,
) -> str:
    """What is typed into it, after a short pause. ``text`` is what it holds at first, and again whenever ``epoch`` is
    another number."""
    found = component("lines")(
        key=key,
        data={
            "label": label,
            "text": text,
            "epoch": epoch,
            "placeholder": placeholder,
            "help": hint,
            "rows": rows,
            "longest": LONGEST,
        },
        on_typed_change=nothing,
    )
    typed = getattr(found, "typed", None)
    # What was typed before another text was put there is of no interest any more.
    if not isinstance(typed, dict) or typed.get("epoch") != epoch:
        return text
    return str(typed.get("text", ""))[:LONGEST]
