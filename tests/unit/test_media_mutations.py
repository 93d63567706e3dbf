"""A few hundred damaged files of every format, others in each commit: a picture or a MediaError.

bench/robustness.py tries thousands.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
import session_seed
from mutations import mutant, seeds

from imseek.errors import MediaError
from imseek.media.decode import decode
from imseek.media.formats import sniff
from imseek.types.pictures import SkipReason

pytestmark = pytest.mark.slow

#: SVG is drawn in a process for each.
COUNTS = {name: 25 if name == "SVG" else 150 for name in seeds()}


@pytest.mark.parametrize("name", seeds())
def test_every_sound_file_decodes(name: str) -> None:
    for data in seeds()[name]:
        assert sniff(data) == name
        assert decode(data).facts.format == name


@pytest.mark.parametrize("name", seeds())
def test_of_damaged_files_nothing_but_a_media_error_comes_out(
    name: str,
    capfd: pytest.CaptureFixture[str],  # libtiff writes what it thinks of damage to standard error
) -> None:
    outcomes = set()
    first = session_seed.number(name)
    for number in range(first, first + COUNTS[name]):
        began = time.monotonic()
        try:
            decoded = decode(mutant(name, number, seeds()[name]), min_side=16 if number % 2 else None)
        except MediaError as error:
            outcomes.add(SkipReason(error.reason))
        else:
            assert decoded.pixels.ndim == 3
            assert decoded.pixels.dtype == np.uint8
        assert time.monotonic() - began < 20
    assert outcomes - {SkipReason.NOT_AN_IMAGE}  # the damage does reach the decoder


def test_damage_is_the_same_each_time() -> None:
    first, again = (mutant("PNG", 7, [b"0" * 100]) for _ in range(2))
    assert first == again != mutant("PNG", 8, [b"0" * 100])
