"""The page of searches without a browser: where relevance ends, and what lies beyond."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import reranking

import imseek
from imseek.search import cutoff

AppTest = pytest.importorskip("streamlit.testing.v1", reason="streamlit is not installed").AppTest
from imseek.ui.web import app_state  # noqa: E402 - it needs Streamlit

SCRIPT = Path(app_state.__file__).parent / "script" / "app.py"


@pytest.fixture
def answered(tmp_path: Path, photo_files: list[Path], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Words asked of a collection of 48 pictures, whose cutoff has ended the list early."""
    from PIL import Image

    monkeypatch.setenv("IMSEEK_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(app_state, "_app", None)
    monkeypatch.setattr(cutoff, "MIN_SAMPLE", 20)
    for number, path in enumerate(photo_files):  # Where names say what is there, a cat called Chelsea is not found.
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        for n in range(6):
            picture.resize((200 - 20 * n, 160)).save(tmp_path / f"{number}-{n}.png")
    collection = tmp_path / "home" / "collections" / "many"
    collection.parent.mkdir(parents=True)
    with imseek.create(collection, encoder="builtin") as made:
        assert made.index(sorted(tmp_path.glob("*.png"))).live == 48
    page = AppTest.from_file(str(SCRIPT), default_timeout=60)
    page.query_params["q"] = "a cat"
    page.run()
    assert not page.exception
    return page


def test_what_is_less_relevant_is_shown_on_demand(answered: Any) -> None:
    facts = next(one.value for one in answered.caption if " pictures of 48 · " in one.value)
    shown, cut = int(facts.split()[0]), int(facts.split(" · ")[1].split()[0])
    assert shown + cut == 48
    assert [one.value for one in answered.caption if "less relevant" in one.value][1:] == [
        f"{cut - 12:,} more are less relevant"
    ]
    (more,) = [one for one in answered.button if one.label == f"Show {cut - 12:,} more"]
    more.click().run()
    assert not answered.exception
    assert not [one for one in answered.button if one.label.startswith("Show ")]
    assert not [one for one in answered.caption if one.value.endswith("more are less relevant")]


def test_rerankers_are_offered(answered: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = reranking.by_brightness()
    reranking.install(monkeypatch, made)
    answered.run()
    (menu,) = [one for one in answered.selectbox if one.label == "Second look"]
    assert menu.options == ["None", "By captions", "By tokens", "By brightness"]
    menu.select("brightness").run()
    assert not answered.exception
    assert answered.query_params["rerank"] == "brightness"
    assert made.calls
    answered.query_params["rerank"] = "unknown"
    answered.run()
    assert not answered.exception
    assert any("There is no reranker 'unknown'" in one.value for one in answered.text)
