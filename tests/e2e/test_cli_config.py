"""``imseek config`` and config.toml: flags above environment variables above the file above defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

import imseek
from imseek import config
from imseek.errors import UsageError
from imseek.types.indexing_runs import IndexReport
from imseek.ui.cli.index import index_folder

COMMENTED = """\
# of my laptop
device = "cpu"   # no GPU here
precision = "fp32"

[index]
# long runs
threads = 1
"""


@pytest.fixture
def file(home: Path) -> Path:
    home.mkdir()
    return home / "config.toml"


def device_of(cli) -> str:
    """The setting's value as `config list` says, with where it comes from."""
    (line,) = (line for line in cli("config").out.splitlines() if line.startswith("device "))
    return " ".join(line.split()[1:3])


class TestValues:
    def test_where_each_comes_from(self, cli, file, monkeypatch) -> None:
        assert device_of(cli) == "auto default"
        file.write_text(COMMENTED)
        assert device_of(cli) == f"cpu {file}"
        monkeypatch.setenv("IMSEEK_DEVICE", "cuda")
        assert device_of(cli) == "cuda IMSEEK_DEVICE"
        assert cli("config", "get", "device").out == "cuda\n"

    def test_flags_are_above_the_environment_above_the_file(self, cli, file, indexed, monkeypatch) -> None:
        file.write_text('device = "mars"\n')
        assert "mars" in cli("search", "red").err
        monkeypatch.setenv("IMSEEK_DEVICE", "venus")
        refused = cli("search", "red").err
        assert ("venus" in refused, "mars" in refused) == (True, False)
        assert cli("search", "red", "--device", "cpu").code == 0

    def test_the_encoder_of_new_collections(self, cli, file, pictures) -> None:
        file.write_text('encoder = "fake"\n')
        assert "encoder: fake" in cli("index", pictures).err
        file.write_text('encoder = "builtin"\n')
        assert cli("index", pictures).code == 0, "one that exists keeps its own"
        assert cli("collection", "create", "other", "--encoder", "fake").code == 0

    def test_the_collection(self, cli, file, indexed, monkeypatch) -> None:
        cli("collection", "create", "other", "--encoder", "fake")
        file.write_text('collection = "other"\n')
        outcome = cli("search", "red")
        assert (outcome.out, outcome.err) == ("no hits\n", "collection: other (config.toml)\n")
        assert "no hits" not in cli("search", "red", "-c", "default").out
        monkeypatch.setenv("IMSEEK_COLLECTION", "default")
        assert "no hits" not in cli("search", "red").out
        monkeypatch.delenv("IMSEEK_COLLECTION")
        file.write_text('collection = "gone"\n')
        missing = cli("search", "red")
        assert (missing.code, "no collection 'gone' (config.toml)" in missing.err) == (2, True)

    def test_options_of_indexing(self, cli, file, pictures) -> None:
        file.write_text("[index]\nthreads = 1\nbatch_size = 2\nuntrusted = false\nocr = false\n")
        assert cli("index", pictures, "--encoder", "fake").code == 0
        assert cli("search", "red").code == 0, "they are for indexing"

    def test_watch_and_a_query_that_indexes_decode_confined_as_set(self, cli, file, pictures, monkeypatch) -> None:
        file.write_text("[index]\nuntrusted = true\n")
        seen: list[bool] = []

        def index(self: imseek.Collection, *paths: object, untrusted: bool = False, **options: object) -> IndexReport:
            seen.append(untrusted)
            raise UsageError("as far as this test goes")

        def watch(*arguments: object, untrusted: bool = False, **options: object) -> None:
            seen.append(untrusted)

        monkeypatch.setattr(imseek.Collection, "index", index)
        monkeypatch.setattr("imseek.watch.watch", watch)
        with pytest.raises(UsageError, match="as far as"):
            index_folder(pictures, None, imseek.Runtime())
        assert cli("collection", "create", "photos", "--encoder", "fake").code == 0
        cli("watch", pictures, "-c", "photos")
        assert seen == [True, True]

    def test_a_variable_with_an_impossible_value(self, cli, indexed, monkeypatch) -> None:
        monkeypatch.setenv("IMSEEK_INDEX_THREADS", "many")
        outcome = cli("index")
        assert (outcome.code, "IMSEEK_INDEX_THREADS: index.threads is a whole number" in outcome.err) == (2, True)
        assert cli("search", "red").code == 0, "nothing but what needs it is stopped"
        assert cli("index", "--help").code == 0

    def test_as_json(self, cli, file, monkeypatch) -> None:
        file.write_text("precision = 'fp32'\n[index]\nthreads = 2\n")
        monkeypatch.setenv("IMSEEK_DEVICE", "cuda")
        answer = cli("config", "list", "--json").json("config")
        assert answer["path"] == str(file)
        found = {one["name"]: (one["value"], one["origin"]) for one in answer["settings"]}
        assert list(found) == list(config.SETTINGS)
        assert found["index.threads"] == (2, "file")
        assert found["device"] == ("cuda", "environment")
        assert found["encoder"] == (None, "default")
        one = cli("config", "get", "index.threads", "--json")
        assert (one.code, one.json("config-get")["value"]) == (0, 2)
        none = cli("config", "get", "encoder", "--json")
        assert (none.code, none.json("config-get")["default"]) == (1, "auto")
        assert cli("config", "get", "nothing", "--json").code == 2


