"""A skip is a failure in CI, at every place where pytest lets a test skip."""

from __future__ import annotations

from pathlib import Path

import pytest
import skip_policy

pytestmark = pytest.mark.slow

#: Every way to skip, and what is no skip.
TESTS = """
import pytest

@pytest.fixture
def server():
    pytest.skip("no server")

@pytest.mark.skip(reason="by mark")
def test_mark(): ...

@pytest.mark.skipif(True, reason="by condition")
def test_condition(): ...

def test_call():
    pytest.skip("by call")

def test_import():
    pytest.importorskip("a_package_that_nobody_has")

def test_fixture(server): ...

@pytest.mark.parametrize("n", [])
def test_of_nothing(n): ...

@pytest.mark.gpu
def test_gpu():
    pytest.skip("no CUDA device")

@pytest.mark.xfail(reason="known")
def test_known():
    assert False

def test_passes(): ...
"""
MODULE = "import pytest\npytest.importorskip('a_package_that_nobody_has')\ndef test_never(): ...\n"


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTHONPATH", str(Path(skip_policy.__file__).parent))
    pytester.makeini("[pytest]\nmarkers = gpu: needs a CUDA device")
    return pytester


@pytest.mark.parametrize("workers", [0, 2])
def test_a_skip_fails_in_ci(run: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    monkeypatch.setenv("IMSEEK_CI", "1")
    run.makepyfile(TESTS)
    result = run.runpytest_subprocess("-p", "skip_policy", "-n", str(workers))
    # Of marks and fixtures the setup fails, which pytest counts as errors.
    result.assert_outcomes(passed=1, failed=2, errors=4, skipped=1, xfailed=1)
    for reason in ("no server", "by mark", "by condition", "by call", "a_package_that_nobody_has"):
        result.stdout.fnmatch_lines(f"*{reason}*")
    result.stdout.fnmatch_lines("*IMSEEK_CI is set: nothing may be missing*")


def test_a_module_that_skips_itself_fails_in_ci(run: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMSEEK_CI", "1")
    run.makepyfile(test_skips=MODULE, test_passes="def test_passes(): ...")
    result = run.runpytest_subprocess("-p", "skip_policy")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("*a_package_that_nobody_has*")


def test_a_skip_stays_a_skip_elsewhere(run: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMSEEK_CI", raising=False)
    run.makepyfile(TESTS, test_skips=MODULE)
    result = run.runpytest_subprocess("-p", "skip_policy")
    result.assert_outcomes(passed=1, skipped=8, xfailed=1)


def test_these_tests_run_under_the_policy(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.pluginmanager.hasplugin("skip_policy")
