"""The frame of the pages without a browser: Streamlit's own AppTest runs the script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import imseek
from imseek import library

AppTest = pytest.importorskip("streamlit.testing.v1", reason="streamlit is not installed").AppTest
from imseek.ui.web import app_state, shell  # noqa: E402 - they need Streamlit
from imseek.ui.web.parts import errors  # noqa: E402 - as above

SCRIPT = Path(app_state.__file__).parent / "script" / "app.py"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMSEEK_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(app_state, "_app", None)
    return tmp_path / "home"


def made(home: Path, name: str) -> Path:
    path = home / "collections" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    imseek.create(path, encoder="fake").close()
    return path


def run(**query: str) -> Any:
    test = AppTest.from_file(str(SCRIPT), default_timeout=30)
    for name, value in query.items():
        test.query_params[name] = value
    return test.run()


def test_without_a_collection_the_page_says_how_to_make_one(home: Path) -> None:
    page = run()
    assert not page.exception
    assert page.header[0].value == "Which pictures do you want to search?"
    assert [one.label for one in page.button] == ["Index this folder", "Try it with demo photos"]
    assert not page.selectbox


def test_the_address_chooses_the_collection(home: Path) -> None:
    made(home, "cats")
    made(home, "dogs")
    assert run().session_state["c"] == "cats"
    assert run(c="dogs").session_state["c"] == "dogs"


@pytest.mark.parametrize("names", [["cats"], ["_cats_", "dogs"]])
def test_no_other_collection_stands_for_a_missing_one(home: Path, names: list[str]) -> None:
    for name in names:
        made(home, name)
    page = run(c="**nowhere**", q="a cat")
    assert not page.exception
    assert page.session_state["c"] is None
    assert [one.value for one in page.header] == [r"No collection “\*\*nowhere\*\*”"]
    assert [one.label.replace("\\", "") for one in page.button] == names
    page.button[0].click().run()
    assert page.session_state["c"] == names[0]
    assert page.query_params == {"c": names[0], "q": "a cat"}


def test_the_collection_that_was_named_at_the_start_comes_first(home: Path, tmp_path: Path) -> None:
    made(home, "cats")
    imseek.create(tmp_path / "elsewhere", encoder="fake").close()
    app_state.start(library.NamedCollection("elsewhere", tmp_path / "elsewhere"), None)
    assert run().session_state["c"] == "elsewhere"


def test_a_collection_that_is_made_while_the_pages_run_takes_nobodys_place(home: Path) -> None:
    made(home, "cats")
    page = run()
    made(home, "ants")
    page.run()
    assert page.session_state["c"] == "cats"


def test_a_damaged_collection_is_told_with_what_to_do(home: Path) -> None:
    path = made(home, "cats")
    (path / "collection.json").write_text("{")
    page = run(q="a cat")
    assert not page.exception
    assert any("collection.json" in one.value for one in page.text)


def test_messages_are_text_and_never_markdown() -> None:
    def script() -> None:
        from imseek.errors import UsageError
        from imseek.ui.web.parts import errors

        errors.show_error(UsageError("no ![](http://elsewhere.example/x.png)", hint="<script>alert(1)</script>"))

    page = AppTest.from_function(script).run()
    assert not page.markdown
    assert [one.value for one in page.text] == [
        "⚠️ No ![](http://elsewhere.example/x.png)",
        "<script>alert(1)</script>",
    ]


def test_what_nobody_expected_goes_to_the_log_with_a_number(caplog: pytest.LogCaptureFixture) -> None:
    assert shell.on_error(ValueError("secret"))
    assert "secret" in caplog.text


def test_told_ends_the_page() -> None:
    def script() -> None:
        import streamlit as st

        from imseek.errors import UsageError
        from imseek.ui.web.parts import errors

        with errors.show_errors():
            raise UsageError("not so")
        st.text("never")

    assert [one.value for one in AppTest.from_function(script).run().text] == ["⚠️ Not so"]


def test_other_errors_pass_through_told() -> None:
    with pytest.raises(ZeroDivisionError), errors.show_errors():
        raise ZeroDivisionError


@pytest.mark.parametrize("page", ["search", "map", "labels", "duplicates"])
def test_every_page_says_where_pictures_come_from(home: Path, page: str) -> None:
    made(home, "cats")

    def one(name: str) -> None:
        from imseek.ui.web import app_state, shell

        app_state.current_app().collections()
        shell.PAGES[name]()

    test = AppTest.from_function(one, kwargs={"name": page}, default_timeout=30)
    test.session_state["c"] = "cats"
    test.run()
    assert not test.exception
    assert [one.value for one in test.subheader] == ["No pictures yet"]
    assert [one.label for one in test.get("page_link")] == ["Add pictures"]


@pytest.mark.parametrize(("encoder", "offers"), [("builtin", True), ("fake", False)])
def test_a_better_model_is_offered_where_the_encoder_is_a_basic_one(home: Path, encoder: str, offers: bool) -> None:
    path = home / "collections" / "cats"
    path.parent.mkdir(parents=True)
    imseek.create(path, encoder=encoder).close()

    def maintenance() -> None:
        import os

        import imseek
        from imseek import library
        from imseek.ui.web.pages.collections import maintenance

        (named,) = library.list_collections(os.environ)
        with imseek.open(named.path) as collection:
            maintenance.show(named, collection.info())

    page = AppTest.from_function(maintenance, default_timeout=30).run()
    assert not page.exception
    assert ("Get the better model" in [one.label for one in page.button]) == offers
    assert any("Encodes all again. 0 pictures" in one.value for one in page.text) == offers
