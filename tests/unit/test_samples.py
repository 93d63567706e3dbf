"""Which tests a run leaves out: other ones in each commit, none in the long run, none that is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import samples

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

def test_plain(): ...
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    """``run(seed, *arguments)``: names of the tests that a run at this seed chooses."""
    monkeypatch.setenv("PYTHONPATH", str(Path(samples.__file__).parent))
    monkeypatch.delenv("IMSEEK_SAMPLES", raising=False)
    pytester.makeini("[pytest]\nmarkers =\n  sample: some\n  long: later")
    pytester.makepyfile(test_it=TESTS)

    def names(seed: str, *arguments: str) -> set[str]:
        monkeypatch.setenv("IMSEEK_SEED", seed)
        result = pytester.runpytest_subprocess("-p", "samples", "-q", "--collect-only", *arguments)
        return {line.split("::")[1] for line in result.outlines if "::" in line}

    return names


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
    assert len(met) > 40


@pytest.mark.parametrize("named", ["test_it.py::test_one", "test_it.py::test_long"])
def test_what_is_named_is_run(run, named: str) -> None:
    assert len(run("a", named)) == (20 if "one" in named else 1)


def test_the_long_run_leaves_nothing_out(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMSEEK_SAMPLES", "all")
    assert len(run("a")) == 20 + 40 + 6 + 2


def test_two_numbers_for_one_parameter_are_refused(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(samples.__file__).parent))
    pytester.makeini("[pytest]\nmarkers = sample: some")
    pytester.makepyfile(TESTS.replace("@pytest.mark.long\n", "").replace("sample(n=3)", "sample(n=2)", 1))
    result = pytester.runpytest_subprocess("-p", "samples", "--collect-only")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "different numbers of samples of n" in str(result.stderr)
