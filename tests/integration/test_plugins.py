"""The plugins of docs/plugins.md, built and installed as their readers do; plugins that fail; names that are taken."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import documentation
import pytest

PAGE = documentation.ROOT / "docs" / "plugins.md"
#: Packages that nobody can use.
BROKEN = {
    "imseek-broken": '[project.entry-points."imseek.encoders"]\nbroken = "imseek_broken:Encoder"\n'
    'absent = "no_such_module:Encoder"\nbuiltin = "imseek_broken:Encoder"\nnothing = "imseek_sound:nothing"\n'
    '"Odd name" = "imseek_sound:nothing"\n[project.entry-points."imseek.exports"]\nsecret = "imseek_broken:F"\n'
    'noformat = "imseek_sound:nothing"\n[project.entry-points."imseek.sources"]\nleaving = "imseek_leaving:Source"\n'
    '[project.entry-points."imseek.rerankers"]\nfailing = "imseek_broken:R"\nunranked = "imseek_sound:nothing"\n',
}
MODULES = {
    "imseek_broken": "raise RuntimeError('this package is broken')\n",
    "imseek_leaving": "import sys\nsys.exit(3)\n",
    "imseek_sound": "def nothing(*_, **__):\n    return 42\n",
}


def packages() -> dict[str, dict[str, str]]:
    """The files of each package of the page, by the name of the package: a block follows the name of its file."""
    found: dict[str, dict[str, str]] = {}
    pattern = r"^\*\*([\w.]+)\*\*[^\n]*:\n\n```\w+\n(.*?)^```$"
    for section in documentation.read(PAGE).split("\n## ")[1:]:
        files = dict(re.findall(pattern, section, re.MULTILINE | re.DOTALL))
        if files:
            (name,) = re.findall(r'^name = "(.*)"$', files["pyproject.toml"], re.MULTILINE)
            found[name] = files
    return found


def install(files: Mapping[str, str], folder: Path, target: Path) -> None:
    """Build a wheel of a package and install it, without a network."""
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(folder)],
        check=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all plugins of the page, and one with nothing but faults."""
    folder = tmp_path_factory.mktemp("plugins")
    for name, files in packages().items():
        install(files, folder / "packages" / name, folder / "site")
    pyproject = (
        '[build-system]\nrequires = ["setuptools>=77"]\nbuild-backend = "setuptools.build_meta"\n'
        f'[project]\nname = "imseek-broken"\nversion = "0.1"\n{BROKEN["imseek-broken"]}'
        f"[tool.setuptools]\npy-modules = {json.dumps(list(MODULES))}\n"
    )
    faults = {"pyproject.toml": pyproject, **{f"{name}.py": text for name, text in MODULES.items()}}
    install(faults, folder / "packages" / "imseek-broken", folder / "site")
    return folder


