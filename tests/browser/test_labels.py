"""Labels by words and by examples, as somebody uses them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from browsing import Pages, Visit, wait_until_idle
from playwright.sync_api import expect

import imseek
from imseek import labels, probes, tags

#: Milliseconds for what is done in the background; the first time, what does it is loaded.
LONG = 90_000


@pytest.fixture(scope="module")
def root(home: Path, photo_files: list[Path]) -> Path:
    """The collection ``labelled``: eight photographs, encoded by ``builtin``."""
    path = home / "collections" / "labelled"
    with imseek.create(path, encoder="builtin") as collection:
        collection.index(names=photo_files)
    return path


def listed(home: Path) -> str:
    """What `imseek tag list` prints."""
    command = [sys.executable, "-P", "-m", "imseek", "tag", "list", "-c", "labelled"]
    env = {**os.environ, "IMSEEK_HOME": str(home)}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=60).stdout


def test_class_names_are_typed_seen_saved_and_forgotten(visit: Visit, home: Path, root: Path) -> None:
    page = visit("labels", c="labelled")
    expect(page.get_by_text("Type one class per line")).to_be_visible()
    classes = page.get_by_label("Classes")
    expect(classes).to_be_visible()
    wait_until_idle(page)
    classes.press_sequentially("cat")
    cat = page.get_by_role("region", name="cat")
    # The first time, the encoder of words is made ready.
    expect(cat.locator(".card").first).to_have_attribute("title", "chelsea.png", timeout=LONG)
    expect(page.get_by_text("All 8 pictures.")).to_be_visible()
    expect(page.get_by_text("knows words only roughly")).to_be_visible()
    classes.press("Enter")
    classes.press_sequentially("coffee: cup, coffee")
    coffee = page.get_by_role("region", name="coffee")
    expect(coffee.locator(".card").first).to_have_attribute("title", "coffee.png")
    expect(coffee).to_contain_text(re.compile(r"\d picture"))
    # Not left, and nothing stored.
    expect(classes).to_be_focused()
    assert labels.saved(root) == ()
    cat.locator(".card").first.click()
    large = page.get_by_role("dialog", name="Picture")
    expect(large).to_contain_text("chelsea.png")
    page.keyboard.press("Escape")
    expect(large).to_have_count(0)
    # A run that is still under way would draw the form anew, and take the name with it.
    wait_until_idle(page)

    page.get_by_role("button", name="Save these labels").click()
    page.get_by_label("Name").fill("kind")
    page.get_by_label("Name").press("Enter")
    wait_until_idle(page)
    expect(page.get_by_label("Name")).to_have_value("kind")
    page.get_by_text("Also add each label as a tag").click()
    page.get_by_role("button", name="Label 8 pictures and save").click()
    expect(page.get_by_text("Saved as kind: labels of 8 pictures")).to_be_visible(timeout=LONG)
    (saved,) = labels.saved(root)
    assert (saved.name, saved.classes, saved.words[1]) == ("kind", ("cat", "coffee"), ("cup", "coffee"))
    assert "zero-shot kind" in listed(home)
    with imseek.open(root) as collection:
        found = collection.search(imseek.Query((imseek.Term("cat"),), where="kind = 'cat'")).hits
    assert "chelsea.png" in {Path(hit.place.display).name for hit in found if hit.place is not None}

    page.get_by_role("button", name="Label new pictures").click()
    expect(page.get_by_text("No picture has come since kind was made.")).to_be_visible(timeout=LONG)
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete kind").click()
    expect(page.get_by_text("Saved labels")).to_be_hidden(timeout=LONG)
    assert labels.saved(root) == ()
    assert tags.counts(root) == ()


@pytest.mark.long
def test_pictures_are_labelled_by_keys_and_the_rest_is_learned(visit: Visit, home: Path, root: Path) -> None:
    for one in tags.counts(root):
        tags.remove(root, one.tag, everywhere=True)
    page = visit("labels", c="labelled", how="By examples", classes="alive, thing")
    cards = page.get_by_role("group", name="Pictures to label").locator(".card")
    expect(cards).to_have_count(8)
    expect(page.get_by_role("button", name="Train", exact=True)).to_be_disabled()
    alive = {"astronaut.png", "chelsea.png", "flower.jpg", "camera.png"}
    names = [cards.nth(n).get_attribute("title") for n in range(8)]
    cards.first.focus()
    for name in names[:6]:
        page.keyboard.press("1" if name in alive else "2")
    page.keyboard.press("x")
    page.keyboard.press("u")
    page.keyboard.press("s")
    expect(page.get_by_role("button", name="Train on 6 labels")).to_be_enabled()
    expect(cards.nth(6)).to_have_attribute("aria-label", re.compile("skipped$"))
    expect(cards.nth(7)).to_be_focused()
    people = {one.tag: one.by.get("person", 0) for one in tags.counts(root)}
    assert sum(people.values()) == 6
    assert people.keys() == {"alive", "thing"}
    assert re.search(r"alive +person \d", listed(home))

    page.get_by_role("button", name="Train on 6 labels").click()
    # The first time, what learns is loaded.
    expect(page.get_by_text("What it says of 8 pictures")).to_be_visible(timeout=LONG)
    expect(page.get_by_text(re.compile("held out in turn|could not be measured")).first).to_be_visible()
    expect(page.get_by_role("region", name="alive")).to_be_visible()
    (probe,) = probes.list_(root)
    assert (probe.name, probe.classes) == ("alive_thing", ("alive", "thing"))

    page.get_by_text("Tag pictures with their class").click()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved as the columns alive_thing and alive_thing_score")).to_be_visible(timeout=LONG)
    with imseek.open(root) as collection:
        query = imseek.Query((imseek.Term("a"),), where="alive_thing IN ('alive', 'thing')")
        assert len(collection.search(query).hits) == 8

    page.get_by_role("button", name="Delete model").click()
    page.get_by_role("button", name="Delete it").click()
    expect(page.get_by_text("What it says of 8 pictures")).to_be_hidden(timeout=LONG)
    expect(page.get_by_role("button", name="Train on 6 labels")).to_be_visible()
    assert probes.list_(root) == ()
    assert {one.tag: dict(one.by) for one in tags.counts(root)} == {tag: {"person": n} for tag, n in people.items()}


def test_a_tag_leads_to_its_pictures_and_has_another_name(visit: Visit, root: Path) -> None:
    for one in tags.counts(root):
        tags.remove(root, one.tag, everywhere=True)
    hostile = "<img src=x onerror=alert(1)> ![](http://192.0.2.1/a.png)"
    tags.add(root, hostile, where="image_id < 3")
    page = visit("labels", c="labelled", how="Tags")
    table = page.get_by_test_id("stDataFrame")
    expect(table).to_be_visible()
    # The table is a canvas: its first row is chosen by its box.
    table.click(position={"x": 18, "y": 52})
    expect(page.get_by_test_id("stText").get_by_text(hostile)).to_be_visible()
    page.get_by_role("button", name="Rename…").click()
    page.get_by_label("New name").fill("first *ones*")
    page.get_by_label("New name").press("Enter")
    page.get_by_role("button", name="Rename tag").click()
    toast = page.locator(".imseek-changes").get_by_role("status")
    expect(toast).to_contain_text("renamed to “first *ones*”")
    assert [(one.tag, one.by) for one in tags.counts(root)] == [("first *ones*", {"person": 3})]
    # The table of before stays until the run has ended, and forgets what was chosen in it.
    wait_until_idle(page)
    expect(table).to_have_count(1)
    table.click(position={"x": 18, "y": 52})
    page.get_by_role("button", name="Show pictures").click()
    expect(page).to_have_url(re.compile(r"where=tag%28%27first"))
    page.keyboard.press("Control+z")
    expect(toast).to_contain_text("Undone: ")
    assert [(one.tag, one.by) for one in tags.counts(root)] == [(hostile, {"person": 3})]


@pytest.mark.long
@pytest.mark.parametrize("width", [400, 2500])
def test_nothing_is_wider_than_the_window(visit: Visit, ui: Pages, root: Path, width: int) -> None:
    page = visit("labels", c="labelled", width=width)
    page.get_by_label("Classes").fill("cat\n" + "a class with a name that is much too long for any window " * 3)
    expect(page.get_by_role("region", name="cat")).to_be_visible(timeout=LONG)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page = visit("labels", c="labelled", how="By examples", classes="cat, dog", width=width)
    expect(page.get_by_role("group", name="Pictures to label").locator(".card").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
