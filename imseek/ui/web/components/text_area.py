"""A multi-line text input that reports its text while it is typed."""

from __future__ import annotations

from imseek.ui.web.components import component, ignore_change

#: Maximum number of characters.
MAX_CHARACTERS = 100_000


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
    """Return the typed text, after a short pause in typing. ``text`` is set at first and again whenever ``epoch``
    changes."""
    state = component("lines")(
        key=key,
        data={
            "label": label,
            "text": text,
            "epoch": epoch,
            "placeholder": placeholder,
            "help": hint,
            "rows": rows,
            "longest": MAX_CHARACTERS,
        },
        on_typed_change=ignore_change,
    )
    typed = getattr(state, "typed", None)
    # Input of an earlier epoch is outdated.
    if not isinstance(typed, dict) or typed.get("epoch") != epoch:
        return text
    return str(typed.get("text", ""))[:MAX_CHARACTERS]