class TestWriting:
    def test_comments_stay(self, cli, file) -> None:
        file.write_text(COMMENTED)
        assert cli("config", "set", "device", "cuda").code == 0
        assert cli("config", "set", "index.ocr", "yes").code == 0
        expected = COMMENTED.replace('"cpu"', '"cuda"') + "ocr = true\n"
        assert file.read_text() == expected
        assert cli("config", "unset", "index.ocr").code == 0
        assert file.read_text() == COMMENTED.replace('"cpu"', '"cuda"')
        assert file.stat().st_mode & 0o077 == 0

    def test_the_first_setting_makes_the_file(self, cli, home) -> None:
        assert cli("config", "set", "index.threads", "2").code == 0
        assert (home / "config.toml").read_text() == "[index]\nthreads = 2\n"
        assert cli("config", "get", "index.threads").out == "2\n"
        assert cli("config", "get", "device").code == 1

    def test_a_link_stays_one(self, cli, file, tmp_path) -> None:
        (tmp_path / "mine.toml").write_text('device = "cpu"\n')
        file.symlink_to(tmp_path / "mine.toml")
        assert cli("config", "set", "device", "cuda").code == 0
        assert file.is_symlink()
        assert (tmp_path / "mine.toml").read_text() == 'device = "cuda"\n'

    @pytest.mark.parametrize(
        ("name", "value", "said"),
        [
            ("device", "banana", "no device is called 'banana'"),
            ("precision", "int9", "no precision is called 'int9'"),
            ("encoder", "nosuch", "no encoder is called 'nosuch'"),
        ],
    )
    def test_a_name_that_nothing_has_is_refused(self, cli, file, name, value, said) -> None:
        refused = cli("config", "set", name, value)
        assert (refused.code, said in refused.err) == (2, True)
        assert not file.exists()
        assert cli("config", "set", name, "auto").code == 0

    def test_a_variable_above_it_is_mentioned(self, cli, monkeypatch) -> None:
        monkeypatch.setenv("IMSEEK_DEVICE", "cpu")
        assert "IMSEEK_DEVICE is set, and overrides it" in cli("config", "set", "device", "cuda").err

    def test_every_setting_takes_its_own_default_or_an_example(self, home) -> None:
        import os

        for setting in config.SETTINGS.values():
            text = {str: "x", bool: "true", int: "3"}[setting.kind]
            value = config.set_value(setting.name, text, os.environ)
            assert config.read(os.environ).values[setting.name] == value
        assert config.read(os.environ).problems == ()


class TestDamage:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (b'device = "cpu"\nprecision = \n', "config.toml, line 2: "),
            (b"\xff\xfe", "it is not UTF-8"),
            (b"a = [" + b"[" * 5000, "config.toml"),
            (b"x" * 1_000_001, "too large"),
        ],
    )
    def test_a_broken_file_is_named_and_stops_only_what_needs_it(self, cli, file, indexed, text, said) -> None:
        file.write_bytes(text)
        outcome = cli("search", "red")
        assert outcome.code == 0
        assert said in outcome.err
        assert "it is ignored" in outcome.err
        assert cli("config", "get", "device").code == 1
        assert cli("config", "set", "device", "cpu").code == 1
        assert file.read_bytes() == text
        assert cli("search", "red", "--json").json("search")["hits"]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ('devise = "cpu"', "there is no setting 'devise' (did you mean device?)"),
            ("device = 3", "device is a text, not 3"),
            ("[index]\nocr = 1", "index.ocr is true or false, not 1"),
            ("[index]\nthreads = true", "index.threads is a whole number above 0, not True"),
            ("index = 3", "there is no setting 'index'"),
            ("[index.ocr]\nx = 1", "index.ocr is true or false"),
        ],
    )
    def test_what_is_wrong_is_named_and_the_rest_holds(self, cli, file, indexed, text, said) -> None:
        file.write_text(f'precision = "fp32"\n{text}\n')
        outcome = cli("search", "red")
        assert (outcome.code, said in outcome.err) == (0, True), outcome.err
        assert cli("config", "get", "precision").out == "fp32\n"

    def test_a_folder_in_its_place(self, cli, file, indexed) -> None:
        file.mkdir()
        assert "cannot be read: Is a directory" in cli("search", "red").err
