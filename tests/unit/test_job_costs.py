"""What a job costs, said before it starts."""

from __future__ import annotations

import pytest

from imseek.ui.web import job_costs


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_costs.os, "cpu_count", lambda: 2)


@pytest.mark.parametrize(
    ("images", "basic", "more", "said"),
    [
        (1, True, False, "1 picture: a moment."),
        (1500, True, False, "1,500 pictures: about 30 s."),
        (1500, False, False, "1,500 pictures: about 3 min without a graphics card."),
        (100_000, False, True, "100,000 pictures or more: about 3 h 4 min or more without a graphics card."),
    ],
)
def test_indexing_is_counted_and_timed(images: int, basic: bool, more: bool, said: str) -> None:
    assert job_costs.describe_indexing(images, basic=basic, more=more) == said


def test_more_work_takes_longer() -> None:
    def finding(**kinds: bool) -> float:
        return job_costs.comparing_seconds(1000, **{"exact": False, "regions": False, **kinds})

    assert finding(exact=True) < finding() < finding(regions=True)
    assert job_costs.seconds("copy", 10**9) > job_costs.seconds("read", 10**9) > 1
    assert job_costs.seconds("measure", 1000) < job_costs.seconds("text", 1000)
    assert job_costs.describe(job_costs.seconds("index", 1_000_000)) == "about 3 min"
