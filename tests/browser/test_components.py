"""Components as Streamlit calls them: again on every run, sometimes overtaken by the next call, and until they go.

Streamlit keeps what the last call has returned, and calls it when the component goes. Where another call begins before
the script is there, it calls what the first one returns at once (BidiComponent of its front end).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imseek.ui.web import components

#: `mount()` calls the component in `#place` as a run does; what it returns ends that call.
SET_UP = """async ([script, data]) => {
  const module = await import(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
  document.body.innerHTML = '<div id="box"><input></div><div id="up"><input type="file"></div><div id="place"></div>';
  const parentElement = document.getElementById("place");
  window.data = data;
  window.told = [];
  const tell = (name, value) => window.told.push([name, value]);
  window.mount = () => module.default({ data: window.data, parentElement, setStateValue: tell, setTriggerValue: tell });
  window.given = 0;
  document.querySelector("#up input").addEventListener("change", () => (window.given += 1));
  window.paste = () => {
    const clipboardData = new DataTransfer();
    clipboardData.items.add(new File(["x"], "x.png", { type: "image/png" }));
    document.body.dispatchEvent(new ClipboardEvent("paste", { bubbles: true, cancelable: true, clipboardData }));
    return window.given;
  };
}"""
ASKING = {"box": "#box input", "uploader": "#up"}
GROUP = {
    "label": "Group 1", "note": "", "epoch": "1", "turn": 0, "before": [], "acts": {"keep": "Keep", "later": "Later"},
    "pictures": [
        {"id": n, "name": f"{n}.png", "src": "data:,", "large": "data:,", "whole": "data:,", "width": 4, "height": 3,
         "facts": [], "mark": "", "said": "", "suggested": n == 0, "turn": None,
         "boxes": [], "outline": ""}
        for n in range(2)
    ],
}  # fmt: skip


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    opened = browser.new_page()
    yield opened
    opened.close()


def _set_up(page: Any, data: dict[str, Any], *names: str) -> None:
    folder = Path(components.__file__).parent
    script = "\n".join((folder / f"{name}.js").read_text("utf-8") for name in ("mounting", *names))
    page.evaluate(SET_UP, [script, data])


def _children(page: Any) -> int:
    found: int = page.evaluate("document.querySelector('#place').childNodes.length")
    return found


def test_a_pasted_picture_is_given_once_however_often_a_page_ran(page: Any) -> None:
    _set_up(page, ASKING, "asking")
    page.evaluate("void (window.end = (mount(), mount(), mount()))")
    assert page.evaluate("paste()") == 1
    page.evaluate("end()")  # It goes, as when another page is chosen, and comes back.
    assert page.evaluate("paste()") == 1
    assert _children(page) == 0
    page.evaluate("void mount()")
    assert page.evaluate("paste()") == 2


def test_a_call_that_was_overtaken_ends_nothing(page: Any) -> None:
    _set_up(page, ASKING, "asking")
    page.evaluate("(() => { const first = mount(); mount(); first(); })()")
    assert page.evaluate("paste()") == 1
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.parentNode.id") == "box"


def test_a_call_that_ends_before_the_next_leaves_nothing_behind(page: Any) -> None:
    _set_up(page, ASKING, "asking")
    page.evaluate("mount()()")
    page.evaluate("void mount()")
    assert page.evaluate("paste()") == 1
    assert _children(page) == 1


def test_keys_of_a_comparison_count_as_long_as_it_is_there(page: Any) -> None:
    _set_up(page, GROUP, "picture_address", "over", "compare")
    page.evaluate("(() => { const first = mount(); window.end = mount(); first(); })()")
    page.keyboard.press("s")
    assert page.evaluate("told.map(([name, value]) => [name, value.act])") == [["acted", "later"]]
    page.keyboard.press("c")
    assert page.locator("dialog[open]").count() == 1
    page.evaluate("end()")
    assert page.locator("dialog").count() == 0
    page.keyboard.press("u")
    page.keyboard.press("p")
    assert page.evaluate("told.length") == 1


def test_marks_and_keys_outlast_the_groups_that_are_found_meanwhile(page: Any) -> None:
    _set_up(page, GROUP, "picture_address", "over", "compare")
    page.evaluate("void mount()")
    page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")
    assert page.locator(".card.at .mark").inner_text() == "stays"
    page.evaluate("void (window.card = document.querySelector('.card'))")
    page.evaluate("void (data = { ...data, label: 'Group 2', before: ['data:,'] }, mount())")
    assert page.get_by_role("listbox", name="Group 2").count() == 1
    assert page.evaluate("card === document.querySelector('.card')")  # Nothing was drawn again.
    page.evaluate("void (data = { ...data, acts: { ...data.acts, undo: 'Undo' } }, mount())")
    assert page.locator(".card.at .mark").inner_text() == "stays"
    page.keyboard.press("k")
    assert page.evaluate("told.map(([name, value]) => value.images)") == [[1]]


def test_a_group_whose_decision_was_refused_can_be_decided_again(page: Any) -> None:
    _set_up(page, GROUP, "picture_address", "over", "compare")
    page.evaluate("void mount()")
    page.keyboard.press("k")
    page.keyboard.press("k")  # Pressed twice, before the page has answered.
    page.evaluate("void mount()")
    assert page.evaluate("told.length") == 1
    page.evaluate("void (data = { ...data, turn: 1 }, mount())")
    page.keyboard.press("k")
    assert page.evaluate("told.length") == 2