@pytest.fixture
def environment(installed: Path, tmp_path: Path) -> dict[str, str]:
    path = os.pathsep.join([str(installed / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "IMSEEK_HOME": str(tmp_path / "home"), "COLUMNS": "200"}


def run(environment: Mapping[str, str], *arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "imseek", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, (arguments, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def pictures(tmp_path: Path, photo_files: list[Path]) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for file in photo_files[:4]:
        shutil.copy(file, folder)
    return folder


def test_the_page_has_a_package_for_each_group() -> None:
    found = packages()
    assert sorted(found) == ["imseek-blip", "imseek-colours", "imseek-geojson", "imseek-picks", "imseek-thumbprint"]
    for name, files in found.items():
        (module,) = (text for file, text in files.items() if file.startswith("imseek_"))
        assert len(module.splitlines()) <= 46, name


@pytest.mark.parametrize("name", packages())
def test_a_plugin_proves_itself(name: str, installed: Path, environment: dict[str, str]) -> None:
    """The suite that the page derives, run by a pytest of its own."""
    folder = installed / "packages" / name
    command = [
        sys.executable,
        "-P",
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(folder),
        str(folder),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, cwd=folder)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert "failed" not in done.stdout


def test_an_encoder_is_listed_and_used(environment: dict[str, str], pictures: Path) -> None:
    assert "plugin: thumbprint (imseek-thumbprint 1.0)" in run(environment, "encoders").stdout
    assert run(environment, "encoders", "thumbprint").stdout == "plugin: thumbprint (imseek-thumbprint 1.0)\n"
    listed = json.loads(run(environment, "encoders", "--json").stdout)["plugins"]
    assert {
        "name": "thumbprint",
        "package": "imseek-thumbprint",
        "version": "1.0",
    } in listed
    run(environment, "index", pictures, "-c", "prints", "--encoder", "thumbprint")
    first, *_ = json.loads(run(environment, "similar", pictures / "coffee.png", "-c", "prints", "--json").stdout)[
        "hits"
    ]
    assert (Path(first["path"]).name, round(first["score"], 3)) == ("coffee.png", 1.0)
    assert "knows pictures only" in run(environment, "search", "a cup", "-c", "prints", code=1).stderr


def test_an_encoder_that_fails_is_named(environment: dict[str, str], pictures: Path) -> None:
    for reference, problem in [
        ("broken", "RuntimeError: this package is broken"),
        ("absent", "ModuleNotFoundError"),
        ("nothing", "makes a int, which lacks methods of an encoder"),
    ]:
        said = run(environment, "index", pictures, "-c", "new", "--encoder", reference, code=1).stderr
        assert f"the plugin {reference} of imseek-broken 0.1" in said
        assert problem in said
    # Ours come first, whatever packages claim.
    run(environment, "index", pictures, "-c", "ours", "--encoder", "builtin")
    assert "did you mean thumbprint" in run(environment, "index", pictures, "--encoder", "thumprint", code=2).stderr


def test_a_format_is_listed_and_used(environment: dict[str, str], pictures: Path, tmp_path: Path) -> None:
    run(environment, "index", pictures, "-c", "photos", "--encoder", "fake")
    run(environment, "export", tmp_path / "places.geojson", "-c", "photos")
    written = json.loads((tmp_path / "places.geojson").read_text())
    names = {Path(one["properties"]["path"]).name for one in written["features"]}
    assert names == {path.name for path in pictures.iterdir()}
    out = run(environment, "export", "-", "-c", "photos", "--format", "geojson").stdout
    assert json.loads(out) == written
    report = json.loads(
        run(environment, "export", tmp_path / "x", "-c", "photos", "--format", "geojson", "--json").stdout
    )
    assert (report["format"], report["images"]) == ("geojson", 4)
    assert (
        "did you mean geojson" in run(environment, "export", "y", "--format", "geojsn", "-c", "photos", code=2).stderr
    )
    said = run(environment, "export", tmp_path / "z", "-c", "photos", "--format", "secret", code=1).stderr
    assert "the plugin secret of imseek-broken 0.1 does not load" in said
    assert not (tmp_path / "z").exists()
    said = run(environment, "export", tmp_path / "z", "-c", "photos", "--format", "noformat", code=1).stderr
    assert "is not a Format of that name" in said


def test_a_kind_of_source_is_used_and_may_be_missing_later(
    environment: dict[str, str], pictures: Path, tmp_path: Path
) -> None:
    (pictures / "picks.txt").write_text("coffee.png\nrocket.jpg\n")
    run(environment, "index", pictures, "-c", "picks", "--kind", "picks", "--encoder", "fake")

    def places() -> set[str]:
        hits = json.loads(run(environment, "search", "red", "-c", "picks", "--json").stdout)["hits"]
        return {Path(hit["path"]).name for hit in hits}

    assert places() == {"coffee.png", "rocket.jpg"}
    (pictures / "picks.txt").write_text("coffee.png\n")
    run(environment, "index", "-c", "picks")
    assert places() == {"coffee.png"}
    # Without the plugin: its images stay, and other sources are indexed.
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(pictures / "chelsea.png", other)
    without = {**environment, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    run(without, "index", other, "-c", "picks")
    said = run(without, "index", "-c", "picks").stdout
    assert "no plugin here reads sources of the kind 'picks'" in said
    assert places() == {"coffee.png", "chelsea.png"}
    read = "import imseek, sys\nwith imseek.open(sys.argv[1]) as c:\n  print(len(c.read(0)))\n"
    root = Path(environment["IMSEEK_HOME"]) / "collections" / "picks"
    done = subprocess.run(
        [sys.executable, "-P", "-c", read, str(root)], env=environment, capture_output=True, text=True
    )
    assert int(done.stdout) == (pictures / "coffee.png").stat().st_size
    done = subprocess.run([sys.executable, "-P", "-c", read, str(root)], env=without, capture_output=True, text=True)
    assert "MediaError: no plugin here reads sources" in done.stderr
    said = run(environment, "index", other, "-c", "more", "--kind", "leaving", "--encoder", "fake", code=1).stderr
    assert "the plugin leaving of imseek-broken 0.1 does not load: SystemExit: 3" in said
    assert "kinds are" in run(environment, "index", other, "-c", "more", "--kind", "pics", code=2).stderr


def test_a_reranker_is_used_and_named_where_it_fails(environment: dict[str, str], pictures: Path) -> None:
    run(environment, "index", pictures, "-c", "photos", "--encoder", "builtin")

    def search(*arguments: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(run(environment, "search", "-c", "photos", "--json", *arguments).stdout)
        return found

    found = search("something blue", "--rerank", "colours")
    shares = [hit["matches"][0]["score"] - hit["score"] for hit in found["hits"]]
    assert {hit["matches"][0]["words"][0] for hit in found["hits"]} == {"colours"}
    assert Path(found["hits"][0]["path"]).name == "rocket.jpg"  # Its sky.
    assert max(shares) == shares[0] > 0.5
    assert "the best 4 are in the order of the reranker colours 1.0" in found["notes"]
    table = run(environment, "search", "-c", "photos", "something blue", "--rerank", "colours", "--rerank-limit", "1")
    assert table.stdout.count("matched: reranker colours ") == 1
    plain = [hit["image_id"] for hit in search("a cup")["hits"]]
    assert [hit["image_id"] for hit in search("a cup", "--rerank", "colours")["hits"]] == plain
    line = json.dumps({"text": "something blue", "rerank": "colours"})
    done = subprocess.run(
        [sys.executable, "-P", "-m", "imseek", "search", "-c", "photos", "--queries", "-"],
        env=environment, input=line, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["hits"] == found["hits"]
    for arguments, code, message in (
        (["search", "a cup", "--rerank", "failing"], 1, "the plugin failing of imseek-broken 0.1 does not load"),
        (["search", "a cup", "--rerank", "unranked"], 1, "makes no Reranker of that name, but 42"),
        (["search", "a cup", "--rerank", "colour"], 2, "did you mean colours"),
        (
            ["similar", pictures / "coffee.png", "--rerank", "colours"],
            2,
            "colours compares texts, and the query has a pic",
        ),
        (["search", "a cup", "--rerank", "colours", "--sort", "date"], 2, "both sorted by date and by a reranker"),
    ):
        assert message in run(environment, *arguments, "-c", "photos", code=code).stderr
    assert len(search("a cup")["hits"]) == 4


def test_the_doctor_names_plugins_that_fail(environment: dict[str, str]) -> None:
    checks = json.loads(run(environment, "doctor", "--json").stdout)["checks"]
    good, *bad = [check for check in checks if check["name"] == "plugins"]
    assert (good["status"], good["message"]) == (
        "ok",
        "nothing (imseek-broken 0.1), thumbprint (imseek-thumbprint 1.0), geojson (imseek-geojson 1.0), "
        "picks (imseek-picks 1.0), blip (imseek-blip 1.0), colours (imseek-colours 1.0), unranked (imseek-broken 0.1)",
    )
    assert {check["status"] for check in bad} == {"warn"}
    assert {check["message"].partition(" ")[0]: check["message"].partition("): ")[2][:30] for check in bad} == {
        "Odd": "its name is none: lower-case l",
        "absent": "the plugin absent of imseek-br",
        "broken": "the plugin broken of imseek-br",
        "builtin": "imseek itself has that name",
        "failing": "the plugin failing of imseek-b",
        "leaving": "the plugin leaving of imseek-b",
        "noformat": "the plugin noformat of imseek-",
        "secret": "the plugin secret of imseek-br",
    }


def test_a_collection_of_a_stranger_loads_no_plugin(
    environment: dict[str, str], pictures: Path, tmp_path: Path
) -> None:
    del environment["IMSEEK_TRUSTED_FOLDERS"]
    run(environment, "index", pictures, "-c", "prints", "--encoder", "thumbprint")
    stranger = tmp_path / "stranger"
    shutil.copytree(Path(environment["IMSEEK_HOME"]) / "collections" / "prints", stranger)
    said = run(environment, "similar", pictures / "coffee.png", "-c", stranger, code=1).stderr
    assert "taking the weights of thumbprint from where it says" in said


def test_a_search_asks_for_no_plugin(environment: dict[str, str], pictures: Path) -> None:
    run(environment, "index", pictures, "-c", "photos", "--encoder", "builtin")
    command = [sys.executable, "-P", "-X", "importtime", "-m", "imseek", "search", "a cup", "-c", "photos"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert not re.search(r"\| +(importlib\.metadata|imseek_\w+)$", done.stderr, re.MULTILINE)
