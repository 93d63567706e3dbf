"""Which tests a run leaves out: other ones in each commit, none in the long run, none that is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import samples
from session_seed import session_seed

pytestmark = pytest.mark.slow

TESTS = """
import pytest

@pytest.fixture(params=[*"abcde", ("f", {})], ids="abcdef")
def letter(request):
    return request.param

@pytest.mark.sample(n=3)
@pytest.mark.parametrize("n", range(20))
def test_one(n): ...

@pytest.mark.sample(n=3)
@pytest.mark.parametrize("n", range(20))
@pytest.mark.parametrize("way", ["in", "out"])
def test_other(n, way): ...

@pytest.mark.sample(letter=9)
def test_fixture(letter): ...

@pytest.mark.long
def test_long(): ...

@pytest.mark.parametrize("n", range(9))
def test_slow(n): ...

class TestSlow:
    def test_slow(self): ...

@pytest.mark.always
def test_slow_but_needed(): ...

def test_plain(): ...
"""
SLOW = ["test_it.py::test_slow", "test_it.py::TestSlow::test_slow", "test_it.py::test_slow_but_needed"]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    """``run(seed, *arguments)``: names of the tests that a run at this seed chooses."""
    for name in ("IMSEEK_SAMPLES", "IMSEEK_DURATIONS"):
        monkeypatch.delenv(name, raising=False)
    pytester.makeini("[pytest]\nmarkers =\n  sample: some\n  always: needed\n  long: later")
    monkeypatch.setattr(samples, "TURNS", 4)
    monkeypatch.setattr(samples, "DURATIONS", pytester.path / "durations.json")
    samples.DURATIONS.write_text(json.dumps(dict.fromkeys(SLOW, 1)))
    pytester.makepyfile(test_it=TESTS)

    def names(seed: str, *arguments: str) -> set[str]:
        monkeypatch.setenv("IMSEEK_SEED", seed)
        session_seed.cache_clear()
        result = pytester.runpytest_inprocess("-p", "samples", "-q", "--collect-only", *arguments)
        return {line.split("::")[1] for line in result.outlines if "::" in line}

    yield names
    session_seed.cache_clear()


def test_a_sample_is_the_same_throughout_a_module_and_another_by_the_next_seed(run) -> None:
    first, second = run("a"), run("b")
    one = {name.removeprefix("test_one") for name in first if "one" in name}
    assert len(one) == 3
    assert {name for name in first if "other" in name} == {
        f"test_other[{way}-{n[1:]}" for n in one for way in ("in", "out")
    }
    assert {"test_plain"} | {f"test_fixture[{letter}]" for letter in "abcdef"} <= first & second
    assert "test_long" not in first
    assert first != second


def test_in_time_all_are_met(run) -> None:
    met = set().union(*(run(str(seed)) for seed in range(12)))
    assert len(met) > 50
    assert "TestSlow" in met


def test_slow_tests_take_turns(run) -> None:
    runs = [{name for name in run(str(seed)) if "low" in name} for seed in range(12)]
    assert all("test_slow_but_needed" in names for names in runs)
    assert {len(names) for names in runs} == {3, 4}
    assert len(set().union(*runs)) == 11


@pytest.mark.parametrize("named", ["test_it.py::test_one", "test_it.py::test_long"])
def test_what_is_named_is_run(run, named: str) -> None:
    assert len(run("a", named)) == (20 if "one" in named else 1)


def test_the_long_run_leaves_nothing_out(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMSEEK_SAMPLES", "all")
    assert len(run("a")) == 20 + 40 + 6 + 11 + 2


def test_two_numbers_for_one_parameter_are_refused(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMSEEK_SAMPLES", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(Path(samples.__file__).parent))
    pytester.makeini("[pytest]\nmarkers =\n  sample: some\n  always: needed")
    pytester.makepyfile(TESTS.replace("@pytest.mark.long\n", "").replace("sample(n=3)", "sample(n=2)", 1))
    result = pytester.runpytest_subprocess("-p", "samples", "--collect-only")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "different numbers of samples of n" in str(result.stderr)


def test_durations_are_written_of_all_that_is_slow(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMSEEK_DURATIONS", "1")
    monkeypatch.setenv("IMSEEK_SAMPLES", "all")
    monkeypatch.setattr(samples, "DURATIONS", pytester.path / "durations.json")
    pytester.makepyfile(
        test_it="""
        import time, pytest

        @pytest.mark.parametrize("seconds", [0.2, 0.6])
        def test_slow(seconds):
            time.sleep(seconds)

        def test_quick(): ...
        """
    )
    assert pytester.runpytest_inprocess("-p", "samples").ret == 0
    assert json.loads(samples.DURATIONS.read_text()) == {"test_it.py::test_slow": pytest.approx(0.4, abs=0.1)}
