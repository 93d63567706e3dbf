"""Classes and templates as users write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from imseek.encoders import prompts
from imseek.errors import UsageError
from imseek.labels import classes


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "classes.txt"
    path.write_text(text, "utf-8")
    return path


def test_names_with_commas() -> None:
    found = classes.parse_classes(" cat, fire engine ,dog")
    assert found.names == ("cat", "fire engine", "dog")
    assert found.words == (("cat",), ("fire engine",), ("dog",))


def test_a_file_of_names_and_words(tmp_path: Path) -> None:
    path = _file(tmp_path, "\ufeff# pets\ncat: cat, kitten,tabby cat\n\n  dog  \nratio 3:1\n")
    found = classes.parse_classes(str(path))
    assert found.names == ("cat", "dog", "ratio 3:1")
    assert found.words == (("cat", "kitten", "tabby cat"), ("dog",), ("ratio 3:1",))
    assert found.sentences(0, ("a {}", "the {}")) == [
        "a cat", "the cat", "a kitten", "the kitten", "a tabby cat", "the tabby cat",
    ]  # fmt: skip


def test_imagenet_without_the_names_that_it_has_twice() -> None:
    found = classes.parse_classes("imagenet")
    assert len(found) == 998
    assert len({classes.normalise_name(name) for name in found.names}) == 998
    assert set(found.names) == set(prompts.imagenet_classes())


@pytest.mark.parametrize("given", ["", " ", ",", ",,"])
def test_no_classes(given: str) -> None:
    with pytest.raises(UsageError, match="no classes"):
        classes.parse_classes(given)


@pytest.mark.parametrize("second", ["cat", "CAT", " Cat ", "ＣＡＴ"])
def test_two_of_one_name(second: str) -> None:
    with pytest.raises(UsageError, match="two classes are called") as caught:
        classes.classes_from_names(["cat", "dog", second])
    assert "class 1 and class 3" in str(caught.value)


def test_two_of_one_name_in_a_file_are_told_by_line(tmp_path: Path) -> None:
    path = _file(tmp_path, "fire  engine\n# a comment\nFire Engine: truck\n")
    with pytest.raises(UsageError, match=r"line 1 and .*line 3"):
        classes.parse_classes(str(path))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "no classes in"),
        ("# nothing\n\n", "no classes in"),
        ("cat\ndog:\n", "line 2: 'dog' has no words"),
        ("cat\ndog: ,\n", "line 2: 'dog' has no words"),
        ("cat\n: dog\n", "line 2: a class without a name"),
    ],
)
def test_files_that_make_no_sense(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        classes.parse_classes(str(_file(tmp_path, text)))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        classes.parse_classes(str(tmp_path / "none.txt"))
    with pytest.raises(UsageError, match="No such file"):
        classes.parse_classes("none.txt")
    path = tmp_path / "latin.txt"
    path.write_bytes(b"caf\xe9\nth\xe9\n")
    with pytest.raises(UsageError, match="not UTF-8") as caught:
        classes.parse_classes(str(path))
    assert caught.value.hint is not None


def test_templates(tmp_path: Path) -> None:
    assert classes.read_templates("a {}") == ("a {}",)
    assert classes.read_templates("imagenet") == prompts.templates("imagenet")
    path = tmp_path / "mine"
    path.write_text("# of pets\na {}\n\nmy {} at home\n")
    assert classes.read_templates(str(path)) == ("a {}", "my {} at home")


@pytest.mark.parametrize(
    ("given", "match", "hint"),
    [
        ("imagnet", "neither a set of templates", "did you mean imagenet?"),
        ("a photo", "neither a set of templates", "sets: "),
        ("", "there are no templates", "{}"),
    ],
)
def test_templates_that_are_none(given: str, match: str, hint: str) -> None:
    with pytest.raises(UsageError, match=match) as caught:
        classes.read_templates(given)
    assert hint in str(caught.value.hint)


def test_a_file_of_templates_without_a_place(tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_text("a {}\na photo\n")
    with pytest.raises(UsageError, match="'a photo' has no place"):
        classes.read_templates(str(path))
    path.write_text("\n")
    with pytest.raises(UsageError, match="no templates in"):
        classes.read_templates(str(path))
